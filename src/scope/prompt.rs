//! Asking the person at the terminal, from any wait.

use std::{io, sync::Arc};

use tokio::sync::{Mutex, oneshot};

type Ask = dyn Fn(&Question) -> io::Result<String> + Send + Sync;

/// What is asked, and whether the answer may be seen while it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// With everything that belongs to it: "passphrase for /home/me/.ssh/id_ed25519: ".
    pub text: String,
    pub secret: bool,
}

/// The person at the terminal; clones ask the same one. One question at a time, in the order of asking.
#[derive(Clone)]
pub struct Prompt {
    ask: Arc<Ask>,
    turn: Arc<Mutex<()>>,
}

impl Prompt {
    /// `ask` puts one question and waits for its answer; it is called on a thread of its own.
    pub fn new(ask: impl Fn(&Question) -> io::Result<String> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), turn: Arc::default() }
    }

    /// Asks for something that is not shown while it is typed.
    ///
    /// # Errors
    /// The terminal is gone, or the person ended the input.
    pub async fn secret(&self, text: impl Into<String>) -> io::Result<String> {
        self.put(Question { text: text.into(), secret: true }).await
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// As [`Prompt::secret`].
    pub async fn line(&self, text: impl Into<String>) -> io::Result<String> {
        self.put(Question { text: text.into(), secret: false }).await
    }

    /// Reading an answer cannot be interrupted, so it has a thread that the end of the run does not wait for.
    async fn put(&self, question: Question) -> io::Result<String> {
        let turn = self.turn.clone().lock_owned().await;
        let (sender, receiver) = oneshot::channel();
        let ask = self.ask.clone();
        std::thread::Builder::new().name("prompt".to_owned()).spawn(move || {
            let answer = ask(&question);
            // The next question waits for this answer even if nobody waits for it any more.
            drop(turn);
            let _ = sender.send(answer);
        })?;
        receiver.await.unwrap_or_else(|_| Err(io::Error::other("the question was not answered")))
    }
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prompt")
    }
}
