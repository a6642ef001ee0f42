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
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::head::Summed;
use crate::{target::Source, vocab::Digest};

/// What one visit to the file brings.
const BATCH: u64 = 1 << 20;
/// One chunk of it: what an SSH packet takes.
const CHUNK: usize = 32 << 10;

/// Reads a regular file, or a part of it, in a row; a file that shrinks meanwhile, or grows, is an error.
///
/// A batch is read, and added to the sum, while the one before it is sent.
#[derive(Debug)]
pub struct FileSource {
    file: Arc<File>,
    len: u64,
    /// Where the next visit begins.
    at: u64,
    /// What no visit has brought, and what was not handed out.
    unread: u64,
    left: u64,
    /// Whether it is all of the file, or up to the file's end.
    whole: bool,
    last: bool,
    ready: VecDeque<Bytes>,
    /// The visit that is on its way.
    ahead: Option<JoinHandle<io::Result<Visit>>>,
    /// Of what was read, where that is wished; it begins behind what was summed before.
    sum: Option<Sha256>,
    summed: u64,
}

#[derive(Debug)]
struct Visit {
    chunks: VecDeque<Bytes>,
    bytes: u64,
    sum: Option<Sha256>,
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
        Ok(Self { whole: true, ..Self::of(Arc::new(file), data.len(), 0, data.len()) })
    }

    fn of(file: Arc<File>, len: u64, from: u64, part: u64) -> Self {
        let last = from + part == len;
        Self {
            file,
            len,
            at: from,
            unread: part,
            left: part,
            whole: false,
            last,
            ready: VecDeque::new(),
            ahead: None,
            sum: None,
            summed: 0,
        }
    }

    /// Takes the sha256 while it is read in a row, from where another reading of the same file ended.
    pub fn summed(self, head: Option<Summed>) -> Self {
        let same = |head: &Summed| self.file.metadata().is_ok_and(|data| head.is_of(&data));
        let (sum, summed) = head.filter(same).map_or_else(Default::default, |head| (head.sum, head.bytes));
        Self { sum: Some(sum), summed, ..self }
    }

    /// Starts to read the next batch. One byte beyond the end shows a file that has grown.
    fn visit(&mut self) -> JoinHandle<io::Result<Visit>> {
        let (file, at, whole, mut sum) = (self.file.clone(), self.at, self.whole, self.sum.take());
        let summed = usize::try_from(self.summed.saturating_sub(at)).unwrap_or(usize::MAX);
        let rest = self.unread.saturating_add(u64::from(self.last));
        let want = rest.min(BATCH);
        tokio::task::spawn_blocking(move || {
            let mut batch = Vec::with_capacity(usize::try_from(want).unwrap_or_default());
            if whole {
                // What knows how to fill memory that was not cleared before.
                (&*file).take(want).read_to_end(&mut batch)?;
            } else {
                At { file: &file, at }.take(want).read_to_end(&mut batch)?;
            }
            if let Some(sum) = &mut sum {
                sum.update(batch.get(summed..).unwrap_or_default());
            }
            let batch = Bytes::from(batch);
            let chunks = (0..batch.len()).step_by(CHUNK).map(|at| batch.slice(at..batch.len().min(at + CHUNK)));
            Ok(Visit { chunks: chunks.collect(), bytes: batch.len() as u64, sum })
        })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let visit = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.visit(),
        };
        let visit = visit.await.map_err(io::Error::other)??;
        (self.ready, self.sum) = (visit.chunks, visit.sum);
        self.at += visit.bytes;
        self.unread = self.unread.saturating_sub(visit.bytes);
        if self.unread > 0 {
            self.ahead = Some(self.visit());
        }
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
        Ok(chunk)
    }

    fn digest(&mut self) -> Option<Digest> {
        let sum = self.sum.take().filter(|_| self.left == 0);
        sum.map(|sum| Digest::new(sum.finalize().into()))
    }

    fn part(&self, from: u64, len: u64) -> Option<Box<dyn Source>> {
        from.checked_add(len).filter(|end| *end <= self.len)?;
        Some(Box::new(Self::of(self.file.clone(), self.len, from, len)))
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
        let bytes: Vec<u8> = (0..3 * BATCH as usize + 17).map(|i| (i / 7 % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let mut whole = FileSource::open(file.path()).unwrap();
        let middle = BATCH as usize + 5;
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
