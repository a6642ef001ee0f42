//! Everything that flags, environment and files decide, merged once by the front door.

use std::{path::PathBuf, time::Duration};

/// The merged settings of one process; nothing below the front door reads the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The user's home on the controller.
    pub home: PathBuf,
    pub user: String,
    pub config_dir: PathBuf,
    pub cache_dir: PathBuf,
    pub state_dir: PathBuf,
    /// As `ssh -F`; `None` means `~/.ssh/config`.
    pub ssh_config: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    pub agent_socket: Option<PathBuf>,
    /// `SHELL`: runs the commands of ssh_config.
    pub shell: Option<PathBuf>,
    /// Whether a prompt is allowed: a terminal is there and `--no-input` is not.
    pub interactive: bool,
    pub limits: Limits,
    /// Hosts worked on at a time.
    pub forks: usize,
    /// Colour for people.
    pub color: bool,
}

/// Hosts worked on at a time, unless it is said otherwise.
pub const FORKS: usize = 64;

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Limits {
    pub connect: Duration,
    /// The product's own short steps: probe, list, status.
    pub short: Duration,
    /// Fetch, build and package together; `None` takes the worker's own or the standard of its kind.
    pub install: Option<Duration>,
    /// Without output and CPU time in a build.
    pub idle: Duration,
    /// The whole run.
    pub run: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// How long a host goes on without word from the controller.
    pub lease: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            short: Duration::from_secs(30),
            install: None,
            idle: Duration::from_secs(300),
            run: None,
            grace: Duration::from_millis(500),
            lease: Duration::from_secs(10),
        }
    }
}
