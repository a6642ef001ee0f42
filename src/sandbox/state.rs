//! The record of a running sandbox, for those who ask about it from another process.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{SandboxError, layout};

/// `sandbox.json`: written when every host listens, removed at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub pid: u32,
    /// Tells this process from a later one of the same number.
    pub started: String,
    pub hosts: Vec<HostAddress>,
    /// Where the model hub is, if there is one.
    #[serde(default)]
    pub hub: Option<String>,
}

/// Where a host listens, on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAddress {
    pub name: String,
    pub port: u16,
}

/// No record of 10,000 hosts comes near it.
const SIZE: u64 = 4 << 20;

fn path(dir: &Path) -> PathBuf {
    dir.join("sandbox.json")
}

impl Record {
    /// This process, with these hosts.
    pub(super) fn own(hosts: Vec<HostAddress>, hub: Option<String>) -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default(), hosts, hub }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), SandboxError> {
        let path = path(dir);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| SandboxError::State { path: path.clone(), why: e.to_string() })?;
        layout::write(&path, &text, 0o600)
    }

    /// What is written in `dir`, whether its process is there or not.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, SandboxError> {
        let path = path(dir);
        match std::fs::metadata(&path) {
            Ok(found) if found.len() > SIZE => {
                return Err(SandboxError::State { path, why: "it is too long".to_owned() });
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(SandboxError::file("read", path)(e)),
        }
        let text = std::fs::read(&path).map_err(SandboxError::file("read", &path))?;
        let record = serde_json::from_slice(&text).map_err(|e| SandboxError::State { path, why: e.to_string() })?;
        Ok(Some(record))
    }

    pub(super) fn remove(dir: &Path) {
        // Another `down` may have been quicker.
        let _ = std::fs::remove_file(path(dir));
    }

    /// Whether the process that wrote it is there.
    pub(super) fn is_alive(&self) -> bool {
        // 0 and numbers beyond i32 would mean groups to kill(2).
        i32::try_from(self.pid).is_ok_and(|pid| pid > 0) && started(self.pid).is_some_and(|s| s == self.started)
    }
}

/// When process `pid` started, in words that only serve to be compared; `None` when it is not there, or a zombie.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // Field 22 of proc(5); the state is field 3.
    let ticks = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (state != "Z").then(|| format!("{}/{ticks}", boot.trim()))
}

/// When process `pid` started, in words that only serve to be compared; `None` when it is not there, or a zombie.
#[cfg(not(target_os = "linux"))]
fn started(pid: u32) -> Option<String> {
    let asked = std::process::Command::new("/bin/ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .stderr(std::process::Stdio::null())
        .output()
        .ok()?;
    let line = String::from_utf8(asked.stdout).ok()?;
    let (state, at) = line.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| at.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_knows_its_process_from_another_of_the_same_number() {
        let own = Record::own(Vec::new(), None);
        assert!(own.is_alive());
        assert!(!Record { started: "before".to_owned(), ..own.clone() }.is_alive());
        for pid in [0, u32::MAX] {
            assert!(!Record { pid, ..own.clone() }.is_alive(), "{pid}");
        }
    }

    #[test]
    fn what_is_not_a_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join("sandbox.json"), "{\"pid\": -1}").unwrap();
        let error = Record::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("sandbox.json"), "{error}");
    }
}
