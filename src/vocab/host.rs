//! A machine in the inventory and how it is reached.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use super::{HostName, WorkerId};

/// One host with its groups' settings already folded in.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    pub name: HostName,
    pub route: Route,
    pub groups: BTreeSet<String>,
    /// What `fleet install` puts here when no worker is named.
    pub workers: Vec<WorkerId>,
    /// Offline is "skipped", not a failure.
    pub optional: bool,
    /// Set for every command that runs there.
    pub env: BTreeMap<String, String>,
    /// Seconds until a connection attempt is given up, over the run's setting.
    pub connect_timeout: Option<Duration>,
    /// `file:line` of its definition, or what else introduced it (`ssh_config`, `--hosts`).
    pub origin: String,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// The controller itself, over pipes.
    Local,
    Ssh(SshRoute),
}

/// What the inventory says over `~/.ssh/config`; what is `None` or empty is looked up there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SshRoute {
    pub address: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity: Vec<PathBuf>,
    pub jump: Option<String>,
}

impl Host {
    /// A host that nothing but its name is known of.
    pub fn named(name: HostName, route: Route, origin: impl Into<String>) -> Self {
        Self {
            name,
            route,
            groups: BTreeSet::new(),
            workers: Vec::new(),
            optional: false,
            env: BTreeMap::new(),
            connect_timeout: None,
            origin: origin.into(),
        }
    }

    /// The controller itself.
    pub fn local() -> Self {
        Self::named(HostName::local(), Route::Local, "built in")
    }
}
