//! The sandbox as OpenSSH's own clients see it.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rbee::sandbox::{Down, Ended, Options, Sandbox, SandboxError, Status, Toolchain, down, spawn_detached, status};

/// Generous: the machine may be busy.
const LONG: Duration = Duration::from_secs(60);

struct Rig {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start(hosts: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(Options::new(folder.path(), hosts)).await.unwrap();
        Self { sandbox, folder }
    }

    fn dir(&self) -> &Path {
        self.sandbox.dir()
    }

    fn home(&self) -> PathBuf {
        self.dir().join("hosts/sandbox-1/home")
    }

    /// One of OpenSSH's clients, told about the sandbox.
    fn client(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-F").arg(self.dir().join("ssh_config")).args(["-o", "BatchMode=yes"]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn ssh(&self, args: &[&str]) -> Output {
        self.fed(self.client("ssh", args), b"")
    }

    /// Runs it to its end, fed with `input`.
    fn fed(&self, mut command: Command, input: &[u8]) -> Output {
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("these tests need OpenSSH's clients: {command:?}: {e}"));
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A command may end without reading it.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }

    fn command(&self, line: &str) -> Output {
        self.ssh(&["sandbox-1", line])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_have_streams_a_status_and_an_environment_of_their_own() {
    let rig = Rig::start(2).await;
    let output = rig.fed(rig.client("ssh", &["sandbox-1", "cat; echo oops >&2; exit 3"]), b"from stdin");
    assert_eq!((text(&output.stdout), output.status.code()), ("from stdin".into(), Some(3)));
    assert!(text(&output.stderr).contains("oops"), "{output:?}");

    let output = rig.fed(rig.client("ssh", &["sandbox-1"]), b"echo shell; exit 5\n");
    assert_eq!((text(&output.stdout), output.status.code()), ("shell\n".into(), Some(5)));

    // ssh says 255 for a signal; its log says which.
    let output = rig.ssh(&["-v", "sandbox-1", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("exit-signal"), "{}", text(&output.stderr));

    let env = check(&rig.command("pwd; env | sort; ps -o sid= -p $$; echo $$"));
    let home = rig.home();
    assert_eq!(env.lines().next(), Some(home.to_str().unwrap()));
    for name in ["HOME=", "TMPDIR=", "USER=", "LOGNAME=", "SHELL=/bin/sh", "SSH_CONNECTION=127.0.0.1 ", "RBEE_PREFIX="]
    {
        assert!(env.lines().any(|line| line.starts_with(name)), "{name} in {env}");
    }
    assert!(!env.contains("XDG_") && !env.contains("CARGO_"), "{env}");
    let last: Vec<_> = env.lines().rev().take(2).map(str::trim).collect();
    assert_eq!(last[0], last[1], "the command leads its session");
    assert_ne!(check(&rig.ssh(&["sandbox-2", "echo $HOME"])).trim(), home.to_str().unwrap());

    check(&rig.command("printf '#!/bin/sh\\necho mine\\n' > $RBEE_PREFIX/bin/own && chmod +x $RBEE_PREFIX/bin/own"));
    assert_eq!(check(&rig.command("own")), "mine\n");
    assert!(!rig.ssh(&["sandbox-2", "own"]).status.success(), "a prefix is one host's");

    assert!(!rig.ssh(&["-tt", "sandbox-1", "true"]).stderr.is_empty(), "a terminal is refused");
    assert_eq!(rig.sandbox.shutdown().await.left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_is_lent_through_its_variables() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path(), 1);
    options.toolchain = Toolchain { rustup_home: Some("/opt/rustup".into()), cargo_home: Some("/opt/cargo".into()) };
    let rig = Rig { sandbox: Sandbox::start(options).await.unwrap(), folder };
    assert_eq!(check(&rig.command("echo $RUSTUP_HOME $CARGO_HOME")), "/opt/rustup /opt/cargo\n");
    assert!(!check(&rig.command("echo $PATH")).contains("cargo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_does_not_wait_for_the_background_but_the_output_does() {
    let rig = Rig::start(1).await;
    let started = Instant::now();
    let output = rig.ssh(&["-v", "sandbox-1", "(sleep 2; echo late) & echo early; exit 4"]);
    assert_eq!((text(&output.stdout), output.status.code()), ("early\nlate\n".into(), Some(4)));
    assert!(started.elapsed() >= Duration::from_secs(2), "the output was cut off");

    // What is written at the very end must come before the status, each time.
    for _ in 0..20 {
        let output = rig.command("head -c 300000 /dev/zero; exit 7");
        assert_eq!((output.stdout.len(), output.status.code()), (300_000, Some(7)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_exact_both_ways() {
    let rig = Rig::start(1).await;
    let bytes = noise(5_000_000);
    let local = rig.folder.path().join("local file");
    std::fs::write(&local, &bytes).unwrap();
    let local = local.to_str().unwrap();
    let back = rig.folder.path().join("back");

    // -O is the old protocol, which is a command with data both ways.
    for protocol in [&["-s"][..], &["-O"]] {
        let mut up = protocol.to_vec();
        up.extend(["-p", local, "sandbox-1:up.bin"]);
        check(&rig.fed(rig.client("scp", &up), b""));
        assert!(std::fs::read(rig.home().join("up.bin")).unwrap() == bytes, "{protocol:?}");
        let mut down = protocol.to_vec();
        down.extend(["sandbox-1:up.bin", back.to_str().unwrap()]);
        check(&rig.fed(rig.client("scp", &down), b""));
        assert!(std::fs::read(&back).unwrap() == bytes, "{protocol:?}");
        std::fs::remove_file(&back).unwrap();
    }
    let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let seconds = |at: std::time::SystemTime| at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(seconds(modified(&rig.home().join("up.bin"))), seconds(modified(Path::new(local))));
}

#[tokio::test(flavor = "multi_thread")]
async fn sftp_keeps_house() {
    let rig = Rig::start(1).await;
    std::fs::write(rig.home().join("old"), "old").unwrap();
    std::fs::write(rig.home().join("new"), "new").unwrap();
    let batch = "mkdir sub\nrename new old\nrename old sub/moved\nln -s sub/moved link\nchmod 600 sub/moved\n\
                 ls -la\nls sub\nmkdir gone\nrmdir gone\npwd\n-rm nothing\n";
    let output = rig.fed(rig.client("sftp", &["-b", "-", "sandbox-1"]), batch.as_bytes());
    let said = check(&output);
    assert!(said.lines().any(|line| line.starts_with('l') && line.ends_with(" link")), "{said}");
    assert!(said.lines().any(|line| line.trim() == "sub/moved"), "{said}");
    assert!(said.contains(rig.home().to_str().unwrap()), "{said}");
    assert!(text(&output.stderr).to_lowercase().contains("no such file"), "{output:?}");
    let moved = rig.home().join("sub/moved");
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "new");
    assert_eq!(std::fs::read_link(rig.home().join("link")).unwrap(), Path::new("sub/moved"));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&moved.metadata().unwrap().permissions()) & 0o777, 0o600);
    assert!(!rig.home().join("gone").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_key_logs_in() {
    let rig = Rig::start(1).await;
    let key = rig.folder.path().join("other");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]).arg(&key);
    let known = rig.dir().join("known_hosts");
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
    ssh.args(["-p", &rig.sandbox.hosts()[0].port.to_string(), "127.0.0.1", "true"]).stdin(Stdio::piped());
    let output = ssh.output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Permission denied (publickey)"), "{}", text(&output.stderr));

    assert_eq!(check(&rig.ssh(&["-l", "anybody", "sandbox-1", "echo in"])), "in\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_leaves_the_command_alone_and_the_end_does_not() {
    let rig = Rig::start(1).await;
    let start = |line: &str| -> (Child, String) {
        let mut ssh = rig.client("ssh", &["sandbox-1", line]).spawn().unwrap();
        let mut pid = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(ssh.stdout.as_mut().unwrap()), &mut pid).unwrap();
        (ssh, pid.trim().to_owned())
    };
    let (mut silent, kept) = start("echo $$; exec sleep 300");
    let (mut chatty, piped) = start("echo $$; exec yes");
    for ssh in [&mut silent, &mut chatty] {
        ssh.kill().unwrap();
        ssh.wait().unwrap();
    }
    until("who writes to nobody dies of it", || !is_alive(&piped));
    assert!(is_alive(&kept), "who is silent stays");

    // TERM-proof, in a session of its own, and its parent gone.
    let (mut escaped, stubborn) = start("setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait");
    escaped.kill().unwrap();
    escaped.wait().unwrap();
    assert!(is_alive(&stubborn));

    let ended = rig.sandbox.shutdown().await;
    assert!(!is_alive(&kept) && !is_alive(&stubborn), "{ended:?}");
    assert!(ended.processes >= 2 && ended.killed >= 1 && ended.left == 0, "{ended:?}");
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_whoever_is_slow() {
    let rig = Rig::start(1).await;
    assert_eq!(check(&rig.command("echo warm")), "warm\n");
    let before = resident();
    let mut most = before;

    // A slow reader.
    let mut ssh = rig.client("ssh", &["sandbox-1", "head -c 200000000 /dev/zero"]).spawn().unwrap();
    let mut out = ssh.stdout.take().unwrap();
    let mut chunk = vec![0; 1 << 20];
    let mut total = 0;
    let slow_until = Instant::now() + Duration::from_secs(2);
    loop {
        let n = out.read(&mut chunk).unwrap();
        total += n;
        most = most.max(resident());
        if n == 0 {
            break;
        }
        if Instant::now() < slow_until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(ssh.wait().unwrap().success());
    assert_eq!(total, 200_000_000);

    // A command that reads nothing for a while, then echoes all of it, across new keys.
    let bytes = noise(100_000_000);
    let (from, to) = (rig.folder.path().join("from"), rig.folder.path().join("to"));
    std::fs::write(&from, &bytes).unwrap();
    drop(bytes);
    let base = resident();
    let mut ssh = rig.client("ssh", &["-o", "RekeyLimit=30M", "sandbox-1", "sleep 1; cat"]);
    ssh.stdin(std::fs::File::open(&from).unwrap()).stdout(std::fs::File::create(&to).unwrap());
    let mut ssh = ssh.spawn().unwrap();
    let mut echo = base;
    until("the echo", || {
        echo = echo.max(resident());
        ssh.try_wait().unwrap().is_some()
    });
    assert!(ssh.wait().unwrap().success());
    let grown = (most - before, echo - base);
    assert!(grown.0 < 64 << 20 && grown.1 < 64 << 20, "grew by {grown:?}");
    assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap(), "the echo is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_channel_does_not_stop_its_neighbours() {
    let rig = Rig::start(1).await;
    let socket = rig.folder.path().join("m");
    let socket = socket.to_str().unwrap();
    let share = ["-o", "ControlMaster=auto", "-o", "ControlPersist=no", "-S", socket];
    let with = |rest: &[&'static str]| {
        let mut args: Vec<&str> = share.to_vec();
        args.extend(rest);
        rig.client("ssh", &args)
    };
    let mut master = with(&["-N", "sandbox-1"]).spawn().unwrap();
    until("the shared connection", || Path::new(socket).exists());
    let mut deaf = with(&["sandbox-1", "sleep 300"]);
    deaf.stdin(std::fs::File::open("/dev/zero").unwrap());
    let mut deaf = deaf.spawn().unwrap();
    // Long enough for more than memory holds to be on its way.
    std::thread::sleep(Duration::from_secs(1));
    let mut neighbour = with(&["sandbox-1", "echo fine"]).spawn().unwrap();
    until("the neighbour's answer", || neighbour.try_wait().unwrap().is_some());
    assert_eq!(check(&neighbour.wait_with_output().unwrap()), "fine\n");
    for child in [&mut deaf, &mut master] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    rig.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_reach_loopback_only() {
    let rig = Rig::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut tcp, _): (TcpStream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        // Both ends of file must get through: the client's here, ours there.
        tcp.read_to_end(&mut got).unwrap();
        got.reverse();
        tcp.write_all(&got).unwrap();
    });
    let bytes = noise(1_000_000);
    let output = rig.fed(rig.client("ssh", &["-W", &to, "sandbox-1"]), &bytes);
    server.join().unwrap();
    let expected: Vec<u8> = bytes.into_iter().rev().collect();
    assert!(output.stdout == expected, "{} bytes: {}", output.stdout.len(), text(&output.stderr));

    let output = rig.ssh(&["-W", "192.0.2.1:80", "sandbox-1"]);
    assert!(text(&output.stderr).contains("administratively prohibited"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hosts_start_and_answer() {
    let started = Instant::now();
    let rig = Rig::start(100).await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let names: Vec<_> = rig.sandbox.hosts().iter().map(|host| host.name.clone()).collect();
    for some in names.chunks(10) {
        let running: Vec<_> =
            some.iter().map(|name| (name, rig.client("ssh", &[name, "echo $HOME"]).spawn().unwrap())).collect();
        for (name, child) in running {
            let said = check(&child.wait_with_output().unwrap());
            assert!(said.ends_with(&format!("hosts/{name}/home\n")), "{name}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_kept_and_belongs_to_one_sandbox() {
    let rig = Rig::start(1).await;
    let dir = rig.dir().to_owned();
    check(&rig.command("echo kept > file"));
    let error = Sandbox::start(Options::new(&dir, 1)).await.unwrap_err();
    assert!(matches!(error, SandboxError::Running { hosts: 1, .. }), "{error}");
    assert!(matches!(status(&dir).unwrap(), Status::Up { .. }));

    let keys = |dir: &Path| {
        let known = std::fs::read_to_string(dir.join("known_hosts")).unwrap();
        let host = known.split_once(' ').unwrap().1.to_owned();
        (std::fs::read_to_string(dir.join("id_ed25519")).unwrap(), host.lines().next().unwrap().to_owned())
    };
    let before = keys(&dir);
    let Rig { sandbox, folder } = rig;
    sandbox.shutdown().await;
    assert_eq!(status(&dir).unwrap(), Status::Down);

    let rig = Rig { sandbox: Sandbox::start(Options::new(&dir, 2)).await.unwrap(), folder };
    assert_eq!(keys(&dir), before);
    assert_eq!(check(&rig.command("cat file")), "kept\n");
    let inventory: toml::Table = std::fs::read_to_string(dir.join("inventory.toml")).unwrap().parse().unwrap();
    let port = inventory["hosts"]["sandbox-2"]["port"].as_integer().unwrap();
    assert_eq!(port, i64::from(rig.sandbox.hosts()[1].port));
    for (name, mode) in [("", 0o700), ("id_ed25519", 0o600), ("sandbox.json", 0o600), ("hosts/sandbox-1/home", 0o700)] {
        let found = std::os::unix::fs::PermissionsExt::mode(&dir.join(name).metadata().unwrap().permissions());
        assert_eq!(found & 0o777, mode, "{name:?}");
    }

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("thesis.tex"), "").unwrap();
    let error = Sandbox::start(Options::new(other.path(), 1)).await.unwrap_err();
    assert!(matches!(error, SandboxError::Folder { .. }), "{error}");
    for hosts in [0, 10_001] {
        assert!(matches!(Sandbox::start(Options::new(&dir, hosts)).await, Err(SandboxError::HostCount { .. })));
    }
}

const DIR: &str = "RBEE_TEST_SANDBOX_DIR";

/// Not a test: the process that [`a_detached_sandbox_goes_down_and_leaves_nothing`] starts.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by another test"]
async fn detached_process() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    Sandbox::start(Options::new(dir, 3)).await.unwrap().wait().await.unwrap();
}

fn args(dir: &Path) -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let variable = format!("{DIR}={}", dir.display());
    [variable.as_str(), exe.to_str().unwrap(), "--exact", "detached_process", "--ignored", "--nocapture"]
        .map(str::to_owned)
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_sandbox_goes_down_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let env = Path::new("/usr/bin/env");
    for end_kindly in [true, false] {
        let Status::Up { pid, hosts, hub: None } = spawn_detached(dir, env, args(dir), LONG).await.unwrap() else {
            panic!()
        };
        assert_eq!(hosts.len(), 3);
        assert_eq!(status(dir).unwrap(), Status::Up { pid, hosts, hub: None });
        let again = spawn_detached(dir, env, args(dir), LONG).await.unwrap_err();
        assert!(matches!(again, SandboxError::Running { .. }), "{again}");

        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(dir.join("ssh_config")).args(["-o", "BatchMode=yes", "sandbox-3"]);
        ssh.arg("setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!").stdin(Stdio::null());
        let left = check(&ssh.output().unwrap()).trim().to_owned();
        assert!(is_alive(&left));

        if end_kindly {
            let left_behind = Ended::default();
            assert_eq!(down(dir).await.unwrap(), Down::Ended { pid, hosts: 3, left_behind });
        } else {
            // A crash, seen by whoever cleans up after it. The sandbox is a child of this process, so it stays a zombie.
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
            assert!(killed.success());
            until("the crash", || status(dir).unwrap() == Status::Down);
            let Down::WasDown { left_behind } = down(dir).await.unwrap() else { panic!("it was killed") };
            assert_eq!((left_behind.processes, left_behind.left), (1, 0));
        }
        assert!(!is_alive(&left) && !is_alive(&pid.to_string()));
        assert_eq!(status(dir).unwrap(), Status::Down);
    }

    let error = spawn_detached(dir, Path::new("/bin/sh"), ["-c", "echo no luck; exit 1"], LONG).await.unwrap_err();
    assert!(matches!(&error, SandboxError::Died { log } if log.contains("no luck")), "{error}");
    let brief = Duration::from_millis(300);
    let error = spawn_detached(dir, Path::new("/bin/sh"), ["-c", "exec sleep 100"], brief).await.unwrap_err();
    assert!(matches!(error, SandboxError::Late { .. }), "{error}");
}
