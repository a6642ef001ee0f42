//! The same on several hosts at once.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use rbee::sandbox::{Options, Sandbox};

use crate::stage::{Ran, Stage, faults, files, sound_blobs};

fn sandbox(stage: &Stage, hosts: usize) -> Sandbox {
    stage.runtime.block_on(Sandbox::start(Options::new(stage.dir.path().join("sandbox"), hosts))).unwrap()
}

fn words(sandbox: &Sandbox, words: &str) -> String {
    let dir = sandbox.dir().display();
    format!("-i {dir}/inventory.toml -F {dir}/ssh_config fleet -H all model {words}")
}

fn cache(sandbox: &Sandbox, host: &str) -> PathBuf {
    sandbox.dir().join("hosts").join(host).join("home/.cache/huggingface/hub")
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
fn programs(dir: &Path, without: &[&str], own: &[(&str, &str)]) -> String {
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
fn keeps_its_secrets(stage: &Stage, words: &str) {
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
}

#[test]
fn a_token_and_a_signature_stay_where_they_are() {
    let stage = Stage::new(&["rate=1MB"]);
    let sandbox = sandbox(&stage, 2);
    keeps_its_secrets(&stage, &words(&sandbox, "download rbee/gated --connections 2"));
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
