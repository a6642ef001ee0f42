//! Readers of a run's events: the wording, the layout and the colour of everything that is shown.
//!
//! # Theory of operation
//! A run tells what happens as events; [`spawn`] hands each of them to every [`Reader`] in turn, on a thread of its own, so
//! that a slow terminal or a full disk never holds up the run's own work (lines of output wait for room, nothing else
//! does). A reader never fails the run: when its file or pipe does not take any more it goes silent, and says why once,
//! at the end. All text that came from elsewhere goes through [`sentence`], which makes it fit to be shown.

mod board;
mod fan_out;
mod fleet;
mod gauge;
mod github;
mod json;
mod junit;
mod live;
mod log;
mod pace;
mod plain;
pub mod recap;
mod sentence;
mod sink;
mod tty;

#[cfg(test)]
mod script;

use std::{
    io,
    time::{Duration, SystemTime},
};

pub use fan_out::spawn;
pub use github::Github;
pub use json::Json;
pub use junit::Junit;
pub use log::Log;
pub use plain::{Lines, Options, Plain, Verbosity};
pub use tty::{Screen, Tty};

use crate::vocab::Event;

/// Shows or keeps what happens in a run.
pub trait Reader: Send {
    /// Takes the next event.
    fn event(&mut self, event: &Event);

    /// Time has passed; called about each [`Reader::period`], events or not.
    fn tick(&mut self, _now: SystemTime) {}

    /// No event will come any more: shows what was held back and leaves the terminal as it should be.
    ///
    /// # Errors
    /// What made the reader go silent, naming the file. A closed pipe is none: nobody reads any more.
    fn finish(&mut self) -> io::Result<()>;

    /// How often [`Reader::tick`] is wanted.
    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }
}
