//! Archives that mean harm write nothing outside of `$srcdir`, with every program that can extract them.

use std::{fs, path::Path, process::Command as Process};

use crate::bench::{Bench, pkgbuild};

fn run(folder: &Path, script: &str) {
    let out = Process::new("bash").arg("-ec").arg(script).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test]
async fn nothing_is_written_outside() {
    let escape = r#"
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
with zipfile.ZipFile('up.zip', 'w') as z: z.writestr('../../escaped', 'escaped')
with zipfile.ZipFile('absolute.zip', 'w') as z: z.writestr(target + '/escaped', 'escaped')
"#;
    for bsdtar in [true, false] {
        for sources in [
            "up.tar.gz",
            "absolute.tar.gz",
            "link.tar.gz",
            "first.tar.gz second.tar.gz",
            "hard.tar.gz",
            "device.tar.gz",
            "up.zip",
            "absolute.zip",
        ] {
            let sums = "SKIP ".repeat(sources.split(' ').count());
            let mut bench = Bench::new(&pkgbuild(&format!("source=({sources})\nsha256sums=({sums})")));
            if !bsdtar {
                bench.leave_out(&["bsdtar", "bsdcat", "bsdcpio"]);
            }
            let outside = bench.root.path().join("outside");
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("victim"), "unharmed").unwrap();
            fs::write(bench.folder().join("make.py"), escape).unwrap();
            run(&bench.folder(), &format!("python3 make.py '{}'", outside.display()));
            let ended = bench.build().await;
            let what = format!("{sources} bsdtar {bsdtar}: {:?}\n{}", ended.result, ended.printed);
            assert!(!outside.join("escaped").exists() && !bench.root.path().join("escaped").exists(), "{what}");
            assert_eq!(fs::read_to_string(outside.join("victim")).unwrap(), "unharmed", "{what}");
            let devices = Process::new("find").arg(bench.work()).args(["-type", "c"]).output().unwrap();
            assert!(devices.stdout.is_empty() || ended.result.is_err(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_bomb_is_cut_at_the_limit() {
    for (make, source) in [
        ("head -c 3000000 /dev/zero > z; tar -czf bomb.tar.gz z; rm z", "bomb.tar.gz"),
        ("head -c 3000000 /dev/zero > z; gzip -c z > bomb.gz; rm z", "bomb.gz"),
        ("head -c 3000000 /dev/zero > z; bsdtar -acf bomb.zip z; rm z", "bomb.zip"),
    ] {
        let mut bench = Bench::new(&pkgbuild(&format!("source=({source})\nsha256sums=(SKIP)")));
        bench.environment.extract_limit = 1_000_000;
        run(&bench.folder(), make);
        let error = bench.build().await.error();
        assert!(error.contains("more than 1000000 bytes when it is extracted"), "{source}: {error}");
    }
}
