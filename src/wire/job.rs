//! A job as it is stored and shown, and what its stream says about the job itself.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    NotAnEvent, Record, VERSION,
    text::to_line,
    time::{maybe_stamp, stamp},
    word::{Spelled, Word},
};
use crate::vocab::{Outcome, Reason};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl JobState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will come after it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Spelled for JobState {
    const WHAT: &'static str = "state";
    const ALL: &'static [Self] = &[Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    fn spelling(self) -> &'static str {
        self.as_str()
    }
}

/// One job: what `GET /v1/jobs/{id}` answers, and the record on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobForm {
    pub v: u32,
    pub job_id: String,
    /// As in `rbee fleet VERB`.
    pub verb: String,
    /// What was submitted, or what was typed.
    pub submission: Value,
    pub hosts: Vec<String>,
    pub state: Word<JobState>,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    /// As the command line's exit status.
    pub exit: Option<u8>,
    #[serde(with = "stamp")]
    pub created_at: SystemTime,
    #[serde(with = "maybe_stamp")]
    pub started_at: Option<SystemTime>,
    #[serde(with = "maybe_stamp")]
    pub ended_at: Option<SystemTime>,
    /// The first who asked for its end.
    pub cancelled_by: Option<String>,
    #[serde(with = "maybe_stamp")]
    pub cancel_asked_at: Option<SystemTime>,
    /// What became of its processes, once it has ended.
    pub remains: Option<Remains>,
    /// The process that runs it.
    pub owner: Owner,
    /// Number of its last event so far.
    pub last_event: u64,
    /// What a question found out: the document that the command line prints.
    pub result: Option<Value>,
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub pid: u32,
    /// As the system counts it (Linux: clock ticks after boot); 0 where that is not known.
    pub started: u64,
}

/// What was confirmed when a job ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// Nothing of the job is left anywhere, as far as was looked; false when that could not be confirmed.
    pub confirmed: bool,
    /// Process groups that a cancel ended, each looked at afterwards.
    pub dead: Vec<DeadGroup>,
    /// More of them than are listed.
    pub dead_unlisted: u64,
    /// Processes that were seen alive after all that was done.
    pub survivors: u32,
    /// Hosts that are not as asked.
    pub hosts: Vec<HostEnd>,
}

/// A process group that is confirmed to be gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadGroup {
    pub host: Option<String>,
    pub group: u32,
    /// Whether KILL was needed.
    pub killed: bool,
}

/// How one host ended that is not as asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostEnd {
    pub host: String,
    pub outcome: Word<Outcome>,
    pub reason: Option<Word<Reason>>,
    pub error: Option<String>,
}

/// A line of a job's stream about the job itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub v: u32,
    pub seq: u64,
    #[serde(with = "stamp")]
    pub at: SystemTime,
    pub run: String,
    pub job: String,
    #[serde(flatten)]
    pub body: JobBody,
}

/// The `type` and the fields that belong to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JobBody {
    JobQueued {
        verb: String,
        hosts: Vec<String>,
    },
    JobStarted {},
    /// Somebody asked for the end.
    JobCancel {
        by: String,
    },
    /// The last line of every stream.
    JobFinished {
        state: Word<JobState>,
        reason: Option<String>,
        exit: Option<u8>,
        confirmed: bool,
    },
}

impl JobRecord {
    /// The line, without its end.
    pub fn to_line(&self) -> String {
        to_line(self)
    }
}

/// One line of a job's stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamLine {
    Event(Record),
    Job(JobRecord),
}

impl StreamLine {
    /// Reads one line.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(line: &str) -> Result<Self, NotAnEvent> {
        #[derive(Deserialize)]
        struct Head {
            v: u32,
            r#type: String,
        }
        let head: Head = serde_json::from_str(line)?;
        if head.v != VERSION {
            return Err(NotAnEvent::Version(head.v));
        }
        Ok(if head.r#type.starts_with("job_") {
            Self::Job(serde_json::from_str(line)?)
        } else {
            Self::Event(serde_json::from_str(line)?)
        })
    }

    pub fn seq(&self) -> u64 {
        match self {
            Self::Event(record) => record.seq,
            Self::Job(record) => record.seq,
        }
    }

    /// The line again, without its end; nothing in it would move a cursor.
    pub fn to_line(&self) -> String {
        match self {
            Self::Event(record) => record.to_line(),
            Self::Job(record) => record.to_line(),
        }
    }
}

/// Writes any of the forms as one line of JSON that is fit to be shown.
pub fn json_line(value: &impl Serialize) -> String {
    to_line(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_line_by_line() {
        let at = SystemTime::UNIX_EPOCH;
        let body = JobBody::JobFinished {
            state: Word(JobState::Cancelled),
            reason: Some("cancelled before start".into()),
            exit: Some(130),
            confirmed: true,
        };
        let record = JobRecord { v: 1, seq: 7, at, run: "r".into(), job: "r".into(), body };
        let line = record.to_line();
        assert_eq!(
            line,
            r#"{"v":1,"seq":7,"at":"1970-01-01T00:00:00.000Z","run":"r","job":"r","type":"job_finished","state":"cancelled","reason":"cancelled before start","exit":130,"confirmed":true}"#
        );
        assert_eq!(StreamLine::parse(&line).unwrap(), StreamLine::Job(record));
        let gap = r#"{"v":1,"seq":9,"at":"1970-01-01T00:00:00.000Z","run":"r","job":"r","type":"gap","lines":3}"#;
        let read = StreamLine::parse(gap).unwrap();
        assert_eq!((read.seq(), read.to_line().as_str()), (9, gap));
        for bad in ["[DONE]", "[ERROR] x", "{}", r#"{"v":2,"type":"gap"}"#, r#"{"v":1,"type":"job_done"}"#] {
            assert!(StreamLine::parse(bad).is_err(), "{bad}");
        }
    }
}
