//! What the sha256 of a local file was, for as long as nothing has touched the file.
//!
//! # Theory of operation
//! A file is known by its device, inode, length and both of its times, to the nanosecond; whoever writes to it changes
//! the time of its inode, which no program can set. A digest is kept only of a file that had been left alone for a while
//! before it was read: two changes within one tick of the clock look alike. What is kept is proven each time it is used
//! to send the file, for the host takes the digest of what has arrived; [`Look::forget`] is for when they differ.

use std::{
    fs::{File, Metadata},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

use super::{TransferError, head::Head};
use crate::vocab::Digest;

/// Longer than a tick of any file system's clock.
const SETTLED: Duration = Duration::from_secs(3);
/// More than a digest and its file's marks take.
const ENTRY_MAX: u64 = 512;

/// Digests of files, kept in a folder of the cache.
#[derive(Debug, Clone)]
pub struct Memo {
    dir: PathBuf,
}

impl Memo {
    /// Below rbee's cache folder.
    pub fn new(cache_dir: &Path) -> Self {
        Self { dir: cache_dir.join("digests") }
    }

    /// Looks at a file as it is now.
    pub fn look(&self, path: &Path) -> Look {
        Look { memo: self.clone(), marks: marks(path), path: path.to_owned() }
    }

    fn entry(&self, path: &Path) -> Option<PathBuf> {
        let whole = path.canonicalize().ok()?;
        let name = Digest::new(Sha256::digest(whole.as_os_str().as_encoded_bytes()).into());
        Some(self.dir.join(name.to_string()))
    }

    fn keep(&self, entry: &Path, line: &str) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let beside = entry.with_extension(std::process::id().to_string());
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(line.as_bytes())?;
        std::fs::rename(&beside, entry)
    }
}

/// A file as it was when it was looked at.
#[derive(Debug, Clone)]
pub struct Look {
    memo: Memo,
    path: PathBuf,
    marks: Option<String>,
}

impl Look {
    /// Its sha256, if that was kept.
    pub fn known(&self) -> Option<Digest> {
        known(&self.memo.entry(&self.path)?, self.marks.as_ref()?)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file, or on where that was begun, and keeps its sha256.
    ///
    /// # Errors
    /// The file cannot be read. That a digest cannot be kept is none.
    pub async fn read(&self, begun: Option<Head>) -> Result<Digest, TransferError> {
        let head = begun.unwrap_or_else(|| Head::start(&self.path));
        let read = |error| TransferError::Read { path: self.path.display().to_string(), error };
        let digest = head.finish().await.map_err(read)?;
        self.keep(digest);
        Ok(digest)
    }

    /// Keeps what somebody read since, unless the file has changed or may change without a trace.
    pub fn keep(&self, digest: Digest) {
        if let (Some(before), Some(entry)) = (&self.marks, self.memo.entry(&self.path))
            && marks(&self.path).as_ref() == Some(before)
            && settled(&self.path)
        {
            // Without it the file is read once more next time.
            let _ = self.memo.keep(&entry, &format!("{before} {digest}\n"));
        }
    }

    /// Lets go of what is known of the file.
    pub fn forget(&self) {
        if let Some(entry) = self.memo.entry(&self.path) {
            let _ = std::fs::remove_file(entry);
        }
    }
}

/// What a file is known by.
fn marks(path: &Path) -> Option<String> {
    let data = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some(format!(
        "{} {} {} {}.{:09} {}.{:09}",
        data.dev(),
        data.ino(),
        data.len(),
        data.mtime(),
        data.mtime_nsec(),
        data.ctime(),
        data.ctime_nsec()
    ))
}

/// Whether the last change lies far enough back. A time of its inode that lies ahead is no such thing.
fn settled(path: &Path) -> bool {
    let changed = |data: Metadata| {
        let since = Duration::new(u64::try_from(data.ctime()).ok()?, u32::try_from(data.ctime_nsec()).ok()?);
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH.checked_add(since)?).ok()
    };
    std::fs::metadata(path).ok().and_then(changed).is_some_and(|ago| ago > SETTLED)
}

fn known(entry: &Path, marks: &str) -> Option<Digest> {
    if std::fs::metadata(entry).ok()?.len() > ENTRY_MAX {
        return None;
    }
    let text = std::fs::read_to_string(entry).ok()?;
    Digest::parse(text.trim_end().strip_prefix(marks)?.strip_prefix(' ')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn taken(memo: &Memo, path: &Path) -> Result<Digest, TransferError> {
        let look = memo.look(path);
        match look.known() {
            Some(known) => Ok(known),
            None => look.read(None).await,
        }
    }

    fn aged(path: &Path, entry: &Path, digest: Digest) {
        std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
        std::fs::write(entry, format!("{} {digest}\n", marks(path).unwrap())).unwrap();
    }

    #[tokio::test]
    async fn what_is_known_is_not_read_and_what_changed_is() {
        let folder = tempfile::tempdir().unwrap();
        let (file, memo) = (folder.path().join("file"), Memo::new(&folder.path().join("cache")));
        std::fs::write(&file, "one").unwrap();
        let true_one = taken(&memo, &file).await.unwrap();
        assert!(!memo.dir.exists(), "a file that was written a moment ago is not believed");

        // A digest that cannot be the file's shows whether it was read.
        let other = Digest::new([7; 32]);
        let entry = memo.entry(&file).unwrap();
        aged(&file, &entry, other);
        assert_eq!(taken(&memo, &file).await.unwrap(), other);

        // The same length and the same time of change, as `touch -r` or a tool that restores times leaves them.
        let time = std::fs::metadata(&file).unwrap().modified().unwrap();
        std::fs::write(&file, "two").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let true_two = taken(&memo, &file).await.unwrap();
        assert!(true_two != other && true_two != true_one);

        // Another file under the name.
        std::fs::write(&file, "one").unwrap();
        aged(&file, &entry, other);
        std::fs::write(folder.path().join("new"), "one").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        assert_eq!(taken(&memo, &file).await.unwrap(), true_one);

        aged(&file, &entry, other);
        memo.look(&file).forget();
        assert_eq!(taken(&memo, &file).await.unwrap(), true_one);
    }

    #[tokio::test]
    async fn damage_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, memo) = (folder.path().join("file"), Memo::new(&folder.path().join("cache")));
        std::fs::write(&file, "one").unwrap();
        let digest = taken(&memo, &file).await.unwrap();
        let entry = memo.entry(&file).unwrap();
        aged(&file, &entry, Digest::new([7; 32]));
        let whole = std::fs::read_to_string(&entry).unwrap();
        for damaged in [String::new(), whole[..whole.len() - 9].to_owned(), whole.replace("07", "zz"), "x".repeat(9999)]
        {
            std::fs::write(&entry, &damaged).unwrap();
            assert_eq!(taken(&memo, &file).await.unwrap(), digest, "{damaged:.80}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_costs_nothing_but_time() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "one").unwrap();
        let memo = Memo::new(&folder.path().join("file/below"));
        assert!(taken(&memo, &folder.path().join("file")).await.is_ok());
    }
}
