//! Coming back to a host over SSH.

use std::sync::Arc;

use async_trait::async_trait;

use super::Connector;
use crate::{
    scope::{Cancel, Scope},
    target::{TargetError, conduit::Opener, roam::Dial},
    vocab::Host,
};

/// Connects to one host again, with the same route, host-key check and login as at first.
pub struct Redial {
    connector: Arc<Connector>,
    host: Host,
    scope: Scope,
}

impl Redial {
    /// `scope` is only spoken through: a host may be needed most when the run has been cancelled.
    pub fn new(connector: Arc<Connector>, host: Host, scope: &Scope) -> Self {
        let scope = Scope::new(Cancel::new(), scope.events().clone());
        Self { connector, host, scope }
    }
}

#[async_trait]
impl Dial for Redial {
    async fn dial(&self) -> Result<Arc<dyn Opener>, TargetError> {
        Ok(Arc::new(self.connector.connect(&self.scope, &self.host).await?))
    }
}
