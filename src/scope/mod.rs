//! What every wait carries: who may end it, until when it may last, and whom it tells.
//!
//! # Theory of operation
//! A run has one [`Cancel`]; its reasons are ordered and only escalate. A [`Scope`] is that cancel, the nearest
//! deadline above, and an [`Emitter`] that already knows run, host and phase. A step waits through [`Scope::race`], which
//! returns the step's own result or the [`Stop`] that came first; the step is then dropped, so whatever must still be
//! done about it (killing, confirming) stands outside of the future that is raced.

mod cancel;
mod emit;
mod prompt;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

pub use cancel::{Cancel, CancelReason};
pub use emit::{Emitter, EventReceiver, events};
pub use prompt::{Prompt, Question};
use tokio::sync::watch;

use crate::vocab::{EventKind, HostName, Level, Phase};

/// A point in time that ends a wait, and what to say when it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Deadline {
    pub at: Instant,
    /// The limit as it was set.
    pub limit: Duration,
    /// What may take so long: "connect", "build of echo-worker".
    pub operation: String,
}

/// Why a wait ended before its step did.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Stop {
    #[error("{}", .0.as_str())]
    Cancelled(CancelReason),
    #[error("{operation} took longer than {}", crate::vocab::text::human_duration(*.limit))]
    TimedOut { operation: String, limit: Duration },
}

/// Cancel, deadline and events, handed down by reference.
#[derive(Debug, Clone)]
pub struct Scope {
    cancel: Cancel,
    deadline: Option<Deadline>,
    alarm: Option<Alarm>,
    emitter: Emitter,
}

/// Ends one step whose limit is not known beforehand: a build that no longer progresses.
#[derive(Debug, Clone)]
pub struct Alarm(Arc<watch::Sender<Option<Stop>>>);

impl Alarm {
    /// Ends the step; only the first time counts.
    pub fn ring(&self, stop: Stop) {
        self.0.send_if_modified(|now| now.is_none() && now.replace(stop).is_none());
    }

    async fn rung(&self) -> Stop {
        let mut state = self.0.subscribe();
        loop {
            if let Some(stop) = state.borrow_and_update().clone() {
                return stop;
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Scope {
    pub fn new(cancel: Cancel, emitter: Emitter) -> Self {
        Self { cancel, deadline: None, alarm: None, emitter }
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub fn events(&self) -> &Emitter {
        &self.emitter
    }

    pub fn deadline(&self) -> Option<&Deadline> {
        self.deadline.as_ref()
    }

    /// The same scope, speaking for `host`.
    pub fn for_host(&self, host: &HostName) -> Self {
        Self { emitter: self.emitter.for_host(host), ..self.clone() }
    }

    /// The same scope, speaking from within `phase`.
    pub fn in_phase(&self, phase: Phase) -> Self {
        Self { emitter: self.emitter.in_phase(phase), ..self.clone() }
    }

    /// A scope that ends no later than `limit` from now; the nearer deadline wins.
    pub fn within(&self, operation: impl Into<String>, limit: Duration) -> Self {
        let deadline = Deadline { at: Instant::now() + limit, limit, operation: operation.into() };
        match &self.deadline {
            Some(outer) if outer.at <= deadline.at => self.clone(),
            _ => Self { deadline: Some(deadline), ..self.clone() },
        }
    }

    /// A scope for what must not be stopped in the middle: it does not hear of a cancel, and ends after `limit`.
    pub fn critical(&self, operation: impl Into<String>, limit: Duration) -> Self {
        let deadline = Deadline { at: Instant::now() + limit, limit, operation: operation.into() };
        Self { cancel: Cancel::new(), deadline: Some(deadline), alarm: None, emitter: self.emitter.clone() }
    }

    /// A scope that an alarm can end, too.
    pub fn with_alarm(&self) -> (Self, Alarm) {
        let alarm = Alarm(Arc::new(watch::Sender::new(None)));
        (Self { alarm: Some(alarm.clone()), ..self.clone() }, alarm)
    }

    /// Waits for `step`, for cancel and for the deadline.
    ///
    /// # Errors
    /// The [`Stop`] that came before the step ended; `step` is dropped then.
    pub async fn race<T>(&self, step: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            stop = self.stopped() => Err(stop),
            done = step => Ok(done),
        }
    }

    /// Ends when the scope does.
    pub async fn stopped(&self) -> Stop {
        let late = async {
            match &self.deadline {
                Some(deadline) => {
                    tokio::time::sleep_until(deadline.at.into()).await;
                    Stop::TimedOut { operation: deadline.operation.clone(), limit: deadline.limit }
                }
                None => std::future::pending().await,
            }
        };
        let rung = async {
            match &self.alarm {
                Some(alarm) => alarm.rung().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = self.cancel.cancelled() => Stop::Cancelled(reason),
            stop = late => stop,
            stop = rung => stop,
        }
    }

    /// Whether the scope has ended already: asked before a new phase starts.
    ///
    /// # Errors
    /// The stop itself.
    pub fn check(&self) -> Result<(), Stop> {
        if let Some(reason) = self.cancel.reason() {
            return Err(Stop::Cancelled(reason));
        }
        match &self.deadline {
            Some(d) if d.at <= Instant::now() => Err(Stop::TimedOut { operation: d.operation.clone(), limit: d.limit }),
            _ => Ok(()),
        }
    }

    pub fn notice(&self, level: Level, text: impl Into<String>, hint: Option<String>) {
        self.emitter.emit(EventKind::Notice { level, text: text.into(), hint });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::RunId;

    fn scope() -> Scope {
        let (emitter, _receiver) = events(RunId::new("test").unwrap());
        Scope::new(Cancel::new(), emitter)
    }

    #[tokio::test]
    async fn the_nearer_deadline_wins_and_says_its_name() {
        let outer = scope().within("outer", Duration::from_millis(20));
        let inner = outer.within("inner", Duration::from_secs(60));
        let stop = inner.race(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(stop, Stop::TimedOut { operation: "outer".into(), limit: Duration::from_millis(20) });
    }

    #[tokio::test]
    async fn cancel_only_escalates() {
        let scope = scope();
        scope.cancel().ask(CancelReason::Sibling);
        scope.cancel().ask(CancelReason::Interrupt);
        scope.cancel().ask(CancelReason::Terminate);
        assert_eq!(scope.check(), Err(Stop::Cancelled(CancelReason::Interrupt)));
        assert_eq!(scope.race(async {}).await, Err(Stop::Cancelled(CancelReason::Interrupt)));
        assert!(!scope.cancel().is_hard());
        scope.cancel().harden();
        assert!(scope.cancel().is_hard());
    }
}
