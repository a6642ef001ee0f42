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

/// One chunk: what an SSH packet and the allocator take easily.
const CHUNK: usize = 32 << 10;
/// Chunks that one visit to the file brings.
const BATCH: usize = 32;

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
            let mut chunks = VecDeque::with_capacity(BATCH);
            while chunks.len() < BATCH {
                let mut chunk = Vec::with_capacity(CHUNK);
                if file.as_ref().take(CHUNK as u64).read_to_end(&mut chunk)? == 0 {
                    break;
                }
                chunks.push_back(Bytes::from(chunk));
            }
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
