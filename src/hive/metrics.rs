//! `GET /metrics`, in Prometheus' text format.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::Door;
use crate::wire::{Spelled, job::JobState};

/// What is counted at the door.
#[derive(Debug, Default)]
pub struct Meters {
    answers: Mutex<BTreeMap<u16, u64>>,
    readers: Arc<AtomicU64>,
}

/// A stream that is open.
pub struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meters {
    pub fn answered(&self, status: StatusCode) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status.as_u16()).or_default() += 1;
    }

    pub fn reader(&self) -> Counted {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Counted(self.readers.clone())
    }
}

pub async fn show(State(door): State<Door>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    ([kind], text(&door)).into_response()
}

fn text(door: &Door) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing to memory does not fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    family("rbee_build_info", "gauge", "The running program.", &[(version, 1)]);
    family("rbee_uptime_seconds", "gauge", "Since the door was opened.", &one(door.0.opened.elapsed().as_secs()));
    let states = door.registry().states();
    let jobs: Vec<_> = JobState::ALL
        .iter()
        .map(|state| (format!("{{state=\"{state}\"}}"), states.get(state).copied().unwrap_or_default() as u64))
        .collect();
    family("rbee_jobs", "gauge", "Jobs that are listed, by state.", &jobs);
    let counts = door.registry().counts();
    family(
        "rbee_jobs_submitted_total",
        "counter",
        "Jobs since the start.",
        &one(counts.submitted.load(Ordering::Relaxed)),
    );
    family(
        "rbee_job_cancels_total",
        "counter",
        "Cancels of jobs that had not ended.",
        &one(counts.cancels.load(Ordering::Relaxed)),
    );
    family("rbee_stream_readers", "gauge", "Open event streams.", &one(door.0.meters.readers.load(Ordering::Relaxed)));
    let answers = door.0.meters.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let answers: Vec<_> = answers.iter().map(|(code, count)| (format!("{{code=\"{code}\"}}"), *count)).collect();
    family("rbee_http_requests_total", "counter", "Answered requests, by status.", &answers);
    if let Some(bytes) = resident() {
        family("process_resident_memory_bytes", "gauge", "Memory in use.", &one(bytes));
    }
    text
}

/// What this process holds in memory, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}
