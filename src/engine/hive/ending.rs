//! The end of a hive: with its last job, or now.

use std::time::{Duration, Instant};

use super::Errand;
use crate::{
    daemon::{self, Ground, Order, Process, Signal, Told},
    engine::{Failure, job::Done, phase::phase},
    scope::{Scope, Stop},
    vocab::{Level, Phase},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// For what a hive does between its last job and its end: open streams may finish.
const GOODBYE: Duration = Duration::from_secs(15);
/// After a signal, beyond the grace of its jobs.
const TERM: Duration = Duration::from_secs(5);

impl Errand<'_> {
    /// Ends the hive that runs.
    pub(super) async fn stop(&self, ground: Ground, now: bool) -> Result<Done, Failure> {
        let Some(process) = &ground.serving else {
            let note = if ground.stale { " (its last process is gone)" } else { "" };
            return Ok(Done::unchanged(format!("no hive runs there{note}")));
        };
        self.hold().await?;
        let ended = self.end(&ground, now, false).await;
        if let Err(failure) = &ended
            && failure.phase == Some(Phase::Run)
            && !now
            && self.scope.cancel().reason().is_some()
        {
            let text = "the hive takes no more jobs, and ends by itself with its last one";
            self.scope.in_phase(Phase::Run).notice(Level::Warning, text, None);
        }
        ended?;
        Ok(Done::changed(format!("its hive {} has ended (process {})", process.version, process.pid)))
    }

    /// Waits until the hive has no job, so that little is left to wait for once it is told to end.
    pub(super) async fn wait_for_jobs(&self, ground: &Ground, now: bool) -> Result<(), Failure> {
        if now || ground.serving.is_none() {
            return Ok(());
        }
        phase(self.scope, Phase::Run, None, |scope| async move {
            let mut said = false;
            loop {
                let left = daemon::status(&scope, self.target(), &self.places).await?.map_or(0, |meters| meters.left());
                if left == 0 {
                    return Ok(());
                }
                if !std::mem::replace(&mut said, true) {
                    self.say_waiting(&scope, left);
                }
                scope.race(tokio::time::sleep(PAUSE * 2)).await?;
            }
        })
        .await
    }

    fn say_waiting(&self, scope: &Scope, left: u64) {
        let jobs = if left == 1 { "1 job that has".to_owned() } else { format!("{left} jobs that have") };
        scope.notice(Level::Info, format!("the hive has {jobs} not ended; waiting"), Some("--now cancels them".into()));
    }

    /// Tells it to end and sees it gone; in a change, one that has jobs is asked again later instead of taking no more.
    pub(super) async fn end(&self, ground: &Ground, now: bool, in_change: bool) -> Result<(), Failure> {
        let Some(process) = &ground.serving else { return Ok(()) };
        phase(self.scope, Phase::Run, None, |scope| async move {
            let order = match (now, in_change) {
                (true, _) => Order::Now,
                (false, true) => Order::IfIdle,
                (false, false) => Order::WhenDone,
            };
            let mut said = false;
            let left = loop {
                let short = scope.within("asking the hive", self.run.settings.limits.short);
                match daemon::tell(&short, self.target(), &self.places, order, in_change).await? {
                    Told::Ending(left) => break left,
                    Told::Gone => break 0,
                    Told::Silent if now => return self.by_force(&scope, ground, process).await,
                    Told::Silent => return Err(self.is_silent(process.pid)),
                    Told::Busy => {
                        if !std::mem::replace(&mut said, true) {
                            self.say_waiting(&scope, 1);
                        }
                        scope.race(tokio::time::sleep(PAUSE)).await?;
                    }
                }
            };
            if left > 0 && !now {
                self.say_waiting(&scope, left);
                return self.gone(&scope, process, None).await.map(drop);
            }
            let limits = &self.run.settings.limits;
            let patience = if now { limits.grace + GOODBYE } else { GOODBYE };
            if self.gone(&scope, process, Some(patience)).await? {
                return Ok(());
            }
            self.by_force(&scope, ground, process).await
        })
        .await
    }

    /// Waits until the process is gone; false when it is still there after `patience`.
    async fn gone(&self, scope: &Scope, process: &Process, patience: Option<Duration>) -> Result<bool, Failure> {
        let begun = Instant::now();
        loop {
            if !daemon::lives(scope, self.target(), &self.places, (process.pid, &process.start)).await? {
                return Ok(true);
            }
            if patience.is_some_and(|patience| begun.elapsed() > patience) {
                return Ok(false);
            }
            scope.race(tokio::time::sleep(PAUSE)).await?;
        }
    }

    /// TERM, then KILL, for the process of the record. What ran in the hive sees its pipes end, and ends itself.
    async fn by_force(&self, scope: &Scope, ground: &Ground, process: &Process) -> Result<(), Failure> {
        let (keeper, who) = (ground.kept_by(), (process.pid, process.start.as_str()));
        let text = format!("the hive did not end by itself; ending its process {}", process.pid);
        scope.notice(Level::Warning, text, None);
        for (signal, patience) in [(Signal::Term, self.run.settings.limits.grace + TERM), (Signal::Kill, TERM)] {
            daemon::signal(scope, self.target(), &self.places, keeper.as_ref(), who, signal).await?;
            if self.gone(scope, process, Some(patience)).await? {
                return Ok(());
            }
        }
        let stop = Stop::TimedOut { operation: format!("ending process {}", process.pid), limit: TERM };
        Err(stop.into())
    }
}
