//! One job: its record, its state, and who asked for its end.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use serde_json::Value;
use tokio::sync::watch;

use super::{Ended, lock};
use crate::{
    job::{
        journal::{Tally, Voice},
        log::Log,
        process::this_process,
        store,
    },
    scope::{Cancel, CancelReason},
    vocab::{ExitCode, HostName, RunId},
    wire::{
        VERSION, Word,
        job::{JobBody, JobForm, JobState},
    },
};

/// One job.
pub struct Job {
    pub(super) id: RunId,
    pub(super) dir: PathBuf,
    pub(super) form: Mutex<JobForm>,
    pub(super) state: watch::Sender<JobState>,
    pub(super) cancel: Cancel,
    pub(super) voice: Voice,
    pub(super) tally: Arc<Mutex<Tally>>,
}

impl Job {
    pub(super) fn new(id: RunId, dir: PathBuf, form: JobForm, cancel: Cancel, log: Log) -> Self {
        let voice = Voice { id: id.as_str().into(), log: Arc::new(log) };
        Self {
            id,
            dir,
            state: watch::Sender::new(form.state.0),
            form: Mutex::new(form),
            cancel,
            voice,
            tally: Arc::default(),
        }
    }

    pub fn id(&self) -> &RunId {
        &self.id
    }

    pub fn state(&self) -> JobState {
        *self.state.borrow()
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.voice.log
    }

    /// The job as it stands.
    pub fn form(&self) -> JobForm {
        JobForm { last_event: self.voice.log.last(), ..lock(&self.form).clone() }
    }

    /// Waits for its end.
    pub async fn ended(&self) -> JobState {
        match self.state.subscribe().wait_for(|state| state.is_end()).await {
            Ok(state) => *state,
            Err(_) => self.state(),
        }
    }

    /// Asks for its end; false when it had ended. Whoever asks first is remembered.
    pub fn ask(&self, by: &str, reason: CancelReason) {
        {
            let mut form = lock(&self.form);
            if form.state.0.is_end() {
                return;
            }
            if form.cancelled_by.is_none() {
                form.cancelled_by = Some(by.to_owned());
                form.cancel_asked_at = Some(SystemTime::now());
                self.voice.say(JobBody::JobCancel { by: by.to_owned() });
                tracing::info!(job = %self.id, by, "cancel");
            }
        }
        self.cancel.ask(reason);
    }

    /// Moves to `state`, on disk too if that can be had.
    pub(super) fn enter(&self, state: JobState, change: impl FnOnce(&mut JobForm)) {
        let form = {
            let mut form = lock(&self.form);
            change(&mut form);
            form.state = Word(state);
            form.clone()
        };
        let form = JobForm { last_event: self.voice.log.last(), ..form };
        if let Err(error) = store::write(&self.dir, &form) {
            tracing::warn!(job = %self.id, "its record could not be written: {error}");
        }
    }

    /// The end: said in the log, then written, then told to whoever waits.
    pub(super) fn finish(
        &self,
        state: JobState,
        exit: ExitCode,
        reason: Option<String>,
        confirmed: bool,
        result: Option<Value>,
    ) {
        let remains = lock(&self.tally).remains(confirmed);
        self.voice.say(JobBody::JobFinished {
            state: Word(state),
            reason: reason.clone(),
            exit: Some(exit.code()),
            confirmed,
        });
        self.enter(state, |form| {
            form.ended_at = Some(SystemTime::now());
            form.exit = Some(exit.code());
            form.remains = Some(remains);
            form.reason = reason;
            form.result = result;
        });
        if let Some(error) = self.voice.log.error() {
            tracing::warn!(job = %self.id, "lines of its log were not kept: {error}");
        }
        tracing::info!(job = %self.id, "{state}");
        self.state.send_replace(state);
    }
}

/// A new job's record.
pub(super) fn new_form(id: &RunId, verb: String, submission: Value, hosts: &[HostName]) -> JobForm {
    JobForm {
        v: VERSION,
        job_id: id.to_string(),
        verb,
        submission,
        hosts: hosts.iter().map(ToString::to_string).collect(),
        state: Word(JobState::Queued),
        reason: None,
        exit: None,
        created_at: SystemTime::now(),
        started_at: None,
        ended_at: None,
        cancelled_by: None,
        cancel_asked_at: None,
        remains: None,
        owner: this_process(),
        last_event: 0,
        result: None,
    }
}

/// What an exit status makes of a job, and why.
pub(super) fn verdict(ended: &Ended, asked: Option<CancelReason>, by: Option<&str>) -> (JobState, Option<String>) {
    let by_somebody = matches!(
        asked,
        Some(CancelReason::Client | CancelReason::Unread | CancelReason::Interrupt | CancelReason::Terminate)
    );
    match ended.exit {
        ExitCode::Ok | ExitCode::Changes => (JobState::Completed, None),
        ExitCode::Interrupted | ExitCode::Terminated => {
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            (JobState::Cancelled, Some(format!("cancelled{by}")))
        }
        ExitCode::Unconfirmed if by_somebody => (
            JobState::Cancelled,
            Some(format!("cancelled; {}", ended.error.as_deref().unwrap_or("cleanup unconfirmed"))),
        ),
        ExitCode::Deadline => (JobState::Failed, Some(CancelReason::Deadline.as_str().to_owned())),
        exit => (JobState::Failed, Some(ended.error.clone().unwrap_or_else(|| format!("exit status {}", exit.code())))),
    }
}
