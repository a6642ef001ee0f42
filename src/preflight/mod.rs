//! Looks at a host, and judges what was seen.
//!
//! # Theory of operation
//! Gather, then judge. Gathering is one script (`probe/`) in one round trip, which changes nothing on the host, and a
//! pure parser of its records; a host that cuts it off is noticed by the missing last record. Judging is pure functions
//! over [`Facts`]: [`check`] says whether a host can do what is asked, [`install_dir`] where a program would go, and
//! [`binary`] what an artifact needs of a host, so that a misfit is refused before it is uploaded.

pub mod binary;
mod capability;
pub mod check;
mod elf;
mod hardware;
pub mod install_dir;
mod names;
pub mod needs;
mod packages;
pub mod parse;
#[cfg(test)]
mod tests;

pub use packages::Provision;
pub use parse::ProbeError;

use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    vocab::{Facts, facts::Os},
};

/// The script that is sent; POSIX sh, one part a subject, each using what those before it define.
pub const PROBE: &str = concat!(
    include_str!("probe/frame.sh"),
    include_str!("probe/host.sh"),
    include_str!("probe/seek.sh"),
    include_str!("probe/tools.sh"),
    include_str!("probe/slow.sh"),
    include_str!("probe/files.sh"),
    include_str!("probe/end.sh"),
);

/// What stands before the questions for what recipes name.
pub(crate) const NEEDS_PROBE: &str = concat!(
    include_str!("probe/frame.sh"),
    include_str!("probe/host.sh"),
    include_str!("probe/seek.sh"),
    include_str!("probe/needs.sh"),
);

/// What stands behind them.
pub(crate) const NEEDS_END: &str = include_str!("probe/end.sh");

/// Why a host's facts are not known.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PreflightError {
    #[error(transparent)]
    Target(#[from] TargetError),
    /// `words` is what the host said last, with a leading ": ", or nothing.
    #[error("{error}{words}")]
    Probe { error: ProbeError, words: String },
}

/// Asks one host for all its facts, in one round trip; its limit is the caller's.
///
/// # Errors
/// When the host could not be asked or did not answer in full.
pub async fn probe(scope: &Scope, target: &dyn Target) -> Result<Facts, PreflightError> {
    let mut output = Captured::default();
    match target.run(scope, &Command::own("probe", PROBE), &mut output).await {
        // The status is not looked at: the last record says whether the script came to its end.
        Ok(_) => {}
        // A shell that is no POSIX shell garbles what every target does first; what it said tells which it is.
        Err(TargetError::Host(said)) if parse::is_windows(&said) => {
            return Ok(Facts { os: Os::Windows, ..Facts::default() });
        }
        Err(error) => return Err(error.into()),
    }
    // The words of cmd and PowerShell go to stderr; they count only where stdout has no record.
    parse::parse(&output.stdout).or_else(|error| match error {
        ProbeError::NotStarted if parse::is_windows(&String::from_utf8_lossy(&output.stderr)) => {
            Ok(Facts { os: Os::Windows, ..Facts::default() })
        }
        error => {
            let words = output.last_words();
            let words = if words.is_empty() || error == ProbeError::NoHome { words } else { format!(": {words}") };
            Err(PreflightError::Probe { error, words })
        }
    })
}
