//! What goes wrong on one host is said in a sentence, ends with the right code, and is nobody else's trouble.

use std::{fs, process::Command, thread, time::Duration};

use crate::{
    sshd::keygen,
    stage::{Live, Ran, Stage},
};

/// What the controller may need, whatever a host sends.
const MEMORY: u64 = 150 << 20;

/// A filesystem of a test's own, taken away with it.
struct Mount(std::path::PathBuf);

impl Mount {
    /// These tests are for root, as CI is; elsewhere the same is said with less effect.
    fn new(path: std::path::PathBuf, arguments: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        fs::create_dir_all(&path).unwrap();
        let made = Command::new("mount").args(arguments).arg(&path).output().unwrap();
        assert!(made.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
        Some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The error of a failed host: one sentence.
#[track_caller]
fn failed(ran: &Ran, host: &str, reason: &str) -> String {
    let found = ran.outcome(host, "failed");
    assert_eq!(found["reason"], reason, "{ran}");
    let error = found["error"].as_str().unwrap_or_else(|| panic!("no error\n{ran}")).to_owned();
    assert!(!error.contains('\n') && error.len() < 1000 && !error.contains("panicked"), "no sentence\n{ran}");
    error
}

#[test]
fn a_full_disk_is_said_and_nothing_stays() {
    let stage = Stage::new(&["full", "well"]);
    let Some(_mount) = Mount::new(stage.bin("full"), &["-t", "tmpfs", "-o", "size=256k", "tmpfs"]) else { return };
    let mut tool = b"#!/bin/sh\nexit 0\n".to_vec();
    tool.resize(1 << 20, b'#');
    let sent = stage.file("tool", &tool);
    let ran = stage.events(&format!("fleet install tool --binary {sent} -H all"));
    // Preflight may see it coming; what it cannot see, the transfer finds.
    ran.outcome("well", "changed");
    let ran = ran.exits(1);
    let full = ran.host("full");
    assert!(["refused", "failed"].contains(&full["outcome"].as_str().unwrap()), "{ran}");
    assert!(full["error"].as_str().unwrap().to_lowercase().contains("space") || full["outcome"] == "refused", "{ran}");
    stage.is_clean("full", &ran);

    // Space that is there in preflight and gone in the transfer.
    let recipe = stage.recipe(
        "filler",
        &format!(
            "package() {{ mkdir -p \"$pkgdir/bin\"; cp {sent} \"$pkgdir/bin/filler\"; chmod 755 \"$pkgdir/bin/filler\"; }}\n"
        ),
    );
    let ran = stage.events(&format!("fleet install {recipe} -H all --build host")).exits(1);
    assert!(failed(&ran, "full", "transfer").contains("space"), "{ran}");
    ran.outcome("well", "changed");
    stage.is_clean("full", &ran);
    assert!(!stage.bin("full").join("filler").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_a_build() {
    let stage = Stage::new(&["one"]);
    let sshd = stage.lab.sshd("one");
    let (system, user) = (sshd.prefix.join("bin"), sshd.home.join(".local"));
    // For root only a filesystem that is mounted read-only cannot be written to.
    let read_only = ["-t", "tmpfs", "-o", "ro,size=16k", "tmpfs"];
    let (Some(_system), Some(_user)) = (Mount::new(system, &read_only), Mount::new(user.clone(), &read_only)) else {
        return;
    };
    let ran = stage.events("fleet install echo-worker -H one --build host").exits(5).says("writable");
    ran.outcome("one", "refused");
    drop(_user);
    let ran = stage.events("fleet install echo-worker -H one --build host").exits(0);
    ran.outcome("one", "changed");
    assert!(user.join("bin/echo-worker").exists(), "{ran}");
    stage.events("fleet install echo-worker -H one --system").exits(5).says("writable");
}

#[test]
fn keys_that_are_wrong_unknown_or_missing_are_told_apart() {
    let stage = Stage::new(&["one", "two"]);
    let known = stage.lab.sshd("two").known_hosts_line();
    let stranger = stage.lab.dir().join("stranger");
    keygen(&stranger, "ed25519", "");
    let other = fs::read_to_string(stranger.with_extension("pub")).unwrap();
    let wrong = format!("[127.0.0.1]:{} {other}", stage.lab.sshd("one").port);
    fs::write(stage.lab.known_hosts(), format!("{known}{wrong}")).unwrap();
    let ran = stage.events("fleet exec -H all -- true").exits(1);
    assert!(failed(&ran, "one", "host_key").to_lowercase().contains("key"), "{ran}");
    assert!(ran.outcome("one", "failed")["hint"].is_string(), "no next step\n{ran}");
    ran.outcome("two", "changed");
    // Optional excuses somebody who is not there, never somebody else who is.
    stage.inventory("[hosts.one]\noptional = true\n[hosts.two]\n");
    stage.events("fleet exec -H all -- true").exits(1).outcome("one", "failed");

    fs::write(stage.lab.known_hosts(), &known).unwrap();
    let ran = stage.events("fleet exec -H all -- true").exits(1);
    failed(&ran, "one", "host_key");
    let hint = ran.outcome("one", "failed")["hint"].as_str().unwrap_or_default().to_owned();
    assert!(hint.contains("rbee fleet trust -H one"), "no next step\n{ran}");

    stage.lab.write_known_hosts();
    fs::write(stage.lab.sshd("one").authorized_keys(), &other).unwrap();
    let ran = stage.events("fleet exec -H all -- true").exits(1);
    failed(&ran, "one", "auth");
    ran.outcome("two", "changed");
    fs::remove_file(stage.lab.identity()).unwrap();
    let ran = stage.events("fleet exec -H two -- true").exits(1);
    failed(&ran, "two", "auth");
    assert!(ran.outcome("two", "failed")["hint"].is_string(), "no next step\n{ran}");
}

/// A package that could be installed.
const PACKAGE: &str = "package() { mkdir -p \"$pkgdir/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/bin/p\"; chmod 755 \"$pkgdir/bin/p\"; }\n";

#[test]
fn a_recipe_that_fails_is_the_hosts_failure() {
    let stage = Stage::new(&["one"]);
    let try_one = |id: &str, functions: &str| {
        let recipe = stage.recipe(id, functions);
        let ran = stage.events(&format!("fleet install {recipe} -H one --build host")).exits(1);
        stage.is_clean("one", &ran);
        ran
    };
    let ran = try_one("fails", &format!("build() {{ echo 'no such header'; false; }}\n{PACKAGE}"));
    assert!(failed(&ran, "one", "build").contains("build"), "{ran}");
    let ran = try_one("exits", &format!("build() {{ exit 0; }}\n{PACKAGE}"));
    failed(&ran, "one", "build");
    let ran = try_one("packs-nothing", "package() { :; }\n");
    failed(&ran, "one", "package");
    let ran = try_one("syntax", "build() { if; }\n");
    failed(&ran, "one", "fetch");
    let ran = try_one("no-source", &format!("source=('absent.c')\nsha256sums=('SKIP')\n{PACKAGE}"));
    assert!(failed(&ran, "one", "fetch").contains("absent.c"), "{ran}");
    let two = "package() { mkdir -p \"$pkgdir/bin\"; for n in a b; do echo '#!/bin/sh' >\"$pkgdir/bin/$n\"; chmod 755 \"$pkgdir/bin/$n\"; done; }\n";
    let ran = try_one("two-programs", two);
    let error = failed(&ran, "one", "package");
    let mut named: Vec<_> = error.rsplit(": ").next().unwrap().split(", ").collect();
    named.sort_unstable();
    assert_eq!(named, ["a", "b"], "{ran}");
    let status = stage.rbee("fleet status -H one --output json").exits(0).document();
    assert_eq!(status["hosts"][0]["workers"].as_array().unwrap().len(), 0);
}

#[test]
fn a_flood_does_not_fill_the_controller() {
    let stage = Stage::new(&["loud", "well"]);
    let floods = [
        ("lines", "yes 'a line of a build that has much to say, again and again' | head -n 1000000"),
        ("one-line", "head -c 10000000 /dev/zero | tr '\\0' x"),
        ("binary", "head -c 5000000 /dev/urandom"),
    ];
    for (id, flood) in floods {
        // It waits at its end, so that the memory of the one that has read all of it can be looked at.
        let (there, gate) = (stage.lab.dir().join(format!("there-{id}")), stage.lab.dir().join(format!("gate-{id}")));
        let functions = format!(
            "build() {{ case $HOME in */loud/*) {flood}; touch {} ;; esac; until [ -e {} ]; do sleep 0.1; done; }}\n{PACKAGE}",
            there.display(),
            gate.display()
        );
        let recipe = stage.recipe(id, &functions);
        let mut live =
            Live::start(stage.command(&format!("--output plain fleet install {recipe} -H all --build host")));
        while !there.exists() && live.running() {
            thread::sleep(Duration::from_millis(20));
        }
        // What is on its way still is little, but it is not nothing.
        thread::sleep(Duration::from_millis(500));
        let peak = live.peak();
        fs::write(&gate, "").unwrap();
        let ran = live.end();
        let peak = peak.unwrap_or_else(|| panic!("it did not run any more\n{ran}"));
        assert!(peak < MEMORY, "{id}: {} MB\n{ran}", peak >> 20);
        let ran = ran.exits(0);
        let changed = ran.stderr.lines().filter(|line| line.contains("changed") && line.contains(id)).count();
        assert!(changed >= 2, "{ran}");
    }
}

#[test]
fn what_a_host_says_cannot_steer_a_terminal() {
    let stage = Stage::new(&["one"]);
    let recipe = stage.recipe(
        "painter",
        &format!("build() {{ printf '\\033[2J\\033]0;owned\\007\\rover\\302\\233 31m done\\n'; }}\n{PACKAGE}"),
    );
    let ran = stage.rbee(&format!("--output plain fleet install {recipe} -H one --build host")).exits(0);
    for text in [&ran.stdout, &ran.stderr] {
        let wild = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(wild), "{text:?}");
    }
    let ran = ran.says("done");
    assert!(ran.stderr.lines().any(|line| line.contains("one") && line.contains("done")), "{ran}");
    // The same from a command whose output is what was asked for.
    let mut command = stage.command("--output plain fleet exec -H one --");
    command.arg("printf '\\033[2J gone\\n'");
    let ran = crate::stage::run(command).exits(0);
    assert!(!ran.stdout.contains('\x1b') && ran.stdout.contains("gone"), "{ran}");
}
