//! A job that is cancelled over HTTP at any moment leaves nothing, and the answer says so.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::Hive;
use crate::{
    cancel::{AFTER_GRACE, GRACE, recipe},
    stage::Stage,
    support::{processes_with, token},
};

/// Hives at a time.
const LANES: usize = 2;

fn rounds() -> usize {
    std::env::var("RBEE_SOAK").map_or(20, |text| 5 * text.parse::<usize>().expect("RBEE_SOAK is a number"))
}

#[test]
fn a_cancel_over_http_at_any_moment_leaves_nothing() {
    let times = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..LANES {
            let times = &times;
            scope.spawn(move || {
                let stage = Stage::new(&[]);
                let catalog = stage.lab.dir().join("recipes");
                fs::create_dir_all(&catalog).unwrap();
                let hive = stage.hive(&format!("--catalog {}", catalog.display()));
                for nth in (lane..rounds()).step_by(LANES) {
                    let took = one(&stage, &hive, nth);
                    times.lock().unwrap().push(took);
                }
                hive.end().exits(0);
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    println!("median {:?}, slowest {:?}", times[times.len() / 2], times[times.len() - 1]);
}

fn one(stage: &Stage, hive: &Hive, nth: usize) -> Duration {
    let word = token();
    assert!(Path::new(&recipe(stage, &word)).exists());
    let id = hive.submit(&json!({
        "operation": "worker_install", "worker_id": "stubborn", "build": "host", "reinstall": true,
    }));
    let wait = Duration::from_millis(rand::random_range(0..3000));
    thread::sleep(wait);
    let asked = Instant::now();
    let way = &hive.way;
    let answer = thread::scope(|scope| {
        if nth.is_multiple_of(4) {
            // At the same time, by another client.
            scope.spawn(|| way.ask("POST", &format!("/v1/jobs/{id}/cancel"), None).is(200));
        }
        way.cancel(&id)
    });
    let took = asked.elapsed();
    let moment = format!("after {wait:?}: {answer:#}");
    let left = processes_with(&word);
    for pid in &left {
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGKILL);
    }
    assert!(left.is_empty(), "alive: {left:?} {moment}");
    assert_eq!((&answer["confirmed"], &answer["survivors"]), (&true.into(), &0.into()), "{moment}");
    // It may have been too late: then all of it was done.
    let installed = stage.bin("local").join("stubborn");
    match answer["status"].as_str().unwrap() {
        "cancelled" => assert!(took < GRACE + AFTER_GRACE, "took {took:?} {moment}"),
        "completed" => assert!(installed.exists(), "{moment}"),
        other => panic!("{other} {moment}"),
    }
    let last = hive.events(&id, None).pop().unwrap();
    assert_eq!((&last["type"], &last["state"]), (&"job_finished".into(), &answer["status"]), "{moment}");
    stage.is_clean_now("local", &moment);
    took
}
