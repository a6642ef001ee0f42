//! An artifact on its way to its place.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{Artifact, CacheError, Checked, DATA, INDEX, index};

/// What drafts, and what is being removed, are called; no key begins so.
pub(super) const PREFIX: &str = ".new-";
/// Locked as long as its folder is wanted.
pub(super) const LOCK: &str = "lock";

/// A folder that nobody takes for an artifact yet; it is gone when this is dropped, unless it was kept.
#[derive(Debug)]
pub struct Draft {
    root: PathBuf,
    dir: PathBuf,
    _lock: File,
}

impl Draft {
    pub(super) fn begin(root: &Path) -> Result<Self, CacheError> {
        let failed = |error: io::Error| CacheError::new("write to", root, error);
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        // Beside its place until it is locked: what is there unlocked is debris.
        let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let lock_path = root.join(format!("{name}.{LOCK}"));
        let lock = create(&lock_path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let dir = root.join(name);
        DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        Ok(Self { root: root.to_owned(), dir, _lock: lock })
    }

    /// The file that is to get the program.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn data(&self) -> Result<File, CacheError> {
        let path = self.dir.join(DATA);
        create(&path).map_err(|error| CacheError::new("write", &path, error))
    }

    /// Puts the draft to its place, instead of whatever is there, and yields it for use; its bytes were checked by whoever
    /// wrote them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(self, artifact: Artifact) -> Result<Checked, CacheError> {
        let index_path = self.dir.join(INDEX);
        let failed = |error: io::Error| CacheError::new("write", &index_path, error);
        let text = index::write(&artifact).map_err(io::Error::other).map_err(failed)?;
        fs::write(&index_path, text).map_err(failed)?;
        let used = File::open(&index_path).map_err(failed)?;
        used.lock_shared().map_err(failed)?;
        let place = self.root.join(artifact.key.to_string());
        // Another run may put its own there at the same moment: then one of the two is as good.
        let mut done = Err(io::Error::other("it is in use"));
        for _ in 0..3 {
            done = fs::rename(&self.dir, &place);
            if done.is_ok() {
                break;
            }
            take_away(&self.root, &place).map_err(|error| CacheError::new("replace", &place, error))?;
        }
        done.map_err(|error| CacheError::new("write", &place, error))?;
        Ok(Checked { artifact, path: place.join(DATA), _used: used })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        let mut lock = self.dir.clone().into_os_string();
        lock.push(format!(".{LOCK}"));
        let _ = fs::remove_file(lock);
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Removes a folder; nobody ever sees half of it under its name. One that is not there is no error.
pub(super) fn take_away(root: &Path, place: &Path) -> io::Result<()> {
    let aside = root.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
    match fs::rename(place, &aside) {
        Ok(()) => fs::remove_dir_all(&aside),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
