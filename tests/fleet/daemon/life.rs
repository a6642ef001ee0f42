//! Brought, asked, ended, taken away.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::json;

use super::Daemons;
use crate::{
    stage::run,
    support::{processes_with, token, until_seen},
};

#[test]
fn a_hive_is_brought_serves_and_is_taken_away() {
    let daemons = Daemons::new();
    let (stage, host) = (&daemons.stage, "-H one");
    let state = daemons.state();
    assert_eq!(daemons.status()["state"], "absent");
    assert_eq!(daemons.things(), [], "a look left something");
    daemons.run(&format!("fleet hive start {host}")).exits(5).says("fleet hive install");
    daemons.run(&format!("fleet hive upgrade {host}")).exits(5).says("fleet hive install");
    let ran = daemons.run(&format!("fleet hive install --port 0 {host}")).exits(0);
    ran.outcome("one", "changed");
    // It outlives whoever started it.
    let hives = daemons.hives();
    assert_eq!(hives.len(), 1, "{ran}");
    let found = daemons.status();
    assert_eq!((&found["state"], &found["kept_by"]), (&"running".into(), &"session".into()), "{found:#}");
    assert_eq!((&found["process"]["pid"], &found["version"]), (&hives[0].into(), &env!("CARGO_PKG_VERSION").into()));
    assert!(found["uptime_s"].is_u64() && found["jobs"]["running"] == 0, "{found:#}");
    assert_eq!(found["installed"]["state"], "intact");
    let mode = |path: &str| fs::metadata(state.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("."), mode("token"), mode("log"), mode("launch")), (0o700, 0o600, 0o600, 0o600));
    run(stage.command("job exec --host one -- echo hello")).exits(0).says("hello");
    // Once more is no change.
    let before = daemons.things();
    daemons.run(&format!("fleet hive install {host}")).exits(0).outcome("one", "unchanged");
    daemons.run(&format!("fleet hive start {host}")).exits(0).outcome("one", "unchanged");
    daemons.run(&format!("fleet hive upgrade {host}")).exits(0).outcome("one", "unchanged");
    assert_eq!((daemons.things(), daemons.hives()), (before, hives));
    // It ends with its last job, and takes no more of them meanwhile.
    let gate = stage.lab.dir().join("gate");
    let job = daemons.job(&format!("until [ -e {} ]; do sleep 0.1; done", gate.display()));
    let mut stopping = daemons.start(&daemons.rbee, &format!("fleet hive stop {host}"));
    stopping.until(|event| event["type"] == "notice" && event["text"].as_str().unwrap().contains("waiting")).unwrap();
    run(stage.command("job exec --host one -- true")).says("ending");
    assert!(stopping.running() && daemons.hives().len() == 1);
    fs::write(&gate, "").unwrap();
    stopping.end().exits(0).outcome("one", "changed");
    assert_eq!(daemons.hives(), [] as [u32; 0]);
    assert_eq!(daemons.status()["state"], "stopped");
    daemons.run(&format!("fleet hive stop {host}")).exits(0).outcome("one", "unchanged");
    // Its jobs are there again with the next one, and now means now.
    daemons.run(&format!("fleet hive start {host}")).exits(0).outcome("one", "changed");
    run(stage.command(&format!("job get --host one {job}"))).exits(0).says("completed");
    let word = token();
    daemons.job(&format!("trap '' TERM; env -i setsid sleep {word} & sleep {word}"));
    until_seen(&word, 2);
    daemons.run(&format!("fleet hive stop --now {host}")).exits(0).outcome("one", "changed");
    assert_eq!((daemons.hives(), processes_with(&word)), (vec![], vec![]));
    daemons.run(&format!("fleet hive remove {host}")).exits(0).outcome("one", "changed");
    assert!(!daemons.program().exists() && !state.join("launch").exists());
    assert!(state.join("log").exists() && state.join("jobs").join(&job).exists() && state.join("token").exists());
    assert_eq!(daemons.things(), []);
    daemons.run(&format!("fleet hive remove {host}")).exits(0).outcome("one", "unchanged");
    daemons.run(&format!("fleet hive remove --purge {host}")).exits(0).outcome("one", "changed");
    assert!(!state.exists());
}

#[test]
fn a_record_of_another_process_counts_for_nothing() {
    let daemons = Daemons::new();
    let found = daemons.installed();
    let pid = found["process"]["pid"].as_u64().unwrap();
    let process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    daemons.until_gone();
    // Somebody else has the number by now, as the record would have it.
    let word = token();
    let mut stranger = Command::new("sleep").arg(&word).stdin(Stdio::null()).spawn().unwrap();
    let record = daemons.state().join("serving");
    let line = fs::read_to_string(&record).unwrap();
    let (_, rest) = line.split_once(' ').unwrap();
    fs::write(&record, format!("{} {rest}", stranger.id())).unwrap();
    let found = daemons.status();
    assert_eq!((&found["state"], &found["process"]), (&"stopped".into(), &json!(null)), "{found:#}");
    assert!(found["notes"].to_string().contains("without a word"), "{found:#}");
    for verb in ["stop --now", "stop", "start", "stop --now", "remove --now"] {
        daemons.run(&format!("fleet hive {verb} -H one")).exits(0);
    }
    assert_eq!(processes_with(&word), [stranger.id()]);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    for odd in ["", "x", "1 2 3\n", "99999999999999999999 1 1 1 1 /\n", "-1 0 0 0 0 0\n"] {
        fs::write(&record, odd).unwrap();
        assert_eq!(daemons.status()["state"], "absent", "{odd:?}");
    }
}

#[test]
fn a_hive_whose_program_was_replaced_is_ended_and_mended() {
    let daemons = Daemons::new();
    let found = daemons.installed();
    let replace = || {
        let part = daemons.program().with_file_name("part");
        fs::write(&part, "#!/bin/sh\necho nothing of rbee >&2\nexit 1\n").unwrap();
        fs::set_permissions(&part, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(part, daemons.program()).unwrap();
    };
    replace();
    let status = daemons.status();
    assert_eq!((&status["state"], &status["process"]["pid"]), (&"running".into(), &found["process"]["pid"]));
    assert_eq!((&status["process"]["replaced"], &status["installed"]["state"]), (&true.into(), &"modified".into()));
    // What runs is asked by its own program.
    daemons.run("fleet hive stop -H one").exits(0).outcome("one", "changed");
    assert_eq!(daemons.hives(), [] as [u32; 0]);
    let ran = daemons.run("fleet hive start -H one").exits(1);
    let failed = ran.outcome("one", "failed");
    assert!(failed["error"].as_str().unwrap().contains("nothing of rbee"), "{ran}");
    daemons.run("fleet hive install -H one").exits(0).outcome("one", "changed");
    assert_eq!(daemons.status()["installed"]["state"], "intact");
    replace();
    daemons.run("fleet hive upgrade -H one").exits(0).outcome("one", "changed");
    let status = daemons.status();
    assert_eq!((&status["state"], &status["process"]["replaced"]), (&"running".into(), &false.into()), "{status:#}");
}

#[test]
fn a_hive_that_gives_no_answer_is_ended_by_its_process_alone() {
    let daemons = Daemons::new();
    let found = daemons.installed();
    let pid = i32::try_from(found["process"]["pid"].as_u64().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
    assert_eq!(daemons.status()["state"], "silent");
    let ran = daemons.run("fleet hive stop -H one").exits(1);
    let failed = ran.outcome("one", "failed");
    assert!(failed["hint"].as_str().unwrap().contains("--now"), "{ran}");
    daemons.run("fleet hive stop --now -H one").exits(0).outcome("one", "changed");
    assert_eq!(daemons.hives(), [] as [u32; 0]);
}
