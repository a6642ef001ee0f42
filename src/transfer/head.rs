//! The sha256 of a file's beginning, taken while there is nothing better to do.
//!
//! # Theory of operation
//! Between the start of a run and its first upload the machine waits for hosts. That time is spent on the file to be sent:
//! it is read and summed up to where the upload begins, and the upload goes on with that sum. Nothing of the file is kept,
//! so its beginning is read twice; a file that became another in between is summed from its beginning.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use crate::vocab::Digest;

/// Read at a time; it stays in the processor's cache until it is summed.
const PIECE: usize = 256 << 10;

/// A file that is being read.
#[derive(Debug)]
pub struct Head {
    stop: Arc<AtomicBool>,
    task: JoinHandle<io::Result<Summed>>,
}

/// How far it came.
#[derive(Debug)]
pub struct Summed {
    pub(super) sum: Sha256,
    pub(super) bytes: u64,
    file: [i64; 5],
}

impl Head {
    /// Reads until somebody wants it, in the background.
    pub fn start(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (path, asked) = (path.to_owned(), stop.clone());
        Self { stop, task: tokio::task::spawn_blocking(move || read(&path, &asked)) }
    }

    /// Ends the reading; `None` if there was nothing to be read.
    pub async fn stop(mut self) -> Option<Summed> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.ok()?.ok()
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn finish(mut self) -> io::Result<Digest> {
        let summed = (&mut self.task).await.map_err(io::Error::other)??;
        Ok(Digest::new(summed.sum.finalize().into()))
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Summed {
    /// Whether it is of this file, as it is now.
    pub(super) fn is_of(&self, file: &Metadata) -> bool {
        self.file == identity(file)
    }
}

fn read(path: &Path, stop: &AtomicBool) -> io::Result<Summed> {
    let mut file = File::open(path)?;
    let mut summed = Summed { sum: Sha256::new(), bytes: 0, file: identity(&file.metadata()?) };
    let mut piece = vec![0; PIECE];
    while !stop.load(Ordering::Relaxed) {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                summed.sum.update(&piece[..n]);
                summed.bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(summed)
}

fn identity(file: &Metadata) -> [i64; 5] {
    [file.dev().cast_signed(), file.ino().cast_signed(), file.len().cast_signed(), file.ctime(), file.ctime_nsec()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{target::Source, transfer::FileSource};

    async fn sent(mut source: FileSource) -> Option<Digest> {
        while !source.next().await.unwrap().is_empty() {}
        source.digest()
    }

    #[tokio::test]
    async fn wherever_it_is_stopped_the_sum_is_that_of_the_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..5_000_017u32).map(|i| (i / 7 % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let whole = Digest::new(Sha256::digest(&bytes).into());
        assert_eq!(Head::start(file.path()).finish().await.unwrap(), whole);
        let identity = identity(&file.path().metadata().unwrap());
        let (batch, len) = (1 << 20, bytes.len());
        for at in [0, 1, PIECE, batch - 1, batch, batch + 1, 3 * batch + 5, len - 1, len] {
            let summed = Summed { sum: Sha256::new_with_prefix(&bytes[..at]), bytes: at as u64, file: identity };
            let source = FileSource::open(file.path()).unwrap().summed(Some(summed));
            assert_eq!(sent(source).await, Some(whole), "{at}");
        }
        let stopped = Head::start(file.path()).stop().await;
        assert_eq!(sent(FileSource::open(file.path()).unwrap().summed(stopped)).await, Some(whole));
        assert_eq!(sent(FileSource::open(file.path()).unwrap().summed(None)).await, Some(whole));
    }

    #[tokio::test]
    async fn another_file_is_summed_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let (file, new) = (folder.path().join("file"), folder.path().join("new"));
        std::fs::write(&file, [7; 1000]).unwrap();
        let summed = Head::start(&file).stop().await;
        std::fs::write(&new, [8; 1000]).unwrap();
        std::fs::rename(&new, &file).unwrap();
        let source = FileSource::open(&file).unwrap().summed(summed);
        assert_eq!(sent(source).await, Some(Digest::new(Sha256::digest([8; 1000]).into())));
        assert!(Head::start(&new).stop().await.is_none());
        assert!(Head::start(&new).finish().await.is_err());
    }
}
