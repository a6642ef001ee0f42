//! A hive as its clients see it: over its socket, over loopback, over SSH, and through `rbee` itself.

mod cancels;
mod client;
mod door;
mod jobs;
mod rooted;
mod session;
mod workers;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::stage::{Live, Ran, Stage};

const PATIENCE: Duration = Duration::from_secs(100);

/// A hive that runs.
pub struct Hive {
    pub live: Live,
    pub way: Way,
}

/// How to get at it; clients share one.
#[derive(Debug, Clone)]
pub struct Way {
    pub socket: PathBuf,
    pub port: u16,
    pub token: String,
}

impl std::ops::Deref for Hive {
    type Target = Way;

    fn deref(&self) -> &Way {
        &self.way
    }
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        if status >= 400 {
            assert!(self.head.contains("application/problem+json"), "{self:?}");
            assert!(!self.json()["detail"].as_str().unwrap().is_empty(), "{self:?}");
        }
        self
    }
}

impl Stage {
    /// Starts `rbee hive serve` on a free port.
    pub fn hive(&self, flags: &str) -> Hive {
        Hive::start(self.command(&format!("--output json hive serve --port 0 {flags}")), &self.lab.home())
    }
}

impl Hive {
    /// The command runs a hive with this home.
    pub fn start(command: Command, home: &Path) -> Self {
        let mut live = Live::start(command);
        let Some(said) = live.until(|said| said["socket"].is_string()) else { panic!("no hive: {}", live.end()) };
        let port = said["url"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let token = fs::read_to_string(home.join(".local/state/rbee/hive/token")).unwrap().trim().to_owned();
        Self { live, way: Way { socket: said["socket"].as_str().unwrap().into(), port, token } }
    }

    /// Ends it as its service manager would; all its jobs end.
    #[track_caller]
    pub fn end(self) -> Ran {
        self.live.signal(nix::sys::signal::Signal::SIGTERM);
        self.live.end()
    }
}

impl Way {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Over the socket; HTTP 1.0, so that an answer ends with its connection.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut stream = self.stream();
        let body = body.map(ToString::to_string);
        let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let body = body.unwrap_or_default();
        let head =
            format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{kind}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        answer(&mut stream)
    }

    /// Over loopback, with these header lines and no others.
    pub fn ask_tcp(&self, request: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        stream.write_all(format!("{request} HTTP/1.0\r\n{headers}\r\n").as_bytes()).unwrap();
        answer(&mut stream)
    }

    #[track_caller]
    pub fn submit(&self, submission: &Value) -> String {
        self.ask("POST", "/v1/jobs", Some(submission)).is(201).json()["job_id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn exec(&self, script: &str) -> String {
        self.submit(&json!({ "operation": "exec", "command": [script] }))
    }

    #[track_caller]
    pub fn job(&self, id: &str) -> Value {
        self.ask("GET", &format!("/v1/jobs/{id}"), None).is(200).json()
    }

    /// Waits until the job is as `wanted`.
    #[track_caller]
    pub fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let job = self.job(id);
            if wanted(&job) {
                return job;
            }
            assert!(Instant::now() < end, "not in time: {job:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub fn until_state(&self, id: &str, state: &str) -> Value {
        self.until(id, |job| job["state"] == state)
    }

    /// Waits until the job has said this.
    #[track_caller]
    pub fn until_line(&self, id: &str, text: &str) {
        let mut stream = self.stream();
        write!(stream, "GET /v1/jobs/{id}/stream HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        let wanted = format!("\"text\":{}", Value::from(text));
        while !String::from_utf8_lossy(&seen).contains(&wanted) {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "never said: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&chunk[..count]);
        }
    }

    /// Every event of a job, to its end, each with the id that it came with.
    #[track_caller]
    pub fn events(&self, id: &str, after: Option<u64>) -> Vec<Value> {
        let mut stream = self.stream();
        let last = after.map(|seen| format!("Last-Event-ID: {seen}\r\n")).unwrap_or_default();
        write!(stream, "GET /v1/jobs/{id}/stream HTTP/1.0\r\nHost: localhost\r\n{last}\r\n").unwrap();
        let answer = answer(&mut stream).is(200);
        assert!(answer.head.contains("text/event-stream"), "{answer:?}");
        events_of(&answer.body)
    }

    #[track_caller]
    pub fn cancel(&self, id: &str) -> Value {
        self.ask("DELETE", &format!("/v1/jobs/{id}"), None).is(200).json()
    }
}

/// Takes server-sent events apart, strictly.
#[track_caller]
pub fn events_of(body: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for block in body.split_terminator("\n\n") {
        let mut id = None;
        for line in block.lines() {
            if let Some(number) = line.strip_prefix("id: ") {
                id = Some(number.parse::<u64>().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data:?}"));
                assert_eq!(event["seq"].as_u64(), id, "{event}");
                assert_eq!(event["v"], 1);
                found.push(event);
            } else {
                assert!(line.starts_with(": ") || line.starts_with("retry: "), "{line:?}");
            }
        }
    }
    found
}

fn answer(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    // A server that refuses a body may close while it is still being sent.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// The types of events, in order.
pub fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// The lines of output.
pub fn lines(events: &[Value]) -> Vec<&str> {
    events.iter().filter(|event| event["type"] == "line").map(|event| event["text"].as_str().unwrap()).collect()
}

/// A program of this machine, to its end.
pub fn program(command: &mut Command) -> std::process::Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
