//! Programs come to their place, all at once, and go again.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    stage::Stage,
    support::{processes_with, token},
};

/// A program that says its version, and otherwise says that it runs and waits for the end of its input.
fn program(version: &str) -> String {
    format!("#!/bin/sh\n[ \"$1\" != --version ] || {{ echo 'tool {version}'; exit; }}\necho up\nread -r line\n")
}

fn version_of(path: &Path) -> String {
    let said = Command::new(path).arg("--version").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

#[test]
fn three_hosts_are_built_on_and_then_left_alone() {
    let hosts = ["one", "two", "three"];
    let mut stage = Stage::new(&hosts);
    let ran = stage.events("fleet install echo-worker -H all --build host").exits(0);
    for host in hosts {
        ran.outcome(host, "changed");
        assert_eq!(version_of(&stage.bin(host).join("echo-worker")), "echo-worker 0.1.0");
    }
    let before = hosts.map(|host| stage.files(host));
    let again = stage.events("fleet install echo-worker -H all --build host").exits(0);
    for host in hosts {
        again.outcome(host, "unchanged");
    }
    let phases: Vec<_> =
        again.lines().iter().filter(|e| e["type"] == "phase_started").map(|e| e["phase"].to_string()).collect();
    assert!(phases.iter().all(|p| p == "\"connect\"" || p == "\"preflight\""), "{phases:?}");
    assert_eq!(before, hosts.map(|host| stage.files(host)), "an unchanged host is written to\n{again}");
    let status = stage.rbee("fleet status -H all --output json").exits(0).document();
    assert_eq!(status["hosts"][2]["workers"][0]["state"], "intact");

    stage.lab.sshd_mut("two").stop();
    let ran = stage.events("fleet install echo-worker -H all --reinstall --build local").exits(4);
    ran.outcome("one", "changed");
    ran.outcome("two", "unreachable");
    ran.outcome("three", "changed");
    stage.inventory("[hosts.one]\n[hosts.two]\noptional = true\n[hosts.three]\n");
    let ran = stage.events("fleet install echo-worker -H all").exits(0);
    assert_eq!(ran.outcome("two", "skipped")["reason"], "optional");
    // The ones in the summary are in the order of the inventory, whoever was first.
    let plain = stage.rbee("fleet install echo-worker -H all").exits(0);
    assert!(plain.stdout.is_empty(), "talk on stdout\n{plain}");
    plain.says("skipped");
}

#[test]
fn a_digest_that_is_known_is_proven_by_the_host() {
    let stage = Stage::new(&["one"]);
    // Left alone for long enough to be believed next time.
    let install = || stage.events("fleet install tool --binary /bin/true -H one");
    install().exits(0).outcome("one", "changed");
    let known: Vec<_> = fs::read_dir(stage.home("local").join(".cache/rbee/digests")).unwrap().flatten().collect();
    let [known] = &known[..] else { panic!("{known:?}") };
    let text = fs::read_to_string(known.path()).unwrap();
    let (marks, digest) = text.trim_end().rsplit_once(' ').unwrap();
    let other: String = digest.chars().rev().collect();
    fs::write(known.path(), format!("{marks} {other}\n")).unwrap();

    let ran = install().exits(1).says(&format!("has sha256 {digest}, not {other}"));
    ran.outcome("one", "failed");
    stage.is_clean("one", &ran);
    install().exits(0).outcome("one", "unchanged");
}

#[test]
fn a_running_program_is_replaced_and_comes_back() {
    let stage = Stage::new(&["one"]);
    let (first, second) = (stage.file("v1/tool", program("1.0")), stage.file("v2/tool", program("2.0")));
    let path = stage.bin("one").join("tool");
    stage.events(&format!("fleet install tool --binary {first} -H one")).exits(0).outcome("one", "changed");
    let mut child = Command::new(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");

    let ran = stage.events(&format!("fleet install tool --binary {second} -H one")).exits(0);
    ran.outcome("one", "changed");
    assert!(child.try_wait().unwrap().is_none(), "the one that runs was hurt\n{ran}");
    assert_eq!(version_of(&path), "tool 2.0");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
    let _ = child.kill();
    let _ = child.wait();

    let roll = || stage.events("fleet rollback tool -H one").exits(0).outcome("one", "changed");
    roll();
    assert_eq!(version_of(&path), "tool 1.0");
    roll();
    assert_eq!(version_of(&path), "tool 2.0");
    let state = || stage.rbee("fleet status -H one --output json").exits(0).document()["hosts"][0]["workers"].clone();
    assert_eq!(state()[0]["state"], "intact");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    assert_eq!(state()[0]["state"], "modified");
    stage.events("fleet remove tool -H one").exits(1).says("--force").outcome("one", "failed");
    fs::remove_file(&path).unwrap();
    assert_eq!(state()[0]["state"], "missing");
    stage.events("fleet remove tool -H one").exits(0).outcome("one", "changed");
    assert_eq!(state().as_array().unwrap().len(), 0);
    let left = stage.files("one");
    assert!(left.keys().all(|path| !path.starts_with(&stage.lab.sshd("one").prefix)), "{left:?}");
}

/// A text file that is busy cannot be written to; a script is not, so this one is a real program.
#[test]
fn a_busy_executable_is_replaced() {
    let stage = Stage::new(&["one"]);
    let sleep = stage.file("v1/tool", fs::read("/usr/bin/sleep").unwrap());
    let (second, path) = (stage.file("v2/tool", program("2.0")), stage.bin("one").join("tool"));
    stage.events(&format!("fleet install tool --binary {sleep} -H one")).exits(0).outcome("one", "changed");
    let mut child = Command::new(&path).arg("1000").spawn().unwrap();
    let ran = stage.events(&format!("fleet install tool --reinstall --binary {second} -H one")).exits(0);
    let alive = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    let _ = child.wait();
    assert!(alive, "{ran}");
    assert_eq!(version_of(&path), "tool 2.0");
}

#[test]
fn a_dry_run_is_the_run_and_changes_nothing() {
    let stage = Stage::new(&["one", "two"]);
    stage.inventory("[hosts.one]\nworkers = [\"echo-worker\"]\n[hosts.two]\nworkers = [\"echo-worker\"]\n");
    stage.events("fleet install -H two --build host").exits(0);
    let before = [stage.files("one"), stage.files("two")];
    let dry = stage.rbee("fleet install -H all --dry-run --output json").exits(0);
    let plan = dry.document();
    assert_eq!(before, [stage.files("one"), stage.files("two")], "{dry}");
    let planned = |host: usize| plan["hosts"][host]["plan"][0].clone();
    assert_eq!((&planned(0)["action"], &planned(1)["action"]), (&"from_cache".into(), &"unchanged".into()), "{dry}");
    stage.rbee("fleet plan --exit-code -H one").exits(20).says("send from the cache");
    stage.rbee("fleet plan --exit-code -H one --reinstall").exits(20).says("build on the host");
    stage.rbee("fleet plan --exit-code -H two").exits(0);

    let done = stage.events("fleet install -H all").exits(0);
    done.outcome("one", "changed");
    done.outcome("two", "unchanged");
    let phases = |host: &str| -> Vec<String> {
        let started = |e: &serde_json::Value| e["type"] == "phase_started" && e["host"] == host;
        done.lines().iter().filter(|e| started(e)).map(|e| e["phase"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(phases("one"), ["connect", "preflight", "transfer", "verify", "install"], "{done}");
    let path = stage.bin("one").join("echo-worker");
    assert_eq!(planned(0)["directory"], path.parent().unwrap().to_str().unwrap());
    let status = stage.rbee("fleet status -H one --output json").exits(0).document();
    let installed = &status["hosts"][0]["workers"][0];
    assert_eq!((&installed["key"], &installed["worker"]), (&planned(0)["key"], &planned(0)["worker"]));
    assert_eq!(installed["path"], path.to_str().unwrap());
}

/// Changes the machine that an ELF file is for.
fn for_other_machine() -> Vec<u8> {
    let mut bytes = fs::read("/usr/bin/sleep").unwrap();
    let other: u16 = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    bytes[18..20].copy_from_slice(&other.to_le_bytes());
    bytes
}

/// Raises a version that an ELF file needs of glibc: the names are strings of the same length.
fn for_newer_glibc() -> Vec<u8> {
    let mut bytes = fs::read("/usr/bin/sleep").unwrap();
    let mut names = 0;
    for at in 0..bytes.len() - 11 {
        if bytes[at..].starts_with(b"GLIBC_2.") && bytes[at + 8].is_ascii_digit() && bytes[at + 10] == 0 {
            bytes[at + 8..at + 10].copy_from_slice(b"99");
            names += 1;
        }
    }
    assert!(names > 0, "this machine's sleep needs no glibc 2.NN");
    bytes
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let stage = Stage::new(&["one", "two"]);
    let before = stage.files("one");
    let other = stage.file("other/tool", for_other_machine());
    stage.events(&format!("fleet install tool --binary {other} -H one")).exits(5).says("built for linux-");
    stage.rbee(&format!("fleet check tool --binary {other} -H one")).exits(5).says("built for linux-");
    let tool = stage.file("good/tool", program("1.0"));
    stage
        .rbee(&format!("fleet check tool --binary macos-aarch64={tool} -H one"))
        .exits(5)
        .says("there is no --binary for");
    assert!(stage.rbee(&format!("fleet check tool --binary {tool} -H one")).exits(0).stdout.contains("ok"));
    let newer = stage.file("newer/tool", for_newer_glibc());
    stage.events(&format!("fleet install tool --binary {newer} -H one")).exits(5).says("needs glibc 2.99");
    let ran = stage.events("fleet install llama-server-metal -H one").exits(5).says("macos");
    let refused = ran.outcome("one", "refused");
    assert_eq!((&refused["reason"], &refused["phase"]), (&"preflight".into(), &"preflight".into()), "{ran}");
    stage.events("fleet install tool --binary windows-x86_64=/bin/sh -H one").exits(2).says("no platform");
    assert_eq!(before, stage.files("one"));

    // One of two is refused: the other goes on, unless it is all or nothing.
    stage.inventory("[hosts.one]\nworkers = [\"llama-server-metal\"]\n[hosts.two]\nworkers = [\"echo-worker\"]\n");
    let ran = stage.events("fleet install -H all --all-or-nothing").exits(5);
    ran.outcome("two", "refused");
    assert!(!stage.bin("two").join("echo-worker").exists(), "{ran}");
    let ran = stage.events("fleet install -H all").exits(1);
    ran.outcome("one", "refused");
    ran.outcome("two", "changed");
    // Whoever waits for the others does not keep them from their turn.
    stage.inventory("[hosts.one]\nworkers = [\"echo-worker\"]\n[hosts.two]\nworkers = [\"echo-worker\"]\n");
    let ran = stage.events("fleet install -H all --all-or-nothing --forks 1 --reinstall --timeout 60s").exits(0);
    ran.outcome("one", "changed");
    ran.outcome("two", "changed");
}

#[test]
fn a_host_has_one_run_at_a_time() {
    let stage = Stage::new(&["one"]);
    let sleep = token();
    let recipe = stage.recipe("slow", &format!("build() {{ echo building; sleep {sleep}; }}\npackage() {{ :; }}\n"));
    let tool = stage.file("v1/tool", program("1.0"));
    let mut first = stage.start(&format!("fleet install {recipe} -H one --build host"));
    first.until_line("building");
    let ran = stage.events(&format!("fleet install tool --binary {tool} -H one")).exits(1).says("another run");
    let lock = fs::read_to_string(stage.lab.sshd("one").home.join(".local/state/rbee/lock")).unwrap();
    let owner = lock.split_whitespace().next().unwrap();
    let second = ran.outcome("one", "failed");
    assert_eq!(second["reason"], "locked", "{ran}");
    assert!(second["error"].as_str().unwrap().contains(owner), "who has it is not named: {owner}\n{ran}");
    first.signal(nix::sys::signal::Signal::SIGINT);
    first.end().exits(130);
    assert_eq!(processes_with(&sleep), [] as [u32; 0]);

    // Left by a run that is gone.
    let lock = stage.lab.sshd("one").home.join(".local/state/rbee/lock");
    assert!(!lock.exists());
    fs::write(&lock, "20250101-000000-aaaaaa 999999 1 no-such-boot somebody@elsewhere\n").unwrap();
    let ran = stage.events(&format!("fleet install tool --binary {tool} -H one")).exits(0).says("took over the lock");
    ran.outcome("one", "changed");
    assert!(!lock.exists(), "{ran}");
}
