//! Cancel, loss and a sudo that hangs, in the middle of root's work.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::stage::{BIN, PASSWORD, Stage, until};

const FREE: &str = "ada ALL=(ALL) NOPASSWD: ALL";

/// Each session of sudo takes this long, so that there is a middle to be hit.
fn slow(stage: &Stage, seconds: &str) {
    stage.rig.exec("h1", &format!("echo 'session optional pam_exec.so /bin/sleep {seconds}' >>/etc/pam.d/sudo"));
}

/// Waits until root has made its part.
fn until_part(stage: &Stage) {
    let part = || stage.on_host("find /usr/local/bin -name '.*.rbee' | wc -l") != "0";
    until("root's part", Duration::from_secs(60), part);
}

#[test]
#[ignore = "needs root"]
fn rooted_a_cancel_waits_for_root() {
    let stage = Stage::new(1, FREE);
    stage.install("1.0").exits(0);
    slow(&stage, "0.3");
    let program = stage.program("echo-worker", "2.0", "");
    let live = stage.start(&format!("install echo-worker --system --binary {program} -H h1"), None);
    until_part(&stage);
    live.signal(Signal::SIGINT);
    live.signal(Signal::SIGINT);
    let ran = live.end();
    // The step came to its end, and what was asked for is there.
    assert_eq!(stage.on_host(BIN), "echo-worker 2.0", "{ran}");
    assert_eq!(ran.host("h1")["outcome"], "changed", "{ran}");
    stage.is_clean("h1");
    stage.fleet("status -H h1").exits(0);
}

#[test]
#[ignore = "needs root"]
fn rooted_a_lost_controller_leaves_nothing_of_roots() {
    lost(FREE, None);
}

#[test]
#[ignore = "needs root"]
fn rooted_a_lost_controller_leaves_nothing_of_roots_with_a_password() {
    lost("ada ALL=(ALL) ALL", Some(PASSWORD));
}

fn lost(sudoers: &str, password: Option<&str>) {
    let stage = Stage::new(1, sudoers);
    if password.is_none() {
        slow(&stage, "0.3");
    }
    // With a password there is one session only: a large program makes it last.
    let big = format!(": '{}'", "x".repeat(60 << 20));
    let program = stage.program("echo-worker", "1.0", if password.is_some() { &big } else { "" });
    let flags = if password.is_some() { "--sudo-password-file -" } else { "" };
    let mut live = stage.start(&format!("install echo-worker --system --binary {program} -H h1 {flags}"), password);
    until_part(&stage);
    live.signal(Signal::SIGKILL);
    live.child.wait().unwrap();
    let clean =
        || stage.on_host("find /usr/local -name '.*.rbee'; find /home/ada/.cache/rbee/scratch -mindepth 1").is_empty();
    until("the host cleans up", Duration::from_secs(20), clean);
    // All or nothing.
    let there = stage.on_host(&format!("[ ! -e {BIN} ] || {BIN}"));
    assert!(there.is_empty() || there == "echo-worker 1.0", "{there}");
    until("the lock goes", Duration::from_secs(20), || {
        stage.on_host("find /home/ada/.local/state/rbee -name 'lock*' 2>/dev/null; :").is_empty()
    });
}

#[test]
#[ignore = "needs root"]
fn rooted_a_sudo_that_hangs_has_a_limit() {
    let stage = Stage::new(1, FREE);
    stage.rig.exec("h1", "sed -i '1i account optional pam_exec.so /bin/sleep 45' /etc/pam.d/sudo");
    let start = Instant::now();
    let ran = stage.install("1.0").exits(1);
    assert!(start.elapsed() < Duration::from_secs(40), "{ran}");
    let text = "asking sudo, which may wait for a name server, took longer than 15s";
    assert_eq!((ran.error("h1").as_str(), ran.host("h1")["reason"].as_str()), (text, Some("timeout")), "{ran}");
    // It has not become root yet by then, so it can be ended, and is.
    let left = stage.on_host("ps -eo args | grep -E '^sudo|^/usr/bin/sudo|^/bin/sleep' || :");
    assert_eq!(left, "", "{ran}");
    stage.is_clean("h1");
}
