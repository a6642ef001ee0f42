//! What a lane says: one thing after the other, and apart from whoever reads it.
//!
//! # Theory of operation
//! A connection that is full moves nothing out before somebody takes in what has come. Whoever reads a lane is that
//! somebody, so it must not wait until a word to a running command has gone: a task of its own writes all that is said, in
//! order, and beats in between. Requests may be waited for: while one is sent nothing runs that could fill the way.

use std::{io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::target::conduit::Inlet;

/// The way to a supervisor's stdin. Dropping it is end of file, whatever is still being written.
pub(super) struct Voice {
    said: mpsc::UnboundedSender<Said>,
    _task: AbortOnDropHandle<()>,
}

enum Said {
    Text(Zeroizing<String>, oneshot::Sender<io::Result<()>>),
    Word(&'static str),
    End,
}

impl Voice {
    /// Beats each period, from the first one on.
    pub fn new(stdin: Box<dyn Inlet>, period: Duration) -> Self {
        let (said, heard) = mpsc::unbounded_channel();
        Self { said, _task: AbortOnDropHandle::new(tokio::spawn(speak(stdin, heard, period))) }
    }

    /// Says something and waits until it has gone.
    ///
    /// # Errors
    /// There is no way any more.
    pub async fn send(&self, text: &str) -> io::Result<()> {
        let (done, gone) = oneshot::channel();
        let _ = self.said.send(Said::Text(Zeroizing::new(text.to_owned()), done));
        gone.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Says a word to what runs. That there is no way any more is noticed by whoever reads.
    pub fn call(&self, word: &'static str) {
        let _ = self.said.send(Said::Word(word));
    }

    /// End of file, once all has gone that was said.
    pub fn end(&self) {
        let _ = self.said.send(Said::End);
    }
}

async fn speak(mut stdin: Box<dyn Inlet>, mut heard: mpsc::UnboundedReceiver<Said>, period: Duration) {
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.tick().await;
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            said = heard.recv() => match said {
                Some(Said::Text(text, done)) => {
                    let _ = done.send(write(&mut *stdin, &text).await);
                }
                Some(Said::Word(word)) => drop(write(&mut *stdin, word).await),
                Some(Said::End) | None => return,
            },
            _ = beats.tick(), if open => open = write(&mut *stdin, "b\n").await.is_ok(),
        }
    }
}

async fn write(stdin: &mut dyn Inlet, text: &str) -> io::Result<()> {
    stdin.write_all(text.as_bytes()).await?;
    stdin.flush().await
}
