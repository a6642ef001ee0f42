//! The script itself, run for real under each shell that a host may have.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    preflight::{PROBE, parse::parse},
    scope::{Cancel, Scope, events},
    target::{self, Closed, Containment, Exit, Output, Source, Target, TargetError},
    vocab::{
        Facts, RunId,
        facts::{Os, Writable},
    },
};

pub(super) const SHELLS: [&[&str]; 5] = [&["dash"], &["bash", "--posix"], &["bash"], &["busybox", "sh"], &["mksh"]];

/// A host of one's own: its home, and a folder that comes first on its PATH.
pub(super) struct Host {
    root: tempfile::TempDir,
    env: BTreeMap<&'static str, String>,
}

impl Host {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["home", "tmp", "bin", "prefix"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        let at = |dir: &str| root.path().join(dir).display().to_string();
        let env = BTreeMap::from([
            ("HOME", at("home")),
            ("TMPDIR", at("tmp")),
            ("RBEE_PREFIX", at("prefix")),
            ("SHELL", "/bin/bash".to_owned()),
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin"))),
        ]);
        Self { root, env }
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(super) fn write(&self, below: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn output(&self, shell: &[&str]) -> String {
        self.output_of(shell, PROBE)
    }

    /// What a script of ours prints; it must print nothing else.
    pub(super) fn output_of(&self, shell: &[&str], script: &str) -> String {
        let program = ["/usr/bin", "/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(shell[0]));
        let program = program.iter().find(|path| path.exists());
        let program =
            program.unwrap_or_else(|| panic!("{} is missing: apt-get install dash bash busybox mksh", shell[0]));
        let mut command = Command::new(program);
        command.args(&shell[1..]).arg("-c").arg(script).env_clear().envs(&self.env).stdin(Stdio::null());
        // A group of its own, so that a probe that never ends fails the test and leaves nothing.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let group = Pid::from_raw(child.id().try_into().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let output = receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| {
            let _ = killpg(group, Signal::SIGKILL);
            panic!("{shell:?} never came to an end");
        });
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.is_empty(), "{shell:?} says: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn facts(&self, shell: &[&str]) -> Facts {
        let output = self.output(shell);
        parse(output.as_bytes()).unwrap_or_else(|e| panic!("{shell:?}: {e}\n{output}"))
    }

    /// Every file with what would show a change of it.
    pub(super) fn listing(&self) -> Vec<(PathBuf, u64, i64, i64, u32)> {
        let mut found = Vec::new();
        let mut todo = vec![self.root.path().to_owned()];
        while let Some(path) = todo.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            found.push((path, meta.size(), meta.mtime(), meta.mtime_nsec(), meta.mode()));
        }
        found.sort();
        found
    }
}

const MANIFEST: &str = r#"worker = "echo-worker"
version = "0.1.0-1"
key = "abababababababababababababababababababababababababababababababab"
digest = "0101010101010101010101010101010101010101010101010101010101010101"
size = 3
path = "PATH"
origin = "\"quotes\" and $HOME `x` \\n %s *"
	later = "a	tab"
run = "20260102-030405-abcdef"
installed_at = "2026-01-02T03:04:05Z"
"#;

/// What differs from one moment to the next.
fn steady(facts: Facts) -> Facts {
    let disks = facts.disks.into_iter().map(|disk| crate::vocab::facts::Disk { free: 0, ..disk }).collect();
    Facts { disks, ..facts }
}

#[test]
fn every_shell_tells_the_same() {
    let host = Host::new();
    let worker = host.write("home/.local/bin/echo-worker", "abc", 0o755);
    let text = MANIFEST.replace("PATH", worker.to_str().unwrap());
    host.write("home/.local/share/rbee/installed/echo-worker.toml", &text, 0o644);
    host.write("prefix/share/rbee/installed/bad name*.toml", "worker = 3\n", 0o644);
    symlink("/nowhere", host.path("prefix/link")).unwrap();
    let gone = text.replace(worker.to_str().unwrap(), host.path("prefix/link").to_str().unwrap());
    host.write("prefix/share/rbee/installed/gone.toml", &gone, 0o644);
    host.write("home/.cache/rbee/build-times", "echo-worker 12\n* $x \t3\nx 7 8\n-x 9\nlast 70", 0o644);
    host.write("home/.local/state/rbee/lock", "run 7 of ada@desk\nmore\n", 0o600);
    host.write(
        "bin/cmake",
        "#!/bin/sh\nprintf 'end\\ntool\\tfake\\ton\\t/fake\\n'; echo \"cmake x86_64-3 version 3.25.1-rc2\"\n",
        0o755,
    );
    host.write("bin/ninja", "#!/bin/sh\necho 7; echo noise >&2; exit 3\n", 0o755);
    host.write("home/.cargo/bin/cargo", "#!/bin/sh\nmkdir \"$HOME/.rustup\"\n", 0o755);
    host.write("home/.cargo/bin/rustup", "", 0o755);

    let first = steady(host.facts(SHELLS[0]));
    assert_eq!((first.os.clone(), first.home.as_str()), (Os::Linux, host.env["HOME"].as_str()));
    assert!(first.cores.is_some() && first.memory.is_some() && first.libc.is_some(), "{first:?}");
    assert_eq!((first.user_bin, first.system_bin), (Writable::Yes, Writable::Creatable));
    assert_eq!(first.disks.len(), 6);
    assert_eq!(first.tool("cmake").unwrap().version.as_deref(), Some("3.25.1"));
    assert_eq!(first.tool("ninja").unwrap().version, None);
    assert!(first.tool("fake").is_none());
    assert!(first.tool("bash").unwrap().version.is_some());
    assert!(first.tool("cargo").is_none_or(|cargo| !cargo.path.starts_with(&first.home)));
    assert_eq!(first.lock.as_deref(), Some("run 7 of ada@desk"));
    let times: Vec<_> = first.build_times.iter().map(|(worker, took)| (worker.as_str(), took.as_secs())).collect();
    assert_eq!(times, [("echo-worker", 12), ("last", 70)]);
    assert_eq!(first.installed.len(), 2);
    assert_eq!(first.installed[0].origin, "\"quotes\" and $HOME `x` \\n %s *");
    assert_eq!(first.program(worker.to_str().unwrap()).unwrap().size, Some(3));
    let gone = first.program(host.path("prefix/link").to_str().unwrap()).unwrap();
    assert_eq!((gone.symlink, gone.size), (true, None));
    assert!(first.silent.is_empty(), "{:?}", first.silent);
    for shell in &SHELLS[1..] {
        assert_eq!(steady(host.facts(shell)), first, "{shell:?}");
    }
}

#[test]
fn nothing_is_changed() {
    let host = Host::new();
    host.write("home/.bashrc", "touch ran\n", 0o644);
    host.write("home/.profile", "touch ran\n", 0o644);
    host.write("home/.mkshrc", "touch ran\n", 0o644);
    // Each of these would leave something behind if it were asked for its version.
    let trap = format!("#!/bin/sh\ntouch '{}'; echo 1.2.3\n", host.path("home/ran").display());
    host.write("home/.cargo/bin/cargo", &trap, 0o755);
    host.write("home/.cargo/bin/rustc", &trap, 0o755);
    host.write("home/.cargo/bin/rustup", &trap, 0o755);
    host.write("home/shims/cmake", &trap, 0o755);
    host.write("home/shims/python3", &trap, 0o755);
    let mut host = host;
    let path = format!("{}:{}", host.path("home/shims").display(), host.env["PATH"]);
    let path = format!("{}:{path}", host.path("home/.cargo/bin").display());
    host.env.insert("PATH", path);
    host.env.insert("ENV", host.path("home/.profile").display().to_string());
    let before = host.listing();
    for shell in SHELLS {
        let facts = host.facts(shell);
        assert_eq!(host.listing(), before, "{shell:?}");
        assert_eq!(facts.tool("cmake").unwrap().version, None);
        assert_eq!(facts.notes.len(), 2, "{:?}", facts.notes);
    }
}

#[test]
fn behind_a_rustup_proxy_the_toolchain_is_asked() {
    let host = Host::new();
    host.write("home/.cargo/bin/cargo", "#!/bin/sh\nexit 9\n", 0o755);
    host.write("home/.cargo/bin/rustup", "", 0o755);
    host.write("home/.rustup/settings.toml", "version = \"12\"\ndefault_toolchain = \"stable-x\"\n", 0o644);
    host.write("home/.rustup/toolchains/stable-x/bin/cargo", "#!/bin/sh\necho cargo 1.99.0\n", 0o755);
    let mut host = host;
    host.env.insert("PATH", "/usr/bin:/bin".into());
    if Path::new("/usr/bin/cargo").exists() {
        host.env.insert("PATH", format!("{}:/usr/bin:/bin", host.path("home/.cargo/bin").display()));
    }
    for shell in SHELLS {
        let facts = host.facts(shell);
        let cargo = facts.tool("cargo").unwrap();
        assert_eq!(cargo.path, host.path("home/.cargo/bin/cargo").to_str().unwrap());
        assert_eq!(cargo.version.as_deref(), Some("1.99.0"), "{shell:?}");
    }
}

#[test]
fn folders_follow_the_environment() {
    let mut host = Host::new();
    host.env.insert("XDG_CACHE_HOME", "/var/cache/ada/".into());
    host.env.insert("XDG_STATE_HOME", "relative".into());
    host.env.insert("RBEE_PREFIX", "relative".into());
    for shell in SHELLS {
        let dirs = host.facts(shell).dirs;
        assert_eq!(dirs.cache, "/var/cache/ada/rbee", "{shell:?}");
        assert_eq!(dirs.state, format!("{}/.local/state/rbee", host.env["HOME"]));
        assert_eq!((dirs.system_bin.as_str(), dirs.system_data.as_str()), ("/usr/local/bin", "/usr/local/share/rbee"));
    }
}

#[test]
fn without_a_home_in_the_environment_the_user_still_has_one() {
    let mut host = Host::new();
    host.env.remove("HOME");
    host.env.remove("SHELL");
    let facts = host.facts(SHELLS[0]);
    assert!(facts.home.starts_with('/') && facts.login_shell.is_some(), "{facts:?}");
}

#[test]
fn a_tab_or_a_newline_in_a_path_fakes_nothing() {
    let mut host = Host::new();
    host.env.insert("XDG_CACHE_HOME", "/x\nos\tPlan9\nend".into());
    host.env.insert("PATH", format!("/a\tb:{}", host.env["PATH"]));
    for shell in SHELLS {
        let output = host.output(shell);
        assert!(output.contains("bad\tcache\n") && output.contains("bad\tpath\n"), "{output}");
        assert!(!output.contains("Plan9"), "{output}");
    }
}

/// Processes that have `mark` in their command line.
fn running(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(mark) {
            found.push(line);
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn a_tool_that_hangs_is_ended_with_all_it_started() {
    let hosts: Vec<(Host, String)> = (0..SHELLS.len())
        .map(|i| {
            let host = Host::new();
            // A number of seconds that nobody else sleeps for.
            let mark = format!("60{}.{i}", std::process::id());
            let script = format!("#!/bin/sh\ntrap '' TERM HUP INT\nsleep {mark} &\n(sleep {mark})\nsleep {mark}\n");
            host.write("bin/nvidia-smi", &script, 0o755);
            (host, mark)
        })
        .collect();
    std::thread::scope(|scope| {
        for ((host, mark), shell) in hosts.iter().zip(SHELLS) {
            scope.spawn(move || {
                let start = Instant::now();
                let facts = host.facts(shell);
                assert!(start.elapsed() < Duration::from_secs(20), "{shell:?} took {:?}", start.elapsed());
                assert_eq!(facts.silent, ["nvidia-smi"], "{shell:?}");
                assert!(facts.tool("bash").unwrap().version.is_some());
                // What was killed may take a moment to be gone.
                let end = Instant::now() + Duration::from_secs(10);
                while !running(&format!("sleep {mark}")).is_empty() {
                    assert!(Instant::now() < end, "{shell:?} leaves {:?}", running(mark));
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn no_watchdog_is_left_behind() {
    for shell in SHELLS {
        let mut host = Host::new();
        let mark = host.env["HOME"].clone();
        host.env.insert("RBEE_MARK", mark.clone());
        host.facts(shell);
        let ours = |entry: &fs::DirEntry| {
            let env = fs::read(entry.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&env).contains(&mark)
        };
        let left: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(ours).map(|e| e.path()).collect();
        assert!(left.is_empty(), "{shell:?} leaves {left:?}");
    }
}

#[test]
fn the_script_is_clean() {
    let mut command = Command::new("shellcheck");
    command.args(["--shell=sh", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("shellcheck is missing: apt-get install shellcheck");
    // It reads all before it says anything, so writing cannot wait for reading.
    child.stdin.take().unwrap().write_all(PROBE.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(!PROBE.contains("<<"), "here-documents make files in some shells");
    assert!(PROBE.len() < 64 << 10);
}

/// Answers every script with the same words.
struct Parrot {
    stdout: &'static [u8],
    stderr: &'static [u8],
}

#[async_trait::async_trait]
impl Target for Parrot {
    async fn run(&self, _: &Scope, command: &target::Command, output: &mut dyn Output) -> Result<Exit, TargetError> {
        assert_eq!(command.label, "probe");
        output.chunk(crate::vocab::Stream::Stdout, self.stdout).await;
        output.chunk(crate::vocab::Stream::Stderr, self.stderr).await;
        Ok(Exit { status: 0, containment: Containment::Group })
    }

    async fn put(&self, _: &Scope, _: &str, _: &mut dyn Source) -> Result<Option<crate::vocab::Digest>, TargetError> {
        panic!("a probe puts nothing")
    }

    async fn scratch(&self, _: &Scope, _: &str) -> Result<(), TargetError> {
        panic!("a probe makes nothing")
    }

    async fn cleanup(&self, _: &Scope, _: &str) -> Result<(), TargetError> {
        panic!("a probe leaves nothing")
    }

    async fn close(&self) -> Closed {
        Closed::Clean
    }
}

#[tokio::test]
async fn what_a_host_says_instead_is_passed_on() {
    let (emitter, _receiver) = events(RunId::new("test").unwrap());
    let scope = Scope::new(Cancel::new(), emitter);
    let ask = async |stdout, stderr| crate::preflight::probe(&scope, &Parrot { stdout, stderr }).await;
    let error = ask(b"", b"This account is \x1b[31mnot available.\n").await.unwrap_err();
    assert_eq!(error.to_string(), "the host did not run the probe: This account is not available.");
    let error = ask(b"probe\t1\nos\tLinux\n", b"").await.unwrap_err();
    assert!(error.to_string().starts_with("the probe was cut off"), "{error}");
    let windows = b"'exec' is not recognized as an internal or external command,\r\n";
    assert_eq!(ask(b"", windows).await.unwrap().os, Os::Windows);
}
