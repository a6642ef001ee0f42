//! The way to a host: bastions, commands, algorithms, limits; against real sshds, with `ssh` as the reference.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod algorithms;
mod bastions;
mod commands;
mod crowds;
#[path = "../support/delay.rs"]
mod delay;
mod sessions;
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../support/mod.rs"]
mod support;
mod turns;
mod wedges;

use std::process::{Command, Output, Stdio};

use rbee::{
    target::{
        TargetError,
        conduit::Opener,
        ssh::{Connector, SshConnection},
    },
    vocab::Reason,
};
use sshd::Lab;
use tokio::io::AsyncReadExt;

/// Writes the ssh_config; `ssh` itself takes its home from the user database, so its key is named.
fn configure(lab: &Lab, first: &str) {
    lab.write_config(&format!("{first}\nHost *\n  IdentityFile {}\n", lab.identity().display()));
}

fn connector(lab: &Lab) -> Connector {
    Connector::new(&lab.settings(), lab.config())
}

async fn connect(lab: &Lab, name: &str) -> Result<SshConnection, TargetError> {
    connector(lab).connect(&support::scope().0, &lab.host(name)).await
}

/// The reason, the sentence and the hint of a connection that must fail.
async fn refused(lab: &Lab, name: &str) -> (Reason, String, String) {
    match connect(lab, name).await {
        Ok(_) => panic!("{name} was connected to"),
        Err(error) => {
            (error.reason().expect("a reason"), error.to_string(), error.hint().unwrap_or_default().to_owned())
        }
    }
}

async fn output(connection: &SshConnection, command: &str) -> String {
    let mut conduit = connection.open(command).await.unwrap();
    drop(conduit.stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let (a, b) = tokio::join!(conduit.stdout.read_to_string(&mut out), conduit.stderr.read_to_string(&mut err));
    a.unwrap();
    b.unwrap();
    format!("{out}|{err}")
}

/// What `ssh` itself does with the same configuration.
fn ssh(lab: &Lab, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["60", "ssh", "-F"])
        .arg(lab.ssh_config())
        .args(["-o", "BatchMode=yes"])
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!("{}|{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
