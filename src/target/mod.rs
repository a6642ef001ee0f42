//! Where a step runs: a host over SSH, or the local machine. Same steps, other target.
//!
//! A verb above knows a target as [`Target`] only: run a script, put a file, close. What both real targets share, the
//! supervisor, lives in [`supervisor`] and is driven over a [`conduit`]: a started program's three streams.

pub mod conduit;
pub mod local;
pub mod output;
pub mod roam;
pub mod ssh;
pub mod supervisor;

use async_trait::async_trait;

use crate::{
    scope::{Scope, Stop},
    vocab::{Digest, Reason, Secret, Stream},
};

/// Something that runs scripts and takes files, under supervision.
#[async_trait]
pub trait Target: Send + Sync {
    /// Runs one script to its end and hands its output over as it comes.
    ///
    /// Cancel and deadline of `scope` end the script on the host and are *awaited*: when this returns, nothing of it is
    /// left there, or the error says that this could not be confirmed. A status other than zero is a result.
    /// To be awaited to its end: dropping the future ends the script, and what was registered beside it, unseen.
    ///
    /// # Errors
    /// Everything that kept the script from coming to an end of its own.
    async fn run(&self, scope: &Scope, command: &Command, output: &mut dyn Output) -> Result<Exit, TargetError>;

    /// Writes what `source` yields to `path` (absolute, new, in an existing folder), mode 0600.
    ///
    /// The path is registered with the host's supervisor before it is created, and removed when the target closes,
    /// wherever the transfer stopped; move the file away to keep it. Yields the sha256 of what was written, where the
    /// host could take it on the way.
    ///
    /// # Errors
    /// As [`Target::run`]; a write that the host refused carries the host's own words.
    async fn put(&self, scope: &Scope, path: &str, source: &mut dyn Source) -> Result<Option<Digest>, TargetError>;

    /// Registers a path that is removed, with all below it, when the target closes or its controller is lost.
    ///
    /// # Errors
    /// As [`Target::run`].
    async fn scratch(&self, scope: &Scope, path: &str) -> Result<(), TargetError>;

    /// Registers a script that is run when the target closes or its controller is lost; for what [`Target::scratch`]
    /// cannot say.
    ///
    /// # Errors
    /// As [`Target::run`].
    async fn cleanup(&self, scope: &Scope, script: &str) -> Result<(), TargetError>;

    /// Whether the host is out of reach for now, and what runs there goes on all the same.
    fn away(&self) -> bool {
        false
    }

    /// Ends everything of this target on the host, removes what was registered, and says what was confirmed.
    ///
    /// Not bound to any scope: it has a limit of its own.
    async fn close(&self) -> Closed;
}

/// A script and how it is run.
#[derive(Debug, Clone)]
pub struct Command {
    /// POSIX sh, run by `/bin/sh -c` in a session of its own with an empty stdin.
    pub script: String,
    /// One line that is its stdin instead: what must not be seen has no other way to a command.
    pub stdin: Option<Secret>,
    pub trust: Trust,
    /// Shown in events and errors: "probe", "build".
    pub label: String,
    /// Nothing is run after it on this target, so its end may be that of what held it: a round trip less.
    pub last: bool,
}

/// Whose code it is: decides how hard its remains are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Written here; starts nothing in the background.
    Own,
    /// A build, a program, a user's command.
    Foreign,
}

impl Command {
    /// A short step of our own.
    pub fn own(label: impl Into<String>, script: impl Into<String>) -> Self {
        Self { script: script.into(), stdin: None, trust: Trust::Own, label: label.into(), last: false }
    }

    /// Somebody else's code.
    pub fn foreign(label: impl Into<String>, script: impl Into<String>) -> Self {
        Self { script: script.into(), stdin: None, trust: Trust::Foreign, label: label.into(), last: false }
    }

    /// The same with one line as its stdin.
    #[must_use]
    pub fn with_stdin(self, line: Secret) -> Self {
        Self { stdin: Some(line), ..self }
    }

    /// The same, as the last one on its target.
    #[must_use]
    pub fn last(self) -> Self {
        Self { last: true, ..self }
    }
}

/// How a script ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// As the shell says it: 128 + n for signal n.
    pub status: i32,
    pub containment: Containment,
}

/// What held the script's processes together, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Containment {
    Cgroup,
    Subreaper,
    /// Process group, recorded descendants and an environment cookie.
    Group,
}

impl Containment {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Subreaper => "subreaper",
            Self::Group => "group",
        }
    }
}

/// What closing a target confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The host looked: no process, no scratch.
    Clean,
    /// The host could not be asked, or something is left; the text says which.
    Unconfirmed(String),
}

/// Takes a script's output, chunk by chunk; slowness here slows the script.
#[async_trait]
pub trait Output: Send {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]);
}

/// Yields the bytes of a file that is put.
#[async_trait]
pub trait Source: Send {
    /// The whole length, in bytes.
    fn size(&self) -> u64;
    /// The next chunk, of at most some hundred kilobytes; empty at the end.
    ///
    /// # Errors
    /// Reading failed; the text says of what.
    async fn next(&mut self) -> std::io::Result<bytes::Bytes>;
    /// The `len` bytes from `from` on, to be read beside others; `None` where they can only be read in a row.
    fn part(&self, from: u64, len: u64) -> Option<Box<dyn Source>> {
        let _ = (from, len);
        None
    }
    /// The sha256 of all that it yielded in a row, where it was taken on the way and is asked for after the end.
    fn digest(&mut self) -> Option<Digest> {
        None
    }
}

/// Why a target could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TargetError {
    #[error("{0}")]
    Stopped(Stop),
    /// Stopped, and it could not be confirmed that nothing is left.
    #[error("{stop}; {what}")]
    Unconfirmed { stop: Stop, what: String },
    #[error("{text}")]
    Connect { reason: Reason, text: String, hint: Option<String> },
    /// The connection was there and is gone.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The host refused or garbled something that should have worked.
    #[error("{0}")]
    Host(String),
    /// Reading what was to be sent failed here.
    #[error("{0}")]
    Local(String),
}

impl TargetError {
    /// A refusal on the way to the host.
    pub fn connect(reason: Reason, text: impl Into<String>) -> Self {
        Self::Connect { reason, text: text.into(), hint: None }
    }

    /// The reason to report; `None` where the phase decides.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Stopped(Stop::TimedOut { .. }) => Some(Reason::Timeout),
            Self::Stopped(Stop::Cancelled(_)) => Some(Reason::Asked),
            Self::Unconfirmed { .. } => Some(Reason::Unconfirmed),
            Self::Connect { reason, .. } => Some(*reason),
            Self::Lost(_) => Some(Reason::Lost),
            Self::Host(_) | Self::Local(_) => None,
        }
    }

    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Connect { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

impl From<Stop> for TargetError {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

/// Keeps the output of a short step, up to a bound.
#[derive(Debug, Default)]
pub struct Captured {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Set when the bound cut something off.
    pub truncated: bool,
}

/// More than any probe prints; what a hostile host sends beyond it is dropped.
const CAPTURE_LIMIT: usize = 4 << 20;

#[async_trait]
impl Output for Captured {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = CAPTURE_LIMIT.saturating_sub(kept.len());
        self.truncated |= bytes.len() > room;
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line that is not empty of stderr, else of stdout, fit to be shown.
    pub fn last_words(&self) -> String {
        let last = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .lines()
                .rev()
                .map(crate::vocab::text::plain_line)
                .find(|line| !line.trim().is_empty())
        };
        last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_default()
    }
}
