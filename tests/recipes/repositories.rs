//! Git sources: shared between builds, gone on with, with what they have in them, and never from a place that lies.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rbee::vocab::Mirror;

use crate::{
    bench::{Bench, pkgbuild, sha256},
    downloads::{kill_all, pids},
};

/// Runs a script of bash with an identity for git; yields the last line.
fn bash(folder: &Path, script: &str) -> String {
    fs::create_dir_all(folder).unwrap();
    let mut command = Process::new("bash");
    command.arg("-ec").arg(script).current_dir(folder);
    for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "t");
    }
    let out = command.output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

/// Three commits; a tag on the first, and a branch `side` with some megabytes that cannot be compressed.
const REPOSITORY: &str = "git init -q -b main up; cd up; echo one > f; git add f; git commit -qm 1; git tag v1
    echo two > f; git commit -qam 2; git checkout -qb side; head -c 4000000 /dev/urandom > big; echo three > f
    git add big; git commit -qam 3; git checkout -q main; git rev-parse v1";

fn one(source: &str, expected: &str) -> String {
    pkgbuild(&format!("source=('x::{source}')\nsha256sums=(SKIP)\nbuild() {{ [ \"$(cat x/f)\" = {expected} ]; }}"))
}

/// `git-daemon` behind a link that stops after so many bytes, while it is told to.
struct Link {
    port: u16,
    /// Bytes that may yet pass to the client.
    room: Arc<AtomicU64>,
    passed: Arc<AtomicU64>,
    daemon: Child,
}

impl Link {
    fn to(root: &Path) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let far = free().local_addr().unwrap().port();
        let exec = Process::new("git").arg("--exec-path").output().unwrap();
        let program = Path::new(String::from_utf8(exec.stdout).unwrap().trim()).join("git-daemon");
        let mut command = Process::new(program);
        command.args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"]).arg(format!("--port={far}"));
        let daemon = command.arg(format!("--base-path={}", root.display())).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", far)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "git daemon does not listen");
        }
        let listener = free();
        let port = listener.local_addr().unwrap().port();
        let (room, passed) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(0)));
        let shared = (room.clone(), passed.clone());
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", far)) else { continue };
                let (mut up, mut there) = (near.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut up, &mut there);
                    let _ = there.shutdown(Shutdown::Both);
                });
                let (room, passed) = (shared.0.clone(), shared.1.clone());
                thread::spawn(move || pass(server, near, &room, &passed));
            }
        });
        Self { port, room, passed, daemon }
    }

    fn source(&self, name: &str) -> String {
        format!("git+git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, room: &AtomicU64, passed: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        while passed.load(Ordering::SeqCst) >= room.load(Ordering::SeqCst) {
            // Nobody is told; it ends when one of both sides does.
            thread::sleep(Duration::from_millis(10));
            if to.write_all(&[]).is_err() {
                return;
            }
        }
        if to.write_all(&buffer[..n]).is_err() {
            return;
        }
        passed.fetch_add(n as u64, Ordering::SeqCst);
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn mirror_of(bench: &Bench, source: &str) -> PathBuf {
    let url = source.strip_prefix("git+").unwrap();
    bench.root.path().join("the cache/rbee/git").join(&sha256(url.as_bytes())[..24]).join("mirror.git")
}

fn is_sound(mirror: &Path) {
    bash(mirror, "git fsck --full --strict; [ -z \"$(find . -name '*.lock' -o -name 'tmp_*')\" ]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_killed_leaves_a_mirror_that_serves() {
    let root = tempfile::tempdir().unwrap();
    bash(root.path(), REPOSITORY);
    let link = Link::to(root.path());
    // A name of its own, for it is what the processes are found by.
    let name = format!("r{}", rand::random::<u64>());
    fs::rename(root.path().join("up"), root.path().join(&name)).unwrap();
    let source = link.source(&name);
    let first = Bench::new(&one(&format!("{source}#tag=v1"), "one"));
    first.build().await.built();
    let mirror = mirror_of(&first, &source);
    fs::write(mirror.join("marker"), "it is still this one").unwrap();
    for round in 0..2 {
        link.room.store(link.passed.load(Ordering::SeqCst) + 1_000_000, Ordering::SeqCst);
        let side = Bench::new(&one(&format!("{source}#branch=side"), "three")).caching_with(&first);
        let killer = async {
            let start = Instant::now();
            while link.passed.load(Ordering::SeqCst) < link.room.load(Ordering::SeqCst) || pids(&name).is_empty() {
                assert!(start.elapsed() < Duration::from_secs(60), "it does not fetch");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // With the driver, or it would go on to the next attempt.
            kill_all(pids(&side.work().display().to_string()));
        };
        let (ended, ()) = tokio::join!(side.build(), killer);
        assert!(ended.error().contains("ended by signal 9"), "{round}: {}", ended.error());
        // What the killed one might have held.
        fs::write(mirror.join("shallow.lock"), "").unwrap();
        fs::write(mirror.join("objects/pack/tmp_pack_x"), "half").unwrap();
    }
    link.room.store(u64::MAX, Ordering::SeqCst);
    for (fragment, expected) in [("#branch=side", "three"), ("#tag=v1", "one"), ("", "two")] {
        let next = Bench::new(&one(&format!("{source}{fragment}"), expected)).caching_with(&first);
        next.build().await.built();
    }
    assert!(mirror.join("marker").exists(), "all of it was fetched anew");
    is_sound(&mirror);
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_at_once_share_a_mirror() {
    let root = tempfile::tempdir().unwrap();
    bash(root.path(), REPOSITORY);
    let source = format!("git+file://{}/up", root.path().display());
    for round in 0..3 {
        let first = Bench::new(&one(&format!("{source}#tag=v1"), "one"));
        let counting = "\npkgver() { cd x; git rev-list --count HEAD; }";
        let others = [
            one(&format!("{source}#branch=side"), "three"),
            one(&source, "two") + counting,
            one(&format!("{source}#tag=v1"), "one") + counting,
        ]
        .map(|text| Bench::new(&text).caching_with(&first));
        let (a, b, c, d) = tokio::join!(first.build(), others[0].build(), others[1].build(), others[2].build());
        for ended in [&a, &b, &c, &d] {
            ended.built();
        }
        assert_eq!((&*c.built().version, &*d.built().version), ("2", "1"), "{round}");
        is_sound(&mirror_of(&first, &source));
    }
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_if_its_origin_is_there() {
    let root = tempfile::tempdir().unwrap();
    bash(root.path(), REPOSITORY);
    let source = format!("git+file://{}/up", root.path().display());
    let text = one(&format!("{source}#branch=side"), "three");
    let first = Bench::new(&text);
    first.build().await.built();
    let mirror = mirror_of(&first, &source);
    for damage in [
        "rm -f HEAD",
        "find objects -type f -name '*.pack' -exec truncate -s 100 {} +; find objects -type f -path '*/??/*' -exec sh -c 'chmod +w $1; : > $1' _ {} ';'",
        "echo garbage > shallow",
        "rm -rf objects",
        "rm -rf refs; echo x > refs",
    ] {
        bash(&mirror, damage);
        Bench::new(&text).caching_with(&first).build().await.built();
        is_sound(&mirror);
    }
    // A network that is down is no reason to throw away what there is.
    fs::write(mirror.join("marker"), "").unwrap();
    fs::rename(root.path().join("up"), root.path().join("away")).unwrap();
    let error = Bench::new(&text).caching_with(&first).build().await.error();
    assert!(error.starts_with("cannot fetch branch side of file://"), "{error}");
    assert!(mirror.join("marker").exists());
    is_sound(&mirror);
}

#[tokio::test]
async fn a_mirror_stands_in_for_a_whole_commit_only() {
    let root = tempfile::tempdir().unwrap();
    let commit = bash(root.path(), REPOSITORY);
    let at = |name: &str| format!("file://{}/{name}/", root.path().display());
    fs::rename(root.path().join("up"), root.path().join("there.git")).unwrap();
    fs::create_dir_all(root.path().join("copies")).unwrap();
    fs::rename(root.path().join("there.git"), root.path().join("copies/there.git")).unwrap();
    let source = format!("git+{}there.git", at("gone"));
    for (fragment, served) in
        [(format!("#commit={commit}"), true), (format!("#commit={}", &commit[..10]), false), ("#tag=v1".into(), false)]
    {
        let mut bench = Bench::new(&one(&format!("{source}{fragment}"), "one"));
        bench.environment.mirrors = vec![Mirror::new(&at("gone"), &at("copies")).unwrap()];
        let ended = bench.build().await;
        assert_eq!(ended.result.is_ok(), served, "{fragment}: {}", ended.printed);
        assert_eq!(ended.unverified.is_empty(), served || ended.result.is_err(), "{fragment}");
    }
}

#[tokio::test]
async fn submodules_come_when_they_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    bash(
        root.path(),
        "for r in low mid; do git init -q -b main $r; echo $r > $r/f; git -C $r add f; git -C $r commit -qm $r; done
         git -C mid -c protocol.file.allow=always submodule --quiet add ../low low; sed -i 's|url = .*|url = ./../low|' mid/.gitmodules
         git -C mid commit -qam low; git -C low commit -q --allow-empty -m later
         git init -q -b main up; cd up; echo up > f; git add f
         git -c protocol.file.allow=always submodule --quiet add ../mid 'in a/mid'; git commit -qm mid",
    );
    let source = format!("git+file://{}/up", root.path().display());
    let build =
        "build() { cat x/f 'x/in a/mid/f' 'x/in a/mid/low/f' | tr '\\n' ' ' | grep -qx 'up mid low ' || return 1
      cd x; git submodule status --recursive > s || return 1; [ \"$(grep -c '^ ' s)\" = 2 ]
      git submodule --quiet update --init --recursive; }";
    let text = pkgbuild(&format!("source=('x::{source}')\nsha256sums=(SKIP)\n{build}"));
    let mut bench = Bench::new(&text);
    bench.environment.submodules = true;
    let ended = bench.build().await;
    ended.built();
    let names: Vec<_> = ended.pins.iter().map(|pin| pin.name.as_str()).collect();
    assert_eq!(names, ["x", "x/in a/mid", "x/in a/mid/low"]);
    let not_asked = Bench::new(&pkgbuild(&format!(
        "source=('x::{source}')\nsha256sums=(SKIP)\nbuild() {{ [ -z \"$(ls 'x/in a/mid')\" ]; }}"
    )));
    not_asked.build().await.built();

    for (path, url, said) in [
        ("mid", "ext::sh -c 'touch pwned'", "is less safe than its parent"),
        ("mid", "--upload-pack=touch pwned", "strange URL"),
        ("mid", "http://127.0.0.1:1/x", "is less safe than its parent"),
        ("mid", "/etc", "is less safe than its parent"),
        ("../mid", "../mid", "leads out of it"),
        ("/tmp/mid", "../mid", "leads out of it"),
        (".git/hooks", "../mid", "leads out of it"),
        ("a/.GIT/b", "../mid", "leads out of it"),
    ] {
        let evil = tempfile::tempdir().unwrap();
        bash(
            evil.path(),
            "git init -q -b main mid; git -C mid commit -q --allow-empty -m m; git init -q -b main up; cd up
             git -c protocol.file.allow=always submodule --quiet add ../mid mid; git commit -qm mid",
        );
        let modules = format!("[submodule \"mid\"]\n\tpath = {path}\n\turl = \"{url}\"\n");
        fs::write(evil.path().join("up/.gitmodules"), modules).unwrap();
        bash(evil.path(), "cd up; git commit -qam evil");
        let mut bench =
            Bench::new(&pkgbuild(&format!("source=('git+file://{}/up')\nsha256sums=(SKIP)", evil.path().display())));
        bench.environment.submodules = true;
        let ended = bench.build().await;
        assert!(ended.error().contains(said), "{path} {url}: {}\n{}", ended.error(), ended.printed);
    }
    // One that has itself in it.
    let turning = tempfile::tempdir().unwrap();
    bash(
        turning.path(),
        "git init -q -b main up; cd up; git commit -q --allow-empty -m 1; c=$(git rev-parse HEAD)
         printf '[submodule \"a\"]\\n\\tpath = a\\n\\turl = ../up\\n' > .gitmodules; git add .gitmodules
         for i in 1 2 3 4 5 6 7 8 9 10; do git update-index --add --cacheinfo 160000,$c,a; git commit -qm $i; c=$(git rev-parse HEAD); done",
    );
    let mut bench =
        Bench::new(&pkgbuild(&format!("source=('git+file://{}/up')\nsha256sums=(SKIP)", turning.path().display())));
    bench.environment.submodules = true;
    let error = bench.build().await.error();
    assert!(error.contains("submodules in submodules without end"), "{error}");
}
