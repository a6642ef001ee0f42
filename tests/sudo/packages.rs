//! Programs of several files in folders of root's.

use crate::stage::{BIN, Stage};

/// A folder whose program needs what is beside it, and says which user runs it.
fn folder(stage: &Stage, version: &str) -> String {
    let root = stage.rig.dir().join(format!("tree-{version}"));
    let write = |path: &str, text: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let script =
        "#!/bin/sh\nid -un >>/tmp/ran\nwhere=$(readlink -f \"$0\")\nexec cat \"${where%/bin/*}/share/version\"\n";
    write("bin/echo-worker", script, 0o755);
    write("share/version", &format!("echo-worker {version}\n"), 0o644);
    root.to_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs root"]
fn rooted_a_tree_goes_through_a_shell_of_roots() {
    for (sudoers, password) in [("ada ALL=(ALL) NOPASSWD: ALL", false), ("ada ALL=(ALL) ALL", true)] {
        let stage = Stage::new(1, sudoers);
        let fleet = |after: &str| match password {
            true => stage.fleet_with(&format!("{after} --sudo-password-file -"), crate::stage::PASSWORD),
            false => stage.fleet(after),
        };
        let install =
            |version: &str| fleet(&format!("install echo-worker --system --binary {} -H h1", folder(&stage, version)));
        let says = || stage.on_host(&format!("runuser -u ada -- {BIN}"));
        install("1.0").exits(0);
        assert_eq!(says(), "echo-worker 1.0");
        assert_eq!(
            stage.on_host(
                "find /usr/local/share/rbee/store -mindepth 1 ! -user root -o -mindepth 1 -perm /022 ! -type l"
            ),
            ""
        );
        assert_eq!(install("1.0").exits(0).host("h1")["outcome"], "unchanged");
        install("2.0").exits(0);
        assert_eq!(says(), "echo-worker 2.0");
        fleet("rollback echo-worker -H h1").exits(0);
        assert_eq!(says(), "echo-worker 1.0");
        stage.is_clean("h1");
        // Changed by root, seen by all, and mended.
        stage.on_host("echo x >>\"$(readlink -f /usr/local/bin/echo-worker)\"");
        assert!(stage.fleet("status -H h1").exits(0).stdout.contains("modified"));
        install("1.0").exits(0);
        assert_eq!(says(), "echo-worker 1.0");
        // A single program in its place, and back.
        let single = stage.program("echo-worker", "3.0", "");
        fleet(&format!("install echo-worker --system --binary {single} -H h1")).exits(0);
        assert_eq!(says(), "echo-worker 3.0");
        fleet("rollback echo-worker -H h1").exits(0);
        assert_eq!(says(), "echo-worker 1.0");
        stage.is_clean("h1");
        assert_eq!(stage.on_host("sort -u /tmp/ran"), "ada", "root ran what was installed");
        fleet("remove echo-worker -H h1").exits(0);
        assert_eq!(stage.on_host("find /usr/local/bin /usr/local/share/rbee ! -type d"), "");
        assert_eq!(stage.on_host("find /usr/local/share/rbee/store -mindepth 1"), "");
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_pinned_lines_are_not_enough_for_a_tree() {
    let stage = Stage::new(1, "# nothing for ada yet");
    let lines = stage.install("1.0").exits(5).lines("h1");
    stage.sudoers("h1", &lines);
    stage.install("1.0").exits(0);
    let ran = stage.fleet(&format!("install echo-worker --system --binary {} -H h1", folder(&stage, "2.0"))).exits(1);
    assert!(ran.error("h1").contains("a program of several files, in place: a password is required"), "{ran}");
    assert!(ran.stdout.contains("it needs the right to run sh through sudo"), "{ran}");
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
    stage.is_clean("h1");
}
