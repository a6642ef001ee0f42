//! What else rbee's cache folder keeps, beside what was built: published programs, sources, models, catalogs, checksums.
//!
//! Each of them is checked by whoever uses it, so any may go at any time. What a build works at right now has a lock, and
//! is passed over.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    CacheError,
    prune::{Bounds, Piece, choose},
};

/// Held by the one who changes what lies beside it (`recipe/cache.bash`).
const HELD: &str = ".held";
/// Held by the runs that send what lies beside it (`prebuilt::cache`).
const SUM: &str = "sum";

/// A kind of thing that is kept, a folder of the cache each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Published programs, unpacked.
    Prebuilt,
    /// Files that recipes download.
    Sources,
    /// Mirrors of git repositories.
    Git,
    /// Models on their way through this machine to hosts.
    Models,
    /// Copies of what catalogs said.
    Catalogs,
    /// Checksums of files of this machine.
    Digests,
}

impl Store {
    const ALL: [Self; 6] = [Self::Prebuilt, Self::Sources, Self::Git, Self::Models, Self::Catalogs, Self::Digests];

    /// Its folder in the cache.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prebuilt => "prebuilt",
            Self::Sources => "sources",
            Self::Git => "git",
            Self::Models => "models",
            Self::Catalogs => "catalogs",
            Self::Digests => "digests",
        }
    }
}

/// One thing in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub store: Store,
    pub path: PathBuf,
    /// Bytes of all its files.
    pub size: u64,
    /// When it was made or used last, as far as the file system tells.
    pub used: SystemTime,
}

impl Piece for Kept {
    fn used(&self) -> SystemTime {
        self.used
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// What became of the stores in a prune.
#[derive(Debug, Default)]
pub struct Swept {
    pub removed: Vec<Kept>,
    /// To be removed, but somebody works at it.
    pub in_use: Vec<Kept>,
    pub kept: Vec<Kept>,
}

/// Everything in the stores of the cache folder `cache`, store by store.
pub fn kept(cache: &Path) -> Vec<Kept> {
    let of = |store: Store| {
        let entries = fs::read_dir(cache.join(store.as_str())).into_iter().flatten().flatten();
        // Hidden ones are being made.
        let whole = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        let mut found: Vec<Kept> = whole.filter_map(|entry| measured(store, entry.path())).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    };
    Store::ALL.into_iter().flat_map(of).collect()
}

/// Removes what is out of `bounds`.
///
/// # Errors
/// Something cannot be removed.
pub fn sweep(cache: &Path, bounds: &Bounds, now: SystemTime) -> Result<Swept, CacheError> {
    let (go, kept) = choose(kept(cache), bounds, now);
    let mut swept = Swept { kept, ..Swept::default() };
    for one in go {
        match remove(&one) {
            Ok(true) => swept.removed.push(one),
            Ok(false) => swept.in_use.push(one),
            Err(error) => return Err(CacheError::new("remove", &one.path, error)),
        }
    }
    Ok(swept)
}

/// What there is of it; `None` for one of which only the lock is left.
fn measured(store: Store, path: PathBuf) -> Option<Kept> {
    let data = fs::symlink_metadata(&path).ok()?;
    let (mut size, mut used, mut any) = (if data.is_file() { data.len() } else { 0 }, changed(&data), data.is_file());
    if data.is_dir() {
        for entry in walk(&path, 0) {
            any |= entry.0 != HELD;
            size += entry.1;
            used = used.max(entry.2);
        }
    }
    any.then_some(Kept { store, path, size, used })
}

/// Name, bytes and time of all below a folder; links are not followed.
fn walk(folder: &Path, depth: usize) -> Vec<(std::ffi::OsString, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let bytes = if data.is_file() { data.len() } else { 0 };
        found.push((entry.file_name(), bytes, changed(&data)));
        if data.is_dir() && depth < 64 {
            found.extend(walk(&entry.path(), depth + 1));
        }
    }
    found
}

/// A build has links of its own to what it takes from here, and a link changes its file's inode: that time tells the use.
fn changed(data: &Metadata) -> SystemTime {
    let since = Duration::new(u64::try_from(data.ctime()).unwrap_or(0), u32::try_from(data.ctime_nsec()).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

/// False when somebody works at it. Its lock stays, for whoever waits for it holds that file open.
fn remove(kept: &Kept) -> std::io::Result<bool> {
    if kept.path.symlink_metadata()?.is_file() {
        return fs::remove_file(&kept.path).map(|()| true);
    }
    let lock = File::open(kept.path.join(if kept.store == Store::Prebuilt { SUM } else { HELD })).ok();
    if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
        return Ok(false);
    }
    if lock.is_none() || kept.store == Store::Prebuilt {
        return fs::remove_dir_all(&kept.path).map(|()| true);
    }
    for entry in fs::read_dir(&kept.path)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => fs::remove_dir_all(entry.path())?,
            _ if entry.file_name() != HELD => fs::remove_file(entry.path())?,
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kept: &[Kept]) -> Vec<String> {
        let name = |kept: &Kept| {
            let file = kept.path.file_name().unwrap().to_string_lossy().into_owned();
            format!("{} {file} {}", kept.store.as_str(), kept.size)
        };
        kept.iter().map(name).collect()
    }

    #[test]
    fn every_store_is_listed_and_what_is_worked_at_stays() {
        let cache = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: usize| {
            let path = cache.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        put("prebuilt/a/files/bin/x", 100);
        put("prebuilt/a/sum", 0);
        put("prebuilt/.draft/asset", 1000);
        put("sources/s/x.tar.gz", 7);
        put("sources/s/.held", 0);
        put("sources/empty/.held", 0);
        put("git/g/mirror.git/objects/pack/p", 50);
        put("git/g/.held", 0);
        put("models/models--a--b/.rbee/x/base", 40);
        put("models/models--a--b/.held", 0);
        put("models/.locks/x", 1);
        put("catalogs/c", 3);
        put("digests/d", 2);
        put("strange/x", 9);
        std::os::unix::fs::symlink("/etc", cache.path().join("prebuilt/link")).unwrap();
        let all =
            ["prebuilt a 100", "sources s 7", "git g 50", "models models--a--b 40", "catalogs c 3", "digests d 2"];
        assert_eq!(names(&kept(cache.path())), all);

        let old = Bounds { older_than: Some(Duration::from_secs(3600)), ..Bounds::default() };
        assert!(sweep(cache.path(), &old, SystemTime::now()).unwrap().removed.is_empty());

        let lock = File::open(cache.path().join("git/g/.held")).unwrap();
        lock.lock().unwrap();
        let sending = File::open(cache.path().join("prebuilt/a/sum")).unwrap();
        sending.lock_shared().unwrap();
        let swept = sweep(cache.path(), &Bounds::default(), SystemTime::now()).unwrap();
        assert_eq!(names(&swept.in_use), ["prebuilt a 100", "git g 50"]);
        assert_eq!(swept.removed.len(), 4);
        drop((lock, sending));
        assert_eq!(
            names(
                &sweep(cache.path(), &Bounds { max_size: Some(50), ..old.clone() }, SystemTime::now()).unwrap().removed
            ),
            ["prebuilt a 100"]
        );
        assert_eq!(names(&kept(cache.path())), ["git g 50"]);
        let later = SystemTime::now() + Duration::from_secs(7200);
        assert_eq!(names(&sweep(cache.path(), &old, later).unwrap().removed), ["git g 50"]);
        assert!(kept(cache.path()).is_empty());
        // Whoever waits for a lock finds it where it was.
        assert!(cache.path().join("git/g/.held").exists() && cache.path().join("sources/s/.held").exists());
        assert!(cache.path().join("prebuilt/.draft/asset").exists() && cache.path().join("strange/x").exists());
        assert!(Path::new("/etc/passwd").exists());
    }
}
