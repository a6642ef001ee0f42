//! The sha256 of a large local file, taken once by whoever comes to it first.
//!
//! # Theory of operation
//! It is known; or somebody waits for it, and the file is read then; or somebody reads the file anyhow, to send it, and
//! *claims* the digest: one reading serves both. Who claims it holds up all that wait, so a claim is for a run in which
//! nobody else needs it. A claim that is dropped without a digest leaves things as they were.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::watch};

use crate::{transfer::Summed, vocab::Digest};

/// How a digest is come by.
#[async_trait]
pub trait Reading: Send + Sync {
    /// Reads the file.
    ///
    /// # Errors
    /// The file could not be read.
    async fn read(&self) -> Result<Digest, String>;

    /// Begins to read where nobody needs it yet; it costs nothing but time that there is.
    fn ahead(&self) {}

    /// What such a reading came to; it has ended.
    async fn head(&self) -> Option<Summed> {
        None
    }

    /// Somebody else has read it.
    fn learn(&self, digest: Digest) {
        let _ = digest;
    }

    /// A host has received something else.
    fn refuted(&self) {}
}

/// A digest, now or later.
#[derive(Clone)]
pub struct Pending {
    taken: watch::Sender<Option<Result<Digest, String>>>,
    /// Somebody is at it, or it is there.
    busy: Arc<AtomicBool>,
    reading: Option<Arc<dyn Reading>>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.ready()).finish()
    }
}

impl Pending {
    /// One that is still to be taken.
    pub fn of(reading: Arc<dyn Reading>) -> Self {
        Self { taken: watch::Sender::new(None), busy: Arc::default(), reading: Some(reading) }
    }

    /// One that was taken already.
    pub fn known(digest: Digest) -> Self {
        Self { taken: watch::Sender::new(Some(Ok(digest))), busy: Arc::new(AtomicBool::new(true)), reading: None }
    }

    /// The same; `reading` hears of it when a host has received something else.
    pub fn remembered(digest: Digest, reading: Arc<dyn Reading>) -> Self {
        Self { reading: Some(reading), ..Self::known(digest) }
    }

    /// Starts to read on the runtime, unless somebody has.
    pub fn start(&self) {
        let Some(reading) = self.reading.clone().filter(|_| !self.busy.swap(true, Ordering::Relaxed)) else { return };
        let taken = self.taken.clone();
        tokio::spawn(async move { taken.send_replace(Some(reading.read().await)) });
    }

    /// Uses the time until somebody comes to it.
    pub fn ahead(&self) {
        if let Some(reading) = self.reading.as_ref().filter(|_| !self.busy.load(Ordering::Relaxed)) {
            reading.ahead();
        }
    }

    /// For one who reads the file anyhow, in a row and as a whole; `None` if it is there or somebody is at it.
    pub fn claim(&self) -> Option<Claim> {
        let free = self.reading.is_some() && !self.busy.swap(true, Ordering::Relaxed);
        free.then(|| Claim(self.clone()))
    }

    /// To be called when what was sent had another one.
    pub fn refute(&self) {
        if let Some(reading) = &self.reading {
            reading.refuted();
        }
    }

    /// Waits for it, and starts it where that is needed.
    ///
    /// # Errors
    /// The file could not be read.
    pub async fn wait(&self) -> Result<Digest, String> {
        let mut taken = self.taken.subscribe();
        self.start();
        match taken.wait_for(Option::is_some).await {
            Ok(done) => done.clone().unwrap_or_else(|| Err("it was not read".into())),
            Err(_) => Err("it was not read".into()),
        }
    }

    /// What [`Pending::wait`] yielded; `None` before.
    pub fn ready(&self) -> Option<Digest> {
        self.taken.borrow().as_ref().and_then(|done| done.as_ref().ok().copied())
    }
}

/// The right to say what the digest is.
#[must_use]
pub struct Claim(Pending);

impl Claim {
    /// What was read of it ahead.
    pub async fn head(&self) -> Option<Summed> {
        self.0.reading.as_ref()?.head().await
    }

    /// Says it.
    pub fn fulfil(self, digest: Digest) {
        self.0.taken.send_replace(Some(Ok(digest)));
        if let Some(reading) = &self.0.reading {
            reading.learn(digest);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.0.taken.borrow().is_some() {
            return;
        }
        self.0.busy.store(false, Ordering::Relaxed);
        if self.0.taken.receiver_count() > 0 && Handle::try_current().is_ok() {
            self.0.start();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const READ: Digest = Digest::new([1; 32]);
    const SENT: Digest = Digest::new([2; 32]);

    #[derive(Default)]
    struct Counted {
        read: AtomicUsize,
        learnt: AtomicUsize,
    }

    #[async_trait]
    impl Reading for Counted {
        async fn read(&self) -> Result<Digest, String> {
            self.read.fetch_add(1, Ordering::Relaxed);
            Ok(READ)
        }

        fn learn(&self, _: Digest) {
            self.learnt.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn it_is_read_once_and_only_if_somebody_asks() {
        let file = Arc::new(Counted::default());
        let pending = Pending::of(file.clone());
        assert_eq!((pending.ready(), file.read.load(Ordering::Relaxed)), (None, 0));
        let (one, other) = tokio::join!(pending.wait(), pending.wait());
        assert_eq!((one, other, pending.ready()), (Ok(READ), Ok(READ), Some(READ)));
        assert_eq!(file.read.load(Ordering::Relaxed), 1);
        assert!(pending.claim().is_none());
    }

    #[tokio::test]
    async fn who_sends_it_says_it() {
        let file = Arc::new(Counted::default());
        let pending = Pending::of(file.clone());
        let claim = pending.claim().unwrap();
        assert!(pending.claim().is_none());
        let waiting = pending.clone();
        let waiter = tokio::spawn(async move { waiting.wait().await });
        tokio::task::yield_now().await;
        claim.fulfil(SENT);
        assert_eq!((waiter.await.unwrap(), pending.wait().await), (Ok(SENT), Ok(SENT)));
        assert_eq!((file.read.load(Ordering::Relaxed), file.learnt.load(Ordering::Relaxed)), (0, 1));
    }

    #[tokio::test]
    async fn a_claim_that_comes_to_nothing_stops_nobody() {
        let pending = Pending::of(Arc::new(Counted::default()));
        let claim = pending.claim().unwrap();
        let waiting = pending.clone();
        let waiter = tokio::spawn(async move { waiting.wait().await });
        while pending.taken.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
        drop(claim);
        assert_eq!(waiter.await.unwrap(), Ok(READ));
        let other = Pending::of(Arc::new(Counted::default()));
        drop(other.claim().unwrap());
        drop(other.claim().unwrap());
        assert_eq!(other.wait().await, Ok(READ));
    }
}
