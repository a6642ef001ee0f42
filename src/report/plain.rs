//! A line an event, for pipes, CI and people who like to scroll.
//!
//! Every line is written whole and in one go, and belongs to one host, whose name stands before it. When nothing has
//! been written for a minute, a heartbeat says what each host is at.

use std::{
    collections::HashMap,
    io::{self, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    Reader,
    board::{Board, passed},
    live::{doing, tally},
    recap::{Style, recap},
    sentence::sentences,
    sink::Sink,
};
use crate::vocab::{CancelStage, Event, EventKind, HostName, Level, Phase, Stream, text::human_duration};

/// Columns that names are aligned to; a longer one sticks out.
const NAME_WIDTH: usize = 24;
/// Silence that asks for a heartbeat.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two lines about the progress of one host; a tenth of a model is told sooner.
const PROGRESS: Duration = Duration::from_secs(10);
/// Tenths that come faster are told together.
const TENTHS: Duration = Duration::from_secs(1);
/// Hosts that a heartbeat names.
const NAMED: usize = 8;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Failures and the recap.
    Quiet,
    #[default]
    Normal,
    /// Also the end of each phase.
    Verbose,
}

/// What the output of programs is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lines {
    /// Told like everything else: a build.
    #[default]
    Talk,
    /// What was asked for: `fleet exec`. Never left out, and what a program writes to its stdout goes to ours.
    Data,
    /// There are none: the verb asks, and its answer is shown at the end by whoever asked. Until then warnings are told.
    Answer,
}

/// What the readers for people have in common.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub verbosity: Verbosity,
    pub lines: Lines,
    /// Colour, where the reader has any: [`Plain`] has none but in its recap.
    pub color: bool,
    /// The folder with the log of each host, for the recap.
    pub logs: Option<PathBuf>,
}

impl Options {
    /// Whether an event of this kind is told in words by a reader that shows everything as it comes.
    pub(super) fn tells(&self, kind: &EventKind) -> bool {
        let least = match kind {
            EventKind::Summary(_) if self.lines == Lines::Answer => return false,
            EventKind::Notice { level: Level::Warning, .. } if self.lines == Lines::Answer => Verbosity::Normal,
            EventKind::Line { .. } if self.lines == Lines::Data => Verbosity::Quiet,
            EventKind::Notice { level: Level::Error, .. }
            | EventKind::Cancel { stage: CancelStage::Unconfirmed, .. }
            | EventKind::Summary(_) => Verbosity::Quiet,
            _ if self.lines == Lines::Answer => Verbosity::Verbose,
            EventKind::HostFinished(report) if !report.outcome.is_ok() => Verbosity::Quiet,
            EventKind::HostStarted | EventKind::PhaseFinished { .. } => Verbosity::Verbose,
            // Who asked for data wants to see that, and the recap.
            EventKind::PhaseStarted { .. } | EventKind::HostFinished(_) if self.lines == Lines::Data => {
                Verbosity::Verbose
            }
            _ => Verbosity::Normal,
        };
        self.verbosity >= least
    }
}

/// When progress was last told, and how many tenths it was.
#[derive(Debug, Clone, Copy)]
struct Told {
    at: SystemTime,
    tenths: u8,
}

impl Told {
    /// Whether there is something new to tell of a model.
    fn is_over(self, now: SystemTime, tenths: u8) -> bool {
        let passed = passed(self.at, now);
        passed >= PROGRESS || tenths > self.tenths && passed >= TENTHS
    }
}

/// Writes data to one writer and talk to another.
pub struct Plain {
    data: Sink,
    talk: Sink,
    options: Options,
    board: Board,
    width: usize,
    /// When something was last written.
    spoke: Option<SystemTime>,
    /// What was last told of a host's progress, and of all hosts'.
    progress: HashMap<HostName, Told>,
    fleet: Option<Told>,
}

impl Plain {
    /// `data` is stdout and `talk` is stderr, mostly.
    pub fn new(data: Box<dyn Write + Send>, talk: Box<dyn Write + Send>, options: Options) -> Self {
        Self {
            data: Sink::new(data),
            talk: Sink::new(talk),
            options,
            board: Board::default(),
            width: 0,
            spoke: None,
            progress: HashMap::new(),
            fleet: None,
        }
    }

    fn tell(&mut self, event: &Event, lines: &[String]) {
        let is_data = self.options.lines == Lines::Data
            && matches!(event.kind, EventKind::Line { stream: Stream::Stdout, .. } | EventKind::Gap { .. });
        let sink = if is_data { &mut self.data } else { &mut self.talk };
        for line in lines {
            match &event.host {
                Some(host) => sink.line(format!("{host:<width$} | {line}", width = self.width).trim_end()),
                None => sink.line(line),
            }
            self.spoke = Some(event.at);
        }
    }

    /// What is said of a progress event: something each few seconds, and of a model each tenth. A build's is in the
    /// heartbeats: its lines are told.
    fn progress(&mut self, event: &Event) -> Option<String> {
        let host = event.host.as_ref()?;
        let work = self.board.work(host)?;
        let gauge = work.gauge.as_ref()?;
        let last = self.progress.get(host).copied().filter(|last| last.at >= work.since);
        let tenths = if event.phase == Some(Phase::Model) { gauge.tenths() } else { 0 };
        if !last.unwrap_or(Told { at: work.since, tenths: 0 }).is_over(event.at, tenths) {
            return None;
        }
        let words = gauge.words();
        self.progress.insert(host.clone(), Told { at: event.at, tenths });
        Some(format!("{}: {words}", event.phase.map_or("progress", |phase| phase.as_str())))
    }

    /// The same of all hosts together.
    fn fleet(&mut self, event: &Event) -> Option<String> {
        let gauge = self.board.fleet.gauge()?;
        let last = *self.fleet.get_or_insert(Told { at: event.at, tenths: gauge.tenths() });
        last.is_over(event.at, gauge.tenths()).then(|| {
            self.fleet = Some(Told { at: event.at, tenths: gauge.tenths() });
            format!("all hosts: {}", gauge.words())
        })
    }

    fn heartbeat(&self, now: SystemTime) -> Option<String> {
        let active = self.board.active();
        let waiting = self.board.waiting().len();
        if active.is_empty() {
            return None;
        }
        let named = active.iter().take(NAMED).map(|(host, work)| format!("{host} ({})", work.words(now)));
        let mut line = format!("still running: {}", named.collect::<Vec<_>>().join(", "));
        let more = active.len().saturating_sub(NAMED) + waiting;
        if more > 0 {
            let hidden = active.iter().skip(NAMED).map(|(_, work)| doing(work.phase));
            line.push_str(&format!(", and {more} more: {}", tally(hidden, waiting)));
        }
        line.push_str(&format!("; {} so far", human_duration(self.board.elapsed(now))));
        Some(line)
    }
}

impl Reader for Plain {
    fn event(&mut self, event: &Event) {
        self.board.apply(event);
        // Silence is counted from the first event, whatever is left out of it.
        self.spoke.get_or_insert(event.at);
        if matches!(event.kind, EventKind::RunStarted { .. }) {
            self.width = self.board.name_width(NAME_WIDTH);
        }
        if !self.options.tells(&event.kind) {
            return;
        }
        match &event.kind {
            EventKind::Summary(summary) => {
                self.talk.line("");
                for line in recap(summary, Style { color: self.options.color, logs: self.options.logs.as_deref() }) {
                    self.talk.line(&line);
                }
            }
            EventKind::Progress { .. } => {
                if let Some(line) = self.progress(event) {
                    self.tell(event, &[line]);
                }
                if let Some(line) = self.fleet(event) {
                    self.talk.line(&line);
                }
            }
            _ => self.tell(event, &sentences(event)),
        }
    }

    fn tick(&mut self, now: SystemTime) {
        let silent = self.spoke.is_some_and(|spoke| passed(spoke, now) >= SILENCE);
        if !silent || self.options.verbosity == Verbosity::Quiet {
            return;
        }
        if let Some(line) = self.heartbeat(now) {
            self.talk.line(&line);
            self.spoke = Some(now);
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.data.finish().and(self.talk.finish())
    }
}

#[cfg(test)]
mod tests;
