//! Ends a worker that was spawned, and nothing else.

use std::time::Duration;

use super::{SpawnError, script};
use crate::{
    scope::Scope,
    target::{Captured, Target, TargetError},
    vocab::{SpawnId, text::plain_line},
};

/// How a worker was found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing of it ran any more.
    Before,
    /// TERM was enough.
    Term,
    /// KILL was needed.
    Kill,
}

/// TERM to its session, `grace`, KILL, and a look that all of it is gone; then its record goes, too.
///
/// # Errors
/// Something of it is left.
pub async fn stop(scope: &Scope, target: &dyn Target, id: &SpawnId, grace: Duration) -> Result<Stopped, SpawnError> {
    let mut said = Captured::default();
    let naps = script::naps(grace);
    target.run(scope, &script::command("stop", &[("ID", id.as_str()), ("G", &naps)], script::STOP), &mut said).await?;
    match said.text().trim() {
        "absent" | "gone none" => Ok(Stopped::Before),
        "gone term" => Ok(Stopped::Term),
        "gone kill" => Ok(Stopped::Kill),
        text => Err(match text.strip_prefix("left") {
            Some(pids) => SpawnError::Left(format!("processes{} survived KILL", plain_line(pids))),
            None => TargetError::Host(format!("the worker could not be stopped: {}", said.last_words())).into(),
        }),
    }
}
