//! Starts a worker, waits until it is healthy, and lets it go.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    SpawnError, script,
    start::{Values, arguments},
    wait::{self, Look, Patience},
};
use crate::{
    scope::{Scope, Stop},
    target::{Captured, Command, Target, TargetError},
    vocab::{EventKind, Keeping, Launch, Level, Manifest, Secret, SpawnId, Spawned, Stream, launch::reached_at},
    wire,
};

/// The first port that is looked at.
const FIRST_PORT: u16 = 7855;
/// As many are looked at.
const PORTS: u16 = 1000;
/// Somebody else may be quicker; so often another port is tried.
const ATTEMPTS: u32 = 5;
/// Looks of a host between two words of it.
const ROUNDS: &str = "25";
/// Letting go is one rename; it is not cut off in the middle.
const LET_GO: Duration = Duration::from_secs(30);

/// What is to be started, all of it known.
#[derive(Debug)]
pub struct Order<'a> {
    pub id: SpawnId,
    pub manifest: &'a Manifest,
    pub launch: &'a Launch,
    /// The path, and what was asked for.
    pub model: Option<(&'a str, &'a str)>,
    pub device: Option<&'a str>,
    /// None takes the first that is free.
    pub port: Option<u16>,
    pub bind: IpAddr,
    /// API keys, with tabs between.
    pub key: Option<&'a Secret>,
    pub more: &'a [String],
    pub restart: bool,
    pub keeping: Keeping,
    /// The host's folder of records: `~/.local/state/rbee`.
    pub state: &'a str,
    pub grace: Duration,
    /// How long it may do nothing before it is healthy.
    pub idle: Duration,
    pub run: &'a str,
    pub now: String,
}

/// A worker that is healthy, and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub spawned: Spawned,
    pub pid: u32,
}

/// Spawns it. Until this returns well, the target's end is the worker's, too.
///
/// # Errors
/// It did not become healthy: then nothing of it is left, or the error says so.
pub async fn spawn(scope: &Scope, target: &dyn Target, order: &Order<'_>) -> Result<Started, SpawnError> {
    target.cleanup(scope, &script::undo(&order.id, order.grace)).await?;
    let mut from = FIRST_PORT;
    for attempt in 1.. {
        let port = free_port(scope, target, order.port, from).await?;
        let spawned = record(order, port)?;
        match attempt_at(scope, target, order, &spawned).await? {
            Attempt::Healthy(pid) => {
                let_go(scope, target, &order.id).await?;
                return Ok(Started { spawned, pid });
            }
            Attempt::Taken if order.port.is_none() && attempt < ATTEMPTS => {
                scope.notice(Level::Info, format!("port {port} was taken meanwhile; another one is tried"), None);
                undo(scope, target, order).await?;
                from = port.saturating_add(1);
            }
            Attempt::Taken => {
                undo(scope, target, order).await?;
                return Err(SpawnError::Failed(format!("port {port} is somebody else's")));
            }
            Attempt::Failed(why) => {
                undo(scope, target, order).await?;
                return Err(SpawnError::Failed(why));
            }
        }
    }
    Err(SpawnError::Failed("no port was free".into()))
}

enum Attempt {
    Healthy(u32),
    Taken,
    Failed(String),
}

/// What is written down of it, and so what it is started with.
fn record(order: &Order<'_>, port: u16) -> Result<Spawned, SpawnError> {
    let key = format!("{}/workers/{}/key", order.state, order.id);
    let values = Values {
        id: &order.id,
        model: order.model,
        bind: order.bind,
        port,
        device: order.device,
        api_key_file: order.key.is_some().then_some(key.as_str()),
        more: order.more,
    };
    let worker = &order.manifest.worker;
    let words = arguments(order.launch, &values).map_err(|why| {
        SpawnError::choice(format!("{worker}: {why}"), format!("rbee worker get {worker} shows what it is"))
    })?;
    Ok(Spawned {
        id: order.id.clone(),
        worker: worker.clone(),
        version: order.manifest.version.clone(),
        digest: order.manifest.digest,
        argv: std::iter::once(order.manifest.path.clone()).chain(words).collect(),
        model: order.model.map(|(_, asked)| asked.to_owned()),
        bind: order.bind,
        port,
        health: order.launch.health.clone(),
        restart: order.restart,
        keeping: order.keeping,
        run: order.run.to_owned(),
        spawned_at: order.now.clone(),
    })
}

async fn free_port(scope: &Scope, target: &dyn Target, asked: Option<u16>, from: u16) -> Result<u16, SpawnError> {
    let (first, last) = match asked {
        Some(port) => (port, port),
        None => (from, from.saturating_add(PORTS)),
    };
    let given = [("FROM", first.to_string()), ("LAST", last.to_string())];
    let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut said = Captured::default();
    target.run(scope, &script::command("look for a port", &given, script::PORT), &mut said).await?;
    let text = said.text();
    match (text.trim().strip_prefix("port ").map(str::parse), asked) {
        (Some(Ok(port)), _) => Ok(port),
        (None, Some(port)) if text.trim() == "none" => {
            Err(SpawnError::choice(format!("port {port} is taken"), "leave --port out to take a free one"))
        }
        (None, None) if text.trim() == "none" => {
            Err(SpawnError::choice(format!("no port from {first} to {last} is free"), "say which one: --port N"))
        }
        _ => Err(TargetError::Host(format!("cannot look for a port: {}", said.last_words())).into()),
    }
}

async fn attempt_at(
    scope: &Scope,
    target: &dyn Target,
    order: &Order<'_>,
    spawned: &Spawned,
) -> Result<Attempt, SpawnError> {
    let key = order.key.is_some();
    let health = format!("{} {} {}", reached_at(spawned.bind), spawned.port, spawned.health);
    let keeper = script::keeper(&spawned.argv, order.launch, key, order.restart);
    let given = [
        ("ID", order.id.as_str()),
        ("P", &spawned.port.to_string()),
        ("HEALTH", &health),
        ("RECORD", &wire::spawned::write(spawned)?),
        ("RUN", &keeper),
        ("KEY", if key { "1" } else { "" }),
        ("RESTART", if order.restart { "1" } else { "" }),
        (
            "V",
            match order.keeping {
                Keeping::Session => "",
                Keeping::Service => "user",
                Keeping::System => "system",
            },
        ),
        ("MODEL", order.model.map_or("", |(path, _)| path)),
    ];
    let mut start = script::command("start", &given, script::START);
    if let Some(key) = order.key {
        start = start.with_stdin(key.clone());
    }
    let mut said = Captured::default();
    let exit = target.run(scope, &start, &mut said).await?;
    match exit.status {
        0 => {}
        66 => return Err(SpawnError::choice(said.last_words(), "rbee model list shows the models that are there")),
        _ => return Ok(Attempt::Failed(said.last_words())),
    }
    if said.text().lines().any(|line| line == "linger no") {
        scope.notice(
            Level::Warning,
            "the user's services end with the last login there, and start with the next",
            Some("loginctl enable-linger lets them start with the machine; --service --system needs no login".into()),
        );
    }
    let worker = &spawned.worker;
    let limit = order.idle;
    scope.notice(
        Level::Info,
        format!("{worker} runs; waiting until {} answers", spawned.url() + &spawned.health),
        None,
    );
    let mut patience = Patience::new(limit, Instant::now());
    loop {
        match look(scope, target, &order.id).await? {
            Look::Healthy { pid } => return Ok(Attempt::Healthy(pid)),
            Look::Ended { taken: true, .. } => return Ok(Attempt::Taken),
            Look::Ended { status, log, .. } => {
                let last = log.iter().rev().find(|line| !line.trim().is_empty()).cloned().unwrap_or_default();
                for text in log {
                    scope.events().emit(EventKind::Line { stream: Stream::Stderr, text });
                }
                let status = status.map_or_else(|| "was killed".into(), |status| format!("ended with status {status}"));
                let last = if last.is_empty() { "it said nothing".to_owned() } else { last };
                return Ok(Attempt::Failed(format!("{worker} {status} before it was healthy: {last}")));
            }
            Look::Waiting(signs) => {
                let answer = signs.answer.clone();
                if patience.is_over(signs, Instant::now()) {
                    let stop = Stop::TimedOut { operation: format!("{worker} without a sign of progress"), limit };
                    let answer = match answer.as_str() {
                        "none" => "nothing answers".to_owned(),
                        "stranger" => "somebody else answers on its port".to_owned(),
                        status => format!("it answers {status}"),
                    };
                    return Ok(Attempt::Failed(format!("{stop}; {answer}")));
                }
            }
        }
    }
}

async fn look(scope: &Scope, target: &dyn Target, id: &SpawnId) -> Result<Look, SpawnError> {
    let mut said = Captured::default();
    let watch = script::command("watch", &[("ID", id.as_str()), ("N", ROUNDS)], script::WATCH);
    target.run(scope, &watch, &mut said).await?;
    wait::read(&said.text()).map_err(|why| TargetError::Host(why).into())
}

/// From here on the worker is nobody's to clean up. Not cut off by a cancel: a worker is kept or ended, never neither.
async fn let_go(scope: &Scope, target: &dyn Target, id: &SpawnId) -> Result<(), SpawnError> {
    scope.check().map_err(TargetError::from)?;
    let mut said = Captured::default();
    let keep = script::command("let go", &[("ID", id.as_str())], script::KEEP);
    target.run(&scope.critical("letting the worker go", LET_GO), &keep, &mut said).await?;
    match said.text().trim() {
        "kept" => Ok(()),
        _ => Err(TargetError::Host(format!("the worker could not be let go: {}", said.last_words())).into()),
    }
}

/// Takes away what did not become healthy, now instead of at the target's end.
async fn undo(scope: &Scope, target: &dyn Target, order: &Order<'_>) -> Result<(), SpawnError> {
    let mut said = Captured::default();
    let limit = order.grace + Duration::from_secs(30);
    let undo = Command::own("undo", format!("bad=\n{}\n[ -z \"$bad\" ]", script::undo(&order.id, order.grace)));
    let exit = target.run(&scope.critical("ending the worker", limit), &undo, &mut said).await?;
    match exit.status {
        0 => Ok(()),
        _ => Err(SpawnError::Left(format!("something of it is left: {}", said.last_words()))),
    }
}
