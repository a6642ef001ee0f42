//! A job from its beginning to its end.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::sync::Semaphore;

use super::{Ended, Job, Order, Registry, lock, new_form, verdict};
use crate::{
    job::{JobError, Journal},
    report,
    scope::{CancelReason, Scope, events},
    vocab::{ExitCode, HostName, RunId},
    wire::job::{JobBody, JobState},
};

impl Job {
    fn journal(&self) -> Journal {
        Journal::new(self.voice.clone(), self.tally.clone())
    }

    fn start(&self) {
        self.enter(JobState::Running, |form| form.started_at = Some(SystemTime::now()));
        self.voice.say(JobBody::JobStarted {});
        self.state.send_replace(JobState::Running);
    }

    fn conclude(&self, ended: Ended) {
        let by = lock(&self.form).cancelled_by.clone();
        let (state, reason) = verdict(&ended, self.cancel.reason(), by.as_deref());
        let confirmed = !matches!(ended.exit, ExitCode::Unconfirmed | ExitCode::Bug);
        self.finish(state, ended.exit, reason, confirmed, ended.result);
    }
}

/// Waits for a place, does the work, and says how it ended.
pub(super) async fn carry_out(job: Arc<Job>, places: Arc<Semaphore>, order: Order) {
    let place = tokio::select! {
        biased;
        _ = job.cancel.cancelled() => None,
        place = places.acquire_owned() => place.ok(),
    };
    // A cancel that came together with the place was first.
    let Some(_place) = place.filter(|_| job.cancel.reason().is_none()) else {
        let reason = Some("cancelled before start".to_owned());
        return job.finish(JobState::Cancelled, ExitCode::Interrupted, reason, true, None);
    };
    job.start();
    let (emitter, receiver) = events(job.id.clone());
    let reporter = match report::spawn(receiver, vec![Box::new(job.journal())]) {
        Ok(reporter) => reporter,
        Err(error) => {
            let reason = Some(format!("cannot start a thread: {error}"));
            return job.finish(JobState::Failed, ExitCode::Failed, reason, true, None);
        }
    };
    let scope = Scope::new(job.cancel.clone(), emitter);
    let timer = order.limit.map(|limit| tokio::spawn(expire(job.cancel.clone(), limit)));
    let ended = match tokio::spawn((order.work)(scope)).await {
        Ok(ended) => ended,
        Err(error) => Ended { exit: ExitCode::Bug, error: Some(format!("a bug in rbee: {error}")), result: None },
    };
    if let Some(timer) = timer {
        timer.abort();
    }
    // Every emitter is gone, so the journal has all of it in a moment.
    let _ = tokio::task::spawn_blocking(move || reporter.join()).await;
    job.conclude(ended);
}

async fn expire(cancel: crate::scope::Cancel, limit: Duration) {
    tokio::time::sleep(limit).await;
    cancel.ask(CancelReason::Deadline);
}

/// A job that somebody else carries out: a run of the command line, shown to other terminals.
pub struct Running {
    job: Arc<Job>,
    dir: PathBuf,
}

impl Registry {
    /// Lists a run that is about to begin, under its own id; its events come through the journal.
    ///
    /// # Errors
    /// The job cannot be kept.
    pub fn adopt(
        &self,
        id: RunId,
        verb: &str,
        submission: Value,
        hosts: &[HostName],
        scope: &Scope,
    ) -> Result<(Running, Journal), JobError> {
        let form = new_form(&id, verb.to_owned(), submission, hosts);
        let dir = self.0.dir.clone();
        let job = self.add(id, &dir, form, scope.cancel().clone())?;
        job.start();
        let journal = job.journal();
        Ok((Running { job, dir }, journal))
    }
}

impl Running {
    /// Says how it ended.
    pub fn finish(&self, ended: Ended) {
        self.job.conclude(ended);
    }
}

impl Drop for Running {
    /// Its events are in the logs of the run; nobody comes back to the journal of a process that is gone.
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
