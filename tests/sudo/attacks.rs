//! What the user's account does to its own files meanwhile gets root to do nothing else.

use crate::stage::{BIN, PASSWORD, Stage};

/// A program that, when it is tried, puts `instead` in its own place: between the check by the user and the copy by root.
fn program(stage: &Stage, version: &str, instead: &str) -> String {
    stage.program("echo-worker", version, &format!("case $0 in */scratch/*) {instead} ;; esac"))
}

#[test]
#[ignore = "needs root"]
fn rooted_the_hash_under_sudo_decides() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    stage.install("1.0").exits(0);
    let secret = stage.on_host("cut -d: -f2 /etc/shadow | grep . | head -n 1");
    for (nth, (sudoers, password)) in
        [("ada ALL=(ALL) NOPASSWD: ALL", None), ("ada ALL=(ALL) ALL", Some(PASSWORD))].into_iter().enumerate()
    {
        stage.sudoers("h1", sudoers);
        for (kind, instead) in [
            ("grown", "echo '# more' >>\"$0\""),
            ("replaced", "rm -f \"$0\"; echo other >\"$0\""),
            ("linked", "rm -f \"$0\"; ln -s /etc/shadow \"$0\""),
            ("gone", "rm -f \"$0\""),
        ] {
            let program = program(&stage, &format!("2.{nth}-{kind}"), instead);
            let flags = if password.is_some() { "--sudo-password-file -" } else { "" };
            let after = format!("install echo-worker --system --binary {program} -H h1 {flags}");
            let ran = stage.fleet_with(&after, password.unwrap_or_default()).exits(1);
            assert_eq!(stage.on_host(BIN), "echo-worker 1.0", "{kind}: {ran}");
            assert!(!ran.to_string().contains(&secret), "{kind}: {ran}");
            stage.is_clean("h1");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn rooted_a_folder_in_the_way_stays() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    stage.on_host(&format!("mkdir {BIN}"));
    let ran = stage.install("1.0").exits(1);
    assert!(ran.error("h1").contains("is a folder"), "{ran}");
    assert_eq!(stage.on_host(&format!("find {BIN}")), BIN);
    stage.is_clean("h1");
}

#[test]
#[ignore = "needs root"]
fn rooted_a_changed_program_is_not_removed() {
    let stage = Stage::new(1, "ada ALL=(ALL) NOPASSWD: ALL");
    stage.install("1.0").exits(0);
    stage.on_host(&format!("echo '# by hand' >>{BIN}"));
    stage.fleet("remove echo-worker -H h1").exits(1);
    assert_eq!(stage.on_host(BIN), "echo-worker 1.0");
    stage.fleet("remove echo-worker -H h1 --force").exits(0);
    assert_eq!(stage.on_host("find /usr/local -type f"), "");
}
