//! The phases of the verbs about running workers on one host.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    Failure, Finding, Run,
    install::now,
    job::{Done, facts},
    phase::phase,
};
use crate::{
    catalog::Listed,
    install,
    models::cache,
    scope::Scope,
    target::Target,
    vocab::{Facts, Keeping, Manifest, Phase, Secret, SpawnId, WorkerId},
    workers::{
        self, Order, Process, Reading, SpawnError, Started, State, Stopped, Which,
        choose::{self, Found, ModelArg},
    },
};

/// What is asked about workers that run.
#[derive(Debug, Clone)]
pub enum WorkerRequest {
    Spawn(Arc<SpawnRequest>),
    /// Those that were spawned, or one of them.
    Processes {
        only: Option<Which>,
    },
    Stop {
        which: Which,
        /// More than one may be meant.
        many: bool,
        grace: Duration,
    },
    Logs {
        which: Which,
        reading: Reading,
    },
}

/// What is to be spawned; what is left out is taken if there is exactly one.
#[derive(Debug, Clone)]
pub struct SpawnRequest {
    /// An id or a family.
    pub worker: Option<String>,
    pub model: Option<ModelArg>,
    /// As "cuda:0".
    pub device: Option<String>,
    pub port: Option<u16>,
    pub bind: IpAddr,
    /// API keys, with tabs between.
    pub key: Option<Secret>,
    /// Given to the program as they are.
    pub more: Vec<String>,
    pub restart: bool,
    pub keeping: Keeping,
}

/// A spawned worker, and what its program is by now.
#[derive(Debug, Clone)]
pub struct Running {
    pub process: Process,
    pub program: ProgramNow,
}

/// Whether what runs is what is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramNow {
    Installed,
    /// Another version took its place; the next start has that one.
    Replaced,
    /// It is not installed any more.
    Removed,
}

impl ProgramNow {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }

    fn of(process: &Process, installed: &[Manifest]) -> Self {
        let spawned = &process.spawned;
        let path = spawned.argv.first();
        match installed.iter().find(|manifest| manifest.worker == spawned.worker && Some(&manifest.path) == path) {
            None => Self::Removed,
            Some(manifest) if manifest.digest == spawned.digest && !process.replaced => Self::Installed,
            Some(_) => Self::Replaced,
        }
    }
}

impl WorkerRequest {
    pub fn changes(&self) -> bool {
        matches!(self, Self::Spawn(_) | Self::Stop { .. })
    }

    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Spawn(_) => "spawn",
            Self::Processes { only: None } => "process list",
            Self::Processes { only: Some(_) } => "process get",
            Self::Stop { .. } => "stop",
            Self::Logs { .. } => "logs",
        }
    }
}

/// Does on one host what is asked about workers that run.
pub async fn worker(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    request: &WorkerRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    match request {
        WorkerRequest::Spawn(request) => spawn(scope, run, target, request, findings).await,
        WorkerRequest::Processes { only } => {
            let facts = facts(scope, run, target).await?;
            let all = list(scope, run, target).await?;
            let meant = match only {
                Some(which) => which.of(&all, true)?.into_iter().cloned().collect(),
                None => all,
            };
            let now = |process: &Process| ProgramNow::of(process, &facts.installed);
            let found = meant.into_iter().map(|process| Running { program: now(&process), process }).collect();
            let found = Finding::Processes(found);
            let words = found.words();
            findings.push(found);
            Ok(Done::unchanged(words))
        }
        WorkerRequest::Stop { which, many, grace } => stop(scope, run, target, which, *many, *grace).await,
        WorkerRequest::Logs { which, reading } => {
            let all = list(scope, run, target).await?;
            let id = one(which, &all)?;
            phase(
                scope,
                Phase::Run,
                None,
                |scope| async move { Ok(workers::logs(&scope, target, &id, *reading).await?) },
            )
            .await?;
            Ok(Done::unchanged("read"))
        }
    }
}

fn one(which: &Which, all: &[Process]) -> Result<SpawnId, Failure> {
    let found = which.of(all, false)?;
    found.first().map(|process| process.spawned.id.clone()).ok_or_else(|| Failure::refused("no worker runs here", None))
}

/// Answers of slow workers, each with a limit of its own, are part of it.
async fn list(scope: &Scope, run: &Run, target: &dyn Target) -> Result<Vec<Process>, Failure> {
    let limit = Some(run.settings.limits.short * 4);
    phase(scope, Phase::Preflight, limit, |scope| async move { Ok(workers::list(&scope, target).await?) }).await
}

async fn stop(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    which: &Which,
    many: bool,
    grace: Duration,
) -> Result<Done, Failure> {
    let all = list(scope, run, target).await?;
    let mut done = Done::default();
    for process in which.of(&all, many)? {
        let (spawned, limit) = (&process.spawned, Some(grace + run.settings.limits.short));
        let stopped = phase(scope, Phase::Run, limit, |scope| async move {
            Ok(workers::stop(&scope, target, &spawned.id, grace).await?)
        });
        let how = match stopped.await? {
            Stopped::Term => "stopped",
            Stopped::Kill => "killed, since TERM was not enough:",
            Stopped::Before => "forgot, since it had ended:",
        };
        let pid = process.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        done = done.and(Done::changed(format!("{how} {} {} ({}{pid})", spawned.worker, spawned.version, spawned.id)));
    }
    if done.words.is_empty() {
        return Ok(Done::unchanged("no worker runs here"));
    }
    Ok(done)
}

async fn spawn(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    request: &SpawnRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let facts = facts(scope, run, target).await?;
    let (manifest, listed) = program(run, &facts, request.worker.as_deref())?;
    let Some(launch) = listed.and_then(|listed| listed.worker.run.as_ref()) else {
        return Err(Failure::refused(
            format!("no catalog says how {} is started", manifest.worker),
            Some("a [run] section in its worker.toml does; --catalog names where that is".into()),
        ));
    };
    let (short, facts) = (run.settings.limits.short, &facts);
    phase(scope, Phase::Verify, Some(short * 4), |scope| async move { intact(&scope, target, manifest).await }).await?;
    let formats = listed.map(|listed| listed.offer.supported_formats.as_slice()).unwrap_or_default();
    let found = phase(scope, Phase::Model, Some(short * 2), |scope| async move {
        match &request.model {
            Some(ModelArg::Path(path)) => Ok(Some(Found { path: path.clone(), name: path.clone() })),
            None if !launch.model_needed => Ok(None),
            asked => {
                let named = asked.as_ref().and_then(|asked| match asked {
                    ModelArg::Ref(named) => Some(named),
                    ModelArg::Path(_) => None,
                });
                let (folder, repos) = cache::list(&scope, target, named.map(|named| &named.repo)).await?;
                Ok(Some(choose::model(&folder, &repos, named, formats)?))
            }
        }
    });
    let found = found.await?;
    let limits = &run.settings.limits;
    let run_id = scope.events().run().to_string();
    let order = Order {
        id: SpawnId::of(rand::random()),
        manifest,
        launch,
        model: found.as_ref().map(|found| (found.path.as_str(), found.name.as_str())),
        device: request.device.as_deref(),
        port: request.port,
        bind: request.bind,
        key: request.key.as_ref(),
        more: &request.more,
        restart: request.restart,
        keeping: request.keeping,
        state: &facts.dirs.state,
        grace: limits.grace,
        idle: limits.idle,
        run: &run_id,
        now: now(),
    };
    let order = &order;
    let started =
        phase(scope, Phase::Run, None, |scope| async move { Ok(workers::spawn(&scope, target, order).await?) }).await?;
    let done = said(&started);
    findings.push(Finding::Spawned(Box::new(started)));
    Ok(done)
}

fn said(started: &Started) -> Done {
    let spawned = &started.spawned;
    let model = spawned.model.as_ref().map(|model| format!(" with {model}")).unwrap_or_default();
    Done {
        changed: true,
        words: vec![
            format!("spawned {} {} ({}){model}", spawned.worker, spawned.version, spawned.id),
            format!("process {}", started.pid),
            spawned.url(),
        ],
        ..Done::default()
    }
}

/// The installed worker that is meant, and what the catalog says of it.
fn program<'a>(
    run: &'a Run,
    facts: &'a Facts,
    named: Option<&str>,
) -> Result<(&'a Manifest, Option<&'a Listed>), Failure> {
    let entry = |id: &WorkerId| run.catalog.list().find(|listed| listed.worker.id == *id);
    let family = |id: &WorkerId| entry(id).map(|listed| listed.worker.family.clone());
    let manifest = choose::worker(&facts.installed, named, family)?;
    Ok((manifest, entry(&manifest.worker)))
}

/// What is started is what was installed.
async fn intact(scope: &Scope, target: &dyn Target, manifest: &Manifest) -> Result<(), Failure> {
    let found = install::found(scope, target, &[manifest]).await?.into_iter().next().flatten();
    let what = match found {
        Some(digest) if digest == manifest.digest => return Ok(()),
        Some(_) => "is not the file that was installed",
        None => "is not there any more",
    };
    let hint = format!("rbee worker install {} --reinstall puts it back", manifest.worker);
    Err(Failure::refused(format!("{} {what}", manifest.path), Some(hint)))
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        let (text, reason, hint) = (error.to_string(), error.reason(), error.hint());
        match error {
            SpawnError::Target(error) => error.into(),
            SpawnError::Model(error) => error.into(),
            SpawnError::Choice { .. } => Self::refused(text, hint),
            _ => Self::new(text).because(reason).hint(hint),
        }
    }
}

/// How a worker is, for people.
pub fn state_words(process: &Process) -> String {
    match process.state {
        State::Unhealthy(Some(status)) => format!("answers {status}"),
        State::Unhealthy(None) => "no answer".into(),
        State::Ended(Some(status)) => format!("ended, status {status}"),
        other => other.as_str().into(),
    }
}
