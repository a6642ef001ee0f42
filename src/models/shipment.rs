//! What the hosts of one download share: the manifest, links that are asked for once, and files that are fetched here.
//!
//! # Theory of operation
//! A link is asked for when the first host needs it and handed to all; who finds it expired asks for the next, and
//! those who had the same one get that. Small files, which may need the token, are fetched to a spool of the run's own,
//! once for all hosts, and go with the shipment. Large ones that are passed on come to a store in the form of a cache,
//! which all runs of this machine share: what is cut off there is gone on with by the next. Its `.held` is locked while a
//! run takes from it, and what all hosts of a run have got goes from it with the shipment, if no other run takes from it.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
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
/// Under a limit, bytes a second of each connection: the first of them come in a burst, whatever limit a curl is given.
const LANE: u64 = 8_000_000;
/// Locked by those who take from a store, beside what they take; the cache's sweeper looks there.
const HELD: &str = ".held";
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
    store: PathBuf,
    /// Keeps what is in the store there.
    held: OnceCell<File>,
    /// Blobs that are being passed on to a host, or failed to come there.
    passing: AtomicUsize,
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
    /// `spool` is a folder that only this run has, `store` one that others have, too; they are made when something is
    /// put there.
    pub fn new(
        manifest: Manifest,
        hub: Hub,
        mut options: Options,
        hosts: usize,
        here: Option<PathBuf>,
        spool: PathBuf,
        store: PathBuf,
    ) -> Self {
        let hosts = hosts.max(1);
        if let Some(rate) = options.rate {
            let enough = u32::try_from(rate / hosts as u64 / LANE).unwrap_or(u32::MAX).max(1);
            options.connections = options.connections.min(enough);
        }
        Self {
            manifest,
            hub,
            options,
            hosts,
            here,
            spool,
            store,
            held: OnceCell::new(),
            passing: AtomicUsize::new(0),
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

    /// The hub's own address of the file, for a host to which links from here are of no use.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn door(&self, file: &ModelFile) -> Result<Link, ModelError> {
        Ok(self.hub.door(&self.manifest.repo, &self.manifest.commit, file)?)
    }

    /// The folder for what is fetched here, made for this user only.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn spool(&self) -> Result<&Path, ModelError> {
        private(&self.spool).await?;
        Ok(&self.spool)
    }

    /// The folder for large files that are passed on, as a cache of models; nobody clears it until this shipment ends.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn store(&self) -> Result<&Path, ModelError> {
        let folder = self.store.join(self.manifest.repo.folder());
        let locked = || async {
            private(&folder).await?;
            let path = folder.join(HELD);
            let cannot = |error| ModelError::Host(format!("cannot lock {}: {error}", path.display()));
            let file = File::options().create(true).append(true).open(&path).map_err(cannot)?;
            // Whoever clears it has it for a moment only.
            let locked = tokio::task::spawn_blocking(move || file.lock_shared().map(|()| file));
            locked.await.map_err(std::io::Error::other).and_then(|file| file).map_err(cannot)
        };
        self.held.get_or_try_init(locked).await?;
        Ok(&self.store)
    }

    /// A blob is about to be passed on to a host.
    pub fn passing(&self) {
        self.passing.fetch_add(1, Ordering::Relaxed);
    }

    /// It is there.
    pub fn passed_on(&self) {
        self.passing.fetch_sub(1, Ordering::Relaxed);
    }

    /// Removes from the store what everybody has got, or what is not to be kept.
    fn clear(&mut self) -> std::io::Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        if *self.passing.get_mut() > 0 && !self.options.clean {
            return Ok(());
        }
        held.unlock()?;
        // Another run that takes from it clears it in its turn.
        if held.try_lock().is_err() {
            return Ok(());
        }
        let folder = self.store.join(self.manifest.repo.folder());
        for blob in lock(&self.files).keys().filter(|blob| blob.is_large()) {
            let _ = std::fs::remove_file(folder.join("blobs").join(blob.as_str()));
            let _ = std::fs::remove_file(folder.join(".rbee").join(format!("ok.{blob}")));
            let _ = std::fs::remove_dir_all(folder.join(".rbee").join(blob.as_str()));
        }
        Ok(())
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
        // Nobody is there to be told, and what stays is listed.
        let _ = self.clear();
        // Nothing may be there; a run's spool is nobody else's.
        let _ = std::fs::remove_dir_all(&self.spool);
    }
}

impl std::fmt::Debug for Shipment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shipment({} at {})", self.manifest.repo, self.manifest.commit)
    }
}

/// Makes a folder that only this user can look into.
async fn private(folder: &Path) -> Result<(), ModelError> {
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    let cannot = |error| ModelError::Host(format!("cannot make {}: {error}", folder.display()));
    builder.create(folder).await.map_err(cannot)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
