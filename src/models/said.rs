//! What the scripts say while they fetch: lengths of parts, and at the end one word.

use async_trait::async_trait;

use super::{hub::redacted, parts, tally::Tally};
use crate::{
    target::Output,
    vocab::{Stream, text::plain_line},
};

/// A line is short; what a hostile host sends without an end is dropped.
const LINE: usize = 64 << 10;
/// All that is kept of what was said, in bytes: more than the largest cache has names for.
const MOST: usize = 64 << 20;
/// Segments of a blob, of which a script is never given more.
const SEGMENTS: usize = 4096;

/// How a script ended, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Done,
    /// Another run or client is at it.
    Held(String),
    /// The link is not good any more.
    Expired,
    /// Asked too much; the headers about the wait.
    Limited(Option<String>, Option<String>),
    /// Not well for now; the header about the wait.
    Busy(String, Option<String>),
    /// Something else came instead of the file.
    Page(String),
    /// The server sends whole files only.
    Ranges,
    Network(String),
    Disk(String),
    /// The digest that the bytes have.
    Wrong(String),
    /// Nothing that another try could mend.
    Broken(String),
}

impl End {
    /// Takes `w WORD …` apart.
    fn parse(text: &str) -> Self {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = redacted(&plain_line(rest.trim()));
        let (first, second) = rest.split_once(' ').unwrap_or((&rest, ""));
        // `,` stands for a header that was not there.
        let header = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text != ",");
        match word {
            "held" => Self::Held(rest),
            "expired" => Self::Expired,
            "limited" => Self::Limited(header(first), header(second)),
            "busy" => Self::Busy(format!("it says {first}"), header(second)),
            "page" => Self::Page(rest),
            "ranges" => Self::Ranges,
            "network" => Self::Network(rest),
            "disk" => Self::Disk(rest),
            "wrong" => Self::Wrong(rest),
            "" => Self::Broken("the script on the host ended without a word".into()),
            _ => Self::Broken(format!("{word} {rest}")),
        }
    }
}

/// Reads a script's output line by line.
pub struct Listener<'a> {
    tally: Option<&'a Tally>,
    line: Vec<u8>,
    overlong: bool,
    base: u64,
    segments: Vec<(u64, u64)>,
    /// Bytes that are there, as last told; before anything was told, nothing.
    pub arrived: Option<u64>,
    end: Option<End>,
    /// All other lines.
    pub others: Vec<String>,
    kept: usize,
    stderr: crate::target::Captured,
}

impl<'a> Listener<'a> {
    pub fn new(tally: Option<&'a Tally>) -> Self {
        Self {
            tally,
            line: Vec::new(),
            overlong: false,
            base: 0,
            segments: Vec::new(),
            arrived: None,
            end: None,
            others: Vec::new(),
            kept: 0,
            stderr: crate::target::Captured::default(),
        }
    }

    /// The last word, or what was said instead of one.
    pub fn end(self) -> End {
        if self.kept > MOST {
            return End::Broken("the host says more than can be".into());
        }
        self.end.unwrap_or_else(|| {
            let words = redacted(&self.stderr.last_words());
            if words.is_empty() { End::parse("") } else { End::Broken(words) }
        })
    }

    fn take(&mut self, line: &str) {
        if line == "." {
            let arrived = parts::arrived(self.base, &self.segments);
            self.segments.clear();
            self.base = 0;
            self.arrived = Some(arrived);
            if let Some(tally) = self.tally {
                tally.current(arrived);
            }
        } else if line == "ok" {
            self.end = Some(End::Done);
        } else if let Some(why) = line.strip_prefix("w ") {
            self.end = Some(End::parse(why));
        } else {
            let mut words = line.split_ascii_whitespace();
            match (words.next().map(str::parse), words.next()) {
                (Some(Ok(size)), Some("base")) => self.base = size,
                (Some(Ok(size)), Some(name)) if name.starts_with("s.") => {
                    if let (Ok(start), true) = (name[2..].parse(), self.segments.len() < SEGMENTS) {
                        self.segments.push((start, size));
                    }
                }
                (Some(Ok::<u64, _>(_)), _) => {}
                _ => {
                    // A short line costs more than its text.
                    self.kept = self.kept.saturating_add(line.len() + 32);
                    if self.kept <= MOST {
                        self.others.push(plain_line(line));
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Output for Listener<'_> {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            return self.stderr.chunk(stream, bytes).await;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE {
                self.overlong = true;
                self.line.clear();
            }
            if !self.overlong {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.overlong) {
                    self.take(String::from_utf8_lossy(&line).trim_end_matches('\n'));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(text: &str) -> (Option<u64>, End) {
        let mut listener = Listener::new(None);
        for piece in text.as_bytes().chunks(3) {
            listener.chunk(Stream::Stdout, piece).await;
        }
        (listener.arrived, listener.end())
    }

    #[tokio::test]
    async fn lengths_and_the_last_word_are_heard() {
        let text = " 130 base\n 100 s.100\n 40 s.200\n 270 total\n.\nw limited 7 \"api\";r=0;t=55\n";
        let limited = End::Limited(Some("7".into()), Some("\"api\";r=0;t=55".into()));
        assert_eq!(heard(text).await, (Some(240), limited));
        assert_eq!(heard("w busy 503 ,\n").await.1, End::Busy("it says 503".into(), None));
        assert_eq!(heard("w network 6 no https://x/?sig=1\n").await.1, End::Network("6 no https://x/?…".into()));
        assert!(matches!(heard("junk").await.1, End::Broken(_)));
        let long = "x".repeat(LINE * 2) + "\nok\n";
        assert_eq!(heard(&long).await.1, End::Done);
    }

    #[tokio::test]
    async fn a_host_that_says_more_and_more_is_not_listened_to() {
        let mut listener = Listener::new(None);
        let lines = "1 s.1\n2 base\nblob x\n".repeat(100_000);
        for _ in 0..20 {
            listener.chunk(Stream::Stdout, lines.as_bytes()).await;
        }
        assert!(listener.segments.len() <= SEGMENTS && listener.others.len() < MOST / 32);
        listener.chunk(Stream::Stdout, b"ok\n").await;
        assert!(matches!(listener.end(), End::Broken(_)));
    }
}
