//! Asking, ending and starting a sandbox from another process.

use std::{
    ffi::OsStr,
    fmt,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, setsid},
};

use super::{Ended, HostAddress, SandboxError, children, layout, state::Record};

/// A sandbox ends its commands and connections in it, several times over.
const END: Duration = Duration::from_secs(20);
/// After KILL.
const AFTER_KILL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// What is shown of a log.
const TAIL: u64 = 4 << 10;

/// What is there in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// No sandbox runs there.
    Down,
    /// One runs, and every host of it listens.
    Up { pid: u32, hosts: Vec<HostAddress>, hub: Option<String> },
}

/// What [`down`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// No sandbox ran there; processes that an earlier one left behind were ended.
    WasDown { left_behind: Ended },
    /// It was asked to end, and did; as a rule it left nothing.
    Ended { pid: u32, hosts: usize, left_behind: Ended },
    /// It did not end when asked and was killed, then what it left behind was ended.
    Killed { pid: u32, hosts: usize, left_behind: Ended },
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = match self {
            Self::WasDown { left_behind } => {
                f.write_str("no sandbox was running")?;
                left_behind
            }
            Self::Ended { pid, hosts, left_behind } => {
                write!(f, "ended the sandbox (pid {pid}, {hosts} hosts)")?;
                left_behind
            }
            Self::Killed { pid, hosts, left_behind } => {
                write!(f, "killed the sandbox, which did not end when asked (pid {pid}, {hosts} hosts)")?;
                left_behind
            }
        };
        if left.processes > 0 {
            write!(f, "; ended {} left-over processes", left.processes - left.left)?;
        }
        if left.left > 0 {
            write!(f, "; {} are still there", left.left)?;
        }
        Ok(())
    }
}

/// Looks whether a sandbox runs in `dir`.
///
/// # Errors
/// There is a record that cannot be read.
pub fn status(dir: &Path) -> Result<Status, SandboxError> {
    Ok(match Record::read(dir)? {
        Some(record) if record.is_alive() => Status::Up { pid: record.pid, hosts: record.hosts, hub: record.hub },
        _ => Status::Down,
    })
}

/// Ends the sandbox that runs in `dir` and waits until it is gone.
///
/// # Errors
/// It cannot be signalled, or KILL does not end it.
pub async fn down(dir: &Path) -> Result<Down, SandboxError> {
    let Ok(dir) = dir.canonicalize() else { return Ok(Down::WasDown { left_behind: Ended::default() }) };
    let record = Record::read(&dir)?;
    let Some(record) = record.filter(Record::is_alive) else {
        return Ok(Down::WasDown { left_behind: clean(&dir).await });
    };
    if record.pid == std::process::id() {
        return Err(SandboxError::Own { dir });
    }
    let (pid, hosts) = (record.pid, record.hosts.len());
    send(pid, Signal::SIGTERM)?;
    if is_gone_within(&record, END).await {
        return Ok(Down::Ended { pid, hosts, left_behind: clean(&dir).await });
    }
    send(pid, Signal::SIGKILL)?;
    if !is_gone_within(&record, AFTER_KILL).await {
        return Err(SandboxError::Stuck { pid });
    }
    Ok(Down::Killed { pid, hosts, left_behind: clean(&dir).await })
}

/// Ends what a sandbox that is gone left behind, unless the next one is in the folder already.
async fn clean(dir: &Path) -> Ended {
    let Some(_lock) = lock_of_the_dead(dir).await else { return Ended::default() };
    let ended = children::sweep(dir).await;
    Record::remove(dir);
    ended
}

/// A process that was killed may still hold its files for a moment, when it counts as dead already.
async fn lock_of_the_dead(dir: &Path) -> Option<File> {
    let deadline = Instant::now() + AFTER_KILL;
    loop {
        if let Some(lock) = layout::lock(dir).ok()? {
            return Some(lock);
        }
        let next = Record::read(dir).ok()?.is_some_and(|record| record.is_alive());
        if next || Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn send(pid: u32, signal: Signal) -> Result<(), SandboxError> {
    // A record with a pid beyond i32 is never alive.
    let raw = i32::try_from(pid).unwrap_or(i32::MAX);
    match kill(Pid::from_raw(raw), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(SandboxError::Signal { pid, source: e.into() }),
    }
}

async fn is_gone_within(record: &Record, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while record.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// Starts `exe` with `args`, which must run a sandbox in `dir`, in a session of its own, and waits until it is ready.
///
/// Its stdout and stderr go to `sandbox.log` there. The process keeps the working directory.
///
/// # Errors
/// It ended, or was not ready within `limit` (it is ended then): both show the end of its log.
pub async fn spawn_detached<S: AsRef<OsStr>>(
    dir: &Path,
    exe: &Path,
    args: impl IntoIterator<Item = S>,
    limit: Duration,
) -> Result<Status, SandboxError> {
    let dir = layout::prepare(dir)?;
    if let Status::Up { pid, hosts, .. } = status(&dir)? {
        return Err(SandboxError::Running { dir, pid, hosts: hosts.len() });
    }
    let path = layout::log(&dir);
    let opened = OpenOptions::new().create(true).write(true).truncate(true).read(true).mode(0o600).open(&path);
    let mut log = opened.map_err(SandboxError::file("write", &path))?;
    let output = || log.try_clone().map_err(SandboxError::file("write", &path));
    let mut command = Command::new(exe);
    command.args(args).stdin(Stdio::null()).stdout(output()?).stderr(output()?);
    // SAFETY: runs between fork and exec, and does nothing but one system call that is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(setsid().map(drop)?));
    }
    let mut child = command.spawn().map_err(|source| SandboxError::Start { exe: exe.to_owned(), source })?;
    let deadline = Instant::now() + limit;
    loop {
        match status(&dir)? {
            up @ Status::Up { pid, .. } if pid == child.id() => return Ok(up),
            _ => {}
        }
        if !matches!(child.try_wait(), Ok(None)) {
            return Err(SandboxError::Died { log: tail(&mut log) });
        }
        if Instant::now() >= deadline {
            // Not TERM: it may be stuck before it listens to that; what it started is found by `down`.
            let _ = child.kill();
            let _ = child.wait();
            return Err(SandboxError::Late { limit, log: tail(&mut log) });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The last lines, fit to be shown.
fn tail(log: &mut File) -> String {
    let mut bytes = Vec::new();
    let length = log.seek(SeekFrom::End(0)).unwrap_or(0);
    let from = length.saturating_sub(TAIL);
    if log.seek(SeekFrom::Start(from)).is_err() || log.take(TAIL).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be half of one.
    let lines = text.lines().skip(usize::from(from > 0));
    lines.map(crate::vocab::text::plain_line).collect::<Vec<_>>().join("\n")
}
