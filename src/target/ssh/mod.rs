//! Hosts over SSH: from an inventory's entry to an open, authenticated connection.
//!
//! # Theory of operation
//! A [`Connector`] holds what all connections of a run share: the parsed ssh_config and known_hosts, the keys, the
//! sessions with bastions, and the permits that keep a crowd of handshakes from being dropped by the servers.
//! [`Connector::connect`] resolves a host ([`config`]), opens the way to it (`dial`), verifies its key (`connect`,
//! `host_key`), logs in (`auth`) and returns an [`SshConnection`], which opens programs as an
//! [`Opener`](super::conduit::Opener) and knows nothing of supervision.

mod auth;
mod bastion;
mod budget;
mod client;
pub mod config;
mod connect;
mod dial;
mod direct;
mod handshake;
mod host_key;
mod keys;
mod known_hosts;
mod opener;
mod pattern;
mod permits;
mod pipe;
mod proxy;
mod socket;
mod tunnel;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bastion::Bastions;
use config::{ConfigError, Defaults, Hop, Resolved, SshConfig};
use keys::KeyStore;
use known_hosts::KnownHosts;
pub use opener::SshConnection;
use permits::Permits;

use super::TargetError;
use crate::{
    scope::{Prompt, Scope},
    vocab::{Host, HostName, Reason, Route, Settings, host::SshRoute},
};

/// Makes the connections of one run.
pub struct Connector(Arc<Shared>);

/// What all connections of a run share.
struct Shared {
    config: SshConfig,
    defaults: Defaults,
    /// Runs the user's commands.
    shell: PathBuf,
    permits: Permits,
    known_hosts: Arc<KnownHosts>,
    keys: KeyStore,
    bastions: Bastions,
    /// How long a silent host is believed to be there.
    lease: Duration,
}

impl Shared {
    /// Between two signs of life on a connection.
    fn beat(&self) -> Duration {
        self.lease.mul_f64(0.3).max(Duration::from_millis(200))
    }

    /// How long data may stay without an acknowledgement.
    fn silence(&self) -> Duration {
        self.beat() * (handshake::UNANSWERED as u32 + 1)
    }

    /// A hop by its name, with its user and port over what the files say.
    fn resolve_hop(&self, hop: &Hop) -> Result<Resolved, String> {
        let name = HostName::new(&hop.host).map_err(|error| error.to_string())?;
        let route = SshRoute { user: hop.user.clone(), port: hop.port, ..SshRoute::default() };
        let host = Host::named(name, Route::Ssh(route), "ProxyJump");
        self.config.resolve(&host, &self.defaults).map_err(|error| error.to_string())
    }
}

impl Connector {
    /// A connector that asks nobody.
    pub fn new(settings: &Settings, config: SshConfig) -> Self {
        Self::with_prompt(settings, config, None)
    }

    /// A connector that asks for passphrases through `prompt`, or never.
    pub fn with_prompt(settings: &Settings, config: SshConfig, prompt: Option<Prompt>) -> Self {
        Self(Arc::new(Shared {
            config,
            defaults: Defaults::from(settings),
            shell: settings.shell.clone().unwrap_or_else(|| Path::new("/bin/sh").to_owned()),
            permits: Permits::default(),
            known_hosts: Arc::default(),
            keys: KeyStore::new(prompt),
            bastions: Bastions::default(),
            lease: settings.limits.lease,
        }))
    }

    /// Says how a host would be reached, without contacting it.
    ///
    /// # Errors
    /// As [`SshConfig::resolve`].
    pub fn resolve(&self, host: &Host) -> Result<Resolved, ConfigError> {
        self.0.config.resolve(host, &self.0.defaults)
    }

    /// Connects to a host and logs in, within its connect timeout.
    ///
    /// # Errors
    /// [`TargetError::Connect`] with a reason of Connect, Timeout, HostKey or Auth, or the scope's own stop.
    pub async fn connect(&self, scope: &Scope, host: &Host) -> Result<SshConnection, TargetError> {
        let resolved =
            Arc::new(self.resolve(host).map_err(|error| TargetError::connect(Reason::Connect, error.to_string()))?);
        scope.race(connect::connect(&self.0, &resolved)).await?
    }

    /// Says goodbye to the bastions; without it their sessions end when the connector and all behind them are gone.
    pub async fn close(&self) {
        self.0.bastions.close().await;
    }
}
