//! Where things are on a host.

use super::scripts::base;
use crate::vocab::{Digest, WorkerId};

/// The folders of one scope of installation, user or system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `~/.local/bin` or `/usr/local/bin`.
    pub bin: String,
    /// `~/.local/share/rbee` or `/usr/local/share/rbee`.
    pub data: String,
}

impl Layout {
    pub fn installed(&self) -> String {
        format!("{}/installed", self.data)
    }

    pub fn manifest(&self, worker: &WorkerId) -> String {
        format!("{}/installed/{worker}.toml", self.data)
    }

    /// A manifest on its way; hidden, so that no probe takes it for one.
    pub fn manifest_part(&self, worker: &WorkerId, run: &str) -> String {
        format!("{}/installed/.{worker}.{run}", self.data)
    }

    /// A program on its way to `path`, beside it.
    pub fn part(&self, path: &str, run: &str) -> String {
        format!("{}/.{}.{run}", self.bin, base(path))
    }

    pub fn store(&self, digest: &Digest) -> String {
        format!("{}/store/{digest}", self.data)
    }

    /// The kept version of the program at `path`.
    pub fn kept(&self, digest: &Digest, path: &str) -> String {
        format!("{}/{}", self.store(digest), base(path))
    }

    pub fn kept_manifest(&self, digest: &Digest, worker: &WorkerId) -> String {
        format!("{}/{worker}.toml", self.store(digest))
    }
}
