//! What a recipe's top level does, which runs whenever it is read: it ends with a sentence, in time, and leaves nothing.

use std::time::{Duration, Instant};

use crate::{
    stage::{Ran, Stage},
    support::{processes_with, token},
};

const HEAD: &str = "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\npackage() { :; }\n";

fn write(stage: &Stage, name: &str, top: &str) -> String {
    let place = stage.file(&format!("heads/{name}/PKGBUILD"), format!("{HEAD}{top}\n"));
    place.strip_suffix("/PKGBUILD").unwrap().to_owned()
}

/// What is written in `top` leads to a sentence, and with it nothing of it is left.
fn ends(stage: &Stage, token: &str, name: &str, top: &str, said: &str) -> Ran {
    let folder = write(stage, name, top);
    let start = Instant::now();
    let ran = stage.rbee(&format!("recipe print {folder}")).exits(1).says(said);
    // The limit of 20 s, and room for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(50), "{name} {ran}");
    assert!(ran.stderr.len() < 200_000 && ran.stdout.is_empty(), "{name}: {} bytes", ran.stderr.len());
    assert_eq!(processes_with(token), [] as [u32; 0], "{name} {ran}");
    stage.is_clean("local", &ran);
    ran
}

#[test]
fn talk_and_questions_change_nothing() {
    let stage = Stage::new(&[]);
    for (name, top) in [
        ("echo", "echo 'pkgname = faked'; printf 'end\\0'; echo talk >&2"),
        ("read", "read -r answer; read -r -t 100 answer </dev/tty; cat; [ -z \"$answer\" ]"),
        ("flood", "head -c 1000000000 /dev/zero | tr '\\0' 'y\\n'"),
        ("lines", "yes | head -c 300000000"),
        ("descriptors", "for fd in 3 4 5 6 7 8 9 62; do echo x >&$fd; done 2>/dev/null; true"),
        ("closed", "for fd in 3 4 5 6 7 8 9 60 61 62 63; do eval \"exec $fd>&-\"; done"),
    ] {
        let folder = write(&stage, name, top);
        let ran = stage.rbee(&format!("recipe print {folder}")).exits(0);
        assert!(ran.stdout.starts_with("pkgbase = probe\n\tpkgver = 1.0\n"), "{name} {ran}");
        assert!(!ran.stdout.contains("faked") && ran.stderr.len() < 200_000, "{name}: {} bytes", ran.stderr.len());
        stage.is_clean("local", &ran);
    }
}

#[test]
fn what_exits_or_fails_says_so() {
    let stage = Stage::new(&[]);
    for (name, top, said) in [
        ("exit", "exit 0", "PKGBUILD called exit before it was through"),
        ("exit4", "exit 4", "PKGBUILD called exit with status 4"),
        ("exec", "exec true", "PKGBUILD called exit before it was through"),
        ("false", "false", "PKGBUILD ended with an error when it was read"),
        ("kill", "kill -9 $$", "PKGBUILD was ended by signal 9"),
        ("pkgname", "pkgname=", "PKGBUILD has no pkgname"),
    ] {
        ends(&stage, "no such word", name, top, said);
    }
}

/// Bombs with a bound: should they not be stopped, the machine stands.
#[test]
fn what_forks_or_loops_without_end_is_stopped() {
    let sleep = token();
    let sleep = &sleep;
    std::thread::scope(|scope| {
        for (name, top, said) in [
            ("loop", "while :; do :; done".to_owned(), "PKGBUILD took longer than 20s when it was read"),
            ("sleep", format!("sleep {sleep}"), "PKGBUILD took longer than 20s when it was read"),
            (
                "deaf",
                format!("trap '' TERM INT HUP; (trap '' TERM; setsid sleep {sleep}) & while :; do wait; done"),
                "PKGBUILD took longer than 20s when it was read",
            ),
            (
                "detached",
                format!("for i in {{1..900}}; do setsid sleep {sleep} & done; wait"),
                "PKGBUILD started more than 300 processes when it was read",
            ),
            (
                "row",
                format!("for i in {{1..1500}}; do sleep {sleep} & done; wait"),
                "PKGBUILD started more than 300 processes when it was read",
            ),
            (
                "tree",
                format!("f() {{ if [ $1 -lt 10 ]; then f $(($1 + 1)) & f $(($1 + 1)) & fi; sleep {sleep}; }}; f 0"),
                "PKGBUILD started more than 300 processes when it was read",
            ),
        ] {
            scope.spawn(move || {
                let stage = Stage::new(&[]);
                // Each looks for its own: the others' are still to be stopped.
                let own = token();
                ends(&stage, &own, name, &top.replace(sleep.as_str(), &own), said);
            });
        }
    });
}

#[test]
fn metadata_without_end_is_no_metadata() {
    let stage = &Stage::new(&[]);
    std::thread::scope(|scope| {
        for (name, top, said) in [
            ("gigabyte", "pkgdesc=$(head -c 1000000000 /dev/zero | tr '\\0' x)", "when it was read"),
            (
                "megabytes",
                "pkgdesc=$(head -c 5000000 /dev/zero | tr '\\0' x)",
                "PKGBUILD has more than 1 MB of metadata",
            ),
            ("machines", "arch=({1..100000})", "PKGBUILD has 100000 values in arch, and 50 are the most"),
            ("wide", "source_x86_64=({1..30000})", "PKGBUILD has 30000 values in source_x86_64"),
        ] {
            scope.spawn(move || {
                let folder = write(stage, name, top);
                let ran = stage.rbee(&format!("recipe print {folder}")).exits(1).says(said);
                assert!(ran.took < Duration::from_secs(50) && ran.stderr.len() < 200_000, "{name} {ran}");
            });
        }
    });
}

/// A build reads its recipe in each phase.
#[test]
fn a_build_is_not_kept_waiting_either() {
    std::thread::scope(|scope| {
        for nth in 1..=4 {
            scope.spawn(move || {
                let stage = Stage::new(&[]);
                let (sleep, dir) = (token(), stage.lab.dir().display().to_string());
                // Reading it goes well the first times.
                let top =
                    format!("echo x >>{dir}/count; if [ $(wc -l <{dir}/count) -ge {nth} ]; then sleep {sleep}; fi");
                let folder = write(&stage, "later", &top);
                let ran = stage.rbee(&format!("recipe build {folder} --pkg-out {dir}/out")).exits(1);
                let ran = ran.says("PKGBUILD took longer than 20s when it was read");
                assert_eq!(processes_with(&sleep), [] as [u32; 0], "{ran}");
                assert!(!stage.lab.dir().join("out").exists(), "{ran}");
                stage.is_clean("local", &ran);
            });
        }
    });
}
