//! Builds on this machine, each recipe once for all hosts that it is good for, one at a time.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use tokio::sync::Mutex;

use super::{Failure, gather::Sources, make::build_in, needs, plan::WorkerPlan};
use crate::{
    build::Built,
    preflight,
    scope::Scope,
    target::{Closed, Target, local::local, supervisor::Supervision},
    vocab::{BuildKey, Facts, HostName, Limits, Mirror, Needs, RecipeMeta},
};

/// Results so far, failed ones too: what failed for one host is not tried again for the next.
#[derive(Default)]
pub struct LocalBuilds {
    state: Mutex<State>,
    /// What the recipes of this run need.
    wanted: std::sync::Mutex<Vec<Needs>>,
    /// A folder of this run's own; its builds' folders are registered as scratch one by one.
    dir: PathBuf,
}

#[derive(Default)]
struct State {
    target: Option<Arc<dyn Target>>,
    facts: Option<Result<Facts, Failure>>,
    built: HashMap<BuildKey, Result<Built, Failure>>,
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

    /// The program that a recipe makes here; waits for its turn.
    ///
    /// # Errors
    /// As the build.
    pub async fn get(
        &self,
        scope: &Scope,
        plan: &WorkerPlan,
        recipe: &RecipeMeta,
        mirrors: &[Mirror],
        limits: &Limits,
    ) -> Result<Built, Failure> {
        let facts = self.facts(scope, limits).await?;
        let mut state = scope.race(self.state.lock()).await?;
        let key = plan.key.ok_or_else(|| Failure::new("a build without a key"))?;
        if let Some(done) = state.built.get(&key) {
            return done.clone();
        }
        let target = state.target(limits);
        let work = self.dir.join(&key.to_string()[..16]);
        let work = work.to_str().ok_or_else(|| Failure::new("the cache folder's path is not UTF-8"))?.to_owned();
        let here = scope.for_host(&HostName::local());
        let (env, from) = (Default::default(), Sources::Here);
        let result = build_in(&here, &*target, recipe, &facts, &env, plan, &work, from, mirrors, limits).await;
        // A cancel says nothing about the recipe.
        if scope.check().is_ok() {
            state.built.insert(key, result.clone());
        }
        result
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
    pub async fn facts(&self, scope: &Scope, limits: &Limits) -> Result<Facts, Failure> {
        let mut state = scope.race(self.state.lock()).await?;
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let open = |facts: &Facts| wanted.iter().any(|needs| !preflight::needs::questions(facts, needs).is_empty());
        let known = state.facts.take();
        if let Some(facts) = known.clone().filter(|facts| !facts.as_ref().is_ok_and(open)) {
            state.facts = known;
            return facts;
        }
        let target = state.target(limits);
        let limited = scope.for_host(&HostName::local()).within("look at this machine", limits.short);
        let facts = async {
            let mut facts = match known {
                Some(known) => known?,
                None => preflight::probe(&limited, &*target).await?,
            };
            needs::ask(&limited, &*target, &mut facts, &wanted).await?;
            Ok(facts)
        };
        let facts: Result<Facts, Failure> = facts.await;
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
