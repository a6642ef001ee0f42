//! How a run gets at its hosts.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    scope::Scope,
    target::{
        Target, TargetError,
        local::local,
        roam::{self, Roaming},
        ssh::{Connector, Redial, Station, Survey},
        supervisor::{Supervised, Supervision},
    },
    vocab::{Host, Limits, Route, Settings},
};

use super::Request;

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

/// This machine and no other: no inventory, no ssh_config, no key.
pub struct LocalFleet {
    supervision: Supervision,
}

impl LocalFleet {
    pub fn new(settings: &Settings) -> Self {
        let Limits { grace, lease, .. } = settings.limits;
        Self { supervision: Supervision { grace, lease: lease.min(roam::LONG), ..Supervision::default() } }
    }
}

#[async_trait]
impl Fleet for LocalFleet {
    async fn connect(&self, _: &Scope, host: &Host) -> Result<Arc<dyn Target>, TargetError> {
        Ok(here(&self.supervision, host))
    }

    async fn host_keys(&self, _: &Scope, _: &Host, _: bool) -> Result<Survey, TargetError> {
        Ok(Survey::default())
    }

    fn trust(&self, _: &[Station]) -> Vec<Result<(), String>> {
        Vec::new()
    }
}

/// This machine, with the environment that the host is to have.
fn here(supervision: &Supervision, host: &Host) -> Arc<dyn Target> {
    let env = host.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Arc::new(local(Supervision { env, ..supervision.clone() }))
}

/// Hosts over SSH, and this machine.
pub struct SshFleet {
    connector: Arc<Connector>,
    supervision: Supervision,
    /// Hosts go on while this machine is away.
    roams: bool,
}

impl SshFleet {
    /// What only asks leaves no file on a host, so it ends with its connection whatever the lease.
    pub fn new(connector: Connector, settings: &Settings, request: &Request) -> Self {
        let roams = settings.limits.lease > roam::LONG && request.changes();
        let lease = if roams { settings.limits.lease } else { settings.limits.lease.min(roam::LONG) };
        let supervision = Supervision { grace: settings.limits.grace, lease, ..Supervision::default() };
        Self { connector: Arc::new(connector), supervision, roams }
    }
}

#[async_trait]
impl Fleet for SshFleet {
    async fn connect(&self, scope: &Scope, host: &Host) -> Result<Arc<dyn Target>, TargetError> {
        Ok(match &host.route {
            Route::Local => here(&self.supervision, host),
            Route::Ssh(_) => {
                let env = host.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                let supervision = Supervision { env, ..self.supervision.clone() };
                let connection = self.connector.connect(scope, host).await?;
                if !self.roams {
                    return Ok(Arc::new(Supervised::new(connection, supervision)));
                }
                let redial = Arc::new(Redial::new(self.connector.clone(), host.clone(), scope));
                let (lease, shell) = (supervision.lease, supervision.shell.clone());
                let roaming = Roaming::new(Arc::new(connection), redial, lease, shell, scope.clone());
                Arc::new(Supervised::new(roaming, supervision))
            }
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
