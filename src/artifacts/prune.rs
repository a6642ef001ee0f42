//! Makes room: by age, by size, and of what a killed run left.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    Artifacts, CacheError, Entry,
    draft::{LOCK, PREFIX, take_away},
};

/// What may stay.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Since it was used last.
    pub older_than: Option<Duration>,
    /// Bytes of all together.
    pub max_size: Option<u64>,
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pruned {
    pub removed: Vec<Entry>,
    /// To be removed, but another run uses them.
    pub in_use: Vec<Entry>,
    pub kept: Vec<Entry>,
}

pub(super) fn prune(artifacts: &Artifacts, bounds: &Bounds, now: SystemTime) -> Result<Pruned, CacheError> {
    sweep(&artifacts.dir);
    let mut pruned = Pruned::default();
    let (go, stay) = choose(artifacts.list(), bounds, now);
    pruned.kept = stay;
    for entry in go {
        let key = entry.artifact.key;
        if File::open(artifacts.index(key)).is_ok_and(|index| index.try_lock().is_err()) {
            pruned.in_use.push(entry);
            continue;
        }
        let place = artifacts.place(key);
        take_away(&artifacts.dir, &place).map_err(|error| CacheError::new("remove", &place, error))?;
        pruned.removed.push(entry);
    }
    Ok(pruned)
}

/// What a prune looks at.
pub(super) trait Piece {
    /// When it was made or used last.
    fn used(&self) -> SystemTime;
    fn size(&self) -> u64;
}

impl Piece for Entry {
    fn used(&self) -> SystemTime {
        self.used
    }

    fn size(&self) -> u64 {
        self.artifact.size
    }
}

/// Parts what goes from what stays; without any bound everything goes.
pub(super) fn choose<P: Piece>(mut pieces: Vec<P>, bounds: &Bounds, now: SystemTime) -> (Vec<P>, Vec<P>) {
    if bounds.older_than.is_none() && bounds.max_size.is_none() {
        return (pieces, Vec::new());
    }
    // The clock may have been set back: what was used in the future was used now.
    let age = |piece: &P| now.duration_since(piece.used()).unwrap_or_default();
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.used()));
    let mut room = bounds.max_size;
    let stays = |piece: &P| {
        if bounds.older_than.is_some_and(|limit| age(piece) >= limit) {
            return false;
        }
        match &mut room {
            None => true,
            Some(left) => match left.checked_sub(piece.size()) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                // What was used longer ago is not kept instead.
                None => {
                    *left = 0;
                    false
                }
            },
        }
    };
    let (stay, go) = pieces.into_iter().partition(stays);
    (go, stay)
}

/// Removes drafts that nobody writes any more.
pub(super) fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let path = entry.path();
        if let Some(draft) = name.strip_suffix(&format!(".{LOCK}")) {
            if File::open(&path).is_ok_and(|lock| lock.try_lock().is_ok()) && is_old(&path) {
                let _ = fs::remove_dir_all(root.join(draft));
                let _ = fs::remove_file(&path);
            }
        } else if !root.join(format!("{name}.{LOCK}")).exists() {
            // Being removed, by this process or one that was killed meanwhile.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// A lock is taken a moment after its file was made.
fn is_old(path: &Path) -> bool {
    let made = fs::metadata(path).and_then(|data| data.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_secs(5)))
}
