//! What sudo grants decides, and the lines that are printed are enough and no more.

use crate::stage::{BIN, Stage};

#[test]
#[ignore = "needs root"]
fn rooted_exactly_the_printed_lines_suffice() {
    let stage = Stage::new(1, "# nothing for ada yet");
    let refused = stage.install("1.0").exits(5);
    assert_eq!(refused.error("h1"), "/usr/local/bin is not writable, and sudo there says: a password is required");
    assert_eq!(stage.on_host("find /usr/local -type f -o -name rbee"), "", "a refusal changes nothing");
    let lines = refused.lines("h1");
    assert_eq!(lines.lines().count(), 3, "{lines}");
    stage.sudoers("h1", &lines);

    let installed = stage.install("1.0").exits(0);
    assert_eq!(installed.host("h1")["outcome"], "changed");
    assert_eq!(stage.on_host(&format!("stat -c '%U %a' {BIN}; {BIN}")), "root 755\necho-worker 1.0");
    let manifest = "/usr/local/share/rbee/installed/echo-worker.toml";
    assert_eq!(stage.on_host(&format!("stat -c '%U %a' {manifest}")), "root 644");
    stage.is_clean("h1");
    assert_eq!(stage.install("1.0").exits(0).host("h1")["outcome"], "unchanged");

    stage.install("2.0").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 2.0");
    stage.fleet("status -H h1").exits(0);
    stage.fleet("rollback echo-worker -H h1").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
    stage.fleet("rollback -H h1").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 2.0");
    stage.is_clean("h1");

    // Another program is another right, whatever else ada may do.
    let other = stage.program("other-worker", "1.0", "");
    let ran = stage.fleet(&format!("install other-worker --system --binary {other} -H h1")).exits(5);
    assert!(ran.lines("h1").contains("/usr/local/bin/.other-worker.rbee"), "{ran}");
    for command in [
        "/usr/bin/tee /usr/local/bin/other",
        "/usr/bin/tee /usr/local/bin/.echo-worker.rbee /etc/sudoers.d/more",
        "/usr/bin/tee /usr/local/bin/echo-worker",
        "/usr/bin/tee -a /usr/local/bin/.echo-worker.rbee",
        "/usr/bin/install -m 4755 /dev/null /usr/local/bin/.echo-worker.rbee",
        "/usr/bin/install -m 0755 /etc/shadow /usr/local/bin/.echo-worker.rbee",
        "/usr/bin/sha256sum /dev/null /etc/shadow",
        "/usr/bin/mv -f /usr/local/bin/.echo-worker.rbee /usr/local/bin/ls",
        "/usr/bin/rm -f /usr/local/bin/.echo-worker.rbee /etc/passwd",
        "/bin/sh -c id",
    ] {
        let ran = stage.rig.ssh("h1", &format!("LC_ALL=C sudo -k -n {command} </dev/null"));
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && said.contains("a password is required"), "{command}: {said}");
    }

    stage.fleet("remove echo-worker -H h1").exits(0);
    assert_eq!(stage.on_host("find /usr/local -type f"), "");
    stage.is_clean("h1");
}

#[test]
#[ignore = "needs root"]
fn rooted_preflight_leaves_no_trace_and_plans_through_sudo() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    let program = stage.program("echo-worker", "1.0", "");
    // The first login of all makes what it makes.
    stage.rig.ssh("h1", "true");
    for sudoers in ["ada ALL=(ALL) NOPASSWD: ALL", "ada ALL=(ALL) ALL", "# none", "Defaults lecture=always"] {
        stage.sudoers("h1", sudoers);
        let before = stage.rig.snapshot("h1");
        for (verb, how) in [("plan", format!("--binary {program}")), ("check", "--build local".to_owned())] {
            let ran = stage.fleet(&format!("{verb} echo-worker --system {how} -H h1"));
            let free = sudoers.contains("NOPASSWD");
            assert_eq!(ran.code, Some(if free { 0 } else { 5 }), "{sudoers}: {ran}");
            let said = if verb == "plan" { "\"sudo\": true" } else { "/usr/local/bin through sudo" };
            assert!(ran.stdout.contains(said) || verb == "plan" && !free, "{sudoers} {verb}: {ran}");
        }
        assert_eq!(stage.rig.changes("h1", &before), [] as [&str; 0], "{sudoers}");
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_an_administrators_first_use_is_not_preflights() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    stage.rig.exec("h1", "usermod -a -G sudo ada");
    stage.rig.ssh("h1", "true");
    let program = stage.program("echo-worker", "1.0", "");
    let before = stage.rig.snapshot("h1");
    stage.fleet(&format!("plan echo-worker --system --binary {program} -H h1")).exits(0);
    assert_eq!(stage.rig.changes("h1", &before), [] as [&str; 0]);
    stage.install("1.0").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
}

#[test]
#[ignore = "needs root"]
fn rooted_a_terminal_that_sudo_wants_is_said() {
    let stage = Stage::new(1, "Defaults requiretty\nada ALL=(ALL) NOPASSWD: ALL");
    let refused = stage.install("1.0").exits(5);
    assert!(refused.error("h1").contains("you must have a tty"), "{refused}");
    let lines = refused.lines("h1");
    assert_eq!(lines.lines().next(), Some("Defaults:ada !requiretty"));
    stage.sudoers("h1", &format!("Defaults requiretty\n{lines}"));
    stage.install("1.0").exits(0);
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
}

#[test]
#[ignore = "needs root"]
fn rooted_without_sudo_there_is_a_sentence() {
    let rig = crate::rig::Rig::up("1 --user ada --without sudo");
    let stage = Stage { rig };
    let refused = stage.install("1.0").exits(5);
    assert_eq!(refused.error("h1"), "/usr/local/bin is not writable, and there is no sudo");
    stage.on_host("cp /bin/true /usr/local/bin/doas");
    let refused = stage.install("1.0").exits(5);
    assert!(refused.error("h1").contains("doas but no sudo"), "{refused}");
}
