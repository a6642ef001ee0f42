//! A local file as the bytes of an upload.

use std::{io, path::Path};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{fs::File, io::AsyncReadExt};

use crate::target::Source;

const CHUNK: usize = 256 << 10;

/// Reads a regular file from its beginning; a file that shrinks or grows meanwhile is an error.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
    left: u64,
}

impl FileSource {
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub async fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path).await?;
        let data = file.metadata().await?;
        if !data.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Self { file, len: data.len(), left: data.len() })
    }
}

#[async_trait]
impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK);
        let n = self.file.read_buf(&mut chunk).await? as u64;
        if (n == 0) != (self.left == 0) || n > self.left {
            return Err(io::Error::other("the file changed while it was sent"));
        }
        self.left -= n;
        Ok(chunk.freeze())
    }
}
