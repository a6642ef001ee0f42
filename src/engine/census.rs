//! What all hosts of a run are, told before it is decided what each of them gets and who builds it.
//!
//! # Theory of operation
//! A host's task tells its facts here as soon as it has them, or that it will not come. Most tasks never ask for those
//! of others. Who does, because what its host can run must be built elsewhere, waits until all were told, or for a while
//! nobody came ([`super::arrivals`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Failure, arrivals::Arrivals};
use crate::{
    scope::Scope,
    vocab::{Facts, Host, HostName},
};

/// A host that was looked at.
#[derive(Debug, Clone)]
pub struct Known {
    pub host: Host,
    pub facts: Arc<Facts>,
}

/// The hosts of a run.
pub struct Census {
    state: Mutex<State>,
    arrivals: Arrivals,
    order: HashMap<HostName, usize>,
}

struct State {
    /// In the order of the selection, so that all who ask decide alike.
    known: Vec<Option<Known>>,
    missing: usize,
}

impl Census {
    /// For these hosts, each of which is given so long to answer.
    pub fn new(hosts: &[Host], connect: Duration) -> Self {
        let state = State { known: vec![None; hosts.len()], missing: hosts.len() };
        Self {
            state: Mutex::new(state),
            arrivals: Arrivals::new(connect),
            order: hosts.iter().enumerate().map(|(nth, host)| (host.name.clone(), nth)).collect(),
        }
    }

    /// A host tells what it is; `None` when it will not. Once each.
    pub fn tell(&self, known: Option<Known>) {
        {
            let mut state = self.state();
            state.missing = state.missing.saturating_sub(1);
            if let Some(known) = known
                && let Some(nth) = self.order.get(&known.host.name)
            {
                state.known[*nth] = Some(known);
            }
        }
        self.arrivals.note();
    }

    /// Whether nobody is waited for any more.
    pub fn is_settled(&self) -> bool {
        self.state().missing == 0 || self.arrivals.are_over()
    }

    /// Those that told, once nobody is waited for any more.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn known(&self, scope: &Scope) -> Result<Vec<Known>, Failure> {
        self.arrivals.until(scope, || self.is_settled()).await?;
        Ok(self.state().known.iter().flatten().cloned().collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
