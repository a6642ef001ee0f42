//! What was built, kept on the controller under its build key, so that nothing is built twice.
//!
//! # Theory of operation
//! An entry is a folder `KEY/` with `data` (the program) and `artifact.toml` (what it is). It is written as a hidden
//! draft beside its place and comes there by one rename, so that whatever stops a run leaves either no entry or a whole
//! one. A draft is locked while somebody writes it, an entry while somebody uses it; locks end with their process, so a
//! draft that can be locked is debris, and a prune passes over what is in use. Nothing is believed: `data` is hashed
//! each time before it is used, and an entry that is not what it says goes away and is as if it had never been.

mod draft;
mod index;
mod prune;
mod stores;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use draft::Draft;
pub use index::Artifact;
pub use prune::{Bounds, Pruned};
pub use stores::{Kept, Store, Swept, kept, sweep};

use crate::{
    transfer::file_digest,
    vocab::{BuildKey, Digest},
};

const DATA: &str = "data";
const INDEX: &str = "artifact.toml";

/// Why the cache could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {what} {path}: {why}")]
pub struct CacheError {
    what: &'static str,
    path: String,
    why: String,
}

impl CacheError {
    fn new(what: &'static str, path: &Path, why: impl ToString) -> Self {
        Self { what, path: path.display().to_string(), why: why.to_string() }
    }
}

/// The folder of artifacts.
#[derive(Debug, Clone)]
pub struct Artifacts {
    dir: PathBuf,
}

/// An artifact that was kept, as its index tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub artifact: Artifact,
    /// When it was made or used last.
    pub used: SystemTime,
}

/// An artifact whose bytes were just checked; it is not pruned while this is held.
#[derive(Debug)]
pub struct Checked {
    pub artifact: Artifact,
    /// The program's file.
    pub path: PathBuf,
    _used: File,
}

impl Artifacts {
    /// `dir` is made when something is kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Everything that is kept, in the order of keys; what is none of ours or was written by a newer version is left out.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.keys().into_iter().filter_map(|key| self.entry(key)).collect();
        entries.sort_by_key(|entry| entry.artifact.key.0);
        entries
    }

    /// The artifact with this key, if its bytes are still what was kept; a damaged one is removed.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub async fn get(&self, key: BuildKey) -> Result<Option<Checked>, CacheError> {
        let Some(Entry { artifact, .. }) = self.entry(key) else { return Ok(None) };
        let (index, path) = (self.index(key), self.data(key));
        let read = |error: io::Error| CacheError::new("read", &index, error);
        let used = File::open(&index).map_err(read)?;
        used.lock_shared().map_err(read)?;
        let found = file_digest(&path).await;
        if !matches!(&found, Ok((digest, size)) if *digest == artifact.digest && *size == artifact.size) {
            tracing::warn!(key = %key, "a kept artifact is damaged and is removed");
            drop(used);
            self.remove(key);
            return Ok(None);
        }
        // Only for whoever prunes; a folder that cannot be written to serves as well.
        let _ = used.set_modified(SystemTime::now());
        Ok(Some(Checked { artifact, path, _used: used }))
    }

    /// Begins to write an artifact.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn draft(&self) -> Result<Draft, CacheError> {
        prune::sweep(&self.dir);
        Draft::begin(&self.dir)
    }

    /// Forgets an artifact; that it is not there is no error.
    pub fn remove(&self, key: BuildKey) {
        let _ = draft::take_away(&self.dir, &self.place(key));
    }

    /// Removes what is older than asked, then what was not used for longest until the rest is small enough.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn prune(&self, bounds: &Bounds, now: SystemTime) -> Result<Pruned, CacheError> {
        prune::prune(self, bounds, now)
    }

    fn keys(&self) -> Vec<BuildKey> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        names.filter_map(|entry| Digest::parse(entry.file_name().to_str()?).ok().map(BuildKey)).collect()
    }

    fn entry(&self, key: BuildKey) -> Option<Entry> {
        let path = self.index(key);
        let text = index::read_bounded(&path)?;
        let artifact = index::read(&text).filter(|artifact| artifact.key == key)?;
        let used = fs::metadata(&path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Entry { artifact, used })
    }

    fn place(&self, key: BuildKey) -> PathBuf {
        self.dir.join(key.to_string())
    }

    fn index(&self, key: BuildKey) -> PathBuf {
        self.place(key).join(INDEX)
    }

    fn data(&self, key: BuildKey) -> PathBuf {
        self.place(key).join(DATA)
    }
}

#[cfg(test)]
mod tests;
