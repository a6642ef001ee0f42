//! A folder for a run: a log a host to read, and the whole event stream to replay.
//!
//! # Theory of operation
//! Files are opened for each flush and closed again, so that five hundred hosts cost no descriptor between two writes.
//! What has gathered is written when it is much, when a phase or a host ends, and at each tick, so that `tail -f` works. A
//! program that prints for hours is cut: each file takes output up to a limit and counts what it leaves out; everything
//! that is not output is always written.

use std::{
    collections::HashMap,
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest, Sha256};

use super::{Reader, sentence::sentences};
use crate::{
    vocab::{Event, EventKind, HostName},
    wire,
};

/// Bytes that wait for a flush.
const BUFFER: usize = 16 << 10;
/// Bytes of output in one host's log.
const HOST_LIMIT: u64 = 64 << 20;
/// Bytes of output in the event stream.
const EVENTS_LIMIT: u64 = 256 << 20;
/// Longer host names are shortened in file names, which may have 255 bytes.
const LONG_NAME: usize = 200;

/// The log of `host` within the folder of a run.
pub(super) fn path(dir: &Path, host: &HostName) -> PathBuf {
    let name = host.as_str();
    if name.len() <= LONG_NAME {
        return dir.join(format!("{name}.log"));
    }
    // The beginning is for people, the hash keeps two long names apart.
    let hash: String = Sha256::digest(name).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    dir.join(format!("{}={hash}.log", &name[..LONG_NAME - 20]))
}

/// Writes `DIR/HOST.log` for each host and `DIR/events.ndjson`.
pub struct Log {
    dir: PathBuf,
    events: File,
    hosts: HashMap<HostName, File>,
    /// Writing failed, and nothing more is tried.
    silent: bool,
    error: Option<io::Error>,
}

impl Log {
    /// Nothing is made before there is something to write; `dir` is made then, with mode 0700, if it is missing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        let events = File::new(dir.join("events.ndjson"), EVENTS_LIMIT);
        Self { dir, events, hosts: HashMap::new(), silent: false, error: None }
    }

    /// Goes silent after the first failure.
    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            (self.silent, self.error) = (true, Some(error));
        }
    }

    fn flush(&mut self) {
        if !self.silent {
            let hosts = self.hosts.values_mut().try_for_each(|file| file.flush(&self.dir));
            let result = hosts.and_then(|()| self.events.flush(&self.dir));
            self.note(result);
        }
    }
}

impl Reader for Log {
    fn event(&mut self, event: &Event) {
        if self.silent {
            return;
        }
        let is_output = matches!(event.kind, EventKind::Line { .. });
        let ends = matches!(event.kind, EventKind::PhaseFinished { .. } | EventKind::HostFinished(_));
        let mut result = Ok(());
        if let Some(host) = &event.host {
            let new = || File::new(path(&self.dir, host), HOST_LIMIT);
            let file = self.hosts.entry(host.clone()).or_insert_with(new);
            let time = wire::rfc3339(event.at);
            let lead = if is_output { "| " } else { "" };
            for line in sentences(event) {
                file.push(format!("{time} {lead}{line}").trim_end(), is_output);
            }
            if ends || file.buffer.len() >= BUFFER {
                result = file.flush(&self.dir);
            }
        }
        self.events.push(&wire::line(event), is_output);
        if ends || self.events.buffer.len() >= BUFFER {
            result = result.and(self.events.flush(&self.dir));
        }
        self.note(result);
    }

    fn tick(&mut self, _now: SystemTime) {
        self.flush();
    }

    fn finish(&mut self) -> io::Result<()> {
        for file in self.hosts.values_mut() {
            if file.left_out > 0 {
                file.push(&format!("… {} more lines of output were not kept", file.left_out), false);
            }
        }
        self.flush();
        self.error.take().map_or(Ok(()), Err)
    }
}

struct File {
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes of output that may still come.
    room: u64,
    left_out: u64,
}

impl File {
    fn new(path: PathBuf, room: u64) -> Self {
        Self { path, buffer: Vec::new(), room, left_out: 0 }
    }

    fn push(&mut self, line: &str, is_output: bool) {
        if is_output {
            let size = line.len() as u64 + 1;
            if self.left_out > 0 || size > self.room {
                self.left_out += 1;
                return;
            }
            self.room -= size;
        }
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
    }

    fn flush(&mut self, dir: &Path) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let written = open()
            .or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                    open()
                }
                _ => Err(error),
            })
            .and_then(|mut file| file.write_all(&self.buffer));
        self.buffer.clear();
        written.map_err(|error| io::Error::new(error.kind(), format!("log {}: {error}", self.path.display())))
    }
}

#[cfg(test)]
mod tests;
