//! macOS without a Mac: a host that says it is one, without /proc, whose tools take what POSIX and the BSD tools promise
//! and refuse, and note, what only GNU's know. Sessions are perl's, and containment is by group.

use crate::matrix::{Build, Matrix};

fn passes(sh: &[&str]) {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/bsd.py");
    let mut words = vec!["mac", "--bsd", tools, "--user", "dev", "--login-shell", "zsh"];
    words.extend(sh);
    words.extend(["+", "other", "--bsd", tools, "--user", "a dev", "--home", "/home/a 'dev", "--login-shell", "bash"]);
    words.extend(sh);
    let mut mac = Matrix::up(&words);
    mac.system = "macos";
    mac.passes(Build::There);
    for host in &mac.hosts {
        assert_eq!(mac.rig.exec(host, "cat /var/log/stand-in"), "", "{host}: what only GNU's tools know");
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_a_host_with_the_tools_of_macos() {
    passes(&["--sh", "bash"]);
}

/// `RBEE_BASH32` says where `scripts/bash32` has built the bash of macOS; `scripts/test` does both where it can.
#[test]
#[ignore = "needs root and scripts/bash32"]
fn bash32_a_host_with_the_tools_and_the_bash_of_macos() {
    let bash = std::env::var("RBEE_BASH32").expect("RBEE_BASH32 names what scripts/bash32 built");
    passes(&["--sh-program", &bash]);
}
