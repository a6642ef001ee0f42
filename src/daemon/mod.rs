//! A host's own hive: whether one serves, what keeps it, how it is started and ended.
//!
//! # Theory of operation
//! A hive writes who it is (process, start of that process, boot) into the file that it has locked for as long as it lives.
//! Whoever started it, it is found by that and never by a name; a record whose process is another one by now counts for
//! nothing. What starts it is one script, `launch`, in the hive's state folder. A [`Keeper`] runs that: systemd's manager of
//! the user, launchd, or, where there is neither, nobody after us: a session of its own. What it says goes to `log` beside it.
//!
//! A hive is asked and told things through its own program, `hive dial-stdio`, which a shell can speak HTTP over. To be
//! started means that it answers.
//!
//! A change ([`change`]) is one whole or nothing: before it begins, what was there is laid aside in `undo.d` with a script that
//! puts it back. The change is done when that folder is gone. Whatever stops it before, a cancel, a lost connection, a
//! hive that does not answer, or the power, runs that script: at once, or at the next change.

mod change;
mod keeper;
mod life;
mod said;
mod script;

pub use change::{Before, begin, commit, register, take_back};
pub use keeper::{Keeper, choose};
pub use life::{
    Order, Signal, Started, Told, last_words, lives, look, set_up, signal, start, status, survey, take_down, tell,
};
pub use said::{Ground, Look, Meters, Process};
pub use script::{KNOWN, Launch, port_of};

use crate::target::TargetError;

/// The port that a hive has unless it is told another.
pub const PORT: u16 = 7835;

/// Why a hive could not be looked at, started or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Target(#[from] TargetError),
    /// With the host's own words.
    #[error("cannot {what}: {words}")]
    Host { what: &'static str, words: String },
    #[error("the host's answer to {0} was not understood")]
    Garbled(&'static str),
}

/// Folders and files of a host's hive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `~/.local/state/rbee/hive`
    pub state: String,
}

impl Places {
    /// Below the host's state folder.
    pub fn new(state_dir: &str) -> Self {
        Self { state: format!("{state_dir}/hive") }
    }

    pub fn launch(&self) -> String {
        format!("{}/launch", self.state)
    }

    pub fn log(&self) -> String {
        format!("{}/log", self.state)
    }

    fn undo(&self) -> String {
        format!("{}/undo.d", self.state)
    }
}
