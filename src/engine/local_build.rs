//! This machine as one that builds: a target of its own, and its facts, for all hosts of a run.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{Mutex, MutexGuard};

use super::Failure;
use crate::{
    preflight,
    scope::Scope,
    target::{Closed, Target, local::local, supervisor::Supervision},
    vocab::{Facts, HostName, Limits},
};

/// Builds on this machine, one at a time.
#[derive(Default)]
pub struct LocalBuilds {
    state: Mutex<State>,
    turn: Mutex<()>,
    /// A folder of this run's own; its builds' folders are registered as scratch one by one.
    dir: PathBuf,
}

#[derive(Default)]
struct State {
    target: Option<Arc<dyn Target>>,
    facts: Option<Result<Arc<Facts>, Failure>>,
}

impl State {
    fn target(&mut self, limits: &Limits) -> Arc<dyn Target> {
        let supervision = Supervision { grace: limits.grace, lease: limits.lease, ..Supervision::default() };
        self.target.get_or_insert_with(|| Arc::new(local(supervision))).clone()
    }
}

impl LocalBuilds {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, ..Self::default() }
    }

    /// Below which builds have their folders.
    ///
    /// # Errors
    /// The path is not UTF-8.
    pub fn dir(&self) -> Result<&str, Failure> {
        self.dir.to_str().ok_or_else(|| Failure::new("the cache folder's path is not UTF-8"))
    }

    /// Waits for the turn to build, which ends with the guard.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn turn(&self, scope: &Scope) -> Result<MutexGuard<'_, ()>, Failure> {
        Ok(scope.race(self.turn.lock()).await?)
    }

    /// This machine.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn target(&self, scope: &Scope, limits: &Limits) -> Result<Arc<dyn Target>, Failure> {
        Ok(scope.race(self.state.lock()).await?.target(limits))
    }

    /// What this machine is; looked at once, when a host first asks for it.
    ///
    /// # Errors
    /// As the probe.
    pub async fn facts(&self, scope: &Scope, limits: &Limits) -> Result<Arc<Facts>, Failure> {
        let mut state = scope.race(self.state.lock()).await?;
        if let Some(facts) = &state.facts {
            return facts.clone();
        }
        let target = state.target(limits);
        let limited = scope.for_host(&HostName::local()).within("look at this machine", limits.short);
        let facts = preflight::probe(&limited, &*target).await.map(Arc::new).map_err(Failure::from);
        // A cancel says nothing about the machine.
        if scope.check().is_ok() {
            state.facts = Some(facts.clone());
        }
        facts
    }

    /// Removes what was built; `Some` when that could not be confirmed.
    pub async fn close(&self) -> Option<String> {
        let target = self.state.lock().await.target.take()?;
        match target.close().await {
            Closed::Clean => None,
            Closed::Unconfirmed(what) => Some(format!("cleanup unconfirmed: {what}")),
        }
    }
}
