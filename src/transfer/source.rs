//! A local file as the bytes of an upload.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::target::Source;

/// What one visit to the file brings.
const BATCH: usize = 1 << 20;
/// One chunk of it: what an SSH packet takes.
const CHUNK: usize = 32 << 10;

/// Reads a regular file, or a part of it, in a row; a file that shrinks meanwhile, or grows, is an error.
#[derive(Debug)]
pub struct FileSource {
    file: Arc<File>,
    len: u64,
    /// Where the next visit begins.
    at: u64,
    left: u64,
    /// Whether it is read up to the file's end.
    last: bool,
    ready: VecDeque<Bytes>,
}

impl FileSource {
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let len = data.len();
        Ok(Self { file: Arc::new(file), len, at: 0, left: len, last: true, ready: VecDeque::new() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let (file, at) = (self.file.clone(), self.at);
        // One byte beyond the end shows a file that has grown.
        let rest = self.left.saturating_add(u64::from(self.last));
        let want = usize::try_from(rest).unwrap_or(usize::MAX).min(BATCH);
        let read = move || {
            let mut batch = Vec::with_capacity(want);
            let mut reader = At { file: &file, at }.take(want as u64);
            reader.read_to_end(&mut batch)?;
            let batch = Bytes::from(batch);
            let chunks = (0..batch.len()).step_by(CHUNK).map(|at| batch.slice(at..batch.len().min(at + CHUNK)));
            let chunks: VecDeque<Bytes> = chunks.collect();
            Ok::<_, io::Error>(chunks)
        };
        self.ready = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        Ok(())
    }
}

#[async_trait]
impl Source for FileSource {
    fn size(&self) -> u64 {
        self.len
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        if self.ready.is_empty() {
            self.fill().await?;
        }
        let chunk = self.ready.pop_front().unwrap_or_default();
        let n = chunk.len() as u64;
        if (n == 0) != (self.left == 0) || n > self.left {
            return Err(io::Error::other("the file changed while it was sent"));
        }
        self.left -= n;
        self.at += n;
        Ok(chunk)
    }

    fn part(&self, from: u64, len: u64) -> Option<Box<dyn Source>> {
        let end = from.checked_add(len).filter(|end| *end <= self.len)?;
        let part =
            Self { file: self.file.clone(), len, at: from, left: len, last: end == self.len, ready: VecDeque::new() };
        Some(Box::new(part))
    }
}

/// A file from some place on, without a position that others share.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(source: &mut dyn Source) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match source.next().await? {
                chunk if chunk.is_empty() => return Ok(bytes),
                chunk => bytes.extend_from_slice(&chunk),
            }
        }
    }

    #[tokio::test]
    async fn parts_are_read_beside_each_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..3 * BATCH + 17).map(|i| (i / 7 % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut whole = FileSource::open(file.path()).unwrap();
        let middle = BATCH + 5;
        let mut first = whole.part(0, middle as u64).unwrap();
        let mut second = whole.part(middle as u64, (bytes.len() - middle) as u64).unwrap();
        assert!(whole.part(1, bytes.len() as u64).is_none(), "beyond the end");
        let (first, second, whole) = tokio::join!(all(&mut *first), all(&mut *second), all(&mut whole));
        assert!(first.unwrap() == bytes[..middle] && second.unwrap() == bytes[middle..] && whole.unwrap() == bytes);
    }

    #[tokio::test]
    async fn a_file_that_changes_its_length_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 100]).unwrap();
        let (mut grown, mut shrunk) = (FileSource::open(file.path()).unwrap(), FileSource::open(file.path()).unwrap());
        std::fs::write(file.path(), [7; 101]).unwrap();
        assert!(all(&mut grown).await.is_err());
        std::fs::write(file.path(), [7; 99]).unwrap();
        assert!(all(&mut shrunk).await.is_err());
    }
}
