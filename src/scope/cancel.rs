//! One flag for a whole run, with a reason that only escalates.

use std::sync::Arc;

use tokio::sync::watch;

/// Who ended the run; a later, higher reason replaces a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelReason {
    /// As many hosts failed as `--max-fail` allows.
    Sibling,
    /// The deadline of the whole run.
    Deadline,
    /// A client of the job's routes.
    Client,
    /// What is shown has no reader any more, and was what the run was for.
    Unread,
    /// SIGTERM or SIGHUP.
    Terminate,
    /// SIGINT.
    Interrupt,
}

impl CancelReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sibling => "cancelled, since too many hosts failed",
            Self::Deadline => "the deadline of the run has passed",
            Self::Client => "cancelled by a client",
            Self::Unread => "left by whoever read its output",
            Self::Terminate => "terminated",
            Self::Interrupt => "interrupted",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    reason: Option<CancelReason>,
    hard: bool,
}

/// A shared, escalating request to end.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<State>>);

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Asks for the end; a reason below the present one changes nothing.
    pub fn ask(&self, reason: CancelReason) {
        self.0.send_if_modified(|state| {
            let higher = state.reason.is_none_or(|now| now < reason);
            if higher {
                state.reason = Some(reason);
            }
            higher
        });
    }

    /// Skips every grace from now on.
    pub fn harden(&self) {
        self.0.send_if_modified(|state| !std::mem::replace(&mut state.hard, true));
    }

    pub fn reason(&self) -> Option<CancelReason> {
        self.0.borrow().reason
    }

    pub fn is_hard(&self) -> bool {
        self.0.borrow().hard
    }

    /// Ends when the end was asked for.
    pub async fn cancelled(&self) -> CancelReason {
        let mut state = self.0.subscribe();
        loop {
            if let Some(reason) = state.borrow_and_update().reason {
                return reason;
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends when grace is no longer given.
    pub async fn hardened(&self) {
        let mut state = self.0.subscribe();
        while !state.borrow_and_update().hard {
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
