//! What several test binaries share.
#![allow(dead_code, reason = "each binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rbee::{
    scope::{Cancel, EventReceiver, Scope, events},
    vocab::RunId,
};

/// A scope of its own, and the events that are said in it.
pub fn scope() -> (Scope, EventReceiver) {
    let (emitter, receiver) = events(RunId::new("test").unwrap());
    (Scope::new(Cancel::new(), emitter), receiver)
}

/// A word that no other process on the machine has in its arguments.
pub fn token() -> String {
    format!("{}", rand::random::<u64>() | 1 << 63)
}

/// Processes that have `token` in their arguments, by pid: an observer that knows nothing of cookies and groups.
pub fn processes_with(token: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if String::from_utf8_lossy(&arguments).contains(token) && pid != std::process::id() {
            found.push(pid);
        }
    }
    found
}

/// Waits until so many processes have `token` in their arguments: without them, a test of their end shows nothing.
pub fn until_seen(token: &str, count: usize) {
    let start = Instant::now();
    while processes_with(token).len() < count {
        assert!(start.elapsed() < Duration::from_secs(20), "there are not {count} processes with {token}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `done` says so; panics with `what` when it does not within `limit`.
pub async fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    start.elapsed()
}

/// A folder of shells under the names that a test asks for; a missing one is an error that says what to install.
pub fn shell(name: &str) -> PathBuf {
    let (program, package) = match name {
        "busybox" => ("/usr/bin/busybox", "busybox"),
        "dash" => ("/usr/bin/dash", "dash"),
        "bash" => ("/usr/bin/bash", "bash"),
        "mksh" => ("/usr/bin/mksh", "mksh"),
        other => panic!("no shell {other}"),
    };
    let program = ["/usr/bin", "/bin"]
        .iter()
        .map(|d| PathBuf::from(d).join(PathBuf::from(program).file_name().unwrap()))
        .find(|p| p.exists());
    let program =
        program.unwrap_or_else(|| panic!("{name} is missing: install the package {package} (scripts/test does)"));
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("shell-{name}"));
    std::fs::create_dir_all(&dir).unwrap();
    let link = dir.join("sh");
    if !link.exists() {
        let _ = std::os::unix::fs::symlink(program, &link);
    }
    link
}

/// As [`eventually`], for tests without a runtime of their own; a minute is enough.
pub fn eventually_sync(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
