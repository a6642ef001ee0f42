//! What a run found out, for verbs that ask.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Failure, HiveFinding, ModelFinding, Run,
    bench::Bench,
    dispatch::Ticket,
    group::{Need, Place, Source},
    plan::{self, Action},
    request::{BuildPlace, InstallRequest},
    roster, trust, undo,
    variant::need,
    worker::Running,
};
use crate::{
    install,
    preflight::check::{Grade, Role, Verdict},
    scope::Scope,
    target::{Captured, Command, Target, ssh::Station},
    vocab::{
        Digest, Facts, Host, Manifest, WorkerId,
        text::{counted, human_duration},
    },
    workers::Started,
};

/// One thing that a host said.
#[derive(Debug, Clone)]
pub enum Finding {
    /// From the first packet to the first answer, and one round trip after that.
    Ping {
        connected: Duration,
        round_trip: Duration,
    },
    Check {
        facts: Box<Facts>,
        verdicts: Vec<Verdict>,
    },
    Status(Vec<WorkerStatus>),
    /// What the host is.
    Facts(Box<Facts>),
    /// What it has of the worker that was asked for.
    Held(Vec<Held>),
    /// The keys of the host, after those of the bastions before it.
    Trust(Vec<Station>),
    /// What it said about models.
    Model(ModelFinding),
    /// Its hive.
    Hive(Box<HiveFinding>),
    /// What would be done, a plan a worker.
    Plan(Vec<plan::WorkerPlan>),
    /// What bash read in a recipe.
    Recipe(Box<super::author::Reading>),
    /// Workers that were spawned.
    Processes(Vec<Running>),
    /// One that is there now.
    Spawned(Box<Started>),
}

/// An installed worker and what became of it.
#[derive(Debug, Clone)]
pub struct WorkerStatus {
    pub manifest: Manifest,
    pub state: InstalledState,
}

/// An installed worker with all that belongs to it.
#[derive(Debug, Clone)]
pub struct Held {
    pub status: WorkerStatus,
    /// What a rollback leads to.
    pub kept: Option<Manifest>,
    /// Processes that run it.
    pub running: Vec<u32>,
}

/// Whether a program is still what was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstalledState {
    Intact,
    /// Another file has taken its place.
    Modified(Digest),
    Missing,
}

impl InstalledState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Modified(_) => "modified",
            Self::Missing => "missing",
        }
    }
}

impl Finding {
    /// The finding as one fragment.
    pub fn words(&self) -> String {
        match self {
            Self::Ping { connected, round_trip } => {
                format!(
                    "connected in {}, round trip {:.1} ms",
                    human_duration(*connected),
                    round_trip.as_secs_f64() * 1e3
                )
            }
            Self::Check { facts, verdicts } => {
                let warnings = verdicts.iter().filter(|v| v.grade == Grade::Warn).count();
                match warnings {
                    0 => format!("{}: all is well", facts.platform()),
                    n => format!("{}: {}", facts.platform(), counted(n, "warning")),
                }
            }
            Self::Status(workers) => installed(workers.iter()),
            Self::Held(held) => installed(held.iter().map(|held| &held.status)),
            Self::Facts(facts) => facts.platform(),
            Self::Model(found) => found.words(),
            Self::Hive(found) => found.words(),
            Self::Trust(stations) => trust::words(stations),
            Self::Recipe(reading) => reading.words(),
            Self::Processes(all) => match all.len() {
                0 => "no worker runs".into(),
                1 => "1 worker".into(),
                n => format!("{n} workers"),
            },
            Self::Spawned(started) => started.spawned.url(),
            Self::Plan(plans) => plans.iter().map(plan::WorkerPlan::words).collect::<Vec<_>>().join("; "),
        }
    }
}

fn installed<'a>(workers: impl Iterator<Item = &'a WorkerStatus>) -> String {
    let all = workers.map(|w| format!("{} {} {}", w.manifest.worker, w.manifest.version, w.state.as_str()));
    match all.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "nothing is installed".into(),
        all => all,
    }
}

/// Measures the way to the host.
pub async fn ping(scope: &Scope, target: &dyn Target, started: Instant) -> Result<Finding, Failure> {
    let echo = Command::own("ping", ":");
    target.run(scope, &echo, &mut Captured::default()).await?;
    let connected = started.elapsed();
    let again = Instant::now();
    target.run(scope, &echo, &mut Captured::default()).await?;
    Ok(Finding::Ping { connected, round_trip: again.elapsed() })
}

/// Compares what is installed with what was.
pub async fn status(scope: &Scope, target: &dyn Target, facts: &Facts) -> Result<Finding, Failure> {
    Ok(Finding::Status(states(scope, target, facts.installed.iter()).await?))
}

/// What the host has of one worker.
pub async fn held(scope: &Scope, target: &dyn Target, facts: &Facts, worker: &WorkerId) -> Result<Vec<Held>, Failure> {
    let found = facts.installed.iter().filter(|manifest| manifest.worker == *worker);
    let mut all = Vec::new();
    for status in states(scope, target, found).await? {
        let layout = undo::plain_layout(facts, &status.manifest);
        let kept = install::kept(scope, target, &layout, &status.manifest).await?.map(|(_, manifest)| manifest);
        let running = install::running(scope, target, &status.manifest).await?;
        all.push(Held { status, kept, running });
    }
    Ok(all)
}

pub(super) async fn states(
    scope: &Scope,
    target: &dyn Target,
    manifests: impl Iterator<Item = &Manifest>,
) -> Result<Vec<WorkerStatus>, Failure> {
    let manifests: Vec<&Manifest> = manifests.collect();
    let found = install::found(scope, target, &manifests).await?;
    let states = manifests.into_iter().zip(found).map(|(manifest, found)| WorkerStatus {
        manifest: manifest.clone(),
        state: match found {
            None => InstalledState::Missing,
            Some(digest) if digest == manifest.digest => InstalledState::Intact,
            Some(digest) => InstalledState::Modified(digest),
        },
    });
    Ok(states.collect())
}

/// Judges the host for the workers it would get, or in general when it would get none; as a builder only if it would be
/// the one that builds, or nobody else can.
///
/// # Errors
/// The scope's own stop.
pub async fn check(
    scope: &Scope,
    run: &Run,
    host: &Host,
    ticket: &Ticket,
    request: &InstallRequest,
    facts: Facts,
) -> Result<(Finding, Option<Failure>), Failure> {
    let facts = Arc::new(facts);
    let (mut verdicts, mut refusal) = plan::judge(&run.catalog, host, request, &facts);
    let found = facts.installed.iter().map(|manifest| (manifest.path.clone(), Some(manifest.digest))).collect();
    let plans = match &refusal {
        None => plan::plan(&run.catalog, host, request, &facts, &found, None).unwrap_or_default(),
        Some(_) => Vec::new(),
    };
    let built = plans.iter().filter_map(|plan| match &plan.action {
        Action::Share(recipe, _) => Some(need(host, &facts, recipe.clone(), request)),
        _ => None,
    });
    let needs: Vec<Need> = built.collect();
    let bench = Arc::new(Bench::away(host, facts.clone()));
    ticket.enter(roster::seen(host, bench, &facts, Vec::new()), needs.clone());
    if !needs.is_empty() {
        let shares = ticket.shares(scope, run, request, &host.name).await?;
        for (need, share) in needs.iter().zip(shares) {
            let own = match &share {
                Ok(share) => share.first().source == Source::Build(Place::Host(host.name.clone())),
                Err(_) => request.build != BuildPlace::Local && request.build_on.is_none(),
            };
            if own {
                let more = plan::judge_build(&facts, &need.recipe.worker, Role::Build, request.system);
                verdicts.extend(more.into_iter().filter(|verdict| !verdicts.contains(verdict)).collect::<Vec<_>>());
            }
            refusal = refusal.or(share.err());
        }
    }
    let refusal = refusal.map(|why| Failure::refused(why.text, why.hint));
    Ok((Finding::Check { facts: Box::new(Arc::unwrap_or_clone(facts)), verdicts }, refusal))
}
