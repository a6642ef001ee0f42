//! Asking the person at the terminal, from any wait.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Mutex, oneshot};

type Ask = dyn Fn(&Question) -> io::Result<String> + Send + Sync;

/// What is asked, and whether the answer may be seen while it is typed.
#[derive(Debug, Clone)]
pub struct Question {
    /// With everything that belongs to it: "passphrase for /home/me/.ssh/id_ed25519: ".
    pub text: String,
    pub secret: bool,
    withdrawn: Arc<AtomicBool>,
}

impl Question {
    /// Whether nobody waits for the answer any more: who asks it looks now and then, and stops asking.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }
}

/// Withdraws a question when it is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
        self.put(text.into(), true).await
    }

    /// Asks for a line.
    ///
    /// # Errors
    /// As [`Prompt::secret`].
    pub async fn line(&self, text: impl Into<String>) -> io::Result<String> {
        self.put(text.into(), false).await
    }

    /// Reading an answer has a thread of its own, which learns when nobody waits for it any more.
    async fn put(&self, text: String, secret: bool) -> io::Result<String> {
        let turn = self.turn.clone().lock_owned().await;
        let question = Question { text, secret, withdrawn: Arc::default() };
        let _waiting = Waiting(question.withdrawn.clone());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_is_withdrawn() {
        let (stopped, stop) = std::sync::mpsc::channel();
        let prompt = Prompt::new(move |question| {
            while !question.is_withdrawn() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = stopped.send(question.text.clone());
            Ok("late".to_owned())
        });
        let asked = tokio::time::timeout(Duration::from_millis(50), prompt.secret("first: ")).await;
        assert!(asked.is_err());
        assert_eq!(stop.recv_timeout(Duration::from_secs(20)).unwrap(), "first: ");
    }
}
