//! One event as one line of NDJSON, version 1, both ways.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{body::Body, text::to_line, time::stamp, word::Word};
use crate::vocab::{Event, EventKind, HostName, InvalidName, Phase, RunId};

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub v: u32,
    pub seq: u64,
    #[serde(with = "stamp")]
    pub at: SystemTime,
    pub run: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Set by whoever keeps jobs; an event of a run does not know its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Word<Phase>>,
    #[serde(flatten)]
    pub body: Body,
}

/// Why a line is not an event.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEvent {
    #[error("not a line of the event stream: {0}")]
    Json(#[from] serde_json::Error),
    #[error("version {0} of the event stream is not known here, only version {VERSION}")]
    Version(u32),
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Record {
    /// The wire's form of `event`.
    pub fn new(event: &Event) -> Self {
        let phase = match &event.kind {
            EventKind::HostFinished(report) => report.phase.or(event.phase),
            _ => event.phase,
        };
        Self {
            v: VERSION,
            seq: event.seq,
            at: event.at,
            run: event.run.to_string(),
            host: event.host.as_ref().map(ToString::to_string),
            job: None,
            phase: phase.map(Word),
            body: Body::of(&event.kind),
        }
    }

    /// The line, without its end; nothing in it would move a cursor.
    pub fn to_line(&self) -> String {
        to_line(self)
    }

    /// The event again, with its names checked.
    ///
    /// # Errors
    /// Another version, or a name that does not keep its grammar.
    pub fn into_event(self) -> Result<Event, NotAnEvent> {
        if self.v != VERSION {
            return Err(NotAnEvent::Version(self.v));
        }
        let phase = self.phase.map(|word| word.0);
        Ok(Event {
            seq: self.seq,
            at: self.at,
            run: RunId::new(&self.run)?,
            host: self.host.as_deref().map(HostName::new).transpose()?,
            phase,
            kind: self.body.into_kind(phase)?,
        })
    }
}

/// Writes `event` as one line, without its end.
pub fn line(event: &Event) -> String {
    Record::new(event).to_line()
}

/// Reads one line.
///
/// # Errors
/// Says what is wrong with it; a version that is not known is told as that, whatever else the line has.
pub fn parse(line: &str) -> Result<Event, NotAnEvent> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let Version { v } = serde_json::from_str(line)?;
    if v != VERSION {
        return Err(NotAnEvent::Version(v));
    }
    serde_json::from_str::<Record>(line)?.into_event()
}

#[cfg(test)]
mod tests;
