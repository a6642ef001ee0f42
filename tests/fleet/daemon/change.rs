//! A change that is stopped or fails leaves the host as it was.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use super::Daemons;
use crate::{stage::run, support::eventually_sync};

#[test]
fn an_install_that_is_cut_short_leaves_nothing() {
    let daemons = Daemons::new();
    let before = daemons.things();
    for phase in ["transfer", "verify", "install", "run"] {
        let mut live = daemons.start(&daemons.rbee, "fleet hive install --port 0 -H one");
        assert!(live.until_phase(phase), "{phase}");
        live.signal(Signal::SIGINT);
        let ran = live.end();
        if ran.code == Some(0) {
            // It was through already.
            assert_eq!(phase, "run", "{ran}");
            daemons.run("fleet hive remove --purge --now -H one").exits(0);
            continue;
        }
        let ran = ran.exits(130);
        ran.outcome("one", "cancelled");
        assert_eq!(daemons.things(), before, "{phase}\n{ran}");
        assert_eq!(daemons.hives(), [] as [u32; 0], "{phase}\n{ran}");
        daemons.stage.is_clean("one", &ran);
    }
    // Where nobody is left to ask for the end, the host sees to it.
    let mut live = daemons.start(&daemons.rbee, "fleet hive install --port 0 --lease 2s -H one");
    assert!(live.until_phase("install"));
    live.signal(Signal::SIGKILL);
    let ran = live.end();
    eventually_sync("the host has cleaned up", || daemons.things() == before && daemons.hives().is_empty());
    daemons.stage.is_clean("one", &ran);
    let found = daemons.installed();
    assert_eq!(found["state"], "running", "{found:#}");
}

#[test]
fn an_upgrade_waits_for_jobs_and_keeps_them() {
    let daemons = Daemons::new();
    let first = daemons.installed();
    let (stage, other) = (&daemons.stage, daemons.other());
    let gate = stage.lab.dir().join("gate");
    let job = daemons.job(&format!("until [ -e {} ]; do sleep 0.1; done", gate.display()));
    let before = daemons.things();
    let waits =
        |event: &serde_json::Value| event["type"] == "notice" && event["text"].as_str().unwrap().contains("waiting");
    // Whoever gives up meanwhile has changed nothing.
    let mut live = daemons.start(&other, "fleet hive upgrade -H one");
    live.until(waits).unwrap();
    live.signal(Signal::SIGINT);
    live.end().exits(130).outcome("one", "cancelled");
    assert_eq!((daemons.things(), &daemons.status()["process"]), (before, &first["process"]));
    let mut live = daemons.start(&other, "fleet hive upgrade -H one");
    live.until(waits).unwrap();
    fs::write(&gate, "").unwrap();
    live.end().exits(0).outcome("one", "changed");
    let second = daemons.status();
    assert_ne!(first["process"]["pid"], second["process"]["pid"]);
    assert_eq!(second["installed"]["previous"], first["installed"]["digest"], "{second:#}");
    run(stage.command(&format!("job get --host one {job}"))).exits(0).says("completed");
    daemons.start(&other, "fleet hive upgrade -H one").end().exits(0).outcome("one", "unchanged");
}

#[test]
fn a_hive_that_does_not_come_up_gives_way_to_the_one_before() {
    let daemons = Daemons::new();
    let first = daemons.installed();
    let before = daemons.things();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = daemons.start(&daemons.other(), &format!("fleet hive upgrade --port {port} -H one")).end().exits(1);
    let failed = ran.outcome("one", "failed");
    assert_eq!(failed["reason"], "rolled_back", "{ran}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("cannot listen") && error.contains("is back and answers"), "{error}");
    let second = daemons.status();
    assert_eq!((&second["state"], &second["installed"]["digest"]), (&"running".into(), &first["installed"]["digest"]));
    assert_ne!(first["process"]["pid"], second["process"]["pid"]);
    assert_eq!(daemons.things(), before);
    assert_eq!(daemons.hives().len(), 1);
    // The same at the first time: then there is nothing to go back to.
    daemons.run("fleet hive remove --purge -H one").exits(0);
    let empty = daemons.things();
    let ran = daemons.run(&format!("fleet hive install --port {port} -H one")).exits(1);
    assert!(ran.outcome("one", "failed")["error"].as_str().unwrap().contains("cannot listen"), "{ran}");
    assert_eq!((daemons.things(), daemons.hives()), (empty, vec![]), "{ran}");
}

#[test]
fn an_upgrade_that_is_cut_short_leaves_the_one_before() {
    let daemons = Daemons::new();
    let first = daemons.installed();
    let other = daemons.other();
    let before = daemons.things();
    for phase in ["transfer", "install", "run"] {
        let mut live = daemons.start(&other, "fleet hive upgrade -H one");
        // The first "run" is the wait for jobs; the last one is the start.
        let mut runs = 0;
        let found = live.until(|event| {
            let is = event["type"] == "phase_started" && event["phase"] == phase;
            runs += usize::from(is);
            is && (phase != "run" || runs == 3)
        });
        assert!(found.is_some(), "{phase}");
        live.signal(Signal::SIGINT);
        let ran = live.end();
        if ran.code == Some(0) {
            assert_eq!(phase, "run", "{ran}");
            continue;
        }
        ran.exits(130).outcome("one", "cancelled");
        assert_eq!(daemons.things(), before, "{phase}");
        eventually_sync("it serves", || daemons.status()["state"] == "running");
        assert_eq!(daemons.status()["installed"]["digest"], first["installed"]["digest"]);
        assert_eq!(daemons.hives().len(), 1);
    }
    let mut live = daemons.start(&other, "fleet hive upgrade --lease 2s -H one");
    if live.until_phase("install") {
        live.signal(Signal::SIGKILL);
        live.end();
        eventually_sync("the host has put it back", || !daemons.state().join("undo.d").exists());
        eventually_sync("it serves", || daemons.status()["state"] == "running");
    }
    assert_eq!(daemons.hives().len(), 1);
}

#[test]
fn what_a_power_loss_left_is_taken_back_first() {
    let daemons = Daemons::new();
    let first = daemons.installed();
    daemons.run("fleet hive stop -H one").exits(0);
    // As a change leaves it whose host has lost its power: laid aside, half done, and nobody there.
    let (undo, program) = (daemons.state().join("undo.d"), daemons.program());
    fs::create_dir(&undo).unwrap();
    fs::copy(&program, undo.join("program")).unwrap();
    fs::write(undo.join("run"), "19990101-000000-abcdef\n").unwrap();
    let script =
        format!("cp {0}/program {1}.undo && mv -f {1}.undo {1}; rm -rf {0}\n", undo.display(), program.display());
    fs::write(undo.join("script"), script).unwrap();
    fs::remove_file(&program).unwrap();
    fs::write(&program, "half").unwrap();
    assert!(daemons.status()["notes"].to_string().contains("takes it back first"));
    let ran = daemons.run("fleet hive start -H one").exits(0).says("taken back");
    ran.outcome("one", "changed");
    let second = daemons.status();
    assert_eq!((&second["state"], &second["installed"]["digest"]), (&json!("running"), &first["installed"]["digest"]));
}
