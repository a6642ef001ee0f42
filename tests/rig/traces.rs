//! What a command leaves on a host, file by file.

use crate::{
    rig::Rig,
    stage::{Ran, run},
};

fn rbee(rig: &Rig, after: &str) -> Ran {
    run(rig.rbee(&format!("--output json --no-input {after}")))
}

/// Every kind of server and shell, with a toolchain manager, a stale lock, an installed program and rights to make more.
#[test]
#[ignore = "needs root"]
fn rooted_a_preflight_changes_nothing() {
    let rig = Rig::with(
        &[
            ["root"].as_slice(),
            &["user", "--user", "dev", "--login-shell", "zsh", "--sh", "bash"],
            &["mksh", "--user", "dev", "--login-shell", "mksh", "--sh", "mksh"],
            &["busy", "--busybox", "--login-shell", "busybox", "--sshd", "dropbear"],
            &["fish", "--user", "dev", "--login-shell", "fish", "--sshd", "dropbear", "--sh", "busybox"],
        ]
        .join(&"+"),
    );
    let hosts = ["root", "user", "mksh", "busy", "fish"];
    let tool = rig.dir().join("tool");
    std::fs::write(&tool, "#!/bin/sh\necho tool 1.0\n").unwrap();
    rbee(&rig, &format!("fleet -H all install tool --binary {}", tool.display())).exits(0);
    for host in hosts {
        // What the login shell itself leaves is not ours: it has been there before.
        assert!(rig.ssh(host, "true").status.success());
    }
    let before = hosts.map(|host| rig.snapshot(host));
    for verb in ["check", "status", "ping", "plan", "install tool --dry-run"] {
        let binary = if verb == "plan" || verb.ends_with("dry-run") { tool.to_str().unwrap() } else { "" };
        let verb = match verb {
            "plan" => format!("plan tool --binary {binary}"),
            "install tool --dry-run" => format!("install tool --binary {binary} --dry-run --reinstall"),
            other => other.to_owned(),
        };
        let ran = rbee(&rig, &format!("fleet -H all {verb}")).exits(0);
        for (host, before) in hosts.iter().zip(&before) {
            assert_eq!(rig.changes(host, before), [] as [&str; 0], "{host}: fleet {verb}\n{ran}");
        }
    }
}
