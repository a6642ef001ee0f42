//! Why there is no program, by phase.

use crate::{
    recipe::BadEnvironment,
    target::TargetError,
    vocab::{Phase, Reason},
};

/// A build that did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// The recipe or its sources are at fault; the text says how: "build() failed with status 2".
    #[error("{text}")]
    Failed { phase: Phase, text: String },
    /// A source could not be had from where it was asked for.
    #[error("{text}")]
    Unreachable { text: String },
    /// A package that cannot be installed as it is.
    #[error("{text}")]
    Package { text: String, hint: &'static str },
    /// The host lacks what every build needs.
    #[error("{text}")]
    Missing { text: String, hint: String },
    #[error(transparent)]
    Environment(#[from] BadEnvironment),
    /// The target could not do as asked, or was stopped.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl BuildError {
    pub(super) fn failed(phase: Phase, text: impl Into<String>) -> Self {
        Self::Failed { phase, text: text.into() }
    }

    /// The reason to report; `None` where the phase that the caller is in decides.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Failed { phase, .. } => Some(phase.reason()),
            Self::Unreachable { .. } => Some(Phase::Fetch.reason()),
            Self::Package { .. } => Some(Phase::Package.reason()),
            Self::Missing { .. } | Self::Environment(_) => Some(Reason::Build),
            Self::Target(error) => error.reason(),
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { hint, .. } => Some(hint),
            Self::Package { hint, .. } => Some(hint),
            Self::Target(error) => error.hint(),
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Environment(_) => None,
        }
    }
}
