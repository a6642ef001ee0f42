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
    /// Where programs arrive and are tried: the bin folder, so that a rename ends it; scratch, where root must copy.
    parts: String,
}

impl Layout {
    /// For folders that the user may write to.
    pub fn new(bin: impl Into<String>, data: impl Into<String>) -> Self {
        let bin = bin.into();
        Self { parts: bin.clone(), bin, data: data.into() }
    }

    /// For folders of root's: programs arrive in `scratch`.
    pub fn through(self, scratch: impl Into<String>) -> Self {
        Self { parts: scratch.into(), ..self }
    }

    pub fn parts(&self) -> &str {
        &self.parts
    }

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

    /// A program on its way to `path`.
    pub fn part(&self, path: &str, run: &str) -> String {
        format!("{}/.{}.{run}", self.parts, base(path))
    }

    pub fn stores(&self) -> String {
        format!("{}/store", self.data)
    }

    pub fn store(&self, digest: &Digest) -> String {
        format!("{}/store/{digest}", self.data)
    }

    /// A tree on its way to the store.
    pub fn tree_part(&self, worker: &WorkerId, run: &str) -> String {
        let folder = if self.parts == self.bin { self.stores() } else { self.parts.clone() };
        format!("{folder}/.{worker}.{run}.tree")
    }

    /// The kept version of the program at `path`.
    pub fn kept(&self, digest: &Digest, path: &str) -> String {
        format!("{}/{}", self.store(digest), base(path))
    }

    pub fn kept_manifest(&self, digest: &Digest, worker: &WorkerId) -> String {
        format!("{}/{worker}.toml", self.store(digest))
    }

    /// The kept version of what was installed through sudo: at a path that sudoers can name.
    pub fn pinned_kept(&self, worker: &WorkerId) -> String {
        format!("{}/store/{worker}.previous", self.data)
    }

    pub fn pinned_kept_manifest(&self, worker: &WorkerId) -> String {
        format!("{}/store/{worker}.previous.toml", self.data)
    }
}
