//! A local file as the bytes of an upload.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
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

/// Reads a regular file from its beginning; a file that shrinks or grows meanwhile is an error.
#[derive(Debug)]
pub struct FileSource {
    file: Arc<File>,
    len: u64,
    left: u64,
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
        Ok(Self { file: Arc::new(file), len: data.len(), left: data.len(), ready: VecDeque::new() })
    }

    async fn fill(&mut self) -> io::Result<()> {
        let file = self.file.clone();
        let read = move || {
            let mut batch = Vec::with_capacity(BATCH);
            file.as_ref().take(BATCH as u64).read_to_end(&mut batch)?;
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
        Ok(chunk)
    }
}
