//! Reading a job's log: a place in it, and the lines from there.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    sync::Arc,
};

use super::log::{Log, Piece, Place};

/// Bytes that a reader takes at a time; one longer line is taken whole.
const TAKE: usize = 16 << 10;
/// The longest line; what is longer is no line of ours.
const LONGEST: usize = 16 << 20;

/// A reader's place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    /// Number of the last line that was seen; 0 before the first.
    pub seen: u64,
    /// Where the next line stands: first number of its piece, and the offset in it.
    at: Option<(u64, u64)>,
}

impl Cursor {
    /// The place behind line `seen`.
    pub fn after(seen: u64) -> Self {
        Self { seen, at: None }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch {
    /// Whole lines with their ends, numbered from `first`.
    Lines { first: u64, text: Vec<u8> },
    /// Lines that a bound dropped, up to and with number `last`.
    Gap { last: u64, lost: u64 },
}

impl Log {
    /// Waits for what comes behind the cursor, and moves it there; `None` at the end.
    pub async fn next(self: &Arc<Self>, cursor: &mut Cursor) -> Option<Batch> {
        let mut published = self.published.subscribe();
        loop {
            let mark = *published.borrow_and_update();
            if cursor.seen + 1 < mark.next {
                // The semaphore is never closed.
                let _turn = self.reading.acquire().await.ok()?;
                let (log, mut at) = (self.clone(), *cursor);
                let read = tokio::task::spawn_blocking(move || {
                    let batch = log.take(&mut at, mark.next);
                    (at, batch)
                });
                let (at, batch) = read.await.ok()?;
                *cursor = at;
                return Some(batch);
            }
            // A number from elsewhere may be beyond the end.
            if mark.ended || published.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Reads what is there already; lines below `next` were published.
    fn take(&self, cursor: &mut Cursor, next: u64) -> Batch {
        let mut wanted = cursor.seen + 1;
        loop {
            let Some(piece) = self.piece(wanted) else { return cursor.skip(next - 1) };
            if piece.first > wanted {
                return cursor.skip(piece.first - 1);
            }
            if wanted > cursor.seen + 1 {
                return cursor.skip(wanted - 1);
            }
            match lines(&piece, cursor, wanted) {
                Ok(text) => return Batch::Lines { first: wanted, text },
                // Removed between looking and reading: the index no longer has it.
                Err(error) if error.kind() == ErrorKind::NotFound && !self.has(&piece) => {}
                // Damaged, or removed by somebody else: what it had is lost, and the reader goes on behind it.
                Err(_) => wanted = piece.end,
            }
        }
    }

    fn has(&self, piece: &Piece) -> bool {
        self.piece(piece.first).is_some_and(|now| now.first == piece.first)
    }
}

impl Cursor {
    fn skip(&mut self, last: u64) -> Batch {
        let lost = last.saturating_sub(self.seen);
        *self = Self::after(last.max(self.seen));
        Batch::Gap { last, lost }
    }
}

/// Some lines of a piece, from number `wanted` on; the cursor moves behind them.
fn lines(piece: &Piece, cursor: &mut Cursor, wanted: u64) -> io::Result<Vec<u8>> {
    let source = Source::open(piece)?;
    let offset = match cursor.at {
        Some((first, offset)) if first == piece.first => offset,
        _ => source.find(wanted - piece.first)?,
    };
    let mut size = TAKE;
    loop {
        let mut text = source.read(offset, size)?;
        match memchr::memrchr(b'\n', &text) {
            Some(end) => {
                text.truncate(end + 1);
                let count = memchr::memchr_iter(b'\n', &text).count() as u64;
                // A piece may have grown since its end was looked up, and then has more lines than were published.
                cursor.seen = wanted - 1 + count;
                cursor.at = Some((piece.first, offset + text.len() as u64));
                return Ok(text);
            }
            None if text.len() == size && size < LONGEST => size *= 4,
            None => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// The published bytes of a piece.
enum Source<'a> {
    File(File, u64),
    Memory(&'a [u8]),
}

impl<'a> Source<'a> {
    fn open(piece: &'a Piece) -> io::Result<Self> {
        Ok(match &piece.place {
            Place::File(path) => Self::File(File::open(path)?, piece.bytes),
            Place::Memory(bytes) => Self::Memory(bytes),
        })
    }

    /// Up to `size` bytes from `offset` on.
    fn read(&self, offset: u64, size: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::File(file, end) => {
                let size = usize::try_from(end.saturating_sub(offset)).unwrap_or(size).min(size);
                let mut text = vec![0; size];
                file.read_exact_at(&mut text, offset)?;
                Ok(text)
            }
            Self::Memory(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                Ok(rest[..rest.len().min(size)].to_vec())
            }
        }
    }

    /// Where the line with this index begins.
    fn find(&self, mut index: u64) -> io::Result<u64> {
        let mut offset = 0;
        while index > 0 {
            let text = self.read(offset, 64 << 10)?;
            if text.is_empty() {
                return Err(ErrorKind::InvalidData.into());
            }
            match memchr::memchr_iter(b'\n', &text).nth(usize::try_from(index - 1).unwrap_or(usize::MAX)) {
                Some(end) => return Ok(offset + end as u64 + 1),
                None => index -= memchr::memchr_iter(b'\n', &text).count() as u64,
            }
            offset += text.len() as u64;
        }
        Ok(offset)
    }
}
