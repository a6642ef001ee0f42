//! A job's numbered lines on disk, within a bound.
//!
//! # Theory of operation
//! Lines are numbered from 1 and gathered in memory until they are many or somebody flushes; then they go to the last
//! *piece*, a file named by its first number. When all pieces together are more than the bound, the oldest but the very
//! first is removed: the beginning and the end of a job say most. What a reader misses is told by the numbers alone.
//! Where the disk takes nothing, output is left out and everything else is kept in memory, so that the end of a job is
//! told even then. Writing never holds the lock that readers take.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, watch};

/// Bytes that are gathered before they are written.
const GATHER: usize = 32 << 10;
/// Bytes kept in memory when the disk takes none.
const MEMORY: usize = 256 << 10;
/// Readers of one log that read from the disk at a time.
const READING: usize = 8;

/// How much of a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of all pieces together, give or take one of them.
    pub total: u64,
    /// Bytes of one piece.
    pub piece: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { total: 64 << 20, piece: 4 << 20 }
    }
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the next line.
    pub next: u64,
    pub ended: bool,
}

/// The log of one job.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    bounds: Bounds,
    writer: Mutex<Writer>,
    index: Mutex<Index>,
    pub(super) published: watch::Sender<Mark>,
    pub(super) reading: Semaphore,
}

#[derive(Debug, Default)]
struct Writer {
    next: u64,
    gathered: Vec<u8>,
    /// Number of the first line that is gathered.
    from: u64,
    /// Length of the gathered lines that may be left out: all but the last, when that is more than output.
    output: usize,
    file: Option<Open>,
    /// The last failure; what it cost is in the numbers.
    error: Option<String>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: Arc<Path>,
    bytes: u64,
}

/// What there is to read.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub pieces: VecDeque<Piece>,
}

/// Consecutive lines.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub first: u64,
    /// One behind the last.
    pub end: u64,
    pub bytes: u64,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    File(Arc<Path>),
    Memory(Arc<[u8]>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// An empty log whose pieces will be in `dir`, which exists.
    pub fn new(dir: impl Into<PathBuf>, bounds: Bounds) -> Self {
        Self::with(dir.into(), bounds, Index::default(), Mark { next: 1, ended: false })
    }

    fn with(dir: PathBuf, bounds: Bounds, index: Index, mark: Mark) -> Self {
        Self {
            dir,
            bounds,
            writer: Mutex::new(Writer { next: mark.next, from: mark.next, ..Writer::default() }),
            index: Mutex::new(index),
            published: watch::Sender::new(mark),
            reading: Semaphore::new(READING),
        }
    }

    /// The log that another process left in `dir`; `ended` when nothing will come to it.
    ///
    /// # Errors
    /// The folder or a piece in it cannot be read.
    pub fn open(dir: impl Into<PathBuf>, bounds: Bounds, ended: bool) -> io::Result<Self> {
        let dir = dir.into();
        let mut index = Index::default();
        let mut names: Vec<(u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(first) = name.strip_suffix(".ndjson").and_then(|number| number.parse().ok()) {
                names.push((first, path));
            }
        }
        names.sort();
        let mut next = 1;
        for (first, path) in names {
            let (lines, bytes) = whole_lines(&path)?;
            // Numbers never go back; a file that says so is none of ours.
            if lines > 0 && first >= next {
                next = first + lines;
                let place = Place::File(path.into());
                index.pieces.push_back(Piece { first, end: next, bytes, place });
            }
        }
        Ok(Self::with(dir, bounds, index, Mark { next, ended }))
    }

    /// Adds the line that `make` writes for its number; `is_output` lines may be left out when there is no room.
    pub fn push(&self, is_output: bool, make: impl FnOnce(u64) -> String) {
        let mut writer = lock(&self.writer);
        let line = make(writer.next);
        debug_assert!(!line.contains('\n'), "one line: {line:?}");
        writer.next += 1;
        writer.gathered.extend_from_slice(line.as_bytes());
        writer.gathered.push(b'\n');
        if is_output {
            writer.output = writer.gathered.len();
        }
        if !is_output || writer.gathered.len() >= GATHER {
            self.write(&mut writer, false);
        }
    }

    /// Makes everything so far visible.
    pub fn flush(&self) {
        self.write(&mut lock(&self.writer), false);
    }

    /// Adds the last line; readers end behind it.
    pub fn end(&self, make: impl FnOnce(u64) -> String) {
        let mut writer = lock(&self.writer);
        let line = make(writer.next);
        writer.next += 1;
        writer.gathered.extend_from_slice(line.as_bytes());
        writer.gathered.push(b'\n');
        self.write(&mut writer, true);
        writer.file = None;
    }

    /// Number of the last line that can be read.
    pub fn last(&self) -> u64 {
        self.published.borrow().next - 1
    }

    pub fn has_ended(&self) -> bool {
        self.published.borrow().ended
    }

    /// What kept lines from the disk, if anything did.
    pub fn error(&self) -> Option<String> {
        lock(&self.writer).error.clone()
    }

    fn write(&self, writer: &mut Writer, ended: bool) {
        if !writer.gathered.is_empty() {
            let place = match self.to_disk(writer) {
                Ok(path) => Some(Place::File(path)),
                Err(error) => {
                    writer.error = Some(error.to_string());
                    None
                }
            };
            let mut first = writer.from;
            let mut bytes = writer.gathered.len();
            let place = place.unwrap_or_else(|| {
                // Output goes first; whatever is left are single lines, flushed as they came.
                let kept = &writer.gathered[writer.output..];
                first = writer.next - kept.iter().filter(|byte| **byte == b'\n').count() as u64;
                bytes = kept.len();
                Place::Memory(kept.into())
            });
            if first < writer.next {
                let piece = Piece { first, end: writer.next, bytes: bytes as u64, place };
                let removed = lock(&self.index).add(piece, self.bounds);
                for path in removed {
                    let _ = fs::remove_file(path);
                }
            }
            writer.gathered.clear();
            writer.output = 0;
            writer.from = writer.next;
        }
        let mark = Mark { next: writer.next, ended };
        self.published.send_if_modified(|now| std::mem::replace(now, mark) != mark);
    }

    /// Writes what is gathered, whole or not at all.
    fn to_disk(&self, writer: &mut Writer) -> io::Result<Arc<Path>> {
        let len = writer.gathered.len() as u64;
        if writer.file.as_ref().is_some_and(|open| open.bytes + len > self.bounds.piece) {
            writer.file = None;
        }
        let open = match &mut writer.file {
            Some(open) => open,
            None => {
                let path = self.dir.join(format!("{:020}.ndjson", writer.from));
                let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
                writer.file.insert(Open { file, path: path.into(), bytes: 0 })
            }
        };
        if let Err(error) = open.file.write_all(&writer.gathered) {
            // What got there in part is taken back; the next attempt begins a new piece.
            if open.bytes == 0 {
                let _ = fs::remove_file(&open.path);
            } else {
                let _ = open.file.set_len(open.bytes);
            }
            writer.file = None;
            return Err(error);
        }
        open.bytes += len;
        Ok(open.path.clone())
    }

    /// The piece that has line `number` or a later one.
    pub(super) fn piece(&self, number: u64) -> Option<Piece> {
        let index = lock(&self.index);
        let at = index.pieces.partition_point(|piece| piece.end <= number);
        index.pieces.get(at).cloned()
    }
}

impl Index {
    /// Adds lines at the end, and yields the files that are over the bound then.
    fn add(&mut self, piece: Piece, bounds: Bounds) -> Vec<Arc<Path>> {
        match (self.pieces.back_mut(), &piece.place) {
            (Some(Piece { end, bytes, place: Place::File(last), .. }), Place::File(path))
                if *end == piece.first && last == path =>
            {
                *end = piece.end;
                *bytes += piece.bytes;
            }
            _ => self.pieces.push_back(piece),
        }
        let mut removed = Vec::new();
        let on_disk = |piece: &Piece| matches!(piece.place, Place::File(_));
        while self.pieces.iter().filter(|piece| on_disk(piece)).map(|piece| piece.bytes).sum::<u64>() > bounds.total {
            let last = self.pieces.len() - 1;
            let Some(at) = (1..last).find(|at| on_disk(&self.pieces[*at])) else { break };
            if let Some(Piece { place: Place::File(path), .. }) = self.pieces.remove(at) {
                removed.push(path);
            }
        }
        while self.pieces.iter().filter(|piece| !on_disk(piece)).map(|piece| piece.bytes).sum::<u64>() > MEMORY as u64 {
            let Some(at) = self.pieces.iter().position(|piece| !on_disk(piece)) else { break };
            self.pieces.remove(at);
        }
        removed
    }
}

/// Counts the lines of a piece that came to their end, and their bytes.
fn whole_lines(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let (mut lines, mut bytes, mut read) = (0, 0, 0);
    let mut chunk = vec![0; 64 << 10];
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => return Ok((lines, bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for at in memchr::memchr_iter(b'\n', &chunk[..count]) {
            lines += 1;
            bytes = read + at as u64 + 1;
        }
        read += count as u64;
    }
}

#[cfg(test)]
mod tests;
