//! What another process left behind.

use std::{io, sync::Arc};

use super::{Job, Shared, lock};
use crate::{
    job::{log::Log, process::is_alive, store},
    scope::Cancel,
    vocab::{ExitCode, RunId},
    wire::job::JobState,
};

/// Lists the jobs on disk; those that were not over are ended now, and say why.
pub(super) fn restore(shared: &Arc<Shared>) -> io::Result<()> {
    for (dir, form) in store::read_all(&shared.dir)? {
        let Ok(id) = RunId::new(&form.job_id) else { continue };
        let was_over = form.state.0.is_end();
        let log = match Log::open(&dir, shared.limits.log, was_over) {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(job = %id, "its log cannot be read: {error}");
                continue;
            }
        };
        let owner = form.owner.clone();
        let started = form.started_at.is_some();
        let job = Job::new(id, dir, form, Cancel::new(), log);
        if !was_over {
            // What ran on this machine ended with the pipes of its process; hosts end by themselves within the lease.
            let alive = is_alive(&owner);
            let (state, exit, reason) = match (alive, started) {
                (true, _) => (
                    JobState::Failed,
                    ExitCode::Unconfirmed,
                    format!("the process that runs it ({}) no longer answers for it", owner.pid),
                ),
                (false, true) => (
                    JobState::Failed,
                    ExitCode::Unconfirmed,
                    format!("the process that ran it ({}) is gone; what it had started ends with it", owner.pid),
                ),
                (false, false) => (
                    JobState::Cancelled,
                    ExitCode::Interrupted,
                    format!("cancelled before start: the process that had it ({}) is gone", owner.pid),
                ),
            };
            job.finish(state, exit, Some(reason), !alive && !started, None);
        }
        lock(&shared.jobs).insert(job.id.to_string(), Arc::new(job));
    }
    Ok(())
}
