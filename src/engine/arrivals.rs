//! The wait for other hosts of a run: until all have come, or for a while nobody did.
//!
//! # Theory of operation
//! A dead host must not hold up the others for as long as its own patience, so it is enough that nobody came for
//! [`Arrivals::SETTLED`]. Who waits asks its question again whenever somebody came, and once more when it has become quiet.
//! When it is quiet already and the answer is still no, only another arrival can change it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Failure;
use crate::scope::Scope;

/// When somebody came last, and a bell for those that wait.
pub struct Arrivals {
    last: Mutex<Instant>,
    bell: Notify,
    settled: Duration,
}

impl Arrivals {
    /// So long nobody came: then those that are there go on without the others.
    const SETTLED: Duration = Duration::from_secs(3);

    /// For hosts each of which is given so long to answer.
    pub fn new(connect: Duration) -> Self {
        Self { last: Mutex::new(Instant::now()), bell: Notify::new(), settled: Self::SETTLED.min(connect) }
    }

    /// Somebody came, or went; what that changed is there to be seen.
    pub fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.ring();
    }

    /// Something was decided that others may wait for.
    pub fn ring(&self) {
        self.bell.notify_waiters();
    }

    /// Whether nobody came for so long that nobody is waited for.
    pub fn are_over(&self) -> bool {
        Instant::now() >= self.quiet()
    }

    /// Waits until `done` says so.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn until(&self, scope: &Scope, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            bell.as_mut().enable();
            // Looked at first: what becomes quiet after that is asked about once more.
            let over = self.are_over();
            if done() {
                return Ok(());
            }
            let wait = async {
                tokio::select! {
                    () = bell => {}
                    () = tokio::time::sleep_until(self.quiet().into()), if !over => {}
                }
            };
            scope.race(wait).await?;
        }
    }

    fn quiet(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.settled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{
        scope::{Cancel, events},
        vocab::RunId,
    };

    #[tokio::test]
    async fn a_question_is_asked_when_something_may_have_changed_and_not_all_the_time() {
        let (emitter, _events) = events(RunId::new("test").unwrap());
        let scope = Scope::new(Cancel::new(), emitter);
        let arrivals = Arc::new(Arrivals::new(Duration::from_millis(50)));
        let (answer, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let waiter = tokio::spawn({
            let (arrivals, answer, asked) = (arrivals.clone(), answer.clone(), asked.clone());
            async move {
                let done = || {
                    asked.fetch_add(1, Ordering::SeqCst);
                    answer.load(Ordering::SeqCst)
                };
                arrivals.until(&scope, done).await
            }
        });
        // At first, and when it has become quiet; from then on nothing changes.
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            tokio::task::yield_now().await;
        }
        assert!(arrivals.are_over());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        answer.store(true, Ordering::SeqCst);
        arrivals.note();
        waiter.await.unwrap().unwrap();
        assert!(!arrivals.are_over());
    }
}
