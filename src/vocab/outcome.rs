//! How one host ended, and what that makes of the whole run.

use std::fmt;

/// How a host's job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Changed,
    Unchanged,
    Failed,
    Unreachable,
    Skipped,
    Refused,
    Cancelled,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the host is as asked.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Changed | Self::Unchanged | Self::Skipped)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a host ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A step's own deadline passed.
    Timeout,
    /// The login was refused.
    Auth,
    /// The host's key is unknown, changed or revoked.
    HostKey,
    /// No connection could be made.
    Connect,
    /// Preflight said no.
    Preflight,
    Fetch,
    Build,
    Package,
    Transfer,
    Install,
    /// The installed program did not run or is not what was sent.
    Verify,
    /// A new version was put back to the old one.
    RolledBack,
    /// The connection went away in the middle; the host cleans up by itself, and nobody here saw it.
    Lost,
    /// Another run holds the host.
    Locked,
    /// A command ended with a status other than zero.
    Status,
    /// `optional = true` and not there.
    Optional,
    /// The user, a signal, or a client asked.
    Asked,
    /// `--max-fail` was reached.
    Sibling,
    /// The deadline of the whole run passed.
    Deadline,
    /// The run ended, and whether the host is clean is not known.
    Unconfirmed,
    /// A bug.
    Internal,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::HostKey => "host_key",
            Self::Connect => "connect",
            Self::Preflight => "preflight",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Package => "package",
            Self::Transfer => "transfer",
            Self::Install => "install",
            Self::Verify => "verify",
            Self::RolledBack => "rolled_back",
            Self::Lost => "lost",
            Self::Locked => "locked",
            Self::Status => "status",
            Self::Optional => "optional",
            Self::Asked => "asked",
            Self::Sibling => "sibling",
            Self::Deadline => "deadline",
            Self::Unconfirmed => "unconfirmed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The exit status of the process; the numbers are a published contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NoHosts = 3,
    Unreachable = 4,
    Refused = 5,
    Unconfirmed = 6,
    Changes = 20,
    Bug = 70,
    Deadline = 124,
    Interrupted = 130,
    Terminated = 143,
}

impl ExitCode {
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What stopped the run as a whole, if anything did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopped {
    Deadline,
    Terminated,
    Interrupted,
}

/// Folds what became of every host into the exit status, by the published order 70, 6, 130/143, 124, 5, 1, 4.
pub fn exit_code<'a>(
    hosts: impl IntoIterator<Item = (Outcome, Option<Reason>)> + 'a,
    stopped: Option<Stopped>,
) -> ExitCode {
    let (mut total, mut failed, mut refused, mut unreachable) = (0usize, 0usize, 0usize, 0usize);
    let (mut bug, mut unconfirmed) = (false, false);
    for (outcome, reason) in hosts {
        total += 1;
        bug |= reason == Some(Reason::Internal);
        unconfirmed |= matches!(reason, Some(Reason::Unconfirmed | Reason::Lost));
        match outcome {
            Outcome::Failed => failed += 1,
            Outcome::Refused => refused += 1,
            Outcome::Unreachable => unreachable += 1,
            // A sibling's failure cancelled this one: the failure itself is counted where it happened.
            Outcome::Cancelled | Outcome::Changed | Outcome::Unchanged | Outcome::Skipped => {}
        }
    }
    if bug {
        return ExitCode::Bug;
    }
    if unconfirmed {
        return ExitCode::Unconfirmed;
    }
    match stopped {
        Some(Stopped::Interrupted) => return ExitCode::Interrupted,
        Some(Stopped::Terminated) => return ExitCode::Terminated,
        Some(Stopped::Deadline) => return ExitCode::Deadline,
        None => {}
    }
    if refused > 0 && refused == total {
        ExitCode::Refused
    } else if failed + refused > 0 {
        ExitCode::Failed
    } else if unreachable > 0 {
        ExitCode::Unreachable
    } else {
        ExitCode::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_published_order() {
        use Outcome::*;
        let code = |hosts: &[(Outcome, Option<Reason>)], stopped| exit_code(hosts.iter().copied(), stopped);
        let all_ok = [(Changed, None), (Unchanged, None), (Skipped, Some(Reason::Optional))];
        assert_eq!(code(&all_ok, None), ExitCode::Ok);
        let down = [(Changed, None), (Unreachable, Some(Reason::Connect))];
        assert_eq!(code(&down, None), ExitCode::Unreachable);
        let both = [(Failed, Some(Reason::Build)), (Unreachable, Some(Reason::Connect))];
        assert_eq!(code(&both, None), ExitCode::Failed);
        let some_refused = [(Refused, Some(Reason::Preflight)), (Changed, None)];
        assert_eq!(code(&some_refused, None), ExitCode::Failed);
        let all_refused = [(Refused, Some(Reason::Preflight)), (Refused, Some(Reason::Preflight))];
        assert_eq!(code(&all_refused, None), ExitCode::Refused);
        assert_eq!(code(&both, Some(Stopped::Deadline)), ExitCode::Deadline);
        assert_eq!(code(&both, Some(Stopped::Terminated)), ExitCode::Terminated);
        let unsure = [(Cancelled, Some(Reason::Unconfirmed))];
        assert_eq!(code(&unsure, Some(Stopped::Interrupted)), ExitCode::Unconfirmed);
        let bug = [(Cancelled, Some(Reason::Unconfirmed)), (Failed, Some(Reason::Internal))];
        assert_eq!(code(&bug, Some(Stopped::Interrupted)), ExitCode::Bug);
    }
}
