//! Hosts over SSH: from an inventory's entry to an open, authenticated connection.
//!
//! # Theory of operation
//! A [`Connector`] holds what all connections of a run share: the parsed ssh_config and known_hosts, the keys, and the
//! permits that keep a crowd of handshakes from being dropped by the servers. [`Connector::connect`] resolves a host
//! ([`config`]), connects and verifies its key (`connect`, `host_key`), logs in (`auth`) and returns an
//! [`SshConnection`], which opens programs as an [`Opener`](super::conduit::Opener) and knows nothing of supervision.

mod auth;
mod client;
pub mod config;
mod connect;
mod host_key;
mod keys;
mod known_hosts;
mod opener;
mod pattern;
mod permits;
mod pipe;
mod roam;
mod socket;

use std::sync::Arc;

use config::{ConfigError, Defaults, Resolved, SshConfig};
use connect::{Reached, Shared};
use keys::KeyStore;
pub use opener::SshConnection;
pub use roam::Redial;

use super::TargetError;
use crate::{
    scope::{Prompt, Scope},
    vocab::{Host, Limits, Reason, Settings},
};

/// Makes the connections of one run.
pub struct Connector {
    config: SshConfig,
    defaults: Defaults,
    shared: Shared,
}

impl Connector {
    /// A connector that asks nobody.
    pub fn new(settings: &Settings, config: SshConfig) -> Self {
        Self::with_prompt(settings, config, None)
    }

    /// A connector that asks for passphrases through `prompt`, or never.
    pub fn with_prompt(settings: &Settings, config: SshConfig, prompt: Option<Prompt>) -> Self {
        Self {
            config,
            defaults: Defaults::from(settings),
            shared: Shared {
                permits: Default::default(),
                known_hosts: Default::default(),
                keys: KeyStore::new(prompt),
                // That a host may go on for hours is no reason to believe for hours in a connection.
                lease: settings.limits.lease.min(Limits::default().lease),
            },
        }
    }

    /// Says how a host would be reached, without contacting it.
    ///
    /// # Errors
    /// As [`SshConfig::resolve`].
    pub fn resolve(&self, host: &Host) -> Result<Resolved, ConfigError> {
        self.config.resolve(host, &self.defaults)
    }

    /// Connects to a host and logs in, within its connect timeout.
    ///
    /// # Errors
    /// [`TargetError::Connect`] with a reason of Connect, Timeout, HostKey or Auth, or the scope's own stop.
    pub async fn connect(&self, scope: &Scope, host: &Host) -> Result<SshConnection, TargetError> {
        let resolved =
            Arc::new(self.resolve(host).map_err(|error| TargetError::connect(Reason::Connect, error.to_string()))?);
        // Each round unlocks one file, or learns that it cannot be; so there are no more rounds than files.
        for _ in 0..=resolved.identities.len() {
            match scope.race(connect::establish(&self.shared, &resolved)).await?? {
                Reached::Connected(connection) => return Ok(connection),
                // A person may take their time: only the scope limits it.
                Reached::Locked(path) => scope.race(self.shared.keys.unlock(&path)).await?,
            }
        }
        Err(TargetError::connect(Reason::Auth, format!("no key of {} could be unlocked", resolved.name)))
    }
}
