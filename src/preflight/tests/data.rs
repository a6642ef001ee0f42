//! Outputs of the probe, as files, and the facts that are read from them.

use proptest::prelude::*;

use super::{bytes, sample};
use crate::{
    preflight::parse::{ProbeError, parse},
    vocab::{
        Digest, Facts,
        facts::{Arch, GpuKind, Libc, Os, Program, Writable},
    },
};

fn version<'a>(facts: &'a Facts, tool: &str) -> Option<&'a str> {
    facts.tool(tool)?.version.as_deref()
}

#[test]
fn a_debian_box_with_two_cards() {
    let facts = sample("debian-cuda").unwrap();
    assert_eq!((facts.platform().as_str(), facts.kernel.as_str()), ("linux-x86_64", "6.1.0-28-amd64"));
    assert_eq!(facts.distribution.as_deref(), Some("debian 12"));
    assert_eq!((facts.libc.clone(), facts.cpu_level), (Some(Libc::Glibc(2, 36)), Some(3)));
    assert_eq!((facts.cores, facts.memory), (Some(32), Some(65_820_280 * 1024)));
    assert_eq!((facts.user.as_str(), facts.uid, facts.home.as_str()), ("ada", Some(1000), "/home/ada"));
    assert_eq!((facts.login_shell.as_deref(), facts.tool("sudo").is_some()), (Some("bash"), true));
    assert_eq!((facts.system_bin, facts.user_bin), (Writable::No, Writable::Yes));
    assert_eq!(facts.dirs.cache, "/home/ada/.cache/rbee");
    let cards: Vec<_> = facts.gpus.iter().map(|g| (g.kind, g.vram, g.compute.as_deref())).collect();
    let expected = [(GpuKind::Cuda, Some(24564 << 20), Some("8.9")), (GpuKind::Cuda, Some(24576 << 20), Some("8.6"))];
    assert_eq!(cards, expected);
    assert_eq!((version(&facts, "cargo"), version(&facts, "nvcc")), (Some("1.83.0"), Some("12.4")));
    assert_eq!(facts.extra_path(), ["/home/ada/.cargo/bin", "/usr/local/cuda/bin"]);
    assert_eq!(facts.tool("sha256").unwrap().path, "/usr/bin/openssl");
    let disk = |path: &str| facts.disks.iter().find(|d| d.path == path).unwrap();
    assert_eq!(disk("/usr/local/bin").filesystem, "/usr/local");
    assert_eq!(disk("/home/ada/.cache/rbee").free, 898_608_012 * 1024);
    assert_eq!(facts.lock.as_deref(), Some("run 20260102-030405-abcdef of ada@desk"));
    assert!(facts.silent.is_empty());

    let [installed] = facts.installed.as_slice() else { panic!("{:?}", facts.installed) };
    assert_eq!((installed.worker.as_str(), installed.previous), ("llama-server-cuda", Some(Digest::new([2; 32]))));
    let there = Program {
        path: installed.path.clone(),
        symlink: false,
        size: Some(installed.size),
        modified: Some(1_767_323_045),
    };
    assert_eq!(facts.program(&installed.path), Some(&there));
    assert_eq!(facts.program("/home/ada/.local/bin/old").map(|p| (p.symlink, p.size)), Some((true, None)));
    let [note] = facts.notes.as_slice() else { panic!("{:?}", facts.notes) };
    assert!(
        note.starts_with("the manifest /home/ada/.local/share/rbee/installed/old.toml cannot be read: missing"),
        "{note}"
    );
}

#[test]
fn an_alpine_box() {
    let facts = sample("alpine-musl").unwrap();
    assert_eq!((facts.libc.clone(), facts.cpu_level), (Some(Libc::Musl), Some(2)));
    assert_eq!((facts.login_shell.as_deref(), facts.uid), (Some("ash"), Some(0)));
    assert_eq!(facts.tool("sha256").unwrap().path, "/usr/bin/sha256sum");
    assert!(facts.tool("bash").is_none());
    assert_eq!((facts.system_bin, facts.user_bin), (Writable::Yes, Writable::Creatable));
}

#[test]
fn a_mac_with_homebrew() {
    let facts = sample("macos-arm64").unwrap();
    assert_eq!((facts.platform().as_str(), facts.libc.clone()), ("macos-aarch64", None));
    assert_eq!((facts.distribution.as_deref(), facts.memory), (Some("macos 15.2"), Some(32 << 30)));
    assert_eq!(facts.cpu_level, None);
    let [gpu] = facts.gpus.as_slice() else { panic!("{:?}", facts.gpus) };
    assert_eq!((gpu.kind, gpu.name.as_str()), (GpuKind::Metal, "Apple M1 Max"));
    assert_eq!(facts.extra_path(), ["/opt/homebrew/bin", "/Users/ada/.cargo/bin"]);
    assert_eq!(facts.disks[0].filesystem, "/System/Volumes/Data");
    assert_eq!(version(&facts, "bash"), Some("3.2.57"));
}

#[test]
fn a_raspberry_pi_whose_rustup_is_empty() {
    let facts = sample("raspberry-pi").unwrap();
    assert_eq!((facts.arch.clone(), facts.cpu_level), (Arch::Aarch64, None));
    assert!(facts.tool("cargo").is_none());
    assert_eq!(
        facts.notes,
        ["cargo at /home/pi/.cargo/bin/cargo is rustup's and has no toolchain yet: run `rustup default stable`"]
    );
    let narrow = sample("raspberry-pi-32bit").unwrap();
    assert_eq!(narrow.arch, Arch::Other("armv7l".into()));
    assert_eq!(narrow.notes[1], "the userland is 32-bit (armv7l) on a kernel for aarch64");
}

#[test]
fn systems_that_are_not_supported_are_known_by_name() {
    let facts = sample("freebsd").unwrap();
    assert_eq!(
        (facts.os.clone(), facts.tool("sha256").unwrap().path.as_str()),
        (Os::Other("FreeBSD".into()), "/usr/bin/openssl")
    );
    assert_eq!(sample("git-bash-windows").unwrap().os, Os::Windows);
    assert_eq!(sample("cmd-windows").unwrap().os, Os::Windows);
}

#[test]
fn a_cut_is_noticed_wherever_it_was() {
    assert_eq!(sample("truncated"), Err(ProbeError::CutOff));
    assert_eq!(parse(b""), Err(ProbeError::NotStarted));
    assert_eq!(parse(b"sh: syntax error\nend\n"), Err(ProbeError::NotStarted));
    let whole = bytes("debian-cuda");
    for len in 0..whole.len() - 4 {
        assert!(parse(&whole[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_card_that_does_not_answer_is_known_from_its_driver() {
    let facts = sample("silent-card").unwrap();
    assert_eq!(facts.silent, ["nvidia-smi"]);
    assert_eq!((facts.gpus[0].name.as_str(), facts.gpus[0].vram), ("NVIDIA GeForce RTX 4090", None));
}

#[test]
fn a_hostile_host_gets_nothing_through() {
    let facts = sample("hostile").unwrap();
    assert!(!format!("{facts:?}").contains("\\u{1b}"), "{facts:?}");
    assert!(facts.kernel.starts_with("6.1\u{fffd}"));
    assert_eq!(facts.tools.keys().collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!((facts.cores, facts.memory, facts.libc.clone()), (None, None, None));
    assert_eq!(facts.path, ["/usr/bin", "/ok"]);
    assert!(facts.disks.is_empty() && facts.installed.is_empty());
    assert_eq!(facts.programs, [Program { path: "/bin/x".into(), symlink: false, size: None, modified: None }]);
    assert_eq!(facts.notes.len(), 3, "{:?}", facts.notes);
    assert_eq!(facts.home, "/home/ada");
}

#[test]
fn nothing_can_be_done_without_a_home() {
    let text = String::from_utf8(bytes("alpine-musl")).unwrap();
    let gone = |from: &str, to: &str| parse(text.replace(from, to).as_bytes());
    assert_eq!(gone("home\t/root\n", "home\t\n"), Err(ProbeError::NoHome));
    assert_eq!(gone("home\t/root\n", "bad\thome\n"), Err(ProbeError::NoHome));
    assert_eq!(gone("cache\t/root", "cache\troot"), Err(ProbeError::NoHome));
}

#[test]
fn a_flood_is_bounded() {
    let head = String::from_utf8(bytes("alpine-musl")).unwrap().replace("end\n", "");
    let flood: String = (0..5_000).map(|i| format!("nvidia\tcard {i}, 1, 1.0\nbad\tx\ntool\tt{i}\ton\t/x\n")).collect();
    let facts = parse(format!("{head}{flood}end\n").as_bytes()).unwrap();
    assert!(facts.gpus.len() <= 256 && facts.notes.len() <= 256 && facts.tools.len() <= 257);
    let endless = format!("{head}{}end\n", "x\n".repeat(2 << 20));
    assert_eq!(parse(endless.as_bytes()), Err(ProbeError::CutOff));
}

proptest! {
    #[test]
    fn mutations_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..8)), 1..12),
    ) {
        let mut text = bytes("debian-cuda");
        for (at, with) in cuts {
            let at = at.index(text.len());
            let end = (at + with.len()).min(text.len());
            text.splice(at..end, with);
        }
        let _ = parse(&text);
    }
}
