//! Archives that mean harm write nothing outside of `$srcdir`, with every program that can extract them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command as Process,
};

use crate::bench::{Bench, pkgbuild};

fn run(folder: &Path, script: &str) {
    let out = Process::new("bash").arg("-ec").arg(script).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Makes archives that mean to write to the folder that it is told.
const ESCAPE: &str = r#"
import io, sys, tarfile, zipfile
target = sys.argv[1]
def add(tar, name, data=b'escaped', **more):
    info = tarfile.TarInfo(name); info.size = len(data)
    for k, v in more.items(): setattr(info, k, v)
    tar.addfile(info, io.BytesIO(data) if info.type == tarfile.REGTYPE else None)
with tarfile.open('up.tar.gz', 'w:gz') as t: add(t, '../../escaped')
with tarfile.open('absolute.tar.gz', 'w:gz') as t: add(t, target + '/escaped')
with tarfile.open('link.tar.gz', 'w:gz') as t:
    add(t, 'l', b'', type=tarfile.SYMTYPE, linkname=target); add(t, 'l/escaped')
with tarfile.open('first.tar.gz', 'w:gz') as t: add(t, 'l', b'', type=tarfile.SYMTYPE, linkname=target)
with tarfile.open('second.tar.gz', 'w:gz') as t: add(t, 'l/escaped')
with tarfile.open('hard.tar.gz', 'w:gz') as t:
    add(t, 'h', b'', type=tarfile.LNKTYPE, linkname=target + '/victim'); add(t, 'h')
with tarfile.open('device.tar.gz', 'w:gz') as t: add(t, 'd', b'', type=tarfile.CHRTYPE, devmajor=1, devminor=3)
with tarfile.open('block.tar.gz', 'w:gz') as t: add(t, 'd', b'', type=tarfile.BLKTYPE, devmajor=7, devminor=0)
with tarfile.open('fifo.tar.gz', 'w:gz') as t: add(t, 'p', b'', type=tarfile.FIFOTYPE)
with tarfile.open('deep.tar.gz', 'w:gz') as t:
    add(t, 'a', b'', type=tarfile.SYMTYPE, linkname='.'); add(t, 'a/b', b'', type=tarfile.SYMTYPE, linkname=target); add(t, 'a/b/escaped')
with tarfile.open('dotdot.tar.gz', 'w:gz') as t: add(t, 'a/../../../escaped')
with tarfile.open('hardup.tar.gz', 'w:gz') as t:
    add(t, 'h', b'', type=tarfile.LNKTYPE, linkname='../../../../../../../../../..' + target + '/victim'); add(t, 'h')
with tarfile.open('later.tar.gz', 'w:gz') as t: add(t, 'second.tar.gz', b'', type=tarfile.SYMTYPE, linkname=target)
with tarfile.open('victim.tar.gz', 'w:gz') as t: add(t, 'local.txt')
with tarfile.open('names.tar.gz', 'w:gz') as t:
    for name in ['-rf', '--help', 'new\nline', 'a\x1b[31mred', 'a b', '$(touch escaped)', '\u202e', 'x' * 255]: add(t, name)
with open('.gz', 'wb') as f: f.write(__import__('gzip').compress(b'escaped'))
with open('a..gz', 'wb') as f: f.write(__import__('gzip').compress(b'escaped'))
with open('...gz', 'wb') as f: f.write(__import__('gzip').compress(b'escaped'))
with zipfile.ZipFile('link.zip', 'w') as z:
    l = zipfile.ZipInfo('l'); l.create_system = 3; l.external_attr = 0o120777 << 16; z.writestr(l, target); z.writestr('l/escaped', 'escaped')
with zipfile.ZipFile('up.zip', 'w') as z: z.writestr('../../escaped', 'escaped')
with zipfile.ZipFile('absolute.zip', 'w') as z: z.writestr(target + '/escaped', 'escaped')
"#;

/// Sources that are used one after the other.
const ATTEMPTS: &[&str] = &[
    "up.tar.gz",
    "absolute.tar.gz",
    "link.tar.gz",
    "first.tar.gz second.tar.gz",
    "hard.tar.gz",
    "device.tar.gz",
    "block.tar.gz",
    "fifo.tar.gz",
    "deep.tar.gz",
    "dotdot.tar.gz",
    "hardup.tar.gz",
    "later.tar.gz second.tar.gz",
    "local.txt victim.tar.gz",
    "names.tar.gz",
    ".gz",
    "a..gz",
    "...gz",
    "link.zip",
    "up.zip",
    "absolute.zip",
];

/// Builds from what lies in `archives`; nothing may come to `outside`, whatever becomes of the build.
async fn attempt(archives: PathBuf, outside: PathBuf, sources: &'static str, bsdtar: bool) {
    let sums = "SKIP ".repeat(sources.split(' ').count());
    let mut bench =
        Bench::new(&pkgbuild(&format!("source=({sources})\nsha256sums=({sums})"))).file("local.txt", "unharmed");
    if !bsdtar {
        bench.leave_out(&["bsdtar", "bsdcat", "bsdcpio"]);
    }
    for source in sources.split(' ').filter(|source| *source != "local.txt") {
        fs::copy(archives.join(source), bench.folder().join(source)).unwrap();
    }
    let ended = bench.build().await;
    let what = format!("{sources} bsdtar {bsdtar}: {:?}\n{}", ended.result, ended.printed);
    assert!(!outside.join("escaped").exists() && !bench.root.path().join("escaped").exists(), "{what}");
    assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "unharmed", "{what}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{what}");
    assert_eq!(fs::read_to_string(bench.work().join("recipe/local.txt")).unwrap(), "unharmed", "{what}");
    let mut special = Process::new("find");
    special.arg(bench.work()).args(["!", "-type", "f", "!", "-type", "d", "!", "-type", "l"]);
    let special = special.output().unwrap().stdout;
    match &ended.result {
        Ok(_) => assert!(special.is_empty(), "{what}"),
        Err(error) => assert!(!error.to_string().contains(['\n', '\x1b']), "{what}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside() {
    let root = tempfile::tempdir().unwrap();
    let (archives, outside) = (root.path().join("archives"), root.path().join("outside"));
    for folder in [&archives, &outside] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(outside.join("victim"), "unharmed").unwrap();
    fs::write(archives.join("make.py"), ESCAPE).unwrap();
    run(&archives, &format!("python3 make.py '{}'", outside.display()));
    let all: Vec<_> =
        [true, false].iter().flat_map(|bsdtar| ATTEMPTS.iter().map(|sources| (*sources, *bsdtar))).collect();
    for some in all.chunks(4) {
        let mut tasks = tokio::task::JoinSet::new();
        for (sources, bsdtar) in some {
            tasks.spawn(attempt(archives.clone(), outside.clone(), sources, *bsdtar));
        }
        tasks.join_all().await;
    }
}

#[tokio::test]
async fn a_source_has_a_name_that_is_one() {
    for (source, said) in [
        ("$'a\\nb::http://127.0.0.1:1/x'", "has no usable name"),
        ("$'\\e[31mred::http://127.0.0.1:1/x'", "has no usable name"),
        ("$'red\\r::f'", "has no usable name"),
        ("'-rf::f'", "has no usable name"),
        ("'..::f'", "has no usable name"),
        ("'a/b::f'", "has no usable name"),
        ("$'x::http://127.0.0.1:1/\\n-o/etc/x'", "control character"),
        ("$'x::git+http://127.0.0.1:1/\\e'", "control character"),
        ("'x::--help'", "is not in the recipe's folder"),
    ] {
        let ended =
            Bench::new(&pkgbuild(&format!("source=({source})\nsha256sums=(SKIP)"))).file("f", "x").build().await;
        let error = ended.error();
        assert!(error.contains(said) && !error.contains(['\n', '\x1b', '\r']), "{source}: {error:?}");
    }
}

#[tokio::test]
async fn what_an_archive_left_does_not_lead_a_repository_away() {
    let bench = Bench::new(&pkgbuild("source=(a.tar up::git+file://@here@/up)\nsha256sums=(SKIP SKIP)"));
    let root = bench.root.path().to_owned();
    let text = fs::read_to_string(bench.folder().join("PKGBUILD")).unwrap();
    fs::write(bench.folder().join("PKGBUILD"), text.replace("@here@", root.to_str().unwrap())).unwrap();
    run(
        &root,
        "mkdir outside links; ln -s \"$PWD/outside\" links/up; tar -C links -cf 'the recipe/a.tar' up
         git init -q up; git -C up -c user.name=t -c user.email=t commit -q --allow-empty -m 1",
    );
    bench.build().await.built();
    assert_eq!(fs::read_dir(root.join("outside")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_bomb_is_cut_at_the_limit() {
    for (make, source) in [
        ("head -c 3000000 /dev/zero > z; tar -czf bomb.tar.gz z; rm z", "bomb.tar.gz"),
        ("head -c 3000000 /dev/zero > z; gzip -c z > bomb.gz; rm z", "bomb.gz"),
        ("head -c 3000000 /dev/zero > z; bsdtar -acf bomb.zip z; rm z", "bomb.zip"),
        ("head -c 3000000 /dev/zero | zstd -q > bomb.zst", "bomb.zst"),
        ("head -c 3000000 /dev/zero | xz > bomb.xz", "bomb.xz"),
        ("head -c 3000000 /dev/zero | bzip2 > bomb.bz2", "bomb.bz2"),
        ("head -c 3000000 /dev/zero > z; bsdtar -cf - z | lz4 -q > bomb.tar.lz4; rm z", "bomb.tar.lz4"),
        ("head -c 3000000 /dev/zero > z; bsdtar -acf bomb.tar.lzma z; rm z", "bomb.tar.lzma"),
        ("head -c 3000000 /dev/zero > z; bsdtar -cf bomb.7z --format 7zip z; rm z", "bomb.7z"),
        ("head -c 3000000 /dev/zero > z; bsdtar -cf - z | lzma > x; mv x bomb.iso; rm z", "bomb.iso"),
    ] {
        let mut bench = Bench::new(&pkgbuild(&format!("source=({source})\nsha256sums=(SKIP)")));
        bench.environment.extract_limit = 1_000_000;
        run(&bench.folder(), make);
        let error = bench.build().await.error();
        assert!(error.contains("more than 1000000 bytes when it is extracted"), "{source}: {error}");
    }
}
