//! Sources: fetched here for hosts that cannot, gone on with after a kill, and never left in the way.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

use crate::{
    http::{Manner, serve},
    stage::{Ran, Stage},
    support::{eventually_sync, processes_with, token},
};

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Serves the repositories below a folder; ends with the test.
struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    fn start(root: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Not `git daemon`, which would be two processes.
        let git = Command::new("git").arg("--exec-path").output().unwrap();
        let program = Path::new(String::from_utf8(git.stdout).unwrap().trim()).join("git-daemon");
        let mut command = Command::new(program);
        command.args(["--listen=127.0.0.1", "--export-all", "--reuseaddr", "--informative-errors"]);
        command.arg(format!("--port={port}")).arg(format!("--base-path={}", root.display())).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "git daemon does not listen");
        }
        Self { child, port }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bash(folder: &Path, script: &str) -> String {
    fs::create_dir_all(folder).unwrap();
    let mut command = Command::new("bash");
    command.arg("-ec").arg(script).current_dir(folder);
    for name in ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "t");
    }
    let out = command.output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A folder of stand-ins for a host's PATH: what would leave the machine is refused, and told in `told`.
fn refusing(stage: &Stage) -> (String, std::path::PathBuf) {
    let told = stage.lab.dir().join("refused");
    for program in ["curl", "wget"] {
        stage.file(
            &format!("refusing/{program}"),
            format!("#!/bin/sh\necho {program} \"$@\" >>{}\nexit 6\n", told.display()),
        );
    }
    let git = bash(stage.lab.dir(), "command -v git");
    stage.file(
        "refusing/git",
        format!(
            "#!/bin/sh\ncase \" $* \" in *' fetch '*git://* | *' clone '*git://*) echo git \"$@\" >>{}; exit 128 ;; esac\n\
             exec {git} \"$@\"\n",
            told.display()
        ),
    );
    (format!("{}/refusing:{}", stage.lab.dir().display(), std::env::var("PATH").unwrap()), told)
}

fn notices(ran: &Ran) -> Vec<String> {
    let lines = ran.lines();
    lines.iter().filter(|e| e["type"] == "notice").map(|e| e["text"].as_str().unwrap().to_owned()).collect()
}

const PACKAGE: &str = "package() { mkdir -p \"$pkgdir/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/bin/fed\"; chmod 755 \"$pkgdir/bin/fed\"; }\n";

/// A host with no way out, in the inventory's words.
fn cut_off(stage: &Stage, hosts: &[&str]) -> std::path::PathBuf {
    let (path, told) = refusing(stage);
    let hosts: String = hosts.iter().map(|host| format!("[hosts.{host}]\nenv = {{ PATH = '{path}' }}\n")).collect();
    stage.inventory(&hosts);
    told
}

#[test]
fn a_host_without_internet_gets_its_sources_over_ssh() {
    let stage = Stage::new(&["one", "two"]);
    let told = cut_off(&stage, &["one", "two"]);
    let root = stage.lab.dir().join("git");
    let commit = bash(
        &root,
        "git init -q -b main sub; git -C sub commit -q --allow-empty -m 0; echo sub > sub/s; git -C sub add s; git -C sub commit -qm s\n\
         git init -q -b main up; cd up; echo 1 > f; git add f; git commit -qm 1; git tag v1\n\
         git -c protocol.file.allow=always submodule --quiet add ../sub deep/sub; sed -i 's|url = .*|url = ../sub|' .gitmodules\n\
         echo 2 > f; git commit -qam 2; git rev-parse HEAD",
    );
    let daemon = Daemon::start(&root);
    let up = format!("git+git://127.0.0.1:{}/up", daemon.port);
    let archive = stage.lab.dir().join("d.tar.gz");
    bash(stage.lab.dir(), "mkdir d; echo inside > d/x; tar -czf d.tar.gz d");
    let archive = fs::read(archive).unwrap();
    let (checked, loose) = (serve(archive.clone(), &[Manner::Good]), serve(content(), &[Manner::Good]));
    let folder = stage.recipe(
        "fed",
        &format!(
            "source=('d.tar.gz::{}' 'loose::{}' '{up}#tag=v1' 'c::{up}#commit={commit}' 'h::{up}' local.txt)\n\
             sha256sums=({} SKIP SKIP SKIP SKIP SKIP)\n\
             build() {{ [ \"$(cat d/x up/f c/f h/f local.txt c/deep/sub/s | tr '\\n' ' ')\" = 'inside 1 2 2 local sub ' ]\n\
             [ \"$(wc -c < loose)\" -eq 1200000 ]; }}\n{PACKAGE}",
            checked.url,
            loose.url,
            sha256(&archive)
        ),
    );
    stage.file("recipes/fed/local.txt", "local\n");
    let entry = fs::read_to_string(format!("{folder}/worker.toml")).unwrap();
    stage.file("recipes/fed/worker.toml", format!("{entry}submodules = true\n"));

    // Without it, the sentence says what would help.
    let ran = stage.events(&format!("fleet install {folder} -H one --build host")).exits(1);
    let lines = ran.lines();
    let finished = lines.iter().find(|e| e["type"] == "host_finished").unwrap();
    assert!(finished["error"].as_str().unwrap().contains("cannot download http://127.0.0.1"), "{ran}");
    assert!(finished["hint"].as_str().unwrap().contains("--fetch controller"), "{ran}");
    assert_eq!((finished["phase"].as_str(), checked.requests()), (Some("fetch"), 0), "{ran}");
    assert!(fs::read_to_string(&told).unwrap().contains("curl"));
    fs::remove_file(&told).unwrap();

    let planned = stage.rbee(&format!("fleet plan {folder} -H all --build each --fetch controller")).exits(0);
    planned.says("its sources are fetched here");
    let ran = stage.events(&format!("fleet install {folder} -H all --build each --fetch controller")).exits(0);
    for host in ["one", "two"] {
        ran.outcome(host, "changed");
        stage.is_clean(host, &ran);
    }
    stage.is_clean("local", &ran);
    assert!(!told.exists(), "a host went out: {}\n{ran}", fs::read_to_string(&told).unwrap());
    assert_eq!((checked.requests(), loose.requests()), (1, 1), "two hosts are fed from one fetch\n{ran}");
    let said = notices(&ran);
    let unchecked = said.iter().filter(|text| text.starts_with("nothing checks these sources")).collect::<Vec<_>>();
    assert_eq!(unchecked.len(), 2, "once for each host\n{ran}");
    assert_eq!(
        unchecked[0], "nothing checks these sources: loose (SKIP), up (git, tag v1), h (git, newest commit)",
        "{ran}"
    );

    // The next one fetches what may have changed, and no more.
    let ran =
        stage.events(&format!("fleet install {folder} -H one --build host --fetch controller --reinstall")).exits(0);
    ran.outcome("one", "changed");
    assert_eq!((checked.requests(), loose.requests()), (1, 2), "{ran}");

    // What is wrong here is told of here, and advises nothing that is done already.
    let gone = stage.recipe(
        "fed",
        &format!("source=('{}')\nsha256sums=(SKIP)\n{PACKAGE}", serve(vec![], &[Manner::Status(404)]).url),
    );
    let ran = stage.events(&format!("fleet install {gone} -H all --build each --fetch controller")).exits(1);
    let failed = ran.outcome("two", "failed");
    assert!(failed["error"].as_str().unwrap().ends_with("the server answers 404 (not found)"), "{ran}");
    let lines = ran.lines();
    let finished = lines.iter().find(|e| e["type"] == "host_finished").unwrap();
    assert!(finished["hint"].is_null(), "{ran}");
    stage.is_clean("one", &ran);
    stage.is_clean("local", &ran);
}

#[test]
fn sources_that_the_controller_was_fetching_when_it_was_killed_are_gone_on_with() {
    for place in ["host", "controller"] {
        let (stage, word) = (Stage::new(&["one"]), token());
        let server = serve(content(), &[Manner::Stall(800_000), Manner::Good]);
        let folder = stage.recipe(
            "fed",
            &format!("source=('{}/{word}/file.bin')\nsha256sums=({})\n{PACKAGE}", server.base, sha256(&content())),
        );
        let install = format!("fleet install {folder} -H one --build host --fetch {place} --lease 2s");
        let live = stage.start(&install);
        let host = if place == "host" { "one" } else { "local" };
        // What was sent may not yet be written.
        let written = || {
            let of_part = |path: &Path| path.extension().is_some_and(|end| end == "part");
            stage.files(host).iter().any(|(path, (.., size))| of_part(path) && *size > 0)
        };
        eventually_sync("the fetch", || server.bytes() >= 800_000 && !processes_with(&word).is_empty() && written());
        live.signal(Signal::SIGKILL);
        assert_eq!(live.end().code, None);
        let start = Instant::now();
        while !processes_with(&word).is_empty() || stage.home("one").join(".local/state/rbee/lock").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "{place}: it goes on: {:?}", processes_with(&word));
            std::thread::sleep(Duration::from_millis(50));
        }
        let ran = stage.events(&install).exits(0);
        ran.outcome("one", "changed");
        stage.is_clean("one", &ran);
        stage.is_clean("local", &ran);
        let range = server.ranges()[1].clone().unwrap_or_else(|| panic!("{place}: it began anew\n{ran}"));
        let from: u64 = range.trim_end_matches('-').parse().unwrap();
        assert!(from > 0 && server.bytes() == 800_000 + 1_200_000 - from, "{place}: {range} {}", server.bytes());
    }
}

#[test]
fn a_cancel_while_sources_are_fetched_leaves_nothing() {
    let rounds = std::env::var("RBEE_SOAK").map_or(5, |text| text.parse::<usize>().unwrap());
    let stage = Stage::new(&["one"]);
    for _ in 0..rounds {
        for (place, kind) in [("host", "http"), ("controller", "http"), ("host", "git"), ("controller", "git")] {
            let word = token();
            // Whoever comes is listened to, and not answered.
            let server = serve(content(), &[Manner::Stall(100_000)]);
            let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let source = match kind {
                "http" => format!("{}/{word}/file.bin", server.base),
                _ => format!("x::git+git://{}/{word}", silent.local_addr().unwrap()),
            };
            let folder = stage.recipe("fed", &format!("source=('{source}')\nsha256sums=(SKIP)\n{PACKAGE}"));
            let live = stage.start(&format!("fleet install {folder} -H one --build host --fetch {place}"));
            let start = Instant::now();
            while processes_with(&word).is_empty() || (kind == "http" && server.bytes() < 100_000) {
                assert!(start.elapsed() < Duration::from_secs(60), "it does not fetch");
                std::thread::sleep(Duration::from_millis(20));
            }
            let asked = Instant::now();
            live.signal(Signal::SIGINT);
            let ran = live.end().exits(130);
            assert!(asked.elapsed() < Duration::from_secs(6), "{place} {kind}: took {:?}\n{ran}", asked.elapsed());
            assert_eq!(processes_with(&word), [] as [u32; 0], "{place} {kind}\n{ran}");
            ran.outcome("one", "cancelled");
            stage.is_clean("one", &ran);
            stage.is_clean("local", &ran);
        }
    }
}

#[test]
fn a_mirror_that_is_none_is_refused_before_anything() {
    let stage = Stage::new(&[]);
    for (mirror, said) in [
        ("https://a/=http://b/", "would be asked for without TLS"),
        ("https://a/", "is no mirror"),
        ("https://a=https://b/", "must both end in '/'"),
    ] {
        stage.rbee(&format!("fleet install echo-worker -H local --mirror {mirror}")).exits(2).says(said);
    }
}
