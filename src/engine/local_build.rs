//! This machine as one that builds: a target of its own, and its facts, for all hosts of a run.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use tokio::sync::{Mutex, MutexGuard};

use super::{Failure, needs};
use crate::{
    preflight,
    scope::Scope,
    target::{Closed, Target, local::local, supervisor::Supervision},
    vocab::{Facts, HostName, Limits, Needs},
};

/// Builds on this machine, one at a time.
#[derive(Default)]
pub struct LocalBuilds {
    state: Mutex<State>,
    turn: Mutex<()>,
    /// What the recipes of this run need.
    wanted: std::sync::Mutex<Vec<Needs>>,
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

    /// Notes what a recipe needs, to be looked for together with the rest.
    pub fn want(&self, needs: &[Needs]) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        for needs in needs {
            if !wanted.contains(needs) {
                wanted.push(needs.clone());
            }
        }
    }

    /// What this machine is; looked at once, when a host first asks for it.
    ///
    /// # Errors
    /// As the probe.
    pub async fn facts(&self, scope: &Scope, limits: &Limits) -> Result<Arc<Facts>, Failure> {
        let mut state = scope.race(self.state.lock()).await?;
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let open = |facts: &Facts| wanted.iter().any(|needs| !preflight::needs::questions(facts, needs).is_empty());
        let known = state.facts.take();
        if let Some(facts) = known.clone().filter(|facts| !facts.as_ref().is_ok_and(|facts| open(facts))) {
            state.facts = known;
            return facts;
        }
        let target = state.target(limits);
        let limited = scope.for_host(&HostName::local()).within("look at this machine", limits.short);
        let facts = async {
            let mut facts = match known {
                Some(known) => Arc::unwrap_or_clone(known?),
                None => preflight::probe(&limited, &*target).await?,
            };
            needs::ask(&limited, &*target, &mut facts, &wanted).await?;
            Ok(Arc::new(facts))
        };
        let facts: Result<Arc<Facts>, Failure> = facts.await;
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
