//! The program itself over real sshds, on a wire that is cut.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Live, Ran, Stage},
    support::{eventually_sync, processes_with, token, until_seen},
    wire::Wire,
};

const ROOM: Duration = Duration::from_secs(20);

/// A host behind a wire.
fn behind(stage: &Stage) -> Wire {
    let sshd = stage.lab.sshd("one");
    let wire = Wire::new(sshd.port);
    stage.inventory(&format!("[hosts.one]\nport = {}\n", wire.port));
    let known = sshd.known_hosts_line().replace(&format!(":{}", sshd.port), &format!(":{}", wire.port));
    fs::write(stage.lab.known_hosts(), known).unwrap();
    wire
}

fn numbers(count: u32) -> String {
    format!("i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo $i; sleep 0.05; done")
}

/// A script that prints numbers, started on the host.
fn start(stage: &Stage, lease: &str, script: &str) -> Live {
    let path = stage.file("script", format!("#!/bin/sh\n{script}\n"));
    stage.start(&format!("fleet exec -H one --lease {lease} {path}"))
}

#[track_caller]
fn printed_all(ran: &Ran, count: u32) {
    let lines: Vec<_> = ran
        .lines()
        .into_iter()
        .filter(|e| e["type"] == "line" && e["stream"] == "stdout")
        .map(|e| e["text"].clone())
        .collect();
    let said: Vec<_> = lines.iter().filter_map(|text| text.as_str()?.parse::<u32>().ok()).collect();
    assert_eq!(said, (1..=count).collect::<Vec<_>>(), "every line once and in order\n{ran}");
}

#[track_caller]
fn noticed(ran: &Ran, text: &str) {
    let said = ran.lines().iter().any(|e| e["type"] == "notice" && e["text"].as_str().unwrap().contains(text));
    assert!(said, "no notice {text:?}\n{ran}");
}

/// Nothing of a lane is left in the host's home, nor a lock.
fn clean(stage: &Stage, limit: Duration) {
    let home = &stage.lab.sshd("one").home;
    let start = Instant::now();
    loop {
        let lanes: Vec<_> = fs::read_dir(home.join(".cache/rbee/roam")).into_iter().flatten().flatten().collect();
        let scratch: Vec<_> = fs::read_dir(home.join(".cache/rbee/scratch")).into_iter().flatten().flatten().collect();
        let lock = home.join(".local/state/rbee/lock").exists();
        if lanes.is_empty() && scratch.is_empty() && !lock {
            return;
        }
        assert!(start.elapsed() < limit, "left: {lanes:?} {scratch:?} lock {lock}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_build_goes_on_while_the_wire_swallows_everything() {
    let stage = Stage::new(&["one"]);
    let wire = behind(&stage);
    let functions = format!(
        "build() {{ {}; }}\npackage() {{ mkdir -p \"$pkgdir/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/bin/slow\"; \
         chmod 755 \"$pkgdir/bin/slow\"; }}\n",
        numbers(300)
    );
    let recipe = stage.recipe("slow", &functions);
    let mut live = stage.start(&format!("fleet install {recipe} -H one --build host --lease 40s"));
    live.until_line("20");
    wire.refuse(true);
    wire.swallow();
    thread::sleep(Duration::from_secs(5));
    wire.refuse(false);
    let ran = live.end().exits(0);
    ran.outcome("one", "changed");
    printed_all(&ran, 300);
    noticed(&ran, "the host goes on for up to 40s");
    noticed(&ran, "back after ");
    clean(&stage, Duration::ZERO);
}

#[test]
fn a_reset_and_a_while_of_refusal_lose_no_line() {
    let stage = Stage::new(&["one"]);
    let wire = behind(&stage);
    let mut live = start(&stage, "40s", &numbers(300));
    for line in ["20", "150"] {
        live.until_line(line);
        wire.refuse(true);
        wire.reset();
        thread::sleep(Duration::from_secs(3));
        wire.refuse(false);
    }
    let ran = live.end().exits(0);
    printed_all(&ran, 300);
    clean(&stage, Duration::ZERO);
}

#[test]
fn an_sshd_that_is_restarted_loses_no_line() {
    let mut stage = Stage::new(&["one"]);
    let mut live = start(&stage, "40s", &numbers(200));
    live.until_line("20");
    stage.lab.sshd_mut("one").restart(Duration::from_secs(3));
    let ran = live.end().exits(0);
    printed_all(&ran, 200);
    clean(&stage, Duration::ZERO);
}

#[test]
fn another_host_that_answers_is_not_taken_for_this_one() {
    let stage = Stage::new(&["one", "two"]);
    let wire = behind(&stage);
    let token = token();
    let mut live = start(&stage, "31s", &format!("echo ready; sleep {token}"));
    live.until_line("ready");
    wire.lead_to(stage.lab.sshd("two").port);
    wire.reset();
    let ran = live.end().exits(6);
    let host = ran.outcome("one", "failed");
    assert!(host["error"].as_str().unwrap().contains("key"), "{ran}");
    assert!(ran.took < Duration::from_secs(25), "a wrong key is no reason to wait\n{ran}");
    eventually_sync("the end of the lease", || processes_with(&token).is_empty());
    clean(&stage, Duration::from_secs(45));
}

#[test]
fn a_cancel_during_the_cut_ends_in_time_and_the_host_by_itself() {
    let stage = Stage::new(&["one"]);
    let wire = behind(&stage);
    let token = token();
    let mut live = start(&stage, "31s", &format!("echo ready; sleep {token}"));
    live.until_line("ready");
    until_seen(&token, 1);
    wire.refuse(true);
    wire.reset();
    assert!(live.until(|e| e["type"] == "notice" && e["text"].as_str().unwrap().contains("connection lost")).is_some());
    let asked = Instant::now();
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(6);
    assert!(asked.elapsed() < Duration::from_secs(12) + ROOM, "{:?}\n{ran}", asked.elapsed());
    let host = ran.outcome("one", "cancelled");
    assert_eq!(host["reason"], "unconfirmed", "{ran}");
    assert!(host["error"].as_str().unwrap().contains("the host goes on until 31s after the last word"), "{ran}");
    assert!(!processes_with(&token).is_empty(), "the host ended it early");
    eventually_sync("the end of the lease", || processes_with(&token).is_empty());
    clean(&stage, Duration::from_secs(45));
}

#[test]
fn a_cut_beyond_the_lease_is_a_loss() {
    let stage = Stage::new(&["one"]);
    let wire = behind(&stage);
    let token = token();
    let mut live = start(&stage, "31s", &format!("echo ready; sleep {token}"));
    live.until_line("ready");
    wire.refuse(true);
    wire.swallow();
    let ran = live.end().exits(6);
    let host = ran.outcome("one", "failed");
    assert!(host["error"].as_str().unwrap().contains("the lease is over"), "{ran}");
    eventually_sync("the end of what ran", || processes_with(&token).is_empty());
    clean(&stage, Duration::from_secs(45));
}

/// A controller that was killed may be one that is away; the next one is told whose turn it is.
#[test]
fn what_a_killed_controller_leaves_is_named_and_ends_with_the_lease() {
    let stage = Stage::new(&["one"]);
    let token = token();
    let recipe = stage.recipe("slow", &format!("build() {{ echo building; sleep {token}; }}\npackage() {{ :; }}\n"));
    let mut live = stage.start(&format!("fleet install {recipe} -H one --build host --lease 31s"));
    live.until_line("building");
    live.signal(Signal::SIGKILL);
    live.end();
    let tool = stage.file("tool", "#!/bin/sh\nexit 0\n");
    let ran = stage.events(&format!("fleet install tool --binary {tool} -H one")).exits(1);
    let host = ran.outcome("one", "failed");
    let error = host["error"].as_str().unwrap();
    assert!(error.contains("another run is changing this host: run ") && error.contains("(process "), "{ran}");
    eventually_sync("the end of the lease", || processes_with(&token).is_empty());
    clean(&stage, Duration::from_secs(45));
    stage.events(&format!("fleet install tool --binary {tool} -H one")).exits(0).outcome("one", "changed");
}

/// Asking leaves no trace, whatever the lease.
#[test]
fn verbs_that_only_ask_do_not_roam() {
    let stage = Stage::new(&["one"]);
    let before = stage.files("one");
    for verb in ["ping", "check", "status"] {
        stage.events(&format!("fleet {verb} -H one --lease 12h")).exits(0);
    }
    assert_eq!(stage.files("one"), before);
    assert!(!stage.lab.sshd("one").home.join(".cache").exists());
}
