//! How a run gets at its hosts.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    scope::Scope,
    target::{
        Target, TargetError,
        local::local,
        ssh::{Connector, Station, Survey},
        supervisor::{Supervised, Supervision},
    },
    vocab::{Host, Route, Settings},
};

/// Connects to hosts; the tests' fleets are scripted.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// A connected target whose commands see the host's `env`.
    ///
    /// # Errors
    /// [`TargetError::Connect`] with the reason.
    async fn connect(&self, scope: &Scope, host: &Host) -> Result<Arc<dyn Target>, TargetError>;

    /// The keys of a host, after those of the bastions before it; a host that is not logged in to has none.
    ///
    /// # Errors
    /// The scope's own stop; what kept keys from being seen stands beside those that were.
    async fn host_keys(&self, scope: &Scope, host: &Host, propose: bool) -> Result<Survey, TargetError>;

    /// Makes the new keys of these servers known; yields for each what went wrong.
    fn trust(&self, stations: &[Station]) -> Vec<Result<(), String>>;
}

/// Hosts over SSH, and this machine.
pub struct SshFleet {
    connector: Connector,
    supervision: Supervision,
}

impl SshFleet {
    pub fn new(connector: Connector, settings: &Settings) -> Self {
        let supervision =
            Supervision { grace: settings.limits.grace, lease: settings.limits.lease, ..Supervision::default() };
        Self { connector, supervision }
    }
}

#[async_trait]
impl Fleet for SshFleet {
    async fn connect(&self, scope: &Scope, host: &Host) -> Result<Arc<dyn Target>, TargetError> {
        let env = host.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let supervision = Supervision { env, ..self.supervision.clone() };
        Ok(match &host.route {
            Route::Local => Arc::new(local(supervision)),
            Route::Ssh(_) => Arc::new(Supervised::new(self.connector.connect(scope, host).await?, supervision)),
        })
    }

    async fn host_keys(&self, scope: &Scope, host: &Host, propose: bool) -> Result<Survey, TargetError> {
        match &host.route {
            Route::Local => Ok(Survey::default()),
            Route::Ssh(_) => self.connector.host_keys(scope, host, propose).await,
        }
    }

    fn trust(&self, stations: &[Station]) -> Vec<Result<(), String>> {
        self.connector.trust(stations)
    }
}
