//! What happens during a run, said once, in types; the wording belongs to the reader.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::{ExitCode, HostName, Outcome, Reason, RunId, WorkerId};

/// One thing that happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts from 1 within a run, without gaps.
    pub seq: u64,
    pub at: SystemTime,
    pub run: RunId,
    pub host: Option<HostName>,
    pub phase: Option<Phase>,
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum EventKind {
    /// First event of a run: what was typed and for whom.
    RunStarted {
        verb: String,
        hosts: Vec<HostName>,
    },
    HostStarted,
    /// The event's `phase` began; it ends by itself, by cancel or when `limit` has passed.
    PhaseStarted {
        limit: Option<Duration>,
    },
    PhaseFinished {
        ok: bool,
        elapsed: Duration,
    },
    /// One line of a program's output, without its line end; control characters are still in it.
    Line {
        stream: Stream,
        text: String,
    },
    Progress {
        done: u64,
        total: Option<u64>,
        unit: Unit,
        /// What a build knows beyond that.
        forecast: Option<Forecast>,
        /// Where the bytes of a model come from.
        source: Option<Origin>,
    },
    Notice {
        level: Level,
        text: String,
        hint: Option<String>,
    },
    Cancel {
        stage: CancelStage,
        group: Option<u32>,
        survivors: u32,
    },
    /// Lines that a bound dropped.
    Gap {
        lines: u64,
    },
    HostFinished(HostReport),
    /// Last event of a run.
    Summary(Summary),
}

/// Where the bytes of a model come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    Hub,
    /// The machine on which the run was started, which has them from the hub.
    Controller,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Controller => "controller",
        }
    }
}

/// What a download moved for one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// Bytes that came from the hub, to the host or to the controller for it.
    pub wan: u64,
    /// Bytes that the controller sent on.
    pub relayed: u64,
    pub took: Duration,
    /// Bytes ÷ rate: what they take at the best rate that was seen, when it lasted long enough to be seen.
    pub least: Option<Duration>,
}

/// A named part of a host's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Connect,
    Preflight,
    Fetch,
    Build,
    Package,
    Transfer,
    Install,
    Verify,
    Run,
    Model,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Preflight => "preflight",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Package => "package",
            Self::Transfer => "transfer",
            Self::Install => "install",
            Self::Verify => "verify",
            Self::Run => "run",
            Self::Model => "model",
        }
    }

    /// The reason that a failure in this phase has when nothing more exact is known.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Connect => Reason::Connect,
            Self::Preflight => Reason::Preflight,
            Self::Fetch | Self::Model => Reason::Fetch,
            Self::Build => Reason::Build,
            Self::Package => Reason::Package,
            Self::Transfer => Reason::Transfer,
            Self::Install => Reason::Install,
            Self::Verify => Reason::Verify,
            Self::Run => Reason::Status,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    Bytes,
    Items,
    /// Steps of a build: compilations, links.
    Units,
    /// Hundredths of a build that counts in nothing else.
    Percent,
}

impl Unit {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Items => "items",
            Self::Units => "units",
            Self::Percent => "percent",
        }
    }
}

/// What is built, and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    pub worker: WorkerId,
    /// From the begin of the phase to its end.
    pub expected: Option<Duration>,
}

/// How far the ending of a host's processes has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CancelStage {
    /// The host's supervisor was told.
    Asked,
    /// The group ended on TERM.
    Term,
    /// KILL was needed.
    Kill,
    /// Looked, and nothing is left.
    Confirmed,
    /// Could not look, or something is left.
    Unconfirmed,
}

impl CancelStage {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Term => "term",
            Self::Kill => "kill",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// How one host ended.
#[derive(Debug, Clone, PartialEq)]
pub struct HostReport {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    /// The phase in which it failed, if it did.
    pub phase: Option<Phase>,
    pub elapsed: Duration,
    /// A lowercase fragment fit for "failed to …" or "host: …".
    pub error: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// What was done, a short fragment each: "installed echo-worker 0.1.0 to /usr/local/bin".
    pub done: Vec<String>,
    /// Of a model's download.
    pub moved: Option<Moved>,
}

impl HostReport {
    /// A report with nothing but the outcome; the run fills in `elapsed`.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: None,
            phase: None,
            elapsed: Duration::ZERO,
            error: None,
            hint: None,
            done: Vec::new(),
            moved: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct HostSummary {
    pub host: HostName,
    pub report: HostReport,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub exit: ExitCode,
    pub elapsed: Duration,
    /// In the order of the selection.
    pub hosts: Vec<HostSummary>,
}
