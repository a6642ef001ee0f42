//! What the readers of a job that runs may take together.
//!
//! # Theory of operation
//! To read, to write out and to send what a job says costs as much as to keep it, for each reader again, and a job that
//! talks fast needs the processors itself. So as long as it runs, its readers share a rate that one of them does not
//! notice; a crowd falls behind, and finds all that the bound has kept when the job is over. Nobody is promised a share:
//! readers take turns in the order in which they came.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Bytes a second, for all readers of one job.
const RATE: u64 = 64 << 20;
/// A turn costs as much as so many bytes, however little it brings.
const TURN: u64 = 4 << 10;

/// A rate, and what was taken of it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// When all that was taken is paid for.
    free_at: Mutex<Option<Instant>>,
}

impl Budget {
    /// Waits until there is something to take.
    pub(super) async fn turn(&self) {
        let free_at = *self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = free_at {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Takes so many bytes.
    pub(super) fn take(&self, bytes: u64) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        *free_at = Some(free_at.map_or(now, |at| at.max(now)) + cost(bytes));
    }
}

fn cost(bytes: u64) -> Duration {
    Duration::from_nanos(bytes.max(TURN).saturating_mul(1_000_000_000) / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_waited_for_and_rest_is_not_saved_up() {
        let budget = Budget::default();
        let start = Instant::now();
        budget.turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.take(RATE / 2);
        budget.take(RATE / 2);
        budget.turn().await;
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(1010), "{took:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        budget.turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.take(0);
        budget.take(RATE);
        budget.turn().await;
        assert!(start.elapsed() >= Duration::from_secs(1) + cost(0));
    }
}
