//! The connect timeout, which stands still while a person is asked.

use std::future::Future;

use tokio::sync::watch;

use crate::target::ssh::budget::Budget;

/// Stops a clock for as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Pause(watch::Sender<u32>);

/// The clock stands still until this is dropped.
pub(super) struct Held<'a>(&'a Pause);

impl Default for Pause {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Pause {
    pub(super) fn hold(&self) -> Held<'_> {
        self.0.send_modify(|holders| *holders += 1);
        Held(self)
    }

    /// Waits for `step`; what it takes while nobody holds the clock is spent from `budget`. `None` when that ended first.
    pub(super) async fn spend<T>(&self, budget: &mut Budget, step: impl Future<Output = T>) -> Option<T> {
        let mut holders = self.0.subscribe();
        let mut step = std::pin::pin!(step);
        loop {
            let paused = *holders.borrow_and_update() > 0;
            let either = async {
                tokio::select! {
                    biased;
                    done = &mut step => Some(done),
                    _ = holders.changed() => None,
                }
            };
            let done = if paused { Some(either.await) } else { budget.spend(either).await };
            match done {
                None => return None,
                Some(Some(done)) => return Some(done),
                Some(None) => {}
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|holders| *holders -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_the_time_of_nobody_counts() {
        let (pause, mut budget) = (Pause::default(), Budget::new(Duration::from_secs(5)));
        let asking = async {
            let held = pause.hold();
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(held);
        };
        assert!(pause.spend(&mut budget, asking).await.is_some());
        assert!(budget.left() > Duration::from_millis(4800), "{:?}", budget.left());
        let mut short = Budget::new(Duration::from_millis(50));
        let held_then_late = async {
            let held = pause.hold();
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
            std::future::pending::<()>().await;
        };
        assert!(pause.spend(&mut short, held_then_late).await.is_none());
    }
}
