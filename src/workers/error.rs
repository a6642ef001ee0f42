//! Why a worker was not spawned, listed, read or stopped.

use crate::{models::ModelError, target::TargetError, vocab::Reason, wire::manifest::ManifestError};

/// What kept a verb about running workers from its end.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It is for the person to say; nothing was started.
    #[error("{text}")]
    Choice { text: String, hint: String },
    /// It came to nothing, and nothing of it is left.
    #[error("{0}")]
    Failed(String),
    /// Something of it is left.
    #[error("{0}")]
    Left(String),
    #[error("cannot write its record: {0}")]
    Record(#[from] ManifestError),
}

impl SpawnError {
    pub fn choice(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Choice { text: text.into(), hint: hint.into() }
    }

    /// The reason to report; `None` where the phase decides.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Target(error) => error.reason(),
            Self::Model(error) => error.reason(),
            Self::Left(_) => Some(Reason::Unconfirmed),
            Self::Choice { .. } | Self::Failed(_) | Self::Record(_) => None,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Choice { hint, .. } => Some(hint.clone()),
            Self::Model(error) => error.hint(),
            Self::Target(error) => error.hint().map(str::to_owned),
            Self::Failed(_) | Self::Left(_) | Self::Record(_) => None,
        }
    }
}
