//! Ended in the middle, and gone on with.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::stage::{Ran, Stage, faults, files, quick, sound_blobs};

/// Bytes of parts in the cache.
pub fn came(stage: &Stage) -> u64 {
    let parts = files(&stage.cache()).into_iter().filter(|path| path.to_str().unwrap().contains("/.rbee/"));
    parts.filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum()
}

/// Waits until so many of them are there.
pub fn until_came(stage: &Stage, bytes: u64) {
    let started = Instant::now();
    while came(stage) < bytes {
        assert!(started.elapsed() < Duration::from_secs(60), "only {} bytes came", came(stage));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What this stage's program started and still runs: whatever has its home, which no other process has, as HOME.
pub fn running(stage: &Stage) -> Vec<i32> {
    let home = format!("HOME={}", stage.home().display());
    assert!(home.contains("/rbee-models") && home.ends_with("/home"), "{home}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        if pid > 1 && environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_cancel_is_quick_and_keeps_what_came() {
    let stage = Stage::new(&["rate=4MB"]);
    quick("a cancelled download", |_| {
        let before = came(&stage);
        let child = stage.start("model download sized/40MB --connections 4");
        until_came(&stage, before + 5_000_000);
        let asked = Instant::now();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let ran = Ran(child.wait_with_output().unwrap());
        let took = asked.elapsed();
        let ran = ran.exits(130);
        assert_eq!(running(&stage), [] as [i32; 0], "{ran}");
        took
    });
    let kept = came(&stage);
    assert!(kept > 4_000_000, "{kept}");
    let sent = stage.hub.sent();
    stage.hub.set_faults(faults(&[]));
    stage.rbee("model download sized/40MB").exits(0).says("kept from before");
    assert_eq!(sound_blobs(&stage.cache()), 2);
    let all = stage.hub.sent();
    assert!(all - sent <= 41_000_000 - kept, "{} bytes came, and {kept} were there", all - sent);
}

#[test]
fn everything_killed_at_half_fetches_only_the_rest() {
    let stage = Stage::new(&["rate=4MB"]);
    let mut child = stage.start("model download sized/40MB --connections 4");
    until_came(&stage, 20_000_000);
    child.kill().unwrap();
    child.wait().unwrap();
    for pid in running(&stage) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    crate::support::eventually_sync("everything is gone", || running(&stage).is_empty());
    let parts = files(&stage.cache()).into_iter().filter(|path| path.to_str().unwrap().contains("/.rbee/"));
    let kept: u64 = parts.map(|path| fs::metadata(path).unwrap().len()).sum();
    let rest = 40_000_000 - kept.min(40_000_000);
    let sent = stage.hub.sent();
    stage.hub.set_faults(faults(&[]));
    let ran = stage.rbee("model download sized/40MB").exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 2);
    let again = stage.hub.sent() - sent;
    assert!(again as f64 <= rest as f64 * 1.03 + 100_000.0, "{again} bytes for a rest of {rest}\n{ran}");
}

#[test]
fn parts_go_when_they_are_not_wanted() {
    let stage = Stage::new(&["rate=2MB"]);
    for (flags, left) in [("", true), ("--clean", false)] {
        let before = came(&stage);
        let child = stage.start(&format!("model download sized/20MB --connections 2 {flags}"));
        until_came(&stage, before + 2_000_000);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        let ran = Ran(child.wait_with_output().unwrap()).exits(130);
        let parts = files(&stage.cache()).into_iter().filter(|path| path.to_str().unwrap().contains("/.rbee/"));
        assert_eq!(
            parts.clone().any(|path| path.ends_with("base") || path.to_str().unwrap().contains("/s.")),
            left,
            "{ran}"
        );
    }
    let child = stage.start("model download sized/20MB --connections 2");
    until_came(&stage, 2_000_000);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    Ran(child.wait_with_output().unwrap()).exits(130);
    stage.rbee("model clean").exits(0).says("freed");
    stage.rbee("model clean").exits(0).says("nothing is left over");
}

#[test]
fn two_runs_do_not_fetch_the_same_file_twice() {
    let stage = Stage::new(&["rate=4MB"]);
    let first = stage.start("model download sized/20MB --connections 2");
    until_came(&stage, 1_000_000);
    let second = stage.rbee("model download sized/20MB --connections 2").exits(0);
    let first = Ran(first.wait_with_output().unwrap()).exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 2);
    assert!(stage.hub.sent() < 21_000_000, "{} bytes came\n{first}\n{second}", stage.hub.sent());
    second.says("fetching it already");
}

/// The name of the large blob of a repository of a stated size.
pub fn blob_of(stage: &Stage, model: &str) -> String {
    let mut command = stage.bare();
    let said = command.args(["--output", "json", "model", "download", model, "--dry-run"]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let is_blob = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split('"').find(is_blob).unwrap_or_else(|| panic!("no blob in {text}")).to_owned()
}

#[test]
fn a_lease_is_its_owners_for_as_long_as_there_is_one() {
    let stage = Stage::new(&[]);
    let here = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let (boot, own) = (boot.trim(), std::process::id());
    let held = [
        // A process that is gone, one of another start, and one of another boot; a machine that beats no more; nobody.
        format!("{here} 4194303 17 {boot} 5\n"),
        format!("{here} {own} 17 {boot} 5\n"),
        format!("{here} {own} 17 00000000-0000-0000-0000-000000000000 5\n"),
        format!("elsewhere {own} 17 {boot} 5\n"),
        "\u{1b}[2J $(touch x) ../..\n".to_owned(),
        String::new(),
    ];
    for (nth, text) in held.iter().enumerate() {
        let model = format!("sized/{}MB", 9 + nth);
        let lease = stage.cache().join(format!(".locks/{}/{}.rbee", model_folder(&model), blob_of(&stage, &model)));
        fs::create_dir_all(lease.parent().unwrap()).unwrap();
        fs::write(&lease, text).unwrap();
        stage.rbee(&format!("model download {model}")).exits(0);
        assert!(!lease.exists(), "{text:?}");
    }
    assert_eq!(sound_blobs(&stage.cache()), held.len() * 2);
    // A machine that beats is waited for.
    let lease = stage.cache().join(format!(".locks/models--sized--8MB/{}.rbee", blob_of(&stage, "sized/8MB")));
    fs::create_dir_all(lease.parent().unwrap()).unwrap();
    let beat = |n: u32| fs::write(&lease, format!("elsewhere 7 17 {boot} {n}\n")).unwrap();
    beat(0);
    let sent = stage.hub.sent();
    let mut child = stage.start("model download sized/8MB");
    let started = Instant::now();
    for n in 1.. {
        beat(n);
        assert!(child.try_wait().unwrap().is_none() && stage.hub.sent() == sent, "it did not wait");
        if started.elapsed() > Duration::from_secs(8) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ran(child.wait_with_output().unwrap()).exits(0).says("process 7 on elsewhere is fetching it already");
    assert!(!stage.dir.path().join("x").exists());
}

fn model_folder(model: &str) -> String {
    format!("models--{}", model.replace('/', "--"))
}

#[test]
#[ignore = "needs root"]
fn rooted_a_full_disk_is_a_sentence() {
    let stage = Stage::new(&[]);
    let disk = stage.dir.path().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mount = |words: &[&str]| std::process::Command::new(words[0]).args(&words[1..]).arg(&disk).status().unwrap();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=20m", "none"]).success());
    let run = |flags: &str| {
        Ran(stage.command(&format!("model download sized/40MB {flags}")).env("HF_HOME", &disk).output().unwrap())
    };
    let (refused, full) = (run(""), run("--force-disk"));
    sound_blobs(&disk.join("hub"));
    // Room for the file and little more is enough, even where it comes in one piece or what came is gone on with.
    assert!(mount(&["mount", "-o", "remount,size=56m"]).success());
    let resumed = run("");
    fs::remove_dir_all(disk.join("hub")).unwrap();
    stage.hub.set_faults(faults(&["no-ranges"]));
    let whole = run("");
    let sound = sound_blobs(&disk.join("hub"));
    let _ = mount(&["umount", "-l"]);
    resumed.exits(0).says("kept from before");
    whole.exits(0);
    assert_eq!(sound, 2);
    refused.exits(5).says("free where models go");
    full.exits(1).says("the host's disk");
}
