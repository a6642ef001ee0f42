//! A host at which something is built or fetched, by whichever task has that to do.
//!
//! A host's own task lends its target while it lives; after that, and for a host that is not among the selected ones, a
//! connection is made for the work and closed behind it.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::{Failure, Run};
use crate::{
    scope::Scope,
    target::{Closed, Target},
    vocab::{Facts, Host},
};

/// A host and what is known of it.
pub struct Bench {
    pub host: Host,
    pub facts: Arc<Facts>,
    live: Arc<RwLock<Option<Arc<dyn Target>>>>,
}

/// The right to work at a bench.
pub enum Lease {
    /// The host's own task waits with its end until this is dropped.
    Lent(OwnedRwLockReadGuard<Option<Arc<dyn Target>>, Arc<dyn Target>>),
    /// To be closed.
    Own(Arc<dyn Target>),
}

impl Bench {
    /// A host whose task has a connection to it.
    pub fn live(host: &Host, facts: Arc<Facts>, target: Arc<dyn Target>) -> Self {
        Self { host: host.clone(), facts, live: Arc::new(RwLock::new(Some(target))) }
    }

    /// A host that nobody is connected to.
    pub fn away(host: &Host, facts: Arc<Facts>) -> Self {
        Self { host: host.clone(), facts, live: Arc::default() }
    }

    /// Takes a place at the bench.
    ///
    /// # Errors
    /// No connection could be made.
    pub async fn lease(&self, scope: &Scope, run: &Run) -> Result<Lease, Failure> {
        let live = scope.race(self.live.clone().read_owned()).await?;
        if let Ok(target) = OwnedRwLockReadGuard::try_map(live, Option::as_ref) {
            return Ok(Lease::Lent(target));
        }
        let scope = scope.for_host(&self.host.name);
        Ok(Lease::Own(run.fleet.connect(&scope, &self.host).await?))
    }

    /// Waits until nobody works here any more; from then on the host's target is its task's alone.
    pub async fn leave(&self) {
        self.live.write().await.take();
    }
}

impl Lease {
    pub fn target(&self) -> &dyn Target {
        match self {
            Self::Lent(target) => &***target,
            Self::Own(target) => &**target,
        }
    }

    /// Whether what is left on the host stays until its own task ends.
    pub const fn is_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }

    /// Ends the work; `Some` when it could not be confirmed that nothing is left.
    pub async fn end(self) -> Option<String> {
        match self {
            Self::Lent(_) => None,
            Self::Own(target) => match target.close().await {
                Closed::Clean => None,
                Closed::Unconfirmed(what) => Some(format!("cleanup unconfirmed: {what}")),
            },
        }
    }
}
