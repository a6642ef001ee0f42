//! What only root can stage: another user of the machine, and a disk that is full.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{lines, program, types};
use crate::stage::Stage;

/// A user that nothing here belongs to.
const NOBODY: &str = "65534";

#[test]
#[ignore = "needs root"]
fn rooted_another_user_gets_nothing() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    // The way there is open to all, so that only the hive's own folders stand before its secrets.
    for dir in stage.lab.home().ancestors().take_while(|dir| *dir != Path::new("/tmp") && *dir != Path::new("/")) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).args(words);
        program(&mut command)
    };
    let token = stage.lab.home().join(".local/state/rbee/hive/token");
    assert!(as_nobody(&["test", "-d", stage.lab.home().to_str().unwrap()]).status.success());
    assert!(!as_nobody(&["cat", token.to_str().unwrap()]).status.success());
    let socket = hive.socket.to_str().unwrap();
    assert!(!as_nobody(&["curl", "-sS", "--unix-socket", socket, "http://localhost/v1/jobs"]).status.success());
    // Even where the modes of the folders were opened by mistake, the peer's user is looked at.
    for dir in hive.socket.ancestors().skip(1).take(4) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&hive.socket, fs::Permissions::from_mode(0o777)).unwrap();
    let turned_away = as_nobody(&["curl", "-sS", "--unix-socket", socket, "http://localhost/v1/jobs"]);
    assert!(!turned_away.status.success() && turned_away.stdout.is_empty(), "{turned_away:?}");
    // On loopback there is nothing but "ok".
    let url = hive.url();
    let there = as_nobody(&["curl", "-sS", &format!("{url}/health")]);
    assert_eq!(String::from_utf8_lossy(&there.stdout), "ok");
    for path in ["/v1/jobs", "/v1/capabilities", "/metrics", "/v1/openapi.json"] {
        let refused = as_nobody(&["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", &format!("{url}{path}")]);
        assert_eq!(String::from_utf8_lossy(&refused.stdout), "401", "{path}");
    }
    let json = "Content-Type: application/json";
    let body = r#"{"operation":"exec","command":["touch /tmp/owned"]}"#;
    let refused = as_nobody(&[
        "curl",
        "-sS",
        "-H",
        json,
        "-d",
        body,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        &format!("{url}/v1/jobs"),
    ]);
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "401");
    assert_eq!(hive.ask("GET", "/v1/jobs", None).json()["jobs"], json!([]));
}

/// A small disk that is gone with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mounted = program(
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(&at),
        );
        assert!(mounted.status.success(), "{mounted:?}");
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        program(Command::new("umount").arg("-l").arg(&self.0));
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_a_full_disk_costs_lines_and_no_job() {
    let stage = Stage::new(&[]);
    let state = stage.lab.home().join(".local/state/rbee");
    let disk = Disk::mount(state.clone(), "1m");
    let hive = stage.hive("");
    let gate = stage.lab.dir().join("gate");
    let script = format!("echo first; until [ -e {} ]; do sleep 0.1; done; seq 1 20000; echo last >&2", gate.display());
    let id = hive.exec(&script);
    hive.until_line(&id, "first");
    let ballast = state.join("ballast");
    let _ = fs::write(&ballast, vec![0; 2 << 20]);
    fs::write(gate, "").unwrap();
    let job = hive.until_state(&id, "completed");
    assert_eq!(job["exit"], 0, "{job:#}");
    let events = hive.events(&id, None);
    let kinds = types(&events);
    assert!(kinds.contains(&"gap"), "{kinds:?}");
    assert!(kinds.contains(&"summary") && *kinds.last().unwrap() == "job_finished", "{kinds:?}");
    assert_eq!(lines(&events)[0], "first");
    // A job that cannot be kept is not begun.
    let refused = hive.ask("POST", "/v1/jobs", Some(&json!({ "operation": "ping" }))).is(507);
    assert!(refused.body.contains("No space"), "{refused:?}");
    fs::remove_file(ballast).unwrap();
    let id = hive.exec("echo again");
    hive.until_state(&id, "completed");
    assert_eq!(lines(&hive.events(&id, None)), ["again"]);
    hive.end().exits(0);
    drop(disk);
}
