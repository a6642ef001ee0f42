//! One host's part of a run: connect, do what is asked, close, report.

use std::{pin::Pin, sync::Arc, time::Instant};

use super::{
    Failure, Finding, InstallRequest, Request, Run,
    bench::Bench,
    census::Known,
    dispatch::Ticket,
    hive, install, model, needs,
    phase::phase,
    query, sudo, trust, undo, variant,
    version::{self, Way},
    worker,
};
use crate::{
    preflight,
    scope::Scope,
    target::{Closed, Command, Target, output::EventLines, supervisor::say_containment},
    vocab::{EventKind, Facts, Host, HostReport, Level, Moved, Outcome, Phase, Reason, WorkerId, text::human_duration},
};

/// What a host's job has to show when it went well.
#[derive(Debug, Default)]
pub struct Done {
    pub changed: bool,
    pub words: Vec<String>,
    pub hint: Option<String>,
    pub moved: Option<Moved>,
}

impl Done {
    pub fn unchanged(words: impl Into<String>) -> Self {
        Self { words: vec![words.into()], ..Self::default() }
    }

    pub fn changed(words: impl Into<String>) -> Self {
        Self { changed: true, ..Self::unchanged(words) }
    }

    /// This and then that.
    pub fn and(mut self, other: Self) -> Self {
        self.changed |= other.changed;
        self.words.extend(other.words);
        self.hint = self.hint.or(other.hint);
        self.moved = self.moved.or(other.moved);
        self
    }
}

/// Runs the host's job to its end, whatever that is; nothing of it is left on the host then, or the report says so.
pub async fn run(scope: &Scope, run: &Run, host: &Host, ticket: &Ticket) -> (HostReport, Vec<Finding>) {
    scope.events().emit(EventKind::HostStarted);
    if let Request::Trust { propose } = run.request {
        return trust(scope, run, host, propose).await;
    }
    let mut findings = Vec::new();
    let started = Instant::now();
    let connected = phase(scope, Phase::Connect, None, |scope| async move {
        run.fleet.connect(&scope, host).await.map_err(Failure::from)
    })
    .await;
    let target = match connected {
        Ok(target) => target,
        Err(failure) => return (unreachable(host, failure), findings),
    };
    let result = work(scope, run, host, &target, ticket, started, &mut findings).await;
    let closed = target.close().await;
    let mut report = match result {
        Ok(done) => HostReport {
            done: done.words,
            hint: done.hint,
            moved: done.moved,
            ..HostReport::of(if done.changed { Outcome::Changed } else { Outcome::Unchanged })
        },
        Err(failure) => failure.report(),
    };
    if closed == Closed::Clean
        && report.outcome == Outcome::Cancelled
        && report.reason != Some(Reason::Unconfirmed)
        && let Some(error) = &mut report.error
    {
        let during = report.phase.map(|phase| format!(" during {phase}")).unwrap_or_default();
        *error = format!("{error}{during}; nothing is left on the host");
    }
    if let Closed::Unconfirmed(what) = closed {
        let doubt = format!("cleanup unconfirmed: {what}");
        match &mut report.error {
            // It says so already.
            Some(_) if matches!(report.reason, Some(Reason::Unconfirmed | Reason::Lost)) => {}
            Some(error) => *error = format!("{error}; {doubt}"),
            None => report.error = Some(doubt),
        }
        if report.outcome.is_ok() {
            report.outcome = Outcome::Failed;
        }
        report.reason = Some(Reason::Unconfirmed);
        report.hint.get_or_insert_with(|| {
            format!("the host ends what is left by itself within {}", human_duration(run.settings.limits.lease))
        });
    }
    (report, findings)
}

/// Looks at the host's keys; nobody logs in.
async fn trust(scope: &Scope, run: &Run, host: &Host, propose: bool) -> (HostReport, Vec<Finding>) {
    let mut stations = Vec::new();
    let found = &mut stations;
    let gathered =
        phase(
            scope,
            Phase::Connect,
            None,
            |scope| async move { trust::gather(&scope, run, host, propose, found).await },
        );
    let report = match gathered.await {
        Err(failure) => unreachable(host, failure),
        Ok(()) => HostReport { done: vec![trust::words(&stations)], ..HostReport::of(Outcome::Unchanged) },
    };
    (report, vec![Finding::Trust(stations)])
}

/// What an attempt to connect that failed means for this host.
fn unreachable(host: &Host, failure: Failure) -> HostReport {
    let mut report = failure.report();
    if host.optional && report.outcome == Outcome::Unreachable {
        report.outcome = Outcome::Skipped;
        report.reason = Some(Reason::Optional);
    }
    report
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send + 'a>>;

/// What is asked of the host. In a box: who only runs a command does not hold the room that an install takes.
fn work<'a>(
    scope: &'a Scope,
    run: &'a Run,
    host: &'a Host,
    shared: &'a Arc<dyn Target>,
    ticket: &'a Ticket,
    started: Instant,
    findings: &'a mut Vec<Finding>,
) -> Work<'a> {
    let target = &**shared;
    match &run.request {
        Request::Model(request) => Box::pin(model::model(scope, run, host, target, ticket, request, findings)),
        Request::Worker(request) => Box::pin(worker::worker(scope, run, target, request, findings)),
        Request::Hive(request) => Box::pin(hive::hive(scope, run, host, shared, ticket, request, findings)),
        Request::Ping => Box::pin(ping(scope, run, target, started, findings)),
        // Answered without a target.
        Request::Trust { .. } => Box::pin(async { Ok(Done::default()) }),
        Request::Exec { script } => Box::pin(phase(scope, Phase::Run, None, |scope| exec(scope, target, script))),
        Request::Status => Box::pin(status(scope, run, target, findings)),
        Request::Look { worker } => Box::pin(look(scope, run, target, worker.as_ref(), findings)),
        Request::Check(request) => Box::pin(check(scope, run, host, target, ticket, request, findings)),
        Request::Install(request) => Box::pin(install(scope, run, host, shared, ticket, request, findings)),
        Request::Recipe(request) => Box::pin(super::author::recipe(scope, run, host, target, request, findings)),
        Request::Rollback { worker } => Box::pin(async {
            let inside = run.sudo.inside();
            let facts = facts(scope, run, target).await?;
            undo::rollback(scope, run, host, target, &facts, worker.as_ref(), inside).await
        }),
        Request::Remove { worker, force } => Box::pin(async {
            let inside = run.sudo.inside();
            let facts = facts(scope, run, target).await?;
            undo::remove(scope, run, host, target, &facts, worker, *force, inside).await
        }),
    }
}

async fn ping(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    started: Instant,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let short = Some(run.settings.limits.short);
    let asked = phase(scope, Phase::Run, short, |scope| async move { query::ping(&scope, target, started).await });
    Ok(found(findings, asked.await?))
}

async fn status(scope: &Scope, run: &Run, target: &dyn Target, findings: &mut Vec<Finding>) -> Result<Done, Failure> {
    let facts = facts(scope, run, target).await?;
    let asked = phase(scope, Phase::Verify, None, |scope| async move { query::status(&scope, target, &facts).await });
    Ok(found(findings, asked.await?))
}

/// Keeps what was found, and says it.
fn found(findings: &mut Vec<Finding>, finding: Finding) -> Done {
    let words = finding.words();
    findings.push(finding);
    Done::unchanged(words)
}

async fn look(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    worker: Option<&WorkerId>,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let facts = facts(scope, run, target).await?;
    let mut done = Done::unchanged(facts.platform());
    if let Some(worker) = worker {
        let facts = &facts;
        let limit = Some(run.settings.limits.short * 4);
        let held = phase(scope, Phase::Verify, limit, |scope| async move {
            query::held(&scope, target, facts, worker).await.map(Finding::Held)
        });
        done = found(findings, held.await?);
    }
    findings.push(Finding::Facts(Box::new(facts)));
    Ok(done)
}

async fn check(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    ticket: &Ticket,
    request: &InstallRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let inside = run.sudo.inside();
    let facts = facts(scope, run, target).await?;
    let facts = needs::look(scope, run, host, target, request, facts).await?;
    ticket.tell(Known { host: host.clone(), facts: Arc::new(facts.clone()) });
    let request = &variant::settle(scope, run, host, ticket, request, &facts).await?;
    let places = install::through_sudo(run, host, request, &facts);
    let rights = sudo::look(scope, run, host, target, &facts, places, inside, true).await;
    let (finding, failure) = query::check(scope, run, host, ticket, request, facts).await?;
    let done = found(findings, finding);
    failure.or(rights.err()).map_or(Ok(done), Err)
}

async fn install(
    scope: &Scope,
    run: &Run,
    host: &Host,
    shared: &Arc<dyn Target>,
    ticket: &Ticket,
    request: &InstallRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let target = &**shared;
    let inside = run.sudo.inside();
    let facts = facts(scope, run, target).await?;
    let facts = needs::look(scope, run, host, target, request, facts).await?;
    ticket.tell(Known { host: host.clone(), facts: Arc::new(facts.clone()) });
    let request = &variant::settle(scope, run, host, ticket, request, &facts).await?;
    match version::way(scope, run, target, &facts, request).await? {
        Way::Install => {
            let provided = needs::provide(scope, run, host, target, request, facts, ticket, inside).await?;
            let (inside, before) = (provided.inside, provided.done.unwrap_or_default());
            let bench = Arc::new(Bench::live(host, Arc::new(provided.facts), shared.clone()));
            let done = install::install(scope, run, &bench, target, request, ticket, inside, findings).await;
            bench.leave().await;
            Ok(before.and(done?))
        }
        Way::There(manifest) => Ok(Done::unchanged(version::there(&manifest))),
        Way::Back(worker, words) if request.dry_run => Ok(Done::changed(format!("{worker}: {words}"))),
        Way::Back(worker, _) => {
            ticket.wait(scope).await?;
            undo::rollback(scope, run, host, target, &facts, Some(&worker), inside).await
        }
    }
}

/// Looks at the host.
pub(super) async fn facts(scope: &Scope, run: &Run, target: &dyn Target) -> Result<Facts, Failure> {
    let limit = Some(run.settings.limits.short);
    phase(scope, Phase::Preflight, limit, |scope| async move {
        let facts = preflight::probe(&scope, target).await?;
        for name in &facts.silent {
            scope.notice(Level::Warning, format!("{name} did not answer in time and is taken as absent"), None);
        }
        Ok(facts)
    })
    .await
}

/// Runs the user's command; its status decides.
async fn exec(scope: Scope, target: &dyn Target, script: &str) -> Result<Done, Failure> {
    let mut output = EventLines::new(&scope);
    let command = Command::foreign("command", script).last();
    let result = target.run(&scope, &command, &mut output).await;
    output.finish().await;
    let exit = result?;
    say_containment(&scope, exit.containment);
    match exit.status {
        0 => Ok(Done::changed("status 0")),
        status => Err(Failure::new(format!("the command ended with status {status}")).because(Some(Reason::Status))),
    }
}
