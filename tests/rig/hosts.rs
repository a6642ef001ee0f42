//! The rig itself: what its hosts have of their own, what they share, and that nothing of it is left.

use std::{fs, process::Command, time::Duration};

use crate::rig::Rig;

/// Processes in any pid namespace but this one.
fn elsewhere() -> usize {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let mine = space("self");
    let names = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.parse::<u32>().is_ok() && space(name).is_some_and(|space| Some(space) != mine)).count()
}

#[test]
#[ignore = "needs root"]
fn rooted_hosts_have_users_homes_and_processes_of_their_own() {
    let rig = Rig::up("one --user dev + two --sshd dropbear --login-shell tcsh --without curl,python3 --sh busybox");
    let say = |host, command| String::from_utf8(rig.ssh(host, command).stdout).unwrap();
    assert_eq!(say("one", "id -un; hostname; pwd"), "dev\none\n/home/dev\n");
    assert_eq!(say("two", "id -un; hostname; pwd; echo $shell"), "root\ntwo\n/root\n/bin/tcsh\n");
    assert_eq!(say("two", "which curl || echo none").lines().last(), Some("none"));
    assert_eq!(rig.exec("two", "readlink -f /bin/sh").trim(), "/usr/bin/busybox");
    let before = rig.snapshot("one");
    assert_eq!(rig.changes("one", &before), [] as [&str; 0]);
    rig.exec("one", "touch /tmp/new; chmod 600 /etc/motd; rm /usr/bin/xz; touch /dev/shm/new");
    rig.exec("two", "sleep 600 >/dev/null 2>&1 & touch /root/new");
    assert!(!rig.exec("one", "ps -A").contains("sleep"), "a process list is shared");
    let changes = rig.changes("one", &before).join("\n");
    for change in ["+ /tmp/new", "~ /etc/motd mode", "+ /usr/bin/xz", "+ /dev/shm/new"] {
        assert!(changes.contains(change), "{changes}");
    }
    assert!(!changes.contains("/root"), "{changes}");
}

#[test]
#[ignore = "needs root"]
fn rooted_a_link_is_cut_and_mended_and_slow() {
    let rig = Rig::up("1");
    let answers = || {
        let ssh = ["5", "ssh", "-o", "ConnectTimeout=2", "-F"];
        Command::new("timeout").args(ssh).arg(rig.ssh_config()).args(["h1", "true"]).output().unwrap().status.success()
    };
    assert!(answers());
    rig.cut("h1");
    assert!(!answers());
    rig.mend("h1");
    let start = std::time::Instant::now();
    while !answers() {
        assert!(start.elapsed() < Duration::from_secs(30), "the link is not mended");
    }
    rig.rate("h1", "8mbit");
    let start = std::time::Instant::now();
    assert_eq!(rig.ssh("h1", "head -c 3000000 /dev/zero").stdout.len(), 3_000_000);
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
#[ignore = "needs root"]
fn rooted_nothing_is_left_of_a_rig() {
    // In a process of its own, so that its end is seen: that ends a rig, too.
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("it's a rig");
    let links = || String::from_utf8(Command::new("ip").args(["-o", "link"]).output().unwrap().stdout).unwrap();
    let (before, mounts) = (links(), fs::read_to_string("/proc/self/mounts").unwrap());
    let mut waits = Command::new("sleep").arg("600").spawn().unwrap();
    let rig = |words: &[&str]| {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rig");
        Command::new(program).arg("--dir").arg(&dir).args(words).output().unwrap()
    };
    let failed = rig(&["up", "2", "--sshd-config", "Nonsense yes"]);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && said.contains("h1 does not answer") && said.contains("Nonsense"), "{said}");
    assert!(!dir.exists(), "left by a rig that did not start");
    let made = rig(&["up", "--until", &waits.id().to_string(), "2"]);
    assert!(made.status.success(), "{made:?}");
    assert!(elsewhere() >= 4, "two hosts have two processes each");
    let again = rig(&["up", "1"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("rig down"), "{again:?}");
    waits.kill().unwrap();
    waits.wait().unwrap();
    let ended = rig(&["down"]);
    assert!(ended.status.success(), "{ended:?}");
    assert!(!dir.exists());
    assert_eq!((links(), fs::read_to_string("/proc/self/mounts").unwrap()), (before, mounts));
}

#[test]
#[ignore = "needs root"]
fn rooted_without_root_there_is_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    // Where the project lies may be closed to others.
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    assert!(Command::new("cp").arg("-r").arg(scripts).arg(dir.path()).status().unwrap().success());
    assert!(Command::new("chmod").arg("-R").arg("a+rX").arg(dir.path()).status().unwrap().success());
    let script = dir.path().join("scripts/rig");
    let refused = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3"])
        .arg(&script)
        .args(["up", "1"])
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("need root") && said.lines().count() == 1, "{said}");
}
