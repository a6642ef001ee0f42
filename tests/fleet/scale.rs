//! Many hosts at a time, in a sandbox that the program starts itself.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Live, Ran, Stage, run},
    support::{processes_with, token, until_seen},
};

const HOSTS: usize = 48;

/// A sandbox that is gone with the test.
struct Sandbox<'a>(&'a Stage);

impl<'a> Sandbox<'a> {
    fn up(stage: &'a Stage) -> Self {
        let sandbox = Self(stage);
        sandbox.control(&["up", "--hosts", &HOSTS.to_string(), "--detach"]).exits(0);
        sandbox
    }

    fn control(&self, arguments: &[&str]) -> Ran {
        let mut command = self.0.bare();
        command.arg("sandbox").args(arguments).args(["--dir", "sandbox"]);
        run(command)
    }

    /// `rbee … AFTER` for its hosts.
    fn command(&self, after: &str) -> Command {
        let mut command = self.0.bare();
        command.args(["-i", "sandbox/inventory.toml", "-F", "sandbox/ssh_config"]).args(after.split_whitespace());
        command
    }
}

impl Drop for Sandbox<'_> {
    fn drop(&mut self) {
        let mut command = self.0.bare();
        let _ = command.args(["sandbox", "down", "--dir", "sandbox"]).stdout(Stdio::null()).status();
    }
}

#[test]
fn many_hosts_are_installed_to_left_alone_and_cancelled() {
    let stage = Stage::new(&[]);
    let sandbox = Sandbox::up(&stage);
    let tool = stage.file("tool", "#!/bin/sh\nexit 0\n");
    let install = format!("--output json fleet install tool -H all --binary {tool}");
    for outcome in ["changed", "unchanged"] {
        let ran = run(sandbox.command(&install)).exits(0);
        let summary = ran.lines().pop().unwrap();
        let hosts = summary["hosts"].as_array().unwrap();
        let so = hosts.iter().filter(|host| host["outcome"] == outcome).count();
        assert_eq!((hosts.len(), so), (HOSTS, HOSTS), "{ran}");
    }

    let sleep = token();
    let mut command = sandbox.command("--output json fleet exec -H all --");
    command.arg(format!("trap '' TERM; env -i setsid sleep {sleep} & sleep {sleep}"));
    let live = Live::start(command);
    until_seen(&sleep, 2 * HOSTS);
    let asked = Instant::now();
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(130);
    // Two cores end forty-eight trees of processes here, which on a fleet is one a machine.
    assert!(asked.elapsed() < Duration::from_secs(20), "{ran}");
    assert_eq!(processes_with(&sleep), [] as [u32; 0], "{ran}");

    sandbox.control(&["down"]).exits(0);
    let ran = run(sandbox.command("--output json fleet ping -H all")).exits(4);
    assert!(ran.document()["hosts"].as_array().unwrap().iter().all(|host| host["outcome"] == "unreachable"), "{ran}");
}
