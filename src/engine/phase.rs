//! One phase of a host's job: announced, limited, and ended with a word.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use super::Failure;
use crate::{
    scope::Scope,
    vocab::{EventKind, Phase},
};

/// Runs `step` as `phase`, at most for `limit`; no new phase starts once the scope has ended.
///
/// # Errors
/// The step's own failure, placed in this phase.
pub async fn phase<T, F>(
    scope: &Scope,
    phase: Phase,
    limit: Option<Duration>,
    step: impl FnOnce(Scope) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let scope = scope.in_phase(phase);
    scope.check().map_err(|stop| Failure::from(stop).in_phase(phase))?;
    let start = Instant::now();
    scope.events().emit(EventKind::PhaseStarted { limit });
    let limited = match limit {
        Some(limit) => scope.within(phase.as_str(), limit),
        None => scope.clone(),
    };
    let result = step(limited).await;
    scope.events().emit(EventKind::PhaseFinished { ok: result.is_ok(), elapsed: start.elapsed() });
    result.map_err(|failure| failure.in_phase(phase))
}
