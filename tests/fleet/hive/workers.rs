//! Workers over a hive: spawned by it, and still there when it is not.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    spawn::Mine,
    stage::Stage,
    support::{processes_with, token},
};

#[test]
fn a_hive_spawns_workers_and_knows_them_again_after_it_was_killed() {
    let (stage, token) = (Stage::new(&[]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("local");
    let hive = stage.hive(&format!("--catalog {catalog}"));
    let id = hive.submit(&json!({ "operation": "worker_spawn", "args": [token] }));
    let job = hive.until_state(&id, "completed");
    let spawned = job["result"]["hosts"][0]["spawned"].clone();
    let (pid, name) = (spawned["pid"].as_u64().unwrap(), spawned["id"].as_str().unwrap());
    assert!(spawned["url"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{job:#}");
    let failed = hive.submit(&json!({ "operation": "worker_spawn", "args": ["die", token] }));
    let failed = hive.until_state(&failed, "failed");
    assert!(failed["reason"].as_str().unwrap().contains("there is no such card"), "{failed:#}");
    // A worker that is not healthy yet goes with the hive, the other stays.
    let doomed = hive.submit(&json!({ "operation": "worker_spawn", "args": ["sick", token] }));
    crate::support::until_seen(&format!("sick\0{token}"), 1);
    hive.live.signal(Signal::SIGKILL);
    hive.live.end();
    crate::support::eventually_sync("the end of what was not healthy", || {
        processes_with(&format!("sick\0{token}")).is_empty()
    });
    assert_eq!(processes_with(&token), [u32::try_from(pid).unwrap()]);

    let hive = stage.hive(&format!("--catalog {catalog}"));
    assert_eq!(hive.job(&doomed)["state"], "failed");
    let id = hive.submit(&json!({ "operation": "worker_process_list" }));
    let job = hive.until_state(&id, "completed");
    let known = &job["result"]["hosts"][0]["processes"];
    assert_eq!((known[0]["pid"].as_u64(), &known[0]["state"]), (Some(pid), &"healthy".into()), "{job:#}");
    assert_eq!(known.as_array().unwrap().len(), 1);
    // Any process of the machine is not for a client to end.
    let own = std::process::id().to_string();
    let id = hive.submit(&json!({ "operation": "worker_process_delete", "which": own }));
    assert!(hive.until_state(&id, "failed")["reason"].as_str().unwrap().contains("no worker that rbee started"));
    // The same through the command line.
    let mut command = stage.command("worker ps");
    command.arg("--hive").arg(format!("unix:{}", hive.socket.display()));
    crate::stage::run(command).exits(0).says(name);
    let mut command = stage.command("worker logs");
    command.arg(name).arg("--hive").arg(format!("unix:{}", hive.socket.display()));
    crate::stage::run(command).exits(0).says("asked for /ready");
    let id = hive.submit(&json!({ "operation": "worker_process_delete", "which": name }));
    hive.until_state(&id, "completed");
    assert_eq!(processes_with(&token), Vec::<u32>::new());
    hive.end().exits(0);
}
