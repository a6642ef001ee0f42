//! The same on several hosts at once.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rbee::sandbox::{Options, Sandbox};

use crate::stage::{Ran, Stage, faults, files, quick, sound_blobs};

pub fn sandbox(stage: &Stage, hosts: usize) -> Sandbox {
    stage.runtime.block_on(Sandbox::start(Options::new(stage.dir.path().join("sandbox"), hosts))).unwrap()
}

pub fn words(sandbox: &Sandbox, words: &str) -> String {
    let dir = sandbox.dir().display();
    format!("-i {dir}/inventory.toml -F {dir}/ssh_config fleet -H all model {words}")
}

pub fn cache(sandbox: &Sandbox, host: &str) -> PathBuf {
    sandbox.dir().join("hosts").join(host).join("home/.cache/huggingface/hub")
}

#[test]
fn a_cancel_stops_all_hosts() {
    let stage = Stage::new(&["rate=2MB"]);
    let sandbox = sandbox(&stage, 3);
    let hosts = || sandbox.hosts().iter().map(|host| cache(&sandbox, &host.name)).collect::<Vec<_>>();
    quick("a cancelled run", |try_| {
        let child = stage.start(&words(&sandbox, &format!("download sized/{}MB --connections 2", 60 + try_)));
        for cache in hosts() {
            // A part that grows belongs to this try.
            let came = || {
                files(&cache).iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum::<u64>()
            };
            let before = came();
            crate::support::eventually_sync("bytes on each host", || came() > before + 1_000_000);
        }
        let asked = std::time::Instant::now();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT)
            .unwrap();
        let ran = Ran(child.wait_with_output().unwrap()).exits(130);
        let took = asked.elapsed();
        // Not a curl, not a lease's beat, not a lane is left on any of them.
        let dir = sandbox.dir().display().to_string();
        let left = processes_with(&[&dir], std::process::id());
        assert!(left.is_empty(), "{left:#?}\n{ran}");
        took
    });
    for cache in hosts() {
        let kept = files(&cache).into_iter().any(|path| path.ends_with("base"));
        assert!(kept, "nothing was kept in {}", cache.display());
    }
    stage.rbee(&words(&sandbox, "clean")).exits(0).says("freed");
    for cache in hosts() {
        assert!(!files(&cache).into_iter().any(|path| path.ends_with("base")));
    }
    stage.runtime.block_on(sandbox.shutdown());
}

#[test]
fn hosts_have_the_other_verbs_too() {
    let stage = Stage::new(&[]);
    let sandbox = sandbox(&stage, 2);
    let fleet = |text: &str| stage.rbee(&words(&sandbox, text));
    stage.hub.set_faults(faults(&["unavailable=2"]));
    fleet("download sized/9MB --via relay").exits(0).says("it says 503");
    fleet("remove sized/9MB").exits(0);
    for revision in ["main", "v1"] {
        fleet(&format!("download rbee/renamed@{revision}")).exits(0);
    }
    fleet("list").exits(0).says("rbee/renamed");
    fleet("get rbee/renamed").exits(0).says("v1");
    fleet("verify").exits(0).says("8 blobs hold");
    let blob = files(&cache(&sandbox, "sandbox-2")).into_iter().find(|path| path.file_name().unwrap().len() == 64);
    let blob = blob.unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[77] ^= 1;
    fs::write(&blob, bytes).unwrap();
    fleet("verify").exits(1).says("its digest is");
    fleet("remove rbee/renamed@v1").exits(0).says("freed 1.2 MB");
    fleet("remove rbee/renamed").exits(0);
    fleet("clean --orphans").exits(0).says("nothing is left over");
    for host in sandbox.hosts() {
        assert_eq!(sound_blobs(&cache(&sandbox, &host.name)), 0);
    }
    stage.runtime.block_on(sandbox.shutdown());
}

/// What is passed on and cut off is kept here too, by one who is asked to end and by one who is killed.
#[test]
fn a_relay_that_is_ended_goes_on_with_the_rest() {
    use nix::sys::signal::Signal::{SIGINT, SIGKILL};
    let stage = Stage::new(&["rate=3MB"]);
    let sandbox = sandbox(&stage, 2);
    let store = stage.home().join(".cache/rbee/models");
    let came = || files(&store).iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum::<u64>();
    for (at, signal) in [(6_000_000, SIGINT), (16_000_000, SIGKILL)] {
        let mut child = stage.start(&words(&sandbox, "download sized/30MB --via relay --connections 3"));
        crate::support::eventually_sync("a part of it", || came() > at);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        child.wait().unwrap();
        crate::support::eventually_sync("its curls are gone", || crate::stops::running(&stage).is_empty());
    }
    stage.rbee("cache list").exits(0).says("models to be passed on: 1, ");
    let (kept, sent) = (came(), stage.hub.sent());
    stage.hub.set_faults(faults(&[]));
    // Two at once do not get in each other's way.
    let other = stage.start(&words(&sandbox, "download sized/30MB --via relay --connections 3"));
    let ran = stage.rbee(&words(&sandbox, "download sized/30MB --via relay --connections 3")).exits(0);
    let other = Ran(other.wait_with_output().unwrap()).exits(0);
    let again = stage.hub.sent() - sent;
    let rest = 30_000_000 - kept.min(30_000_000);
    assert!(again as f64 <= rest as f64 * 1.03 + 100_000.0, "{again} bytes for a rest of {rest}\n{ran}\n{other}");
    for host in sandbox.hosts() {
        let cache = cache(&sandbox, &host.name);
        assert_eq!(sound_blobs(&cache), 2);
        let parts: Vec<_> = files(&cache).into_iter().filter(|path| path.ends_with("base")).collect();
        assert!(parts.is_empty(), "{parts:?}");
    }
    assert_eq!(came(), 0, "{:?}", files(&store));
    stage.runtime.block_on(sandbox.shutdown());
}

/// What a client that looks at no digest left in this machine's cache goes to nobody.
#[test]
fn what_is_wrong_here_is_not_passed_on() {
    let stage = Stage::new(&[]);
    stage.rbee("model download sized/9MB").exits(0);
    let blob = files(&stage.cache()).into_iter().find(|path| path.file_name().unwrap().len() == 64).unwrap();
    let sandbox = sandbox(&stage, 1);
    let relay = words(&sandbox, "download sized/9MB --via relay");
    let sent = stage.hub.sent();
    stage.rbee(&relay).exits(0).says("is in this machine's cache");
    assert_eq!(stage.hub.sent(), sent);
    stage.rbee(&words(&sandbox, "remove sized/9MB")).exits(0);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[5_000_000] ^= 1;
    fs::write(&blob, bytes).unwrap();
    stage.rbee(&relay).exits(0).says("not taken from it");
    assert_eq!(sound_blobs(&cache(&sandbox, "sandbox-1")), 2);
    stage.runtime.block_on(sandbox.shutdown());
}

#[test]
fn hosts_share_what_the_hub_is_asked() {
    let asked = |hosts: usize| {
        let stage = Stage::new(&[]);
        let sandbox = sandbox(&stage, hosts);
        stage.rbee(&words(&sandbox, "download rbee/safetensors")).exits(0);
        for host in sandbox.hosts() {
            assert_eq!(sound_blobs(&cache(&sandbox, &host.name)), 7);
        }
        let asked = stage.hub.asked().iter().filter(|asked| !asked.cdn).count();
        stage.runtime.block_on(sandbox.shutdown());
        asked
    };
    assert_eq!(asked(1), asked(4));
}

/// A folder of programs like /usr/bin, without some and with some of our own.
pub fn programs(dir: &Path, without: &[&str], own: &[(&str, &str)]) -> String {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(dir).unwrap();
    for place in ["/bin", "/usr/bin"] {
        for entry in fs::read_dir(place).unwrap().flatten() {
            let name = entry.file_name();
            if !without.iter().any(|known| name == *known) && own.iter().all(|(known, _)| name != *known) {
                let _ = symlink(entry.path(), dir.join(name));
            }
        }
    }
    for (name, text) in own {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir.to_str().unwrap().to_owned()
}

#[test]
fn each_host_gets_what_it_needs() {
    let stage = Stage::new(&["rate=3MB"]);
    let sandbox = sandbox(&stage, 5);
    // The second has half of it, from a run that was ended.
    let half = format!("{} --connections 2", words(&sandbox, "download sized/12MB").replace("-H all", "-H sandbox-2"));
    let child = stage.start(&half);
    let folder = cache(&sandbox, "sandbox-2");
    let came =
        || files(&folder).iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum::<u64>();
    crate::support::eventually_sync("half of it", || came() > 5_000_000);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    Ran(child.wait_with_output().unwrap()).exits(130);
    // The third has no curl, the fourth no room, and the fifth reaches nothing.
    let bare = programs(&stage.dir.path().join("bare"), &["curl"], &[]);
    let full =
        "#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted on\necho /dev/x 1000 990 10 99% /\n";
    let full = programs(&stage.dir.path().join("full"), &[], &[("df", full)]);
    let inventory = sandbox.dir().join("inventory.toml");
    let text = fs::read_to_string(&inventory).unwrap();
    let with = |text: String, host: &str, path: &str| {
        let head = format!("[hosts.{host}]\n");
        assert!(text.contains(&head), "{text}");
        text.replace(&head, &format!("{head}env = {{ PATH = \"{path}\" }}\n"))
    };
    let text = with(with(text, "sandbox-3", &bare), "sandbox-4", &full);
    let far = "[hosts.sandbox-5]\n";
    assert!(text.contains(far), "{text}");
    let text = text.replace(far, &format!("{far}env = {{ http_proxy = \"http://127.0.0.1:9\" }}\n"));
    fs::write(&inventory, text).unwrap();
    stage.hub.set_faults(faults(&[]));
    let before = stage.hub.sent();
    stage.rbee(&words(&sandbox, "download sized/12MB --all-or-nothing")).exits(5).says("another host's refusal");
    assert_eq!((stage.hub.sent(), sound_blobs(&cache(&sandbox, "sandbox-1"))), (before, 0));
    let ran = stage.rbee(&words(&sandbox, "download sized/12MB")).exits(1);
    // What all of them moved stands in the recap.
    let ran = ran.says(" from the hub, 24.0 MB from this machine, in ");
    let ran = ran
        .says("kept from before")
        .says("through this machine: the host has no curl")
        .says("the host does not reach the hub's files (curl ")
        .says("free where models go");
    for host in ["sandbox-1", "sandbox-2", "sandbox-3", "sandbox-5"] {
        assert_eq!(sound_blobs(&cache(&sandbox, host)), 2, "{host}\n{ran}");
    }
    assert_eq!(files(&cache(&sandbox, "sandbox-4")), [] as [PathBuf; 0], "{ran}");
    let spool = stage.home().join(".cache/rbee/scratch");
    assert!(files(&spool).is_empty(), "{:?}", files(&spool));
    // The same dry: what is there, and the one that is refused.
    stage.rbee(&words(&sandbox, "download sized/12MB --dry-run")).exits(1).says("all 12.0 MB are there");
    stage.runtime.block_on(sandbox.shutdown());
}

/// What the file has, if one of the words is in it.
fn found(path: &Path, words: &[&str]) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let begins = |at: usize| words.iter().any(|word| bytes[at..].starts_with(word.as_bytes()));
    (0..bytes.len()).any(begins).then_some(bytes)
}

/// Arguments and environments of processes but `giver` and this one that have one of the words in them.
fn processes_with(words: &[&str], giver: u32) -> Vec<String> {
    let arguments = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut places = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // What it has forked is itself until it becomes another program; that is asked first, since it may become one now.
        if [giver, std::process::id()].contains(&pid) || arguments(pid) == arguments(giver) {
            continue;
        }
        for what in ["cmdline", "environ"] {
            if let Some(bytes) = found(&entry.path().join(what), words) {
                places.push(format!("{what} of {pid}: {}", String::from_utf8_lossy(&bytes).replace('\0', " ")));
            }
        }
    }
    places
}

/// A gated download, watched from its first byte to its end: nobody but who was given the token has it or a link.
#[track_caller]
fn keeps_its_secrets(stage: &Stage, words: &str) -> String {
    // Of this hub alone: other tests have tokens and links of their own.
    let secrets = [stage.hub.token(), stage.hub.mark()];
    let mut child = stage.command(words).env("HF_TOKEN", stage.hub.token()).spawn().unwrap();
    let mut seen = Vec::new();
    let look_at_files = |seen: &mut Vec<String>| {
        let with = files(stage.dir.path()).into_iter().filter(|path| found(path, &secrets).is_some());
        seen.extend(with.map(|path| path.display().to_string()));
    };
    let mut looks = 0;
    while child.try_wait().unwrap().is_none() {
        looks += u32::from(stage.hub.sent() > 0);
        seen.extend(processes_with(&secrets, child.id()));
        // In their middle once: they are large.
        if looks == 5 {
            look_at_files(&mut seen);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ran = Ran(child.wait_with_output().unwrap()).exits(0);
    look_at_files(&mut seen);
    assert!(seen.is_empty(), "{seen:#?}\n{ran}");
    assert!(looks > 5, "it was seen {looks} times on its way");
    let said = ran.to_string();
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
    assert!(stage.hub.asked().iter().any(|asked| asked.token), "the token was not used at all");
    assert!(stage.hub.asked().iter().all(|asked| !(asked.cdn && asked.token)), "the token left the hub");
    said
}

#[test]
fn a_token_and_a_signature_stay_where_they_are() {
    let stage = Stage::new(&["rate=1MB"]);
    let sandbox = sandbox(&stage, 2);
    keeps_its_secrets(&stage, &words(&sandbox, "download rbee/gated --connections 2"));
    stage.runtime.block_on(sandbox.shutdown());
}

#[test]
fn where_links_are_of_no_use_the_token_goes_by_stdin() {
    // The hub sends large files itself, to those it knows; a host's own variables of these names change nothing.
    let stage = Stage::new(&["direct", "rate=1MB"]);
    let sandbox = sandbox(&stage, 2);
    let inventory = sandbox.dir().join("inventory.toml");
    let text = fs::read_to_string(&inventory).unwrap();
    let head = "[hosts.sandbox-1]\n";
    assert!(text.contains(head), "{text}");
    fs::write(&inventory, text.replace(head, &format!("{head}env = {{ KEY = \"x\", U = \"y\" }}\n"))).unwrap();
    keeps_its_secrets(&stage, &words(&sandbox, "download rbee/gated --connections 2"));
    for host in sandbox.hosts() {
        assert_eq!(sound_blobs(&cache(&sandbox, &host.name)), 7);
    }
    stage.runtime.block_on(sandbox.shutdown());
    // Through this machine, too.
    stage.command("model download rbee/gated").env("HF_TOKEN", stage.hub.token()).output().unwrap();
    assert_eq!(sound_blobs(&stage.cache()), 7);
}

#[test]
fn a_link_that_is_bound_to_an_address_is_asked_for_there() {
    let stage = Stage::new(&["bound", "rate=1MB"]);
    let sandbox = sandbox(&stage, 1);
    let curl = "#!/bin/sh\nexec /usr/bin/curl \"$@\" --interface 127.0.0.2\n";
    // Elsewhere: what is below the stage's folder is searched.
    let bin = tempfile::tempdir().unwrap();
    let path = programs(&bin.path().join("bin"), &[], &[("curl", curl)]);
    let inventory = sandbox.dir().join("inventory.toml");
    let text = fs::read_to_string(&inventory).unwrap();
    let head = "[hosts.sandbox-1]\n";
    fs::write(&inventory, text.replace(head, &format!("{head}env = {{ PATH = \"{path}\" }}\n"))).unwrap();
    let said = keeps_its_secrets(&stage, &words(&sandbox, "download rbee/gated --connections 2"));
    assert!(said.contains("the host asks the hub itself"), "{said}");
    assert_eq!(sound_blobs(&cache(&sandbox, "sandbox-1")), 7);
    stage.runtime.block_on(sandbox.shutdown());
}

#[test]
fn a_relay_keeps_its_secrets() {
    let stage = Stage::new(&["rate=1MB"]);
    let sandbox = sandbox(&stage, 2);
    keeps_its_secrets(&stage, &words(&sandbox, "download rbee/gated --connections 2 --via relay"));
    stage.runtime.block_on(sandbox.shutdown());
}

#[test]
fn this_machine_keeps_its_secrets() {
    let stage = Stage::new(&["rate=1MB"]);
    keeps_its_secrets(&stage, "model download rbee/gated --connections 2");
}
