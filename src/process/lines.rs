//! Bytes of a program's output, split into lines of bounded length.
//!
//! # Theory of operation
//! A [`LineSplitter`] belongs to one stream and keeps at most one unfinished line, of which it holds [`LINE_LIMIT`] bytes
//! and counts the rest. Three things end a line: `\n`, `\r\n`, and a `\r` on its own, which is a program redrawing its
//! progress. Whether a `\r` stands alone is known only when the next byte is there, so it is remembered across chunks.
//! Of several redraws in a row within one chunk only the last is told. Lines are made one at a time while the caller
//! iterates, so that a chunk of a hundred thousand line ends costs no memory.

use std::borrow::Cow;

use memchr::memchr2;

/// Bytes of one line that are kept; what comes after them is counted and dropped.
pub const LINE_LIMIT: usize = 16 << 10;

/// Splits one stream.
#[derive(Debug, Default)]
pub struct LineSplitter {
    pending: Vec<u8>,
    /// Bytes of the pending line beyond the limit.
    cut: u64,
    /// The pending line was followed by `\r`, and what comes next decides what that was.
    after_cr: bool,
}

impl LineSplitter {
    /// Takes a chunk and yields the lines that it completes; iterate to the end, or the rest of the chunk is lost.
    pub fn feed<'a>(&'a mut self, chunk: &'a [u8]) -> Lines<'a> {
        Lines { splitter: self, rest: chunk, redraw: None, next: None }
    }

    /// Yields the line that the stream ended in the middle of.
    pub fn finish(&mut self) -> Option<String> {
        self.after_cr = false;
        self.has_text().then(|| self.take())
    }

    /// The line that stands before a `\r`, as long as nothing was drawn over it.
    pub fn drawn(&self) -> Option<Cow<'_, str>> {
        (self.after_cr && !self.pending.is_empty()).then(|| String::from_utf8_lossy(&self.pending))
    }

    fn has_text(&self) -> bool {
        !self.pending.is_empty() || self.cut > 0
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT - self.pending.len();
        let kept = bytes.len().min(room);
        self.pending.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }

    fn take(&mut self) -> String {
        let cut = std::mem::take(&mut self.cut);
        if cut == 0 {
            let line = String::from_utf8_lossy(&self.pending).into_owned();
            self.pending.clear();
            return line;
        }
        let whole = whole_characters(&self.pending);
        let cut = cut + (self.pending.len() - whole) as u64;
        let line = match String::from_utf8_lossy(&self.pending[..whole]) {
            Cow::Borrowed(text) => format!("{text}… [{cut} bytes cut]"),
            Cow::Owned(text) => format!("{text}… [{cut} bytes cut]"),
        };
        self.pending.clear();
        line
    }
}

/// The length of `bytes` without a character that the end cuts in two.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        return if length > back { at } else { bytes.len() };
    }
    bytes.len()
}

/// The lines that a chunk completed, without their ends, as text: invalid UTF-8 is replaced.
#[derive(Debug)]
#[must_use = "the chunk is read while this is iterated"]
pub struct Lines<'a> {
    splitter: &'a mut LineSplitter,
    rest: &'a [u8],
    /// The last redraw, held back until it is known not to be followed by another one.
    redraw: Option<String>,
    next: Option<String>,
}

impl Lines<'_> {
    /// Gives the line that `\n` ended, after the redraw before it.
    fn line(&mut self) -> String {
        let line = self.splitter.take();
        match self.redraw.take() {
            Some(redraw) => {
                self.next = Some(line);
                redraw
            }
            None => line,
        }
    }
}

impl Iterator for Lines<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if let Some(line) = self.next.take() {
            return Some(line);
        }
        while let Some(&first) = self.rest.first() {
            if self.splitter.after_cr {
                if first == b'\r' {
                    self.rest = &self.rest[1..];
                    continue;
                }
                self.splitter.after_cr = false;
                if first == b'\n' {
                    self.rest = &self.rest[1..];
                    return Some(self.line());
                }
                if self.splitter.has_text() {
                    self.redraw = Some(self.splitter.take());
                }
            }
            let Some(end) = memchr2(b'\n', b'\r', self.rest) else {
                self.splitter.keep(self.rest);
                self.rest = &[];
                break;
            };
            self.splitter.keep(&self.rest[..end]);
            let byte = self.rest[end];
            self.rest = &self.rest[end + 1..];
            if byte == b'\n' {
                return Some(self.line());
            }
            self.splitter.after_cr = true;
        }
        self.redraw.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            lines.extend(splitter.feed(chunk));
            assert!(splitter.pending.capacity() <= 2 * LINE_LIMIT, "a splitter holds one line");
        }
        lines.extend(splitter.finish());
        lines
    }

    fn is_subsequence(short: &[String], long: &[String]) -> bool {
        let mut long = long.iter();
        short.iter().all(|line| long.any(|other| other == line))
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        assert_eq!(split([&b"a\nb\r\n\nc"[..]]), ["a", "b", "", "c"]);
        assert_eq!(split([&b"a\r"[..], b"\nb\r\r\n"]), ["a", "b"]);
        assert_eq!(split([&b""[..]]), [""; 0]);
        assert_eq!(split([&b"\r"[..]]), [""; 0]);
    }

    #[test]
    fn of_redraws_in_a_chunk_the_last_is_told() {
        assert_eq!(split([&b"\r1%\r2%\r3%\rx"[..]]), ["3%", "x"]);
        assert_eq!(split([&b"1%\r2%\rdone\n"[..]]), ["2%", "done"]);
        assert_eq!(split([&b"1%\r"[..], b"2%\r", b"3%"]), ["1%", "2%", "3%"]);
    }

    #[test]
    fn what_is_drawn_last_can_be_seen_before_it_is_told() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.feed(b"1%\r2%\r").collect::<Vec<_>>(), ["1%"]);
        assert_eq!(splitter.drawn().as_deref(), Some("2%"));
        assert_eq!(splitter.feed(b"x").collect::<Vec<_>>(), ["2%"]);
        assert_eq!(splitter.drawn(), None);
    }

    #[test]
    fn garbage_is_text() {
        assert_eq!(split([&b"\xff\xfe\0x\n"[..]]), ["\u{fffd}\u{fffd}\0x"]);
    }

    #[test]
    fn ten_megabytes_without_a_line_end_are_cut() {
        let chunk = vec![b'x'; 64 << 10];
        let lines = split((0..160).map(|_| &chunk[..]));
        let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
        let cut = 160 * (64 << 10) - LINE_LIMIT;
        assert_eq!(*line, format!("{}… [{cut} bytes cut]", "x".repeat(LINE_LIMIT)));
    }

    #[test]
    fn the_cut_keeps_characters_whole() {
        let text = format!("x{}", "é".repeat(LINE_LIMIT));
        let [line] = &split([text.as_bytes()])[..] else { panic!("one line") };
        assert!(!line.contains('\u{fffd}'));
        assert!(line.ends_with(&format!("é… [{} bytes cut]", text.len() - LINE_LIMIT + 1)));
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..400),
            size in 1usize..50,
        ) {
            let text: Vec<u8> = text.into_iter().filter(|b| *b != b'\r').collect();
            prop_assert_eq!(split(text.chunks(size)), split([&text[..]]));
        }

        #[test]
        fn chunking_only_decides_which_redraws_are_told(text in "[ab\r\n]{0,60}", size in 1usize..20) {
            let all = split(text.as_bytes().chunks(1));
            let some = split(text.as_bytes().chunks(size));
            let few = split([text.as_bytes()]);
            prop_assert!(is_subsequence(&some, &all), "{:?} of {:?}", some, all);
            prop_assert!(is_subsequence(&few, &some), "{:?} of {:?}", few, some);
        }
    }
}
