//! `~/.ssh/config` and the system's file, understood as OpenSSH understands them.
//!
//! # Theory of operation
//! One table ([`keyword`]) says of each keyword what it takes, what it is when nobody says anything, and what effect it
//! has here. The files are read once (`source`): every line is taken apart (`line`), checked and brought into the form in
//! which `ssh -G` prints it (`value`). Looking a host up (`walk`) goes through them in order and keeps what applies, with
//! its place, in [`Settings`]; that is what `ssh -G` answers, and is compared with it in tests. [`Resolved`] is made of
//! those (`resolve`): typed, with all tokens put in, and refusing what cannot be done here.
//!
//! Nothing here reads the environment: what a file may refer to is in [`Surroundings`]. Looking up may take time, because
//! of `Match exec` and `CanonicalizeHostname`, and belongs on a thread that may wait.

mod algorithms;
mod canonical;
mod condition;
mod exec;
mod glob;
mod key_names;
mod keyword;
mod line;
mod names;
mod resolve;
mod resolved;
mod settings;
mod source;
mod surroundings;
#[cfg(test)]
mod tests;
mod tokens;
mod value;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    exec::Answers,
    source::{Item, Reader, Source},
};
pub use self::{
    key_names::KeyUse,
    keyword::{Effect, KEYWORDS, Key, Keyword},
    resolve::Defaults,
    resolved::{AlgorithmList, Algorithms, Alive, Family, Hop, Method, Resolved, Route, Source as BindSource, Strict},
    settings::{Entry, Found, Origin, Settings},
    surroundings::{LookUp, Surroundings},
    walk::Asked,
};
use super::pattern;

/// Everything that the ssh_config files say. Clones share it, and what its commands have answered.
#[derive(Debug, Clone)]
pub struct SshConfig {
    around: Arc<Surroundings>,
    sources: Arc<[Source]>,
    answers: Arc<Answers>,
}

/// What is wrong with the configuration, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{}:{line}: {what}", file.display())]
    Line { file: PathBuf, line: usize, what: String },
    #[error("cannot read {}: {what}", file.display())]
    File { file: PathBuf, what: String },
    /// The inventory, not ssh_config, asks for it.
    #[error("{origin}: {what}")]
    Inventory { origin: String, what: String },
    /// Nobody asked for it.
    #[error("{what}")]
    Default { what: String },
}

impl SshConfig {
    /// Whether resolving may run a command or look a name up, and so belongs on a thread that may wait.
    pub(super) fn may_wait(&self) -> bool {
        self.sources.iter().any(Source::may_wait)
    }

    /// As [`SshConfig::load_in`], on this machine, with that home and an empty environment.
    ///
    /// # Errors
    /// As [`SshConfig::load_in`].
    pub fn load(user: Option<&Path>, home: &Path) -> Result<Self, ConfigError> {
        Self::load_in(user, Surroundings::new(home))
    }

    /// Reads `user` alone (as `ssh -F`; `none` reads nothing), or else `~/.ssh/config` and the system's file.
    ///
    /// # Errors
    /// A file that cannot be read or understood; one of the two standard files may be missing.
    pub fn load_in(user: Option<&Path>, around: Surroundings) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&around);
        let mut sources = Vec::new();
        match user {
            Some(file) if file.as_os_str().eq_ignore_ascii_case("none") => {}
            Some(file) => {
                let missing = || ConfigError::File { file: file.to_owned(), what: "no such file".into() };
                sources.push(reader.file(file, 0, false)?.ok_or_else(missing)?);
            }
            None => {
                sources.extend(reader.file(&around.home.join(".ssh/config"), 0, true)?);
                reader.system = true;
                sources.extend(reader.file(&around.system.join("ssh_config"), 0, false)?);
            }
        }
        // Where nothing can excuse it, an unknown keyword is an error for every host.
        match reader.unknown.take() {
            Some(error) if !reader.ignores => Err(error),
            _ => Ok(Self { around: Arc::new(around), sources: sources.into(), answers: Arc::default() }),
        }
    }

    /// Whether `name` stands in a `Host` line as it is, without a wildcard: a host that may be named without an inventory.
    pub fn is_concrete_host(&self, name: &str) -> bool {
        pattern::is_literal(name) && self.concrete_hosts().contains(&name)
    }

    /// The names that stand in `Host` lines without a wildcard, in the order of the files, each once.
    pub fn concrete_hosts(&self) -> Vec<&str> {
        fn gather<'a>(sources: &'a [Source], names: &mut Vec<&'a str>) {
            for entry in sources.iter().flat_map(|source| &source.entries) {
                match &entry.item {
                    Item::Host(patterns) => {
                        names.extend(patterns.iter().map(String::as_str).filter(|p| pattern::is_literal(p)));
                    }
                    Item::Include(files) => gather(files, names),
                    _ => {}
                }
            }
        }
        let mut names = Vec::new();
        gather(&self.sources, &mut names);
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(*name));
        names
    }
}
