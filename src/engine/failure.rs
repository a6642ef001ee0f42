//! What stopped a host's job, as it is reported.

use crate::{
    build::BuildError,
    install::{InstallError, LockError},
    preflight::PreflightError,
    scope::{CancelReason, Stop},
    target::TargetError,
    transfer::TransferError,
    vocab::{HostReport, Outcome, Phase, Reason},
};

/// Why a host's job did not come to its end.
#[derive(Debug, Clone)]
pub struct Failure {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub phase: Option<Phase>,
    pub error: String,
    pub hint: Option<String>,
}

impl Failure {
    /// A failure whose reason is its phase's, unless it says another.
    pub fn new(error: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, reason: None, phase: None, error: error.into(), hint: None }
    }

    pub fn because(self, reason: Option<Reason>) -> Self {
        Self { reason: reason.or(self.reason), ..self }
    }

    pub fn hint(self, hint: Option<impl Into<String>>) -> Self {
        Self { hint: hint.map(Into::into).or(self.hint), ..self }
    }

    /// Preflight, or the plan, says no; nothing was changed.
    pub fn refused(error: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: Some(Reason::Preflight),
            phase: Some(Phase::Preflight),
            error: error.into(),
            hint,
        }
    }

    /// Fills in where it happened.
    pub fn in_phase(self, phase: Phase) -> Self {
        let phase = self.phase.unwrap_or(phase);
        Self { phase: Some(phase), reason: self.reason.or(Some(phase.reason())), ..self }
    }

    /// The report, but for what was done and how long it took.
    pub fn report(self) -> HostReport {
        HostReport {
            reason: self.reason,
            phase: self.phase,
            error: Some(self.error),
            hint: self.hint,
            ..HostReport::of(self.outcome)
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        let (outcome, reason) = match &stop {
            Stop::TimedOut { .. } => (Outcome::Failed, Reason::Timeout),
            Stop::Cancelled(CancelReason::Sibling) => (Outcome::Cancelled, Reason::Sibling),
            Stop::Cancelled(CancelReason::Deadline) => (Outcome::Cancelled, Reason::Deadline),
            Stop::Cancelled(_) => (Outcome::Cancelled, Reason::Asked),
        };
        Self { outcome, ..Self::new(stop.to_string()).because(Some(reason)) }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let text = error.to_string();
        let reason = error.reason();
        let hint = error.hint().map(str::to_owned);
        match error {
            TargetError::Stopped(stop) => stop.into(),
            TargetError::Unconfirmed { stop, .. } => Self { error: text, reason, ..stop.into() },
            TargetError::Connect { reason: Reason::Connect | Reason::Timeout, .. } => {
                Self { outcome: Outcome::Unreachable, ..Self::new(text).because(reason).hint(hint) }
            }
            _ => Self::new(text).because(reason).hint(hint),
        }
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        InstallError::from(error).into()
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Target(error) | InstallError::Transfer(TransferError::Target(error)) => error.into(),
            error => Self::new(error.to_string()).because(error.reason()).hint(error.hint()),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Target(error) => error.into(),
            LockError::Held(_) => Self::new(error.to_string())
                .because(Some(Reason::Locked))
                .hint(Some(
                    "wait for it to end, or end it where it was started; if it was killed there, it goes on until its lease \
                     is over or its process on the host is ended",
                )),
            LockError::Host(_) => Self::new(error.to_string()).because(Some(Reason::Install)),
        }
    }
}

impl From<PreflightError> for Failure {
    fn from(error: PreflightError) -> Self {
        match error {
            PreflightError::Target(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Target(error) => error.into(),
            error => Self::new(error.to_string()).because(error.reason()).hint(error.hint()),
        }
    }
}
