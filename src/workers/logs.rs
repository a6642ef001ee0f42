//! What a worker says.

use super::{SpawnError, script};
use crate::{
    scope::Scope,
    target::{Target, TargetError, output::EventLines},
    vocab::SpawnId,
};

/// How much of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub lines: u32,
    /// And what comes, as long as it runs.
    pub follow: bool,
}

/// Tells the end of its log as lines.
///
/// # Errors
/// It is not there any more.
pub async fn logs(scope: &Scope, target: &dyn Target, id: &SpawnId, reading: Reading) -> Result<(), SpawnError> {
    let follow = if reading.follow { "1" } else { "" };
    let given = [("ID", id.as_str()), ("N", &reading.lines.to_string()), ("FOLLOW", follow)];
    let mut output = EventLines::new(scope);
    let result = target.run(scope, &script::command("logs", &given, script::LOGS), &mut output).await;
    output.finish().await;
    match result?.status {
        0 => Ok(()),
        _ => {
            let why = output.tail().last().unwrap_or("it cannot be read").to_owned();
            Err(TargetError::Host(why).into())
        }
    }
}
