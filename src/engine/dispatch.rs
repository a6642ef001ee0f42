//! Gives every host its task, and folds what became of them into one summary.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{
    Failure, Finding, Fleet, Request, SudoPassword,
    census::{Census, Known},
    gather::Gathering,
    group::Need,
    job,
    local_build::LocalBuilds,
    prebuilt::Prebuilts,
    request::InstallRequest,
    roster::{Assignment, Roster, Seen},
};
use crate::{
    catalog::Catalog,
    scope::{CancelReason, Scope},
    vocab::{
        EventKind, ExitCode, Host, HostName, HostReport, HostSummary, Outcome, Reason, Settings, Summary,
        outcome::{Stopped, exit_code},
    },
};

/// Everything that the hosts of one run share.
pub struct Run {
    pub settings: Settings,
    pub fleet: Arc<dyn Fleet>,
    pub catalog: Catalog,
    pub request: Request,
    /// As many failed hosts end the run.
    pub max_fail: Option<usize>,
    /// How many hosts it is for.
    pub hosts: usize,
    /// One refused host refuses all.
    pub all_or_nothing: bool,
    pub local_builds: LocalBuilds,
    pub prebuilts: Prebuilts,
    /// Sources that are fetched here for hosts.
    pub gathering: Gathering,
    pub sudo: SudoPassword,
    /// "user@machine": what a host's lock is told.
    pub who: String,
}

/// How a run ended, and what its hosts said.
#[derive(Debug)]
pub struct Conclusion {
    pub summary: Summary,
    pub findings: BTreeMap<HostName, Vec<Finding>>,
}

/// Runs the request on every host and waits for all of them.
pub async fn dispatch(scope: &Scope, run: Arc<Run>, hosts: &[Host]) -> Conclusion {
    let start = Instant::now();
    scope.events().emit(EventKind::RunStarted {
        verb: run.request.verb().to_owned(),
        hosts: hosts.iter().map(|host| host.name.clone()).collect(),
    });
    run.request.read_ahead();
    let forks = Arc::new(Semaphore::new(run.settings.forks.max(1)));
    let gathers = matches!(&run.request, Request::Model(request) if request.gathers());
    let gate = Arc::new(Gate::new(run.all_or_nothing, run.all_or_nothing, hosts.len()));
    let gathering = Arc::new(Gate::new(false, gathers, hosts.len()));
    let roster = Arc::new(Roster::new(hosts, run.settings.limits.connect));
    let census = Arc::new(Census::new(hosts, run.settings.limits.connect));
    let failed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let mut names = BTreeMap::new();
    for (index, host) in hosts.iter().cloned().enumerate() {
        let (scope, run, forks, gate, failed) =
            (scope.for_host(&host.name), run.clone(), forks.clone(), gate.clone(), failed.clone());
        let (roster, census, gathering) = (roster.clone(), census.clone(), gathering.clone());
        let handle = tasks.spawn(async move {
            let start = Instant::now();
            let (gate, gathering) = (Passage::through(gate), Passage::through(gathering));
            let (seen, told, name) = (AtomicBool::new(false), AtomicBool::new(false), host.name.clone());
            let ticket = Ticket { name, gate, gathering, forks, place: Mutex::default(), roster, seen, census, told };
            let (mut report, findings) = match scope.race(ticket.take_place()).await {
                Ok(()) => job::run(&scope, &run, &host, &ticket).await,
                Err(stop) => {
                    let failure = Failure { error: format!("{stop} before it started"), ..stop.into() };
                    (failure.report(), Vec::new())
                }
            };
            ticket.pass(!report.outcome.is_ok());
            ticket.gone();
            report.elapsed = start.elapsed();
            if matches!(report.outcome, Outcome::Failed | Outcome::Refused | Outcome::Unreachable) {
                let now = failed.fetch_add(1, Ordering::Relaxed) + 1;
                if run.max_fail.is_some_and(|most| now >= most) {
                    scope.cancel().ask(CancelReason::Sibling);
                }
            }
            scope.events().emit(EventKind::HostFinished(report.clone()));
            (index, report, findings)
        });
        names.insert(handle.id(), index);
    }
    let mut reports: Vec<Option<HostReport>> = vec![None; hosts.len()];
    let mut findings = BTreeMap::new();
    while let Some(done) = tasks.join_next_with_id().await {
        match done {
            Ok((_, (index, report, found))) => {
                reports[index] = Some(report);
                findings.insert(hosts[index].name.clone(), found);
            }
            Err(error) => {
                if let Some(index) = names.get(&error.id()) {
                    let mut report = HostReport::of(Outcome::Failed);
                    report.reason = Some(Reason::Internal);
                    report.error = Some(format!("a bug in rbee: {error}"));
                    scope.for_host(&hosts[*index].name).events().emit(EventKind::HostFinished(report.clone()));
                    reports[*index] = Some(report);
                }
            }
        }
    }
    let (built, gathered) = tokio::join!(run.local_builds.close(), run.gathering.close());
    let doubt = built.or(gathered);
    let doubts = roster.doubts();
    let mut summaries: Vec<HostSummary> = hosts
        .iter()
        .zip(reports)
        .filter_map(|(host, report)| Some(HostSummary { host: host.name.clone(), report: report? }))
        .collect();
    // What was done at a host after its own task, or at one that has none, is not in its report yet.
    for (host, doubt) in doubt.map(|doubt| (HostName::local(), doubt)).into_iter().chain(doubts) {
        let report =
            HostReport { reason: Some(Reason::Unconfirmed), error: Some(doubt), ..HostReport::of(Outcome::Failed) };
        match summaries.iter_mut().find(|summary| summary.host == host) {
            Some(summary) => summary.report = HostReport { done: summary.report.done.clone(), ..report },
            None => summaries.push(HostSummary { host, report }),
        }
    }
    let exit = exit(scope, &summaries);
    let summary = Summary { exit, elapsed: start.elapsed(), hosts: summaries };
    scope.events().emit(EventKind::Summary(summary.clone()));
    Conclusion { summary, findings }
}

/// The exit status of a run whose hosts ended so.
pub(super) fn exit(scope: &Scope, summaries: &[HostSummary]) -> ExitCode {
    let stopped = scope.cancel().reason().and_then(|reason| match reason {
        CancelReason::Interrupt | CancelReason::Client => Some(Stopped::Interrupted),
        CancelReason::Terminate | CancelReason::Unread => Some(Stopped::Terminated),
        CancelReason::Deadline => Some(Stopped::Deadline),
        CancelReason::Sibling => None,
    });
    // A cancel that came when all was done already changes nothing about how it ended.
    let all_ok = summaries.iter().all(|s| s.report.outcome.is_ok());
    let stopped = stopped.filter(|_| !all_ok);
    exit_code(summaries.iter().map(|s| (s.report.outcome, s.report.reason)), stopped)
}

/// Where `--all-or-nothing` waits until every host has passed preflight, or one has not.
struct Gate {
    /// One that fails is the end of all.
    strict: bool,
    closed: bool,
    waiting: AtomicUsize,
    failed: AtomicUsize,
    open: tokio::sync::Notify,
}

/// One host's way through a gate.
struct Passage {
    gate: Arc<Gate>,
    passed: AtomicBool,
}

/// One host's way through the gates. A host that ends before it was there, by a bug even, does not hold up the others.
pub struct Ticket {
    name: HostName,
    gate: Passage,
    /// Where hosts say what they have before it is decided for all.
    gathering: Passage,
    forks: Arc<Semaphore>,
    /// One of `--forks`.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    /// Where hosts are compared.
    roster: Arc<Roster>,
    seen: AtomicBool,
    /// Where hosts say what they are.
    census: Arc<Census>,
    told: AtomicBool,
}

impl Gate {
    fn new(strict: bool, closed: bool, hosts: usize) -> Self {
        Self {
            strict,
            closed,
            waiting: AtomicUsize::new(hosts),
            failed: AtomicUsize::new(0),
            open: tokio::sync::Notify::new(),
        }
    }
}

impl Ticket {
    /// Waits for one of `--forks`, unless this host has one.
    pub async fn take_place(&self) {
        if self.place.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        // The semaphore is never closed.
        let place = self.forks.clone().acquire_owned().await.ok();
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Lets others work while this host waits for one of them.
    pub fn give_place(&self) {
        drop(self.place.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Enters the host among those that are compared.
    pub fn enter(&self, seen: Seen, needs: Vec<Need>) {
        if !self.seen.swap(true, Ordering::SeqCst) {
            self.roster.enter(seen, needs);
        }
    }

    /// How this host, which was entered, comes to its programs: once all hosts were seen. In the order of its needs.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn shares(
        &self,
        scope: &Scope,
        run: &Run,
        request: &InstallRequest,
        host: &HostName,
    ) -> Result<Vec<Assignment>, Failure> {
        if !self.roster.is_settled() {
            self.give_place();
        }
        let shares = self.roster.shares(scope, run, request, host).await;
        scope.race(self.take_place()).await?;
        shares
    }

    /// Keeps what could not be confirmed about a host that this one's task worked at.
    pub fn confirm(&self, host: &HostName, doubt: Option<String>) {
        self.roster.confirm(host, doubt);
    }

    /// Tells the others what this host is.
    pub fn tell(&self, known: Known) {
        if !self.told.swap(true, Ordering::SeqCst) {
            self.census.tell(Some(known));
        }
    }

    /// What the others are, once they have told.
    ///
    /// # Errors
    /// The scope's own stop.
    pub async fn known(&self, scope: &Scope) -> Result<Vec<Known>, Failure> {
        if !self.census.is_settled() {
            self.give_place();
        }
        let known = self.census.known(scope).await;
        scope.race(self.take_place()).await?;
        known
    }

    /// Has those who need a build wait for these hosts, which prepare themselves for it.
    pub fn expect(&self, hosts: Vec<HostName>) {
        self.roster.expect(hosts);
    }

    fn gone(&self) {
        if !self.told.swap(true, Ordering::SeqCst) {
            self.census.tell(None);
        }
        if !self.seen.swap(true, Ordering::SeqCst) {
            self.roster.gone(&self.name);
        }
    }

    fn pass(&self, failed: bool) {
        self.gathering.pass(failed);
        self.gate.pass(failed);
    }

    /// Waits for the others, where none is changed unless all can be.
    ///
    /// Those that have not begun may need this host's place to get here, so it is given up meanwhile.
    ///
    /// # Errors
    /// One of them did not pass, or the scope's own stop.
    pub async fn wait(&self, scope: &Scope) -> Result<(), Failure> {
        self.gathering.pass(false);
        if scope.race(self.go_through(&self.gate)).await? {
            return Ok(());
        }
        Err(Failure::refused("not started: with --all-or-nothing, another host's refusal is this one's", None))
    }

    /// Waits until the others have been looked at, too, however that went.
    pub async fn gather(&self) {
        self.go_through(&self.gathering).await;
    }

    async fn go_through(&self, passage: &Passage) -> bool {
        if !passage.gate.closed {
            return true;
        }
        passage.pass(false);
        self.give_place();
        let passed = passage.others().await;
        self.take_place().await;
        passed
    }
}

impl Passage {
    fn through(gate: Arc<Gate>) -> Self {
        Self { gate, passed: AtomicBool::new(false) }
    }

    fn pass(&self, failed: bool) {
        if self.passed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.gate.failed.fetch_add(usize::from(failed), Ordering::SeqCst);
        self.gate.waiting.fetch_sub(1, Ordering::SeqCst);
        self.gate.open.notify_waiters();
    }

    async fn others(&self) -> bool {
        loop {
            let woken = self.gate.open.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if self.gate.strict && self.gate.failed.load(Ordering::SeqCst) > 0 {
                return false;
            }
            if self.gate.waiting.load(Ordering::SeqCst) == 0 {
                return true;
            }
            woken.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pass(true);
        self.gone();
    }
}
