//! What can keep a sandbox from starting, from being asked or from ending.

use std::{io, path::PathBuf, time::Duration};

use crate::vocab::text::human_duration;

/// Why a sandbox could not do as asked; lowercase fragments.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("a sandbox has 1 to {max} hosts, not {asked}")]
    HostCount { asked: usize, max: usize },
    #[error(
        "{prefix:?} cannot begin the names of hosts: use letters, digits, '-' and '_', at most 40, starting with a letter"
    )]
    Prefix { prefix: String },
    #[error("{} cannot be the folder of a sandbox: {why}", .dir.display())]
    Folder { dir: PathBuf, why: &'static str },
    #[error("a sandbox is running in {} already (pid {pid}, {hosts} hosts): end it first", .dir.display())]
    Running { dir: PathBuf, pid: u32, hosts: usize },
    /// Somebody holds the lock and has not said who it is.
    #[error("a sandbox is just starting or ending in {}", .dir.display())]
    Busy { dir: PathBuf },
    #[error("cannot {doing} {}: {source}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a key that this program wrote ({why}): remove it to get a new one", .path.display())]
    Key { path: PathBuf, why: String },
    #[error("{} cannot be read ({why}): remove it when no sandbox is running", .path.display())]
    State { path: PathBuf, why: String },
    #[error("cannot listen on 127.0.0.1 for {host}: {source}")]
    Listen { host: String, source: io::Error },
    #[error("cannot start {}: {source}", .exe.display())]
    Start { exe: PathBuf, source: io::Error },
    #[error("the sandbox ended while starting{}", quoted(.log))]
    Died { log: String },
    #[error("the sandbox was not ready after {}{}", human_duration(*.limit), quoted(.log))]
    Late { limit: Duration, log: String },
    #[error("the sandbox in {} runs in this very process", .dir.display())]
    Own { dir: PathBuf },
    #[error("cannot signal the sandbox (pid {pid}): {source}")]
    Signal { pid: u32, source: io::Error },
    #[error("the sandbox (pid {pid}) is still there after SIGKILL")]
    Stuck { pid: u32 },
}

impl SandboxError {
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

fn quoted(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; the end of its log:\n{log}") }
}
