//! The processes that commands started, and how they are ended when the sandbox is.
//!
//! # Theory of operation
//! A command leads a session of its own, and its pid is listed until it was reaped. What it left behind in other sessions
//! is found by its environment: every command has [`MARK`] set to a folder below the sandbox's own (Linux only; elsewhere
//! the groups of listed commands are all that is ended). Commands start under the read half of a lock whose write
//! half ends all starting, so none slips in between the last look and the end.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// The variable that stands for `/usr/local` on a sandbox host, and marks its processes.
pub(super) const MARK: &str = "RBEE_PREFIX";
/// Between TERM and KILL.
const GRACE: Duration = Duration::from_millis(500);
/// After KILL; a process in the kernel's hands may take its time.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Commands that run now.
#[derive(Debug, Default)]
pub(super) struct Children {
    live: Mutex<BTreeSet<i32>>,
    closed: RwLock<bool>,
}

/// What ending took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Processes that were there.
    pub processes: usize,
    /// How many of them did not go on TERM.
    pub killed: usize,
    /// How many are there still.
    pub left: usize,
}

impl Children {
    /// Starts a command and lists the pid that `start` returns, unless the sandbox is ending.
    pub(super) fn start<T>(&self, start: impl FnOnce() -> std::io::Result<(i32, T)>) -> std::io::Result<T> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(std::io::Error::other("the sandbox is ending"));
        }
        let (pid, started) = start()?;
        self.live().insert(pid);
        Ok(started)
    }

    /// The command was reaped: its number may soon mean another process.
    pub(super) fn reaped(&self, pid: i32) {
        self.live().remove(&pid);
    }

    pub(super) fn is_live(&self, pid: i32) -> bool {
        self.live().contains(&pid)
    }

    /// Signals the group of a command that runs.
    pub(super) fn signal(&self, pid: i32, signal: Signal) {
        let live = self.live();
        if live.contains(&pid) {
            // A group that just ended is as good as signalled.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    /// Lets no command start any more, and ends those that run, with what they left behind.
    pub(super) async fn end(&self, dir: &Path) -> Ended {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
        end(|| self.live().clone(), dir).await
    }

    fn live(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what a sandbox that is not there any more left behind.
pub(super) async fn sweep(dir: &Path) -> Ended {
    end(BTreeSet::new, dir).await
}

async fn end(leaders: impl Fn() -> BTreeSet<i32>, dir: &Path) -> Ended {
    let everything = || {
        let mut all = marked(dir);
        all.extend(leaders());
        all
    };
    let began = everything();
    let mut ended = Ended { processes: began.len(), ..Ended::default() };
    if began.is_empty() {
        return ended;
    }
    send(&leaders(), &began, Signal::SIGTERM);
    let mut left = wait_until_empty(&everything, GRACE, |_| {}).await;
    ended.killed = left.len();
    if !left.is_empty() {
        // Again at each look: what forks while it is killed is found by the next one.
        left = wait_until_empty(&everything, AFTER_KILL, |left| send(&leaders(), left, Signal::SIGKILL)).await;
    }
    ended.left = left.len();
    ended
}

fn send(leaders: &BTreeSet<i32>, all: &BTreeSet<i32>, signal: Signal) {
    for leader in leaders {
        let _ = killpg(Pid::from_raw(*leader), signal);
    }
    for pid in all {
        let _ = kill(Pid::from_raw(*pid), signal);
    }
}

async fn wait_until_empty(
    everything: impl Fn() -> BTreeSet<i32>,
    limit: Duration,
    each: impl Fn(&BTreeSet<i32>),
) -> BTreeSet<i32> {
    let deadline = Instant::now() + limit;
    loop {
        let left = everything();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        each(&left);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes whose [`MARK`] lies below `dir`, by a look at /proc; none where there is no /proc.
fn marked(dir: &Path) -> BTreeSet<i32> {
    let mut needle = OsString::from(format!("{MARK}="));
    needle.push(super::layout::hosts(dir));
    needle.push("/");
    let needle = memchr::memmem::Finder::new(needle.as_bytes());
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeSet::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            // Unreadable ones are not ours, or gone.
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| needle.find_iter(&env).any(|at| at == 0 || env[at - 1] == 0))
        })
        .collect()
}
