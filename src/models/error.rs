//! What kept a model from coming to a host.

use super::HubError;
use crate::{
    target::TargetError,
    vocab::{Reason, text::human_bytes},
};

/// Why a model is not where it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("{0}")]
    Refused(String, Option<String>),
    #[error("{0} is being fetched by {1}")]
    Held(String, String),
    #[error("{path} came twice with bytes that are not the hub's (its digest is {got})")]
    Wrong { path: String, got: String },
    #[error("the host's disk: {0}")]
    Disk(String),
    #[error("{path} could not be fetched: {why}")]
    Fetch { path: String, why: String },
    #[error("no bytes of {path} came for {limit}")]
    Stalled { path: String, limit: String },
    #[error("{0}")]
    Host(String),
    #[error("there are {} free where models go, and {} are wanted", human_bytes(*.free), human_bytes(*.wanted))]
    Room { free: u64, wanted: u64 },
}

impl ModelError {
    /// The reason to report; `None` where the phase decides.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Target(error) => error.reason(),
            Self::Refused(..) | Self::Room { .. } => Some(Reason::Preflight),
            Self::Wrong { .. } => Some(Reason::Verify),
            Self::Held(..) => Some(Reason::Locked),
            Self::Stalled { .. } => Some(Reason::Timeout),
            Self::Hub(_) | Self::Fetch { .. } | Self::Disk(_) | Self::Host(_) => Some(Reason::Fetch),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint().map(str::to_owned),
            Self::Hub(error) => error.hint(),
            Self::Refused(_, hint) => hint.clone(),
            Self::Room { .. } => Some(
                "rbee model clean and rbee model remove make room; --force-disk goes on where the disk says too little"
                    .into(),
            ),
            Self::Disk(_) => Some("what came so far is kept; the next run goes on with it".into()),
            Self::Stalled { .. } | Self::Fetch { .. } => {
                Some("what came so far is kept, and the next run goes on with it; --via relay takes another way".into())
            }
            _ => None,
        }
    }
}
