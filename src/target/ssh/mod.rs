//! Hosts over SSH: from an inventory's entry to an open, authenticated connection.
//!
//! # Theory of operation
//! A [`Connector`] holds what all connections of a run share: the parsed ssh_config and known_hosts, the secrets, the
//! sessions with bastions, and the permits that keep a crowd of handshakes from being dropped by the servers.
//! [`Connector::connect`] resolves a host ([`config`]), opens the way to it (`dial`), verifies its key (`connect`,
//! `host_key`), logs in (`auth`) and returns an [`SshConnection`], which opens programs as an
//! [`Opener`](super::conduit::Opener) and knows nothing of supervision.

mod algorithms;
mod auth;
mod bastion;
mod budget;
mod channel;
mod client;
pub mod config;
mod connect;
mod credit;
mod dial;
mod direct;
mod handshake;
mod host_algorithms;
mod host_key;
mod keys;
mod known_hosts;
mod opener;
mod pattern;
mod permits;
mod pipe;
mod proxy;
mod revoked;
mod roam;
mod secrets;
mod socket;
mod survey;
mod tunnel;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bastion::Bastions;
use config::{ConfigError, Defaults, Hop, Resolved, SshConfig};
use known_hosts::KnownHosts;
pub use opener::SshConnection;
use permits::Permits;
pub use roam::Redial;
pub use secrets::Password;
use secrets::Secrets;
use survey::Surveys;
pub use survey::{KeyState, ShownKey, Station, Survey};

use super::TargetError;
use crate::{
    scope::{Prompt, Scope},
    vocab::{Host, Level, Limits, Reason, Settings},
};

/// Makes the connections of one run.
pub struct Connector(Arc<Shared>);

/// What all connections of a run share.
struct Shared {
    config: Arc<SshConfig>,
    defaults: Arc<Defaults>,
    /// Runs the user's commands.
    shell: PathBuf,
    permits: Permits,
    known_hosts: Arc<KnownHosts>,
    secrets: Secrets,
    bastions: Bastions,
    surveys: Surveys,
    /// What is still to be said about bastions' keys.
    warnings: Mutex<Vec<String>>,
    /// How long a silent host is believed to be there.
    lease: Duration,
    banners: bool,
}

/// What people give to a run's logins, and what they want to hear of them.
#[derive(Debug, Default)]
pub struct People {
    /// Asks them; `None` asks nobody.
    pub prompt: Option<Prompt>,
    /// For all hosts that ask for one.
    pub password: Option<Password>,
    /// Tell them what servers say at the login.
    pub banners: bool,
}

impl Shared {
    /// Between two signs of life on a connection. Under a long lease, too, one that is gone is noticed within a minute.
    fn beat(&self) -> Duration {
        self.lease.mul_f64(0.3).clamp(Duration::from_millis(200), Duration::from_secs(15))
    }

    /// How long data may stay without an acknowledgement.
    fn silence(&self) -> Duration {
        self.beat() * (handshake::UNANSWERED as u32 + 1)
    }

    fn warn(&self, warnings: &[String]) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(warnings);
    }

    /// Says how a host is reached.
    async fn resolve(self: &Arc<Self>, host: &Host) -> Result<Arc<Resolved>, TargetError> {
        let host = host.clone();
        self.reading(move |config, defaults| config.resolve(&host, defaults)).await
    }

    /// As [`Shared::resolve`], for a hop that is reached through those `before` it.
    async fn resolve_hop(&self, hop: &Hop, before: &[Hop]) -> Result<Arc<Resolved>, TargetError> {
        let (hop, before) = (hop.clone(), before.to_vec());
        self.reading(move |config, defaults| config.resolve_hop(&hop, &before, defaults)).await
    }

    /// On a thread of its own, if the files have commands run or names looked up.
    async fn reading(
        &self,
        resolve: impl FnOnce(&SshConfig, &Defaults) -> Result<Resolved, ConfigError> + Send + 'static,
    ) -> Result<Arc<Resolved>, TargetError> {
        let failed = |error: String| TargetError::connect(Reason::Connect, error);
        let resolved = if self.config.may_wait() {
            let (config, defaults) = (self.config.clone(), self.defaults.clone());
            let work = async move { tokio::task::spawn_blocking(move || resolve(&config, &defaults)).await };
            self.permits.reading(work).await.map_err(|error| failed(error.to_string()))?
        } else {
            resolve(&self.config, &self.defaults)
        };
        resolved.map(Arc::new).map_err(|error| failed(error.to_string()))
    }
}

impl Connector {
    /// A connector that asks nobody.
    pub fn new(settings: &Settings, config: SshConfig) -> Self {
        Self::with_prompt(settings, config, None)
    }

    /// A connector that asks for passphrases and passwords through `prompt`, or never.
    pub fn with_prompt(settings: &Settings, config: SshConfig, prompt: Option<Prompt>) -> Self {
        Self::with_people(settings, config, People { prompt, ..People::default() })
    }

    /// A connector with everything that it needs of people.
    pub fn with_people(settings: &Settings, config: SshConfig, people: People) -> Self {
        Self(Arc::new(Shared {
            config: Arc::new(config),
            defaults: Arc::new(Defaults::from(settings)),
            shell: settings.shell.clone().unwrap_or_else(|| Path::new("/bin/sh").to_owned()),
            permits: Permits::default(),
            known_hosts: Arc::default(),
            secrets: Secrets::new(people.prompt, people.password),
            bastions: Bastions::default(),
            surveys: Surveys::default(),
            warnings: Mutex::default(),
            // That a host may go on for hours is no reason to believe for hours in a connection.
            lease: settings.limits.lease.min(Limits::default().lease),
            banners: people.banners,
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
        let resolved = scope.race(self.0.resolve(host)).await??;
        let connection = scope.race(connect::connect(&self.0, &resolved)).await??;
        if self.0.banners {
            for line in connection.fate().heard().lines().filter(|line| !line.is_empty()) {
                scope.notice(Level::Info, format!("the server says: {line}"), None);
            }
        }
        let of_bastions = std::mem::take(&mut *self.0.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        for warning in of_bastions.iter().map(String::as_str).chain(connection.warnings().iter().map(String::as_str)) {
            scope.notice(Level::Warning, warning, None);
        }
        Ok(connection)
    }

    /// Looks at all keys of a host, and of the bastions before it, without logging in to the host. Nothing is written.
    ///
    /// With `propose`, bastions whose keys are new are passed through for this; else such a way ends there.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn host_keys(&self, scope: &Scope, host: &Host, propose: bool) -> Result<Survey, TargetError> {
        let resolved =
            Arc::new(self.resolve(host).map_err(|error| TargetError::connect(Reason::Connect, error.to_string()))?);
        Ok(scope.race(survey::survey(&self.0, &resolved, propose)).await?)
    }

    /// Writes the new keys of these servers to their files; yields for each what went wrong.
    pub fn trust(&self, stations: &[Station]) -> Vec<Result<(), String>> {
        survey::write(&self.0.known_hosts, stations)
    }

    /// Says goodbye to the bastions; without it their sessions end when the connector and all behind them are gone.
    pub async fn close(&self) {
        self.0.bastions.close().await;
    }
}
