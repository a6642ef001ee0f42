//! Logins against a real sshd, compared with what `ssh` does with the same configuration.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

#[path = "../support/sshd.rs"]
mod sshd;

mod agents;
mod differential;
mod keys;
mod quiz;
mod rooted;
mod typed;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rbee::{
    scope::{Cancel, Scope, events},
    target::{
        conduit::Opener,
        ssh::{Connector, People},
    },
    vocab::RunId,
};
use sshd::Lab;

/// What a list of errors is compared with.
const NO_ERRORS: [String; 0] = [];

fn scope() -> Scope {
    let (emitter, _receiver) = events(RunId::new("test").unwrap());
    Scope::new(Cancel::new(), emitter)
}

/// Waits until `done`, with plenty of time.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Logs in, and out again; the error's text and hint when that fails.
async fn login(lab: &Lab, name: &str, people: People) -> Result<(), String> {
    let connector = Connector::with_people(&lab.settings(), lab.config(), people);
    match connector.connect(&scope(), &lab.host(name)).await {
        Ok(connection) => {
            connection.close().await;
            Ok(())
        }
        Err(error) => Err(format!("{error}\n{}", error.hint().unwrap_or_default())),
    }
}

/// The same by `ssh`; what it said when that fails.
fn ssh(config: &Path, name: &str) -> Result<(), String> {
    let output = Command::new("timeout")
        .args(["60", "ssh", "-o", "BatchMode=yes", "-F"])
        .arg(config)
        .args([name, "true"])
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// What a server's log says that was tried, in order, without ports; the sessions have ended.
fn tried(lab: &Lab, name: &str, from: usize) -> Vec<String> {
    let sshd = lab.sshd(name);
    until("the sessions end", || sshd.descendants().is_empty());
    let log = sshd.log();
    let mut tries = Vec::new();
    for line in log[from.min(log.len())..].lines() {
        let verdict = ["Failed ", "Accepted ", "Partial "].iter().find(|verdict| line.starts_with(**verdict));
        let (Some(verdict), Some((what, key))) = (verdict, line.split_once(" ssh2")) else { continue };
        let method = what[verdict.len()..].split(' ').next().unwrap_or_default();
        // Whether it asks first what the server offers is a client's own business.
        if method != "none" && !["key", "certificate"].contains(&method) {
            tries.push(format!("{verdict}{method}{}", key.replace(" [preauth]", "")));
        }
    }
    tries
}
