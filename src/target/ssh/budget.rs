//! How much of a host's connect timeout is left.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::config::Resolved;
use crate::{
    target::TargetError,
    vocab::{Reason, text},
};

/// The part of a connect timeout that is not used up; only the steps that are spent from it count.
#[derive(Debug)]
pub(super) struct Budget {
    left: Duration,
    limit: Duration,
}

impl Budget {
    pub(super) fn new(limit: Duration) -> Self {
        Self { left: limit, limit }
    }

    pub(super) fn of(resolved: &Resolved) -> Self {
        Self::new(resolved.connect_timeout)
    }

    pub(super) fn left(&self) -> Duration {
        self.left
    }

    /// `None` when the budget ended first.
    pub(super) async fn spend<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        self.spend_at_most(self.left, step).await
    }

    /// `None` when `share` of the budget ended first.
    pub(super) async fn spend_at_most<T>(&mut self, share: Duration, step: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        let done = tokio::time::timeout(share.min(self.left), step).await.ok();
        self.left = self.left.saturating_sub(start.elapsed());
        done
    }

    /// That `who` did not answer in time.
    pub(super) fn too_late(&self, who: &str) -> TargetError {
        TargetError::Connect {
            reason: Reason::Timeout,
            text: format!("no answer from {who} within {}", text::human_duration(self.limit)),
            hint: Some(
                "check that the host is on and that no firewall is between; connect_timeout is the limit".to_owned(),
            ),
        }
    }
}
