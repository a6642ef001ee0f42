//! Live rows at the bottom of a terminal, and above them what is worth keeping.
//!
//! # Theory of operation
//! The live region is *one* progress bar whose message is all of its rows, so that a repaint is one write and a host that
//! comes or goes never shifts the others' bars. What is printed above it is collected and goes out with the next tick,
//! which bounds the repaints to ten a second whatever the hosts print. The size of the terminal is asked anew for each
//! repaint; a terminal that is made narrower may keep an old row above the region, where it does no harm.

use std::{
    io,
    time::{Duration, SystemTime},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle, TermLike};

use super::{
    Lines, Options, Reader, Verbosity,
    board::Board,
    live::{self, Canvas},
    recap::{Style, paint, recap},
    sentence::sentences,
};
use crate::vocab::{CancelStage, Event, EventKind};

/// Between two repaints.
const PERIOD: Duration = Duration::from_millis(100);
/// Printed lines that may wait for the next tick.
const HELD_LINES: usize = 500;

/// Draws to a terminal.
pub struct Tty {
    bar: ProgressBar,
    term: Box<dyn TermLike>,
    options: Options,
    board: Board,
    held: Vec<String>,
    shown: bool,
}

/// Lets somebody else have the terminal for a moment.
#[derive(Debug, Clone)]
pub struct Screen(ProgressBar);

impl Screen {
    /// Takes the live region away, calls `ask` (a prompt, a log line), and puts the region back below what it printed.
    pub fn suspend<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.0.suspend(ask)
    }
}

impl Tty {
    /// Draws to stderr; the caller has made sure that it is a terminal.
    pub fn stderr(options: Options) -> Self {
        Self::on(console::Term::buffered_stderr(), options)
    }

    /// Draws to any terminal.
    pub fn on(term: impl TermLike + Clone + 'static, options: Options) -> Self {
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style).with_finish(ProgressFinish::AndClear);
        Self { bar, term: Box::new(term), options, board: Board::default(), held: Vec::new(), shown: false }
    }

    /// A handle for prompts and logs; valid for as long as the terminal is.
    pub fn screen(&self) -> Screen {
        Screen(self.bar.clone())
    }

    /// What goes above the live region; rows say the rest.
    fn keeps(&self, kind: &EventKind) -> bool {
        let kept = match kind {
            EventKind::Line { .. } | EventKind::Gap { .. } => self.options.lines == Lines::Data,
            EventKind::Notice { .. } | EventKind::HostFinished(_) => true,
            EventKind::Cancel { stage, .. } => *stage == CancelStage::Unconfirmed,
            _ => false,
        };
        (kept || self.options.verbosity == Verbosity::Verbose) && self.options.tells(kind)
    }

    fn keep(&mut self, event: &Event) {
        let lines = sentences(event);
        for (at, line) in lines.iter().enumerate() {
            let line = match (&event.host, &event.kind) {
                (Some(host), EventKind::HostFinished(report)) if at == 0 => {
                    format!("{} {line}", paint(self.options.color, report.outcome, host.as_str()))
                }
                (Some(_), EventKind::HostFinished(_)) | (None, _) => line.clone(),
                (Some(host), _) => format!("{host} | {line}"),
            };
            self.held.push(line.trim_end().to_owned());
        }
        if self.held.len() >= HELD_LINES {
            self.release();
        }
    }

    /// Prints what was held.
    fn release(&mut self) {
        if !self.held.is_empty() {
            self.bar.println(self.held.join("\n"));
            self.held.clear();
        }
    }

    fn repaint(&mut self, now: SystemTime) {
        let canvas = Canvas {
            width: usize::from(self.term.width()),
            height: usize::from(self.term.height()),
            color: self.options.color,
        };
        let rows = live::rows(&self.board, now, canvas);
        if rows.is_empty() && !self.shown {
            return;
        }
        self.shown = !rows.is_empty();
        self.bar.set_message(rows.join("\n"));
    }
}

impl Reader for Tty {
    fn event(&mut self, event: &Event) {
        self.board.apply(event);
        if let EventKind::Summary(summary) = &event.kind
            && self.options.tells(&event.kind)
        {
            self.held.push(String::new());
            self.held.extend(recap(summary, Style { color: self.options.color, logs: self.options.logs.as_deref() }));
        } else if self.keeps(&event.kind) {
            self.keep(event);
        }
    }

    fn tick(&mut self, now: SystemTime) {
        self.release();
        self.repaint(now);
    }

    fn finish(&mut self) -> io::Result<()> {
        self.bar.set_message(String::new());
        self.release();
        self.bar.finish_and_clear();
        Ok(())
    }

    fn period(&self) -> Duration {
        PERIOD
    }
}

#[cfg(test)]
mod tests;
