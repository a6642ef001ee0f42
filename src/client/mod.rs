//! Talks to a hive, or to a run in progress, over whatever leads there.
//!
//! # Theory of operation
//! An [`Endpoint`] is a unix socket, a loopback address with a token, or a program on a host whose streams lead to the
//! hive's socket there. Each request has a connection of its own, so a stream that stands still is in nobody's way. A
//! [`Follow`] reads a job's events from wherever it was last, and comes back after a cut: every event has a number.

mod endpoint;
mod follow;
mod http;
mod sse;

pub use endpoint::{Endpoint, Through};
pub use follow::Follow;
pub use http::Client;

/// Why a hive did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there, or not any more.
    #[error("cannot reach {place}: {why}")]
    Unreachable { place: String, why: String },
    /// It is there, and says no.
    #[error("{detail}")]
    Refused { status: u16, detail: String, hint: Option<String> },
    #[error("{place} gave an answer that cannot be read: {why}")]
    Garbled { place: String, why: String },
    #[error("{place} did not answer within {}", crate::vocab::text::human_duration(*.limit))]
    Late { place: String, limit: std::time::Duration },
}

impl ClientError {
    /// The answer was that there is no such thing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Trying again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } => true,
            Self::Refused { status, .. } => *status == 503,
            Self::Garbled { .. } => false,
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}
