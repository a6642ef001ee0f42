//! What the README shows of `curl`, run as it stands there.

use std::{fs, path::Path, process::Command};

use super::program;
use crate::stage::Stage;

/// The block of shell behind this mark.
const MARK: &str = "<!-- hive session -->";

#[test]
fn curl_alone_drives_the_whole_api() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block = readme
        .split(MARK)
        .nth(1)
        .and_then(|rest| rest.split("```sh\n").nth(1))
        .and_then(|rest| rest.split("```").next());
    let text = block.unwrap_or_else(|| panic!("README.md has no session behind {MARK}"));
    let stage = Stage::new(&[]);
    let port = crate::sshd::free_port();
    let text = text.replace("7835", &port.to_string());
    let bin = Path::new(env!("CARGO_BIN_EXE_rbee")).parent().unwrap().to_owned();
    let mut command = Command::new("sh");
    command.args(["-euc", &text]).env_clear().current_dir(stage.lab.dir());
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    command.env("HOME", stage.lab.home()).env("RBEE_PORT", port.to_string());
    let runtime = stage.lab.dir().join("runtime");
    fs::create_dir(&runtime).unwrap();
    command.env("XDG_RUNTIME_DIR", &runtime);
    let ran = program(&mut command);
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let shown = format!("{text}\n{said}\n{complained}");
    assert!(ran.status.success(), "{shown}");
    for wanted in [
        "\"sse_url\":\"/v1/jobs/",
        "\"text\":\"hello\"",
        "\"type\":\"job_finished\",\"state\":\"completed\"",
        "\"devices\":[",
        "rbee_jobs{state=",
        "\"status\":\"cancelled\"",
        "\"status\":\"stopping\"",
    ] {
        assert!(said.contains(wanted), "{wanted} is not there:\n{shown}");
    }
}
