//! A tree as one tar stream, made while it is sent.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Item, Kind, Tree};
use crate::{target::Source, vocab::Digest};

/// What one visit to the files brings.
const BATCH: usize = 1 << 20;
/// One chunk of it: what an SSH packet takes.
const CHUNK: usize = 32 << 10;
const BLOCK: u64 = 512;
/// What ends a tar.
const END: u64 = 2 * BLOCK;

/// Yields the tar of a tree; the same bytes for the same tree.
pub struct TreeSource {
    size: u64,
    /// Away while a visit lasts.
    packer: Option<Packer>,
    ready: VecDeque<Bytes>,
}

impl TreeSource {
    /// # Errors
    /// A path that no tar can hold.
    pub fn open(tree: Arc<Tree>) -> io::Result<Self> {
        let mut size = END;
        for (item, len) in tree.items.iter().zip(&tree.sizes) {
            size += header(item, *len)?.len() as u64 + len.next_multiple_of(BLOCK);
        }
        let packer = Packer { tree, next: 0, file: None, left: 0, padding: 0, ended: false, sum: Sha256::new() };
        Ok(Self { size, packer: Some(packer), ready: VecDeque::new() })
    }
}

#[async_trait]
impl Source for TreeSource {
    fn digest(&mut self) -> Option<Digest> {
        self.packer.take().map(|packer| Digest::new(packer.sum.finalize().into()))
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn next(&mut self) -> io::Result<Bytes> {
        if self.ready.is_empty() {
            let mut packer = self.packer.take().ok_or_else(|| io::Error::other("the tree cannot be read"))?;
            let visit = move || {
                let batch = packer.batch();
                (packer, batch)
            };
            let (packer, batch) = tokio::task::spawn_blocking(visit).await.map_err(io::Error::other)?;
            self.packer = Some(packer);
            let batch = Bytes::from(batch?);
            self.ready =
                (0..batch.len()).step_by(CHUNK).map(|at| batch.slice(at..batch.len().min(at + CHUNK))).collect();
        }
        Ok(self.ready.pop_front().unwrap_or_default())
    }
}

/// Where the packing stands.
struct Packer {
    tree: Arc<Tree>,
    /// The item after the one that is open.
    next: usize,
    file: Option<File>,
    left: u64,
    padding: u64,
    ended: bool,
    sum: Sha256,
}

impl Packer {
    fn batch(&mut self) -> io::Result<Vec<u8>> {
        let mut batch = Vec::with_capacity(BATCH + CHUNK);
        while batch.len() < BATCH && !self.ended {
            if let Some(file) = &mut self.file {
                let want = self.left.min((BATCH - batch.len().min(BATCH - 1)) as u64);
                let got = file.by_ref().take(want).read_to_end(&mut batch)? as u64;
                let path = || self.tree.items.get(self.next - 1).map_or("", |item| item.path.as_str());
                if got < want {
                    return Err(io::Error::other(format!("{} changed while it was sent", path())));
                }
                self.left -= got;
                if self.left == 0 {
                    if file.read(&mut [0])? != 0 {
                        return Err(io::Error::other(format!("{} changed while it was sent", path())));
                    }
                    self.file = None;
                    batch.resize(batch.len() + self.padding as usize, 0);
                }
                continue;
            }
            let Some(item) = self.tree.items.get(self.next) else {
                batch.resize(batch.len() + END as usize, 0);
                self.ended = true;
                break;
            };
            let size = self.tree.sizes.get(self.next).copied().unwrap_or_default();
            batch.extend(header(item, size)?);
            if matches!(item.kind, Kind::File { .. }) {
                let path = self.tree.root.join(&item.path);
                let file = File::open(&path).map_err(|error| io::Error::other(format!("{}: {error}", item.path)))?;
                (self.file, self.left, self.padding) = (Some(file), size, size.next_multiple_of(BLOCK) - size);
            }
            self.next += 1;
        }
        self.sum.update(&batch);
        Ok(batch)
    }
}

/// The blocks before an item's content.
fn header(item: &Item, size: u64) -> io::Result<Vec<u8>> {
    let mut head = tar::Header::new_gnu();
    // Any moment in the past; tar warns of the very first ones.
    head.set_mtime(1_000_000_000);
    head.set_size(0);
    head.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    match &item.kind {
        Kind::Folder => {
            head.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut head, format!("{}/", item.path), io::empty())?;
        }
        Kind::File { executable } => {
            head.set_entry_type(tar::EntryType::Regular);
            head.set_size(size);
            head.set_mode(if *executable { 0o755 } else { 0o644 });
            builder.append_data(&mut head, &item.path, io::empty())?;
        }
        Kind::Link(target) => {
            head.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut head, &item.path, target)?;
        }
    }
    // What is dropped writes the end of a tar, which belongs elsewhere.
    Ok(std::mem::take(builder.get_mut()))
}
