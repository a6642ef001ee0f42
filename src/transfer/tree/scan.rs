//! A tree in a folder of this machine.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    FOLDERS, Item, Kind, entry_of,
    listing::lines,
    rules::{TreeError, check},
};
use crate::{
    transfer::digest::hash_file,
    vocab::{Digest, WorkerId},
};

/// A folder with what is in it, looked at once; files are read when they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub root: PathBuf,
    /// Sorted by path, so that a folder comes before what is in it.
    pub items: Vec<Item>,
    /// Of files, in bytes; 0 for the rest.
    pub sizes: Vec<u64>,
    /// All bytes together.
    pub size: u64,
    /// "bin/NAME".
    pub entry: String,
}

impl Tree {
    /// Looks at a folder that has bin, lib and share in it; whatever else is there is refused.
    ///
    /// # Errors
    /// Names what may not be there.
    pub fn open(root: &Path, entry: Option<&str>, worker: &WorkerId) -> Result<Self, TreeError> {
        let mut found = Vec::new();
        walk(root, "", &mut found)?;
        let outside = |item: &Item| !FOLDERS.contains(&item.path.split('/').next().unwrap_or_default());
        // A folder above it all has the names first, so that the sentence is about them.
        found.sort_by(|(a, _): &(Item, u64), (b, _)| outside(b).cmp(&outside(a)).then_with(|| a.path.cmp(&b.path)));
        let (items, sizes): (Vec<Item>, Vec<u64>) = found.into_iter().unzip();
        check(&items)?;
        let entry = entry_of(&items, entry, worker.as_str())?;
        Ok(Self { root: root.to_owned(), size: sizes.iter().sum(), items, sizes, entry })
    }

    /// Where the entry point is.
    pub fn entry_path(&self) -> PathBuf {
        self.root.join(&self.entry)
    }

    /// The tree's sum; reads every file, so that the caller had better be on a thread that may block.
    ///
    /// # Errors
    /// A file cannot be read, or changed.
    pub fn digest(&self, worker: &WorkerId) -> Result<Digest, TreeError> {
        let mut hashes = Vec::with_capacity(self.items.len());
        for (item, size) in self.items.iter().zip(&self.sizes) {
            hashes.push(match item.kind {
                Kind::File { .. } => {
                    let path = self.root.join(&item.path);
                    let hashed = File::open(&path).and_then(hash_file).map_err(|error| read(&item.path, error))?;
                    if hashed.1 != *size {
                        return Err(TreeError::Changed(item.path.clone()));
                    }
                    Some(hashed.0)
                }
                _ => None,
            });
        }
        Ok(lines(worker, &self.entry, self.items.iter().zip(hashes.iter().map(Option::as_ref))))
    }
}

fn read(path: &str, error: io::Error) -> TreeError {
    TreeError::Read { path: path.to_owned(), error }
}

/// Deeper than any package is.
const DEPTH: usize = 40;

fn walk(root: &Path, below: &str, found: &mut Vec<(Item, u64)>) -> Result<(), TreeError> {
    if below.split('/').count() > DEPTH {
        return Err(TreeError::Name(below.to_owned()));
    }
    let shown = |below: &str| if below.is_empty() { root.display().to_string() } else { below.to_owned() };
    let entries = fs::read_dir(root.join(below)).map_err(|error| read(&shown(below), error))?;
    for entry in entries {
        let entry = entry.map_err(|error| read(&shown(below), error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(TreeError::Name(name.to_string_lossy().into_owned()));
        };
        let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let data = entry.metadata().map_err(|error| read(&path, error))?;
        let kind = data.file_type();
        let (kind, size) = if kind.is_dir() {
            (Kind::Folder, 0)
        } else if kind.is_file() {
            (Kind::File { executable: data.permissions().mode() & 0o100 != 0 }, data.len())
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).map_err(|error| read(&path, error))?;
            let Some(target) = target.to_str() else { return Err(TreeError::Name(path)) };
            (Kind::Link(target.to_owned()), 0)
        } else {
            return Err(TreeError::Special(path));
        };
        let folder = kind == Kind::Folder;
        found.push((Item { path: path.clone(), kind }, size));
        // Twice the bound and no further: the rule will say so.
        if found.len() > 40_000 {
            return Err(TreeError::TooMany);
        }
        if folder {
            walk(root, &path, found)?;
        }
    }
    Ok(())
}
