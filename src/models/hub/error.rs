//! Why the hub did not give what was asked, and what to do next.

use std::time::Duration;

use crate::{models::reference::RepoId, scope::Stop, vocab::text::human_duration};

/// Why the hub did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Stopped(#[from] Stop),
    #[error("{0} is not known yet, and HF_HUB_OFFLINE is set")]
    Offline(String),
    #[error("{endpoint} is no address of a hub: {why}")]
    Endpoint { endpoint: String, why: String },
    #[error("access to {repo} has to be asked for{}", if *.known { ": this token may not read it" } else { ", and no token is set" })]
    Gated { repo: RepoId, known: bool, page: String },
    #[error("the hub does not take this token")]
    Token,
    #[error("there is no model {0}, or it is private")]
    NoRepo(RepoId),
    #[error("{repo} has no revision {revision}")]
    NoRevision { repo: RepoId, revision: String },
    #[error("{repo} has no file {path} any more")]
    NoFile { repo: RepoId, path: String },
    #[error("the hub at {endpoint} is still out of reach after {}: {why}", human_duration(*.waited))]
    Unreachable { endpoint: String, why: String, waited: Duration },
    #[error("the hub said something that cannot be: {0}")]
    Odd(String),
    #[error("{0} came twice with bytes that are not the hub's")]
    Wrong(String),
    #[error("cannot write {path}: {error}")]
    Write { path: String, error: std::io::Error },
}

impl HubError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gated { page, known: false, .. } => {
                format!("accept its terms at {page}, then set HF_TOKEN, or log in with: hf auth login")
            }
            Self::Gated { page, .. } => format!("ask for access at {page} with the account of this token"),
            Self::Token => "set HF_TOKEN to one that is valid, or log in with: hf auth login".into(),
            Self::NoRepo(_) => "check its name; a private one wants HF_TOKEN".into(),
            Self::Unreachable { .. } => "HF_ENDPOINT says where the hub is".into(),
            _ => return None,
        })
    }
}
