//! What the hosts of one download share: the manifest, links that are asked for once, and files that are fetched here.
//!
//! # Theory of operation
//! A link is asked for when the first host needs it and handed to all; who finds it expired asks for the next, and
//! those who had the same one get that. What this machine fetches itself (small files, which may need the token, and
//! large ones that are relayed) lands in a spool of the run's own, once for all hosts, and goes with the shipment.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as Turn, OnceCell};

use super::{
    Hub, ModelError,
    hub::Link,
    manifest::{BlobId, Manifest, ModelFile},
    plan::Options,
};
use crate::scope::Scope;

/// A link that is older is asked for again before it is used; they last an hour or so.
const FRESH: Duration = Duration::from_secs(20 * 60);
/// Small files that are fetched at a time.
const AT_ONCE: usize = 8;

/// One download for a number of hosts.
pub struct Shipment {
    pub manifest: Manifest,
    pub hub: Hub,
    pub options: Options,
    /// How many hosts share the rate.
    pub hosts: usize,
    /// The cache of this machine, where a file may be already.
    pub here: Option<PathBuf>,
    spool: PathBuf,
    links: Mutex<HashMap<BlobId, Arc<Turn<Option<Issued>>>>>,
    files: Mutex<HashMap<BlobId, Arc<OnceCell<PathBuf>>>>,
}

/// A link and when it was given.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Counts the links of one file.
    pub number: u64,
    pub link: Link,
    at: Instant,
}

impl Shipment {
    /// `spool` is a folder that only this run has; it is made when something is put there.
    pub fn new(
        manifest: Manifest,
        hub: Hub,
        options: Options,
        hosts: usize,
        here: Option<PathBuf>,
        spool: PathBuf,
    ) -> Self {
        Self {
            manifest,
            hub,
            options,
            hosts: hosts.max(1),
            here,
            spool,
            links: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// A link to the file's bytes that is not the one of this number.
    ///
    /// # Errors
    /// The hub does not give one.
    pub async fn link(&self, scope: &Scope, file: &ModelFile, not: Option<u64>) -> Result<Issued, ModelError> {
        let slot = lock(&self.links).entry(file.blob.clone()).or_default().clone();
        let mut slot = scope.race(slot.lock()).await.map_err(super::HubError::from)?;
        if let Some(known) = &*slot
            && not != Some(known.number)
            && known.at.elapsed() < FRESH
        {
            return Ok(known.clone());
        }
        let link = self.hub.link(scope, &self.manifest.repo, &self.manifest.commit, file).await?;
        let number = slot.as_ref().map_or(0, |known| known.number + 1);
        Ok(slot.insert(Issued { number, link, at: Instant::now() }).clone())
    }

    /// The folder for what is fetched here, made for this user only.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn spool(&self) -> Result<&Path, ModelError> {
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        let cannot = |error| ModelError::Host(format!("cannot make {}: {error}", self.spool.display()));
        builder.create(&self.spool).await.map_err(cannot)?;
        Ok(&self.spool)
    }

    /// These small files as files of this machine, fetched once for all hosts.
    ///
    /// # Errors
    /// The hub does not give one of them.
    pub async fn small(&self, scope: &Scope, files: &[&ModelFile]) -> Result<HashMap<BlobId, PathBuf>, ModelError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        let one =
            |file: ModelFile| async move { Ok::<_, ModelError>((file.blob.clone(), self.file(scope, &file).await?)) };
        let files: Vec<ModelFile> = files.iter().map(|file| (*file).clone()).collect();
        stream::iter(files.into_iter().map(one)).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn file(&self, scope: &Scope, file: &ModelFile) -> Result<PathBuf, ModelError> {
        let cell = self.cell(&file.blob);
        let fetched = cell.get_or_try_init(|| async {
            let path = self.spool().await?.join(file.blob.as_str());
            self.hub.fetch(scope, &self.manifest.repo, &self.manifest.commit, file, &path).await?;
            Ok::<_, ModelError>(path)
        });
        fetched.await.cloned()
    }

    /// Where a blob's file of this machine is noted, once for all hosts.
    pub fn cell(&self, blob: &BlobId) -> Arc<OnceCell<PathBuf>> {
        lock(&self.files).entry(blob.clone()).or_default().clone()
    }

    /// What each connection of a host may take in a second; 0 is as much as it gets.
    pub fn rate(&self, connections: u32) -> u64 {
        let share = |rate: u64| (rate / self.hosts as u64 / u64::from(connections.max(1))).max(1);
        self.options.rate.map_or(0, share)
    }
}

impl Drop for Shipment {
    fn drop(&mut self) {
        // Nothing may be there; a run's spool is nobody else's.
        let _ = std::fs::remove_dir_all(&self.spool);
    }
}

impl std::fmt::Debug for Shipment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shipment({} at {})", self.manifest.repo, self.manifest.commit)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
