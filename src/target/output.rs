//! A script's output as events: split into lines, told in order, with the last words kept for the error.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::Output;
use crate::{
    process::LineSplitter,
    scope::{Emitter, Scope},
    vocab::{Stream, text::plain_line},
};

/// Lines that are kept for the error.
const TAIL_LINES: usize = 20;
/// Characters of each of them.
const TAIL_WIDTH: usize = 400;

/// Sees each line of a script before it is told.
pub trait LineObserver: std::fmt::Debug + Send {
    /// Takes a line, or what will be one if nothing is drawn over it; false keeps it from being told.
    fn line(&mut self, line: &str) -> bool;

    /// All that has come was taken.
    fn pause(&mut self);
}

/// Tells every line of a script to the scope's listeners; waits while they are behind.
#[derive(Debug)]
pub struct EventLines {
    emitter: Emitter,
    stdout: LineSplitter,
    stderr: LineSplitter,
    activity: Activity,
    tail: VecDeque<String>,
    lines: u64,
    bytes: u64,
    observer: Option<Box<dyn LineObserver>>,
}

impl EventLines {
    /// Speaks for the host and the phase of `scope`.
    pub fn new(scope: &Scope) -> Self {
        Self {
            emitter: scope.events().clone(),
            stdout: LineSplitter::default(),
            stderr: LineSplitter::default(),
            activity: Activity::default(),
            tail: VecDeque::with_capacity(TAIL_LINES),
            lines: 0,
            bytes: 0,
            observer: None,
        }
    }

    /// The same with somebody who looks on.
    #[must_use]
    pub fn observed_by(self, observer: impl LineObserver + 'static) -> Self {
        Self { observer: Some(Box::new(observer)), ..self }
    }

    /// Says when output came last; for whoever watches over an idle limit while this is borrowed by the run.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// The last lines of both streams that are not blank, oldest first, fit to be shown.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells the lines that the streams ended in the middle of; to be called when the script is over.
    pub async fn finish(&mut self) {
        for (stream, line) in [(Stream::Stdout, self.stdout.finish()), (Stream::Stderr, self.stderr.finish())] {
            if let Some(line) = line {
                tell(&self.emitter, &mut self.observer, &mut self.tail, &mut self.lines, stream, line).await;
            }
        }
        if let Some(observer) = &mut self.observer {
            observer.pause();
        }
    }
}

#[async_trait]
impl Output for EventLines {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        self.activity.touch();
        self.bytes += bytes.len() as u64;
        let splitter = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        for line in splitter.feed(bytes) {
            tell(&self.emitter, &mut self.observer, &mut self.tail, &mut self.lines, stream, line).await;
        }
        if let Some(observer) = &mut self.observer {
            // A bar stands there until the next one comes, which may take long.
            if let Some(drawn) = splitter.drawn() {
                observer.line(&drawn);
            }
            observer.pause();
        }
    }
}

async fn tell(
    emitter: &Emitter,
    observer: &mut Option<Box<dyn LineObserver>>,
    tail: &mut VecDeque<String>,
    lines: &mut u64,
    stream: Stream,
    line: String,
) {
    if observer.as_mut().is_some_and(|observer| !observer.line(&line)) {
        return;
    }
    *lines += 1;
    let shown: String = plain_line(&line).trim_end().chars().take(TAIL_WIDTH).collect();
    if !shown.is_empty() {
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(shown);
    }
    emitter.line(stream, line).await;
}

/// When something last came; clones look at the same clock.
#[derive(Debug, Clone)]
pub struct Activity {
    start: Instant,
    /// Milliseconds after `start`.
    last: Arc<AtomicU64>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { start: Instant::now(), last: Arc::new(AtomicU64::new(0)) }
    }
}

impl Activity {
    /// Something came now.
    pub fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// When something came last; the start, if nothing ever did.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// For how long nothing has come.
    pub fn idle(&self) -> Duration {
        self.last().elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scope::{Cancel, events},
        vocab::{EventKind, HostName, Phase, RunId},
    };

    #[tokio::test]
    async fn lines_keep_their_stream_and_their_order() {
        let (emitter, mut receiver) = events(RunId::new("r").unwrap());
        let scope = Scope::new(Cancel::new(), emitter).for_host(&HostName::local()).in_phase(Phase::Build);
        let mut output = EventLines::new(&scope);
        output.chunk(Stream::Stdout, b"one\ntw").await;
        output.chunk(Stream::Stderr, b"\x1b[31mbad\x1b[0m\n").await;
        output.chunk(Stream::Stdout, b"o\n\nend").await;
        output.finish().await;
        assert_eq!(output.tail().collect::<Vec<_>>(), ["one", "bad", "two", "end"]);
        assert_eq!((output.lines(), output.bytes()), (5, 25));
        drop((output, scope));
        let mut seen = Vec::new();
        while let Some(event) = receiver.recv().await {
            assert_eq!(event.phase, Some(Phase::Build));
            let EventKind::Line { stream, text } = event.kind else { panic!("{event:?}") };
            seen.push((stream, text));
        }
        let (out, err) = (Stream::Stdout, Stream::Stderr);
        let lines = [(out, "one"), (err, "\u{1b}[31mbad\u{1b}[0m"), (out, "two"), (out, ""), (out, "end")];
        assert_eq!(seen, lines.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[tokio::test]
    async fn the_tail_is_bounded() {
        let (emitter, _receiver) = events(RunId::new("r").unwrap());
        let mut output = EventLines::new(&Scope::new(Cancel::new(), emitter));
        for n in 0..50 {
            output.chunk(Stream::Stdout, format!("{n} {}\n", "x".repeat(1000)).as_bytes()).await;
        }
        assert_eq!(output.tail().count(), TAIL_LINES);
        assert!(output.tail().next().is_some_and(|line| line.starts_with("30 ") && line.len() == TAIL_WIDTH));
    }

    #[test]
    fn activity_is_seen_through_clones() {
        let activity = Activity::default();
        let seen = activity.clone();
        let before = seen.last();
        std::thread::sleep(Duration::from_millis(5));
        activity.touch();
        assert!(seen.last() > before);
    }
}
