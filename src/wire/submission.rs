//! What is submitted as a job: an operation and where it is to run, version 1, read strictly.

use std::time::Duration;

use serde_json::{Map, Value};

use super::operation::{NotASubmission, Operation};
use crate::vocab::parse_duration;

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
