//! One program for several hosts: who makes it, who waits, and what becomes of them when it fails.
//!
//! # Theory of operation
//! A [`Share`] is a group of hosts and the ways to their program, best first. Of the hosts' tasks that come to fetch it,
//! the first one drives: it works at the bench of whoever has it or builds it, under that host's name, and brings the
//! result to the controller's cache. The others wait, without holding one of `--forks`. A driver that ends in the middle
//! lets go, and the next one takes over; so no task ever waits for one that waits itself. A way that fails is followed
//! by the next one, and when there is none left, all get to know why.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{
    Failure, Run,
    bench::{Bench, Lease},
    dispatch::Ticket,
    gather::Sources,
    group::{Group, Need, Place, Source, Way},
    made::{Made, build, take},
    make::Making,
    plan::WorkerPlan,
};
use crate::{
    artifacts::Artifacts,
    scope::Scope,
    vocab::{Facts, HostName, Level, Outcome, Phase, Reason, RecipeMeta},
};

/// A group of hosts at work.
pub struct Share {
    pub recipe: Arc<RecipeMeta>,
    ways: Vec<Way>,
    /// Of the hosts in `ways`.
    benches: Vec<Arc<Bench>>,
    hosts: Mutex<Vec<HostName>>,
    state: Mutex<State>,
    changed: Notify,
}

/// The program, or what stood against each way to it.
type End = Result<Arc<Made>, Vec<(Way, Failure)>>;

enum State {
    /// Nobody drives.
    Free {
        next: usize,
        failures: Vec<(Way, Failure)>,
    },
    Driven,
    Done(End),
}

/// Lets the next one drive, unless there is a result.
struct Drive<'a> {
    share: &'a Share,
    next: usize,
    failures: Vec<(Way, Failure)>,
    done: Option<End>,
}

impl Drop for Drive<'_> {
    fn drop(&mut self) {
        let failures = std::mem::take(&mut self.failures);
        *self.share.state() = match self.done.take() {
            Some(done) => State::Done(done),
            None => State::Free { next: self.next, failures },
        };
        self.share.changed.notify_waiters();
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.words())
    }
}

impl Share {
    /// `benches` has those of all hosts that may be worked at.
    pub fn new(group: Group, benches: &[Arc<Bench>]) -> Self {
        let benches = benches.iter().filter(|bench| group.ways.iter().any(|way| way.is_at(&bench.host.name)));
        Self {
            recipe: group.recipe,
            benches: benches.cloned().collect(),
            ways: group.ways,
            hosts: Mutex::new(group.hosts),
            state: Mutex::new(State::Free { next: 0, failures: Vec::new() }),
            changed: Notify::new(),
        }
    }

    /// The way that is tried first.
    pub fn first(&self) -> &Way {
        &self.ways[0]
    }

    pub fn hosts(&self) -> Vec<HostName> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a host in that came later, if the program is good for it; false when it is not, or was not made.
    pub fn join(&self, need: &Need) -> bool {
        let failed = matches!(&*self.state(), State::Done(Err(_)));
        let fits = self.recipe.worker.id == need.recipe.worker.id
            && self.recipe.files == need.recipe.files
            && self.first().class.serves(&need.class);
        if fits && !failed {
            self.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(need.host.clone());
        }
        fits && !failed
    }

    /// "built on gpu-box for 8 hosts: same linux-x86_64, glibc ≥ 2.31, sm_86+sm_89".
    pub fn words(&self) -> String {
        let hosts = self.hosts().len();
        let for_whom = if hosts == 1 { String::new() } else { format!(" for {hosts} hosts") };
        let way = self.first();
        let same = if hosts == 1 { "" } else { "same " };
        format!("{}{for_whom}: {same}{}", way.words(), way.class.words())
    }

    /// The program: made by this task, or waited for.
    ///
    /// # Errors
    /// Why there is none, as seen from `host`.
    pub async fn get(
        &self,
        scope: &Scope,
        run: &Run,
        host: &HostName,
        ticket: &Ticket,
        plan: &WorkerPlan,
    ) -> Result<Arc<Made>, Failure> {
        let mut told = false;
        let result = loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let drive = {
                let mut state = self.state();
                match &mut *state {
                    State::Done(result) => break result.clone(),
                    State::Driven => None,
                    State::Free { next, failures } => {
                        let (next, failures) = (*next, std::mem::take(failures));
                        *state = State::Driven;
                        Some(Drive { share: self, next, failures, done: None })
                    }
                }
            };
            match drive {
                Some(drive) => {
                    scope.race(ticket.take_place()).await?;
                    self.drive(scope, run, ticket, drive, plan).await?;
                }
                None => {
                    if !std::mem::replace(&mut told, true) && !self.first().is_at(host) {
                        let text = format!("waits for {}: {}", self.recipe.worker.id, self.first().words());
                        scope.in_phase(Phase::Build).notice(Level::Info, text, None);
                    }
                    ticket.give_place();
                    scope.race(changed).await.map_err(|stop| Failure::from(stop).in_phase(Phase::Build))?;
                }
            }
        };
        scope.race(ticket.take_place()).await?;
        result.map_err(|failures| failure_for(host, &failures))
    }

    /// Goes the ways until one leads there. An error is this task's own end, and nobody else's.
    async fn drive(
        &self,
        scope: &Scope,
        run: &Run,
        ticket: &Ticket,
        mut drive: Drive<'_>,
        plan: &WorkerPlan,
    ) -> Result<(), Failure> {
        while let Some(way) = self.ways.get(drive.next) {
            scope.check().map_err(|stop| Failure::from(stop).in_phase(Phase::Build))?;
            match self.go(scope, run, ticket, way, plan).await {
                Ok(Some(made)) => {
                    drive.done = Some(Ok(Arc::new(made)));
                    return Ok(());
                }
                // It was there when it was looked at, and is not any more.
                Ok(None) => {}
                Err(failure) if failure.outcome == Outcome::Cancelled => return Err(failure),
                Err(failure) => {
                    let more = self.ways.get(drive.next + 1).filter(|_| failure.reason != Some(Reason::Timeout));
                    if let Some(more) = more {
                        let text = format!("{} failed: {}; now {}", way.words(), failure.error, more.words());
                        scope.in_phase(Phase::Build).notice(Level::Warning, text, failure.hint.clone());
                    } else {
                        drive.next = self.ways.len();
                    }
                    // What was only looked for says nothing about the recipe.
                    drive.failures.push((way.clone(), failure));
                }
            }
            drive.next += 1;
        }
        if let Some(build) = drive.failures.iter().position(|(way, _)| matches!(way.source, Source::Build(_))) {
            drive.failures.drain(..build);
        }
        drive.done = Some(Err(std::mem::take(&mut drive.failures)));
        Ok(())
    }

    /// One way to its end; `None` when it leads nowhere.
    async fn go(
        &self,
        scope: &Scope,
        run: &Run,
        ticket: &Ticket,
        way: &Way,
        plan: &WorkerPlan,
    ) -> Result<Option<Made>, Failure> {
        let cache = Artifacts::new(run.settings.cache_dir.join("artifacts"));
        let made = |kept, at_builder| Made::new(kept, way, at_builder);
        match &way.source {
            Source::Cache => {
                let kept = cache.get(way.key).await.map_err(|error| Failure::new(error.to_string()))?;
                Ok(kept.map(|kept| made(kept, None)))
            }
            Source::Host(offer) => {
                let Some(bench) = self.bench(&offer.host) else { return Ok(None) };
                let lease = bench.lease(scope, run).await?;
                let there = scope.for_host(&offer.host);
                let scratch = format!("{}/scratch/{}.{}.take", bench.facts.dirs.cache, scope.events().run(), way.key);
                let kept = take(&there, lease.target(), &cache, offer, way, &self.recipe, &scratch).await;
                ticket.confirm(&offer.host, lease.end().await);
                kept.map(|kept| Some(made(kept, None)))
            }
            Source::Build(Place::Here) => {
                let (builds, limits) = (&run.local_builds, &run.settings.limits);
                let _turn = builds.turn(scope).await?;
                let (facts, target) = (builds.facts(scope, limits).await?, builds.target(scope, limits).await?);
                let work = format!("{}/{}", builds.dir()?, &way.key.to_string()[..16]);
                let there = scope.for_host(&HostName::local());
                let env = Default::default();
                let making = self.making(run, way, plan, &facts, &env, Sources::Here);
                let (kept, _) = build(&there, &*target, &cache, way, &making, &work).await?;
                Ok(Some(made(kept, None)))
            }
            Source::Build(Place::Host(name)) => {
                let Some(bench) = self.bench(name) else { return Ok(None) };
                let lease = bench.lease(scope, run).await?;
                let id = scope.events().run();
                let key = &way.key.to_string()[..8];
                let work = format!("{}/scratch/{id}.{}.{key}", bench.facts.dirs.cache, self.recipe.worker.id);
                let there = scope.for_host(name);
                let making = self.making(run, way, plan, &bench.facts, &bench.host.env, plan.sources(run));
                let built = build(&there, lease.target(), &cache, way, &making, &work).await;
                let lent = lease.is_lent();
                ticket.confirm(name, Lease::end(lease).await);
                let (kept, path) = built?;
                Ok(Some(made(kept, lent.then(|| (name.clone(), path)))))
            }
        }
    }

    fn making<'a>(
        &'a self,
        run: &'a Run,
        way: &'a Way,
        plan: &WorkerPlan,
        facts: &'a Facts,
        env: &'a BTreeMap<String, String>,
        sources: Sources<'a>,
    ) -> Making<'a> {
        let (limits, mirrors) = (&run.settings.limits, run.request.mirrors());
        let (recipe, class) = (&*self.recipe, &way.class);
        Making { recipe, facts, env, class, check: plan.check, sources, mirrors, limit: plan.limit, limits }
    }

    fn bench(&self, host: &HostName) -> Option<&Arc<Bench>> {
        self.benches.iter().find(|bench| bench.host.name == *host)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// "built on gpu-box".
    pub fn words(&self) -> String {
        match &self.source {
            Source::Cache => "kept from an earlier build".to_owned(),
            Source::Host(offer) => format!("taken from {}", offer.host),
            Source::Build(Place::Here) => "built here".to_owned(),
            Source::Build(place) => format!("built on {place}"),
        }
    }

    /// "what was built on gpu-box".
    pub fn what(&self) -> String {
        format!("what was {}", self.words())
    }

    fn is_at(&self, host: &HostName) -> bool {
        match &self.source {
            Source::Host(offer) => offer.host == *host,
            Source::Build(Place::Host(name)) => name == host,
            Source::Cache | Source::Build(Place::Here) => false,
        }
    }
}

/// The failures of a group as one of its hosts reports them.
fn failure_for(host: &HostName, failures: &[(Way, Failure)]) -> Failure {
    let words = |(way, failure): &(Way, Failure)| match way.source {
        _ if way.is_at(host) => failure.error.clone(),
        Source::Build(ref place) => format!("{place} was to build it for this host: {}", failure.error),
        _ => format!("{}: {}", way.words(), failure.error),
    };
    let Some((_, first)) = failures.first() else {
        return Failure::new("what was built before is gone").in_phase(Phase::Fetch);
    };
    let mut failure = first.clone();
    failure.error = failures.iter().map(words).collect::<Vec<_>>().join("; ");
    if !failures.iter().any(|(way, _)| way.is_at(host)) {
        // Whether another host is clean or out of reach is that host's to say.
        failure.outcome = Outcome::Failed;
        failure.reason = match failure.reason {
            Some(Reason::Lost | Reason::Unconfirmed | Reason::Connect | Reason::Auth | Reason::HostKey) | None => {
                Some(Reason::Build)
            }
            reason => reason,
        };
    }
    failure
}
