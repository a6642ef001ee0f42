//! What all hosts of a run are, told before it is decided what each of them gets and who builds it.
//!
//! # Theory of operation
//! A host's task tells its facts here as soon as it has them, or that it will not come. Most tasks never ask for those
//! of others. Who does, because what its host can run must be built elsewhere, waits until all were told, or for a while
//! nobody came: as in the [`super::roster`], a dead host must not hold up the others for as long as its own patience.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Failure;
use crate::{
    scope::Scope,
    vocab::{Facts, Host, HostName},
};

/// So long nobody came: then those that are there go on without the others.
const SETTLED: Duration = Duration::from_secs(3);

/// A host that was looked at.
#[derive(Debug, Clone)]
pub struct Known {
    pub host: Host,
    pub facts: Arc<Facts>,
}

/// The hosts of a run.
pub struct Census {
    state: Mutex<State>,
    changed: Notify,
    settled: Duration,
    order: HashMap<HostName, usize>,
}

struct State {
    /// In the order of the selection, so that all who ask decide alike.
    known: Vec<Option<Known>>,
    missing: usize,
    /// When somebody came or went.
    last: Instant,
}

impl Census {
    /// For these hosts, each of which is given so long to answer.
    pub fn new(hosts: &[Host], connect: Duration) -> Self {
        let state = State { known: vec![None; hosts.len()], missing: hosts.len(), last: Instant::now() };
        Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            settled: SETTLED.min(connect),
            order: hosts.iter().enumerate().map(|(nth, host)| (host.name.clone(), nth)).collect(),
        }
    }

    /// A host tells what it is; `None` when it will not. Once each.
    pub fn tell(&self, known: Option<Known>) {
        {
            let mut state = self.state();
            state.missing = state.missing.saturating_sub(1);
            state.last = Instant::now();
            if let Some(known) = known
                && let Some(nth) = self.order.get(&known.host.name)
            {
                state.known[*nth] = Some(known);
            }
        }
        self.changed.notify_waiters();
    }

    /// Whether nobody is waited for any more.
    pub fn is_settled(&self) -> bool {
        let state = self.state();
        state.missing == 0 || state.last.elapsed() >= self.settled
    }

    /// Those that told, once nobody is waited for any more.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn known(&self, scope: &Scope) -> Result<Vec<Known>, Failure> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_settled() {
                return Ok(self.state().known.iter().flatten().cloned().collect());
            }
            let quiet = self.state().last + self.settled;
            let wait = async {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(quiet.into()) => {}
                }
            };
            scope.race(wait).await?;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
