//! Where sockets, tokens and jobs of this machine are.

use std::path::{Path, PathBuf};

use super::{
    Complaint,
    context::{home, xdg},
};

/// Folders of one user on this machine.
pub struct Places {
    state: PathBuf,
    /// `XDG_RUNTIME_DIR`, if it is set and there.
    runtime: Option<PathBuf>,
}

impl Places {
    pub fn find() -> Result<Self, Complaint> {
        Ok(Self::of(&xdg("XDG_STATE_HOME", &home()?, ".local/state")))
    }

    pub fn of(state_dir: &Path) -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self { state: state_dir.to_owned(), runtime: runtime.filter(|dir| dir.is_absolute() && dir.is_dir()) }
    }

    /// Where sockets are made.
    pub fn sockets(&self) -> PathBuf {
        self.runtime.as_ref().map_or_else(|| self.state.join("run"), |dir| dir.join("rbee"))
    }

    /// Where sockets may be: a session over SSH and one at a desk need not agree about the variable.
    pub fn all_sockets(&self) -> Vec<PathBuf> {
        let usual = PathBuf::from(format!("/run/user/{}/rbee", nix::unistd::geteuid()));
        let mut found = vec![self.sockets(), self.state.join("run")];
        // A home of one's own, as in a test, has sockets of its own.
        if self.is_usual() {
            found.push(usual);
        }
        found.dedup();
        found
    }

    /// Whether the state is where this user's is anyway.
    fn is_usual(&self) -> bool {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
        user.is_some_and(|user| self.state.starts_with(user.dir))
    }

    pub fn hive(&self) -> PathBuf {
        self.state.join("hive")
    }

    pub fn jobs(&self) -> PathBuf {
        self.hive().join("jobs")
    }

    pub fn token(&self) -> PathBuf {
        self.hive().join("token")
    }

    pub fn lock(&self) -> PathBuf {
        self.hive().join("serving")
    }
}
