//! What may be submitted as a job: tagged operations, version 1, read strictly.

use std::{net::IpAddr, num::NonZeroU16, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::operation_model::name;
pub use super::operation_model::{ModelDownload, ViaWord};
use crate::vocab::{WorkerId, parse_duration};

/// More words than any command has.
const MAX_WORDS: usize = 10_000;

/// More lines than anybody reads at once.
const MAX_LINES: u32 = 1_000_000;

/// One operation; its fields are those of the command of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// `fleet ping`.
    Ping {},
    /// `fleet exec`: one word is a line for the shell, several are a command and its arguments.
    Exec { command: Vec<String> },
    /// `fleet check` without a worker.
    HiveCheck {},
    /// `fleet check`.
    WorkerCheck { worker_id: String },
    /// `fleet install`, or `fleet plan`.
    WorkerInstall {
        worker_id: String,
        /// The one that it is to have; one that the machine has kept is only put back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(default)]
        build: BuildWord,
        #[serde(default)]
        fetch: FetchWord,
        #[serde(default)]
        check: bool,
        #[serde(default)]
        install_deps: bool,
        #[serde(default)]
        system: bool,
        #[serde(default)]
        fix_path: bool,
        #[serde(default)]
        reinstall: bool,
        #[serde(default)]
        dry_run: bool,
    },
    /// `worker available`.
    WorkerCatalogList {},
    /// `worker get`: in the catalog, and installed.
    WorkerCatalogGet { worker_id: String },
    /// `fleet status`.
    WorkerListInstalled {},
    /// `fleet rollback`.
    WorkerRollback {
        #[serde(default)]
        worker_id: Option<String>,
    },
    /// `fleet remove`.
    WorkerRemove {
        worker_id: String,
        #[serde(default)]
        force: bool,
    },
    /// `worker spawn`; what is left out is taken if there is exactly one.
    WorkerSpawn {
        #[serde(default)]
        worker: Option<String>,
        /// A model of the cache, or an absolute path on the machine where it runs.
        #[serde(default)]
        model: Option<String>,
        #[serde(default)]
        device: Option<String>,
        #[serde(default)]
        port: Option<NonZeroU16>,
        #[serde(default)]
        bind: Option<IpAddr>,
        #[serde(default)]
        restart: RestartWord,
        /// Given to the program as they are.
        #[serde(default)]
        args: Vec<String>,
    },
    /// `worker process list`.
    WorkerProcessList {},
    /// `worker process get`: by its process, its id, or the worker that it runs.
    WorkerProcessGet { which: String },
    /// `worker stop`.
    WorkerProcessDelete {
        which: String,
        /// All that run this worker.
        #[serde(default)]
        all: bool,
    },
    /// `worker logs`.
    WorkerProcessLogs {
        which: String,
        #[serde(default = "hundred")]
        lines: u32,
        /// And what comes, until it ends or the job is cancelled.
        #[serde(default)]
        follow: bool,
    },
    /// `model download`; its fields are boxed away, since no other operation has as many.
    ModelDownload(Box<ModelDownload>),
    /// `model list`, of one repository `model get`.
    ModelList {
        #[serde(default)]
        repo: Option<String>,
    },
    /// `model verify`.
    ModelVerify {
        #[serde(default)]
        repo: Option<String>,
    },
    /// `model remove`.
    ModelRemove { model: String },
    /// `model clean`.
    ModelClean {
        #[serde(default)]
        orphans: bool,
    },
}

fn hundred() -> u32 {
    100
}

/// When a worker is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWord {
    #[default]
    Never,
    OnFailure,
}

/// Where a recipe is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildWord {
    #[default]
    Auto,
    Host,
    Local,
}

/// Where the sources of a build on a host are fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FetchWord {
    #[default]
    Host,
    /// On the hive's machine, which then sends them.
    Controller,
}

/// An operation, where it is to run, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub operation: Operation,
    /// A pattern over the hive's inventory; the hive's own machine when there is none.
    pub hosts: Option<String>,
    pub timeout: Option<Duration>,
    /// As it was written.
    timeout_text: Option<String>,
}

/// Why a document is no submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotASubmission(pub String);

impl Submission {
    pub fn new(operation: Operation) -> Self {
        Self { operation, hosts: None, timeout: None, timeout_text: None }
    }

    /// The same over a selection of the hive's inventory.
    #[must_use]
    pub fn on(self, hosts: Option<String>) -> Self {
        Self { hosts, ..self }
    }

    /// The same with a hard limit.
    #[must_use]
    pub fn within(self, limit: Option<Duration>) -> Self {
        let timeout_text = limit.map(|limit| format!("{}ms", limit.as_millis()));
        Self { timeout: limit, timeout_text, ..self }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// Says what is wrong, and what would be right.
    pub fn parse(text: &[u8]) -> Result<Self, NotASubmission> {
        let bad = |error: &dyn std::fmt::Display| NotASubmission(error.to_string());
        let mut map: Map<String, Value> = serde_json::from_slice(text).map_err(|error| bad(&error))?;
        map.values_mut().for_each(make_whole);
        match map.remove("v") {
            None => {}
            Some(v) if v.as_u64() == Some(1) => {}
            Some(v) => return Err(NotASubmission(format!("version {v} is not known here, only 1"))),
        }
        // The name that the machine has for itself; others are reached through `hosts`.
        match map.remove("hive_id") {
            None => {}
            Some(id) if id == "localhost" => {}
            Some(id) => {
                return Err(NotASubmission(format!("hive_id {id} is not this hive: it is \"localhost\", or left out")));
            }
        }
        let hosts = text_field(&mut map, "hosts")?;
        if hosts.as_deref().is_some_and(|hosts| hosts.trim().is_empty()) {
            return Err(NotASubmission("hosts is empty; leave it out for the hive's own machine".into()));
        }
        let timeout_text = text_field(&mut map, "timeout")?;
        let timeout = timeout_text.as_deref().map(parse_duration).transpose().map_err(|error| bad(&error))?;
        if timeout == Some(Duration::ZERO) {
            return Err(NotASubmission("timeout must be longer than nothing".into()));
        }
        let operation: Operation = serde_json::from_value(Value::Object(map)).map_err(|error| bad(&error))?;
        operation.check()?;
        Ok(Self { operation, hosts, timeout, timeout_text })
    }

    /// The document.
    pub fn to_value(&self) -> Value {
        let mut value = serde_json::to_value(&self.operation).unwrap_or_default();
        if let Value::Object(map) = &mut value {
            map.insert("v".into(), 1.into());
            if let Some(hosts) = &self.hosts {
                map.insert("hosts".into(), hosts.as_str().into());
            }
            if let Some(timeout) = &self.timeout_text {
                map.insert("timeout".into(), timeout.as_str().into());
            }
        }
        value
    }
}

/// JSON has one kind of number: 7.0 is the integer 7, and some clients write it so.
fn make_whole(value: &mut Value) {
    const LARGEST: f64 = (1_u64 << 53) as f64;
    if let Value::Number(number) = value
        && number.is_f64()
        && let Some(float) = number.as_f64()
        && float.fract() == 0.0
        && float.abs() <= LARGEST
    {
        *value = (float as i64).into();
    }
}

fn text_field(map: &mut Map<String, Value>, name: &str) -> Result<Option<String>, NotASubmission> {
    match map.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(NotASubmission(format!("{name} must be a string"))),
    }
}

impl Operation {
    /// What the grammar of its fields says; whether a worker exists is for the catalog to say.
    fn check(&self) -> Result<(), NotASubmission> {
        let id = |id: &str| WorkerId::new(id).map(drop).map_err(|error| NotASubmission(error.to_string()));
        match self {
            Self::Exec { command } => {
                if command.is_empty() || command.iter().all(|word| word.trim().is_empty()) {
                    return Err(NotASubmission("command is empty".into()));
                }
                if command.len() > MAX_WORDS {
                    return Err(NotASubmission(format!("command has more than {MAX_WORDS} words")));
                }
                if command.iter().any(|word| word.contains('\0')) {
                    return Err(NotASubmission("command has a NUL in it".into()));
                }
                Ok(())
            }
            // Never a path: a folder of the hive's machine is not for a client to name.
            Self::WorkerCheck { worker_id }
            | Self::WorkerCatalogGet { worker_id }
            | Self::WorkerRemove { worker_id, .. } => id(worker_id),
            Self::WorkerProcessGet { which } | Self::WorkerProcessDelete { which, .. } => id(which),
            Self::WorkerProcessLogs { which, lines, .. } => match *lines <= MAX_LINES {
                true => id(which),
                false => Err(NotASubmission(format!("lines is more than {MAX_LINES}"))),
            },
            Self::WorkerSpawn { worker, model, device, args, .. } => {
                worker.as_deref().map_or(Ok(()), id)?;
                let model = model.as_deref();
                if model.is_some_and(|text| text.is_empty() || text.len() > 4000 || text.contains(char::is_control)) {
                    return Err(NotASubmission("model is no line of at most 4000 bytes".into()));
                }
                let plain = |b: u8| b.is_ascii_alphanumeric() || b":_,-".contains(&b);
                let device = device.as_deref();
                if device.is_some_and(|text| text.is_empty() || text.starts_with('-') || !text.bytes().all(plain)) {
                    return Err(NotASubmission("device is none; write it as cuda:0".into()));
                }
                if args.len() > 1000 || args.iter().any(|word| word.contains('\0')) {
                    return Err(NotASubmission("args are more than 1000 words, or have a NUL in them".into()));
                }
                Ok(())
            }
            Self::WorkerInstall { worker_id, version, .. } => {
                id(worker_id)?;
                let plain = |b: u8| b.is_ascii_alphanumeric() || b".+-_:~".contains(&b);
                match version {
                    Some(it) if it.is_empty() || it.len() > 128 || !it.bytes().all(plain) => {
                        Err(NotASubmission(format!("version {it:?} is none: write it as 1.2.3")))
                    }
                    _ => Ok(()),
                }
            }
            Self::WorkerRollback { worker_id } => worker_id.as_deref().map_or(Ok(()), id),
            Self::ModelDownload(download) => download.check(),
            Self::ModelRemove { model } => name("model", model),
            Self::ModelList { repo } | Self::ModelVerify { repo } => {
                repo.as_deref().map_or(Ok(()), |repo| name("repo", repo))
            }
            Self::ModelClean { .. } => Ok(()),
            Self::Ping {}
            | Self::HiveCheck {}
            | Self::WorkerCatalogList {}
            | Self::WorkerListInstalled {}
            | Self::WorkerProcessList {} => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Submission, String> {
        Submission::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_written_comes_back() {
        let text = r#"{"v":1,"operation":"worker_install","hive_id":"localhost","worker_id":"echo-worker","reinstall":true,"hosts":"@lab","timeout":"1h30m"}"#;
        let read = parse(text).unwrap();
        assert_eq!((read.hosts.as_deref(), read.timeout), (Some("@lab"), Some(Duration::from_secs(5400))));
        let again = Submission::parse(read.to_value().to_string().as_bytes()).unwrap();
        assert_eq!(again, read);
        let logs = parse(r#"{"v":1.0,"operation":"worker_process_logs","which":"w00000001","lines":70.0}"#).unwrap();
        assert!(matches!(logs.operation, Operation::WorkerProcessLogs { lines: 70, .. }), "{logs:?}");
        let exec =
            Submission::new(Operation::Exec { command: vec!["true".into()] }).within(Some(Duration::from_secs(9)));
        assert_eq!(exec.to_value().to_string(), r#"{"command":["true"],"operation":"exec","timeout":"9000ms","v":1}"#);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("", "EOF"),
            ("[]", "expected a map"),
            ("{}", "missing field `operation`"),
            (r#"{"operation":"sudo"}"#, "unknown variant `sudo`, expected one of `ping`"),
            (r#"{"operation":"ping","pid":1}"#, "unknown field `pid`"),
            (r#"{"operation":"ping","v":2}"#, "version 2"),
            (r#"{"operation":"ping","hive_id":"other"}"#, "hive_id"),
            (r#"{"operation":"exec","command":[]}"#, "command is empty"),
            (r#"{"operation":"exec","command":["a\u0000b"]}"#, "NUL"),
            (r#"{"operation":"exec","command":"true"}"#, "sequence"),
            (r#"{"operation":"worker_remove","worker_id":"/etc"}"#, "worker id \"/etc\""),
            (r#"{"operation":"worker_remove","worker_id":"../x"}"#, "worker id"),
            (r#"{"operation":"worker_install","worker_id":"./here"}"#, "worker id"),
            (r#"{"operation":"worker_install","worker_id":"a","version":"1 && x"}"#, "version \"1 && x\""),
            (r#"{"operation":"worker_install","worker_id":"a","version":""}"#, "version \"\""),
            (r#"{"operation":"worker_install","worker_id":"a","build":"moon"}"#, "unknown variant `moon`"),
            (r#"{"operation":"model_download"}"#, "missing field `model`"),
            (r#"{"operation":"model_download","model":"a/b","via":"swarm"}"#, "unknown variant `swarm`"),
            (r#"{"operation":"model_download","model":"a/b","token":"x"}"#, "unknown field `token`"),
            (r#"{"operation":"model_download","model":"a/b","connections":65}"#, "from 1 to 64"),
            (r#"{"operation":"model_download","model":"a/b","fits":true,"quant":"Q8_0"}"#, "fits"),
            (r#"{"operation":"model_remove","model":" "}"#, "model is empty"),
            (r#"{"operation":"ping","timeout":"5"}"#, "unit"),
            (r#"{"operation":"ping","timeout":5}"#, "timeout must be a string"),
            (r#"{"operation":"ping","hosts":" "}"#, "hosts is empty"),
            (r#"{"operation":"worker_spawn","port":0}"#, "nonzero"),
            (r#"{"operation":"worker_spawn","bind":"everywhere"}"#, "IP address"),
            (r#"{"operation":"worker_spawn","model":"a\nb"}"#, "model is no line"),
            (r#"{"operation":"worker_spawn","device":"--x"}"#, "device is none"),
            (r#"{"operation":"worker_spawn","args":["a\u0000b"]}"#, "NUL"),
            (r#"{"operation":"worker_spawn","api_key_file":"/etc/shadow"}"#, "unknown field"),
            (r#"{"operation":"worker_process_delete","which":"/proc/1"}"#, "worker id"),
            (r#"{"operation":"worker_process_delete","which":1}"#, "expected a string"),
            (r#"{"operation":"worker_process_logs","which":"w00000001","lines":2000000}"#, "lines is more"),
            (r#"{"operation":"worker_process_logs","which":"w00000001","lines":7.5}"#, "floating point"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
