//! What a job does: tagged operations, version 1. They come in a [`super::submission`].

use std::{net::IpAddr, num::NonZeroU16};

use serde::{Deserialize, Serialize};

use super::operation_model::name;
pub use super::operation_model::{ModelDownload, ViaWord};
use crate::vocab::WorkerId;

/// More words than any command has.
const MAX_WORDS: usize = 10_000;

/// More lines than anybody reads at once.
const MAX_LINES: u32 = 1_000_000;

/// One operation; its fields are those of the command of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// `fleet ping`.
    Ping {},
    /// `fleet exec`: one word is a line for the shell, several are a command and its arguments.
    Exec { command: Vec<String> },
    /// `fleet check` without a worker.
    HiveCheck {},
    /// `fleet check`.
    WorkerCheck { worker_id: String },
    /// `fleet install`, or `fleet plan`.
    WorkerInstall {
        worker_id: String,
        /// The one that it is to have; one that the machine has kept is only put back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(default)]
        build: BuildWord,
        #[serde(default)]
        fetch: FetchWord,
        #[serde(default)]
        check: bool,
        #[serde(default)]
        install_deps: bool,
        #[serde(default)]
        system: bool,
        #[serde(default)]
        fix_path: bool,
        #[serde(default)]
        reinstall: bool,
        #[serde(default)]
        dry_run: bool,
    },
    /// `worker available`.
    WorkerCatalogList {},
    /// `worker get`: in the catalog, and installed.
    WorkerCatalogGet { worker_id: String },
    /// `fleet status`.
    WorkerListInstalled {},
    /// `fleet rollback`.
    WorkerRollback {
        #[serde(default)]
        worker_id: Option<String>,
    },
    /// `fleet remove`.
    WorkerRemove {
        worker_id: String,
        #[serde(default)]
        force: bool,
    },
    /// `worker spawn`; what is left out is taken if there is exactly one.
    WorkerSpawn {
        #[serde(default)]
        worker: Option<String>,
        /// A model of the cache, or an absolute path on the machine where it runs.
        #[serde(default)]
        model: Option<String>,
        #[serde(default)]
        device: Option<String>,
        #[serde(default)]
        port: Option<NonZeroU16>,
        #[serde(default)]
        bind: Option<IpAddr>,
        #[serde(default)]
        restart: RestartWord,
        /// Given to the program as they are.
        #[serde(default)]
        args: Vec<String>,
    },
    /// `worker process list`.
    WorkerProcessList {},
    /// `worker process get`: by its process, its id, or the worker that it runs.
    WorkerProcessGet { which: String },
    /// `worker stop`.
    WorkerProcessDelete {
        which: String,
        /// All that run this worker.
        #[serde(default)]
        all: bool,
    },
    /// `worker logs`.
    WorkerProcessLogs {
        which: String,
        #[serde(default = "hundred")]
        lines: u32,
        /// And what comes, until it ends or the job is cancelled.
        #[serde(default)]
        follow: bool,
    },
    /// `model download`; its fields are boxed away, since no other operation has as many.
    ModelDownload(Box<ModelDownload>),
    /// `model list`, of one repository `model get`.
    ModelList {
        #[serde(default)]
        repo: Option<String>,
    },
    /// `model verify`.
    ModelVerify {
        #[serde(default)]
        repo: Option<String>,
    },
    /// `model remove`.
    ModelRemove { model: String },
    /// `model clean`.
    ModelClean {
        #[serde(default)]
        orphans: bool,
    },
}

fn hundred() -> u32 {
    100
}

/// When a worker is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWord {
    #[default]
    Never,
    OnFailure,
}

/// Where a recipe is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildWord {
    #[default]
    Auto,
    Host,
    Local,
}

/// Where the sources of a build on a host are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchWord {
    #[default]
    Host,
    /// On the hive's machine, which then sends them.
    Controller,
}

/// Why a document is no submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotASubmission(pub String);

impl Operation {
    /// What the grammar of its fields says; whether a worker exists is for the catalog to say.
    pub(super) fn check(&self) -> Result<(), NotASubmission> {
        let id = |id: &str| WorkerId::new(id).map(drop).map_err(|error| NotASubmission(error.to_string()));
        match self {
            Self::Exec { command } => {
                if command.is_empty() || command.iter().all(|word| word.trim().is_empty()) {
                    return Err(NotASubmission("command is empty".into()));
                }
                if command.len() > MAX_WORDS {
                    return Err(NotASubmission(format!("command has more than {MAX_WORDS} words")));
                }
                if command.iter().any(|word| word.contains('\0')) {
                    return Err(NotASubmission("command has a NUL in it".into()));
                }
                Ok(())
            }
            // Never a path: a folder of the hive's machine is not for a client to name.
            Self::WorkerCheck { worker_id }
            | Self::WorkerCatalogGet { worker_id }
            | Self::WorkerRemove { worker_id, .. } => id(worker_id),
            Self::WorkerProcessGet { which } | Self::WorkerProcessDelete { which, .. } => id(which),
            Self::WorkerProcessLogs { which, lines, .. } => match *lines <= MAX_LINES {
                true => id(which),
                false => Err(NotASubmission(format!("lines is more than {MAX_LINES}"))),
            },
            Self::WorkerSpawn { worker, model, device, args, .. } => {
                worker.as_deref().map_or(Ok(()), id)?;
                let model = model.as_deref();
                if model.is_some_and(|text| text.is_empty() || text.len() > 4000 || text.contains(char::is_control)) {
                    return Err(NotASubmission("model is no line of at most 4000 bytes".into()));
                }
                let plain = |b: u8| b.is_ascii_alphanumeric() || b":_,-".contains(&b);
                let device = device.as_deref();
                if device.is_some_and(|text| text.is_empty() || text.starts_with('-') || !text.bytes().all(plain)) {
                    return Err(NotASubmission("device is none; write it as cuda:0".into()));
                }
                if args.len() > 1000 || args.iter().any(|word| word.contains('\0')) {
                    return Err(NotASubmission("args are more than 1000 words, or have a NUL in them".into()));
                }
                Ok(())
            }
            Self::WorkerInstall { worker_id, version, .. } => {
                id(worker_id)?;
                let plain = |b: u8| b.is_ascii_alphanumeric() || b".+-_:~".contains(&b);
                match version {
                    Some(it) if it.is_empty() || it.len() > 128 || !it.bytes().all(plain) => {
                        Err(NotASubmission(format!("version {it:?} is none: write it as 1.2.3")))
                    }
                    _ => Ok(()),
                }
            }
            Self::WorkerRollback { worker_id } => worker_id.as_deref().map_or(Ok(()), id),
            Self::ModelDownload(download) => download.check(),
            Self::ModelRemove { model } => name("model", model),
            Self::ModelList { repo } | Self::ModelVerify { repo } => {
                repo.as_deref().map_or(Ok(()), |repo| name("repo", repo))
            }
            Self::ModelClean { .. } => Ok(()),
            Self::Ping {}
            | Self::HiveCheck {}
            | Self::WorkerCatalogList {}
            | Self::WorkerListInstalled {}
            | Self::WorkerProcessList {} => Ok(()),
        }
    }
}
