//! From a start to an answer.

use std::time::{Duration, Instant};

use super::Errand;
use crate::{
    daemon::{self, Keeper, Look, Started},
    engine::{Failure, phase::phase},
    scope::Scope,
    vocab::{Phase, Reason},
};

/// How long a hive may take until it answers.
const HEALTHY: Duration = Duration::from_secs(300);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// A keeper may say "inactive" before it has begun.
const BEGINNING: Duration = Duration::from_secs(3);

/// What one look means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Serves(u32),
    Ended(String),
    Wait,
}

/// Judges one look, so long after the start.
fn judge(look: &Look, ours: bool, elapsed: Duration) -> Verdict {
    match (look.serving.as_ref(), &look.failed) {
        (Some((pid, _)), _) if look.healthy => Verdict::Serves(*pid),
        (None, Some(why)) if ours || elapsed > BEGINNING => Verdict::Ended(why.clone()),
        _ => Verdict::Wait,
    }
}

pub(super) struct Serves {
    pub pid: u32,
    pub took: Duration,
}

impl Errand<'_> {
    /// Starts the hive and waits for its first answer.
    pub(super) async fn started(&self, keeper: &Keeper) -> Result<Serves, Failure> {
        phase(self.scope, Phase::Run, Some(HEALTHY), |scope| async move {
            let begun = Instant::now();
            let started = daemon::start(&scope, self.target(), &self.places, keeper).await?;
            let pid = self.until_healthy(&scope, Some(keeper), Some(started)).await?;
            Ok(Serves { pid, took: begun.elapsed() })
        })
        .await
    }

    pub(super) async fn until_healthy(
        &self,
        scope: &Scope,
        keeper: Option<&Keeper>,
        started: Option<Started>,
    ) -> Result<u32, Failure> {
        let begun = Instant::now();
        let child = started.and_then(|started| started.child);
        loop {
            let look = daemon::look(scope, self.target(), &self.places, keeper, child).await;
            let late = match look {
                Ok(look) => match judge(&look, child.is_some(), begun.elapsed()) {
                    Verdict::Serves(pid) => return Ok(pid),
                    Verdict::Ended(why) => return Err(self.ended(scope, started, &why).await),
                    Verdict::Wait => scope.race(tokio::time::sleep(PAUSE)).await.err().map(Failure::from),
                },
                Err(error) => Some(error.into()),
            };
            match late {
                Some(late) if late.reason == Some(Reason::Timeout) => {
                    let scope = scope.critical("the log", self.run.settings.limits.short);
                    let said = self.said(&scope, started).await;
                    return Err(Failure { error: format!("{}{said}", late.error), ..late });
                }
                Some(other) => return Err(other),
                None => {}
            }
        }
    }

    async fn ended(&self, scope: &Scope, started: Option<Started>, why: &str) -> Failure {
        let said = self.said(scope, started).await;
        Failure::new(format!("the hive did not start: {why}{said}")).because(Some(Reason::Status))
    }

    /// The end of what it wrote since it was started.
    async fn said(&self, scope: &Scope, started: Option<Started>) -> String {
        let Some(started) = started else { return String::new() };
        match daemon::last_words(scope, self.target(), &self.places, started.log).await {
            Ok(lines) if !lines.is_empty() => format!("; it said: {}", lines.join(" / ")),
            _ => format!("; its log is {}", self.places.log()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_judged() {
        let look = |serving: Option<u32>, healthy, failed: Option<&str>| Look {
            serving: serving.map(|pid| (pid, "1".into())),
            healthy,
            failed: failed.map(str::to_owned),
        };
        let (soon, later) = (Duration::from_millis(10), Duration::from_secs(4));
        assert_eq!(judge(&look(Some(4), true, None), true, soon), Verdict::Serves(4));
        // There, and not ready; or a keeper that speaks of the time before.
        for (seen, ours, at) in [
            (look(Some(4), false, None), true, later),
            (look(None, false, None), true, later),
            (look(None, false, Some("inactive")), false, soon),
            (look(Some(4), false, Some("NRestarts=1")), false, later),
        ] {
            assert_eq!(judge(&seen, ours, at), Verdict::Wait, "{seen:?}");
        }
        assert_eq!(judge(&look(None, false, Some("gone")), true, soon), Verdict::Ended("gone".into()));
        assert_eq!(judge(&look(None, false, Some("failed")), false, later), Verdict::Ended("failed".into()));
    }
}
