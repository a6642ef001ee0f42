//! What the files are read and understood against: the machine, the user and the environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{names, resolved};

/// Looks a name up: `None` when there is no such name, else its canonical name if the answer had one.
pub type LookUp = dyn Fn(&str, resolved::Family) -> Option<Option<String>> + Send + Sync;

/// Where a configuration is read and for whom; nothing else of the process has a say.
#[derive(Clone)]
pub struct Surroundings {
    /// `~` and `%d`.
    pub home: PathBuf,
    /// The folder of the system's `ssh_config`.
    pub system: PathBuf,
    /// For `${NAME}`, `SendEnv` and `SHELL`.
    pub env: BTreeMap<String, String>,
    /// `%l`; up to its first dot it is `%L`.
    pub machine: String,
    /// `%i`.
    pub uid: u32,
    /// For `CanonicalizeHostname`.
    pub look_up: Arc<LookUp>,
}

impl Surroundings {
    /// This machine and its user, with that home and without any environment.
    pub fn new(home: &Path) -> Self {
        let machine = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        Self {
            home: home.to_owned(),
            system: PathBuf::from("/etc/ssh"),
            env: BTreeMap::new(),
            machine: machine.unwrap_or_else(|| "localhost".to_owned()),
            uid: nix::unistd::getuid().as_raw(),
            look_up: Arc::new(names::look_up),
        }
    }

    /// The same with an environment; what is not UTF-8 in it is left out.
    pub fn with_env(mut self, env: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Self {
        self.env = env
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        self
    }

    /// Puts a home in the place of a leading `~` or `~user`.
    ///
    /// # Errors
    /// There is no such user.
    pub(super) fn tilde(&self, path: &str) -> Result<String, String> {
        let Some(rest) = path.strip_prefix('~') else { return Ok(path.to_owned()) };
        let (user, below) = rest.split_once('/').unwrap_or((rest, ""));
        let home = if user.is_empty() {
            self.home.to_string_lossy().into_owned()
        } else {
            let found = nix::unistd::User::from_name(user).ok().flatten();
            let found = found.ok_or_else(|| format!("{path}: there is no user {user} on this machine"))?;
            found.dir.to_string_lossy().into_owned()
        };
        let slash = if home.ends_with('/') { "" } else { "/" };
        Ok(format!("{home}{slash}{}", below.trim_start_matches('/')))
    }

    /// Puts the environment's values in the place of `${NAME}`.
    ///
    /// # Errors
    /// A variable that is not set, or a brace that is not closed.
    pub(super) fn variables(&self, text: &str) -> Result<String, String> {
        super::tokens::expand(text, None, Some(&self.env))
    }
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("Surroundings").field("home", &self.home).field("system", &self.system).finish_non_exhaustive()
    }
}
