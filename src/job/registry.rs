//! All jobs of one process.

mod job;
mod restore;
mod running;

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use super::{
    JobError,
    log::{Bounds, Log},
    store,
};
use crate::{
    scope::{Cancel, CancelReason, Scope},
    vocab::{ExitCode, HostName, InvalidName, RunId, text::human_duration},
    wire::job::{JobBody, JobForm, JobState},
};
pub use job::Job;
use job::{new_form, verdict};
pub use running::Running;

/// What a job does, given the scope that may end it.
pub type Work = Box<dyn FnOnce(Scope) -> Pin<Box<dyn Future<Output = Ended> + Send>> + Send>;

/// What is submitted.
pub struct Order {
    pub verb: String,
    /// As it was submitted or typed, to be shown.
    pub submission: Value,
    pub hosts: Vec<HostName>,
    /// Hard limit, from its start on.
    pub limit: Option<Duration>,
    pub work: Work,
}

/// How work ended.
#[derive(Debug)]
pub struct Ended {
    pub exit: ExitCode,
    /// The first thing that went wrong.
    pub error: Option<String>,
    pub result: Option<Value>,
}

/// How much a registry takes and keeps.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Jobs that run at a time.
    pub running: usize,
    /// Jobs that may wait.
    pub queued: usize,
    /// Jobs that have ended and are still listed, and how long.
    pub kept: usize,
    pub kept_for: Duration,
    pub log: Bounds,
    /// The longest a cancel can take: grace, and what is given to looking.
    pub confirm: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running: 4,
            queued: 1000,
            kept: 200,
            kept_for: Duration::from_secs(7 * 24 * 3600),
            log: Bounds::default(),
            confirm: Duration::from_millis(5500),
        }
    }
}

/// Jobs since the registry was made.
#[derive(Debug, Default)]
pub struct Counts {
    pub submitted: AtomicU64,
    pub cancels: AtomicU64,
}

/// All jobs of one process; clones are the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    limits: Limits,
    jobs: Mutex<BTreeMap<String, Arc<Job>>>,
    places: Arc<Semaphore>,
    closing: watch::Sender<bool>,
    counts: Counts,
}

/// What became of all jobs when a registry closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    Clean,
    /// So many ended without word that nothing is left.
    Unconfirmed(usize),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new id: `YYYYMMDD-HHMMSS-xxxxxx`, UTC.
///
/// # Errors
/// The clock is beyond what can be written.
pub fn fresh_id() -> Result<RunId, InvalidName> {
    let form = time::macros::format_description!("[year][month][day]-[hour][minute][second]");
    let stamp = time::OffsetDateTime::from(SystemTime::now()).format(form).unwrap_or_default();
    RunId::new(&format!("{stamp}-{:06x}", rand::random::<u32>() & 0xff_ffff))
}

impl Registry {
    /// A registry that keeps its jobs below `dir`, with what another process left there.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> Result<Self, JobError> {
        let registry = Self::empty(dir.into(), limits);
        let shared = &registry.0;
        let failed = |error| JobError::Store { dir: shared.dir.display().to_string(), error };
        store::make_dir(&shared.dir).map_err(failed)?;
        restore::restore(shared).map_err(failed)?;
        registry.expire();
        Ok(registry)
    }

    /// A registry of what this process alone does; nothing is made before there is a job.
    pub fn empty(dir: PathBuf, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            dir,
            jobs: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.running)),
            closing: watch::Sender::new(false),
            counts: Counts::default(),
            limits,
        }))
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub fn get(&self, id: &str) -> Option<Arc<Job>> {
        lock(&self.0.jobs).get(id).cloned()
    }

    /// All jobs, the newest first.
    pub fn list(&self) -> Vec<Arc<Job>> {
        lock(&self.0.jobs).values().rev().cloned().collect()
    }

    /// How many jobs are in each state.
    pub fn states(&self) -> BTreeMap<JobState, usize> {
        let mut states = BTreeMap::new();
        for job in lock(&self.0.jobs).values() {
            *states.entry(job.state()).or_default() += 1;
        }
        states
    }

    /// Whether jobs are no longer taken.
    pub fn is_closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    /// Takes no further jobs; those that are there go on.
    pub fn stop_taking(&self) {
        self.0.closing.send_replace(true);
    }

    /// As [`Registry::stop_taking`], if no job is there that has not ended; else how many are, and nothing changes.
    pub fn stop_if_idle(&self) -> Option<usize> {
        // Whoever is added meanwhile waits here, and sees that it came too late.
        let jobs = lock(&self.0.jobs);
        let left = jobs.values().filter(|job| !job.state().is_end()).count();
        if left > 0 {
            return Some(left);
        }
        self.stop_taking();
        None
    }

    /// Ends when jobs are no longer taken.
    pub async fn stopped_taking(&self) {
        let _ = self.0.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Asks every job for its end.
    pub fn cancel_all(&self, by: &str, reason: CancelReason) {
        self.list().iter().for_each(|job| job.ask(by, reason));
    }

    /// Skips every grace from now on.
    pub fn harden(&self) {
        self.list().iter().for_each(|job| job.cancel.harden());
    }

    /// Waits until every job has ended.
    pub async fn all_ended(&self) -> Closed {
        let mut unconfirmed = 0;
        for job in self.list() {
            let was_over = job.state().is_end();
            job.ended().await;
            if !was_over && !job.form().remains.is_some_and(|remains| remains.confirmed) {
                unconfirmed += 1;
            }
        }
        if unconfirmed == 0 { Closed::Clean } else { Closed::Unconfirmed(unconfirmed) }
    }

    /// Forgets jobs that ended long ago, and the oldest of those that are too many.
    pub fn expire(&self) {
        let limits = &self.0.limits;
        let mut jobs = lock(&self.0.jobs);
        let ended: Vec<(String, SystemTime)> = jobs
            .iter()
            .filter(|(_, job)| job.state().is_end())
            .map(|(id, job)| (id.clone(), lock(&job.form).ended_at.unwrap_or(SystemTime::UNIX_EPOCH)))
            .collect();
        let too_many = ended.len().saturating_sub(limits.kept);
        let old = |at: &SystemTime| at.elapsed().is_ok_and(|age| age > limits.kept_for);
        for (_, (id, _)) in ended.iter().enumerate().filter(|(nth, (_, at))| *nth < too_many || old(at)) {
            if let Some(job) = jobs.remove(id) {
                let _ = std::fs::remove_dir_all(&job.dir);
            }
        }
    }

    fn is_full(&self) -> Option<JobError> {
        let queued = self.states().get(&JobState::Queued).copied().unwrap_or_default();
        (queued >= self.0.limits.queued).then_some(JobError::Full(queued))
    }

    fn add(&self, id: RunId, dir: &Path, form: JobForm, cancel: Cancel) -> Result<Arc<Job>, JobError> {
        let failed = |error| JobError::Store { dir: dir.display().to_string(), error };
        store::make_dir(dir).map_err(failed)?;
        store::write(dir, &form).map_err(failed)?;
        let job = Arc::new(Job::new(id, dir.to_owned(), form, cancel, Log::new(dir, self.0.limits.log)));
        let mut jobs = lock(&self.0.jobs);
        if self.is_closing() {
            let _ = std::fs::remove_dir_all(dir);
            return Err(JobError::Ending);
        }
        jobs.insert(job.id.to_string(), job.clone());
        Ok(job)
    }
}

impl Registry {
    /// Starts a job as soon as there is a place for it.
    ///
    /// # Errors
    /// The registry closes, too many wait, or the job cannot be kept.
    pub fn submit(&self, order: Order) -> Result<Arc<Job>, JobError> {
        if self.is_closing() {
            return Err(JobError::Ending);
        }
        if let Some(error) = self.is_full() {
            return Err(error);
        }
        self.expire();
        let id = fresh_id().map_err(|error| JobError::Store {
            dir: self.0.dir.display().to_string(),
            error: std::io::Error::other(error.to_string()),
        })?;
        let form = new_form(&id, order.verb.clone(), order.submission.clone(), &order.hosts);
        let dir = self.0.dir.join(id.as_str());
        let job = self.add(id, &dir, form, Cancel::new())?;
        self.0.counts.submitted.fetch_add(1, Ordering::Relaxed);
        let hosts = order.hosts.iter().map(ToString::to_string).collect();
        job.voice.say(JobBody::JobQueued { verb: order.verb.clone(), hosts });
        tokio::spawn(running::carry_out(job.clone(), self.0.places.clone(), order));
        Ok(job)
    }

    /// Asks a job for its end and waits for it, as long as that can take; yields the job as it stands then.
    pub async fn cancel(&self, id: &str, by: &str) -> Option<JobForm> {
        let job = self.get(id)?;
        if !job.state().is_end() {
            self.0.counts.cancels.fetch_add(1, Ordering::Relaxed);
            job.ask(by, CancelReason::Client);
            if tokio::time::timeout(self.0.limits.confirm, job.ended()).await.is_err() {
                tracing::warn!(job = %job.id, "has not ended {} after it was cancelled", human_duration(self.0.limits.confirm));
            }
        }
        Some(job.form())
    }
}

#[cfg(test)]
mod tests;
