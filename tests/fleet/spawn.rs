//! Workers that run: spawned, asked, listed, stopped; here, on hosts, and what becomes of them when something is cut off.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    sshd::free_port,
    stage::{Ran, Stage, run},
    support::{eventually_sync, processes_with, token, until_seen},
};

/// Ends what a test that failed has left, by its own word.
pub struct Mine(pub String);

impl Drop for Mine {
    fn drop(&mut self) {
        for pid in processes_with(&self.0) {
            let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
        }
    }
}

/// A worker that does what its arguments say: `sick` never gets healthy, `deaf` ignores TERM, `escape` starts what leaves its
/// session, `vanish` what has no environment, either; `die` says why it cannot, `key` writes down which API key it was given.
/// `hold FILE` waits for FILE, and dies.
const SERVER: &str = r##"#!/usr/bin/env python3
import http.server, os, signal, socket, subprocess, sys, time
words = sys.argv[1:]
if words and words[0] in ("--version", "--help"):
    print("srv 1.0")
    sys.exit(0)
given = dict(zip(words[::2], words[1::2]))
if "die" in words:
    print("first words", flush=True)
    print("there is no such card", file=sys.stderr, flush=True)
    sys.exit(3)
if "deaf" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "escape" in words:
    subprocess.Popen(["setsid", "sleep", words[-1]])
if "vanish" in words:
    subprocess.Popen(["setsid", "sleep", words[-1]], env={})
if "key" in words:
    open(os.path.join(os.environ["HOME"], "key-seen"), "w").write(os.environ.get("SRV_KEY", ""))
if "hold" in words and not os.path.exists(words[-1] + ".held"):
    open(words[-1] + ".port", "w").write(given["--port"] + "\n")
    while not os.path.exists(words[-1]):
        time.sleep(0.01)
    open(words[-1] + ".held", "w").close()
    sys.exit(1)
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        well = "sick" not in words
        self.send_response(200 if well and self.path == "/ready" else 503)
        self.end_headers()
    def log_message(self, *_):
        print("asked for", self.path, flush=True)
http.server.ThreadingHTTPServer((given["--host"], int(given["--port"])), Door).serve_forever()
"##;

const RUN: &str = "[run]\nargs = ['--host', '{bind}', '--port', '{port}']\nmodel = ['--model', '{model}']\n\
                   model_needed = false\napi_key_env = 'SRV_KEY'\nhealth = '/ready'\n";

impl Stage {
    /// Installs the server on a host, and makes the catalog that says how it is started.
    pub fn server(&self, host: &str) -> String {
        let program = self.file("srv", SERVER);
        let folder = self.recipe("srv", "");
        let entry = Path::new(&folder).join("worker.toml");
        fs::write(&entry, fs::read_to_string(&entry).unwrap() + RUN).unwrap();
        let ran = match host {
            "local" => self.run_here(&format!("worker install srv --binary {program}")),
            host => self.rbee(&format!("fleet install srv --binary {program} -H {host}")),
        };
        ran.exits(0);
        self.lab.dir().join("recipes").to_str().unwrap().to_owned()
    }

    fn run_here(&self, after: &str) -> Ran {
        let mut command = self.bare();
        command.args(after.split_whitespace());
        run(command)
    }

    fn workers(&self, host: &str) -> PathBuf {
        self.home(host).join(".local/state/rbee/workers")
    }

    /// The folders of workers on a host.
    fn folders(&self, host: &str) -> Vec<PathBuf> {
        fs::read_dir(self.workers(host)).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// The workers of a host, as they are now.
    #[track_caller]
    fn processes(&self, verb: &str) -> Vec<Value> {
        let ran = self.rbee(&format!("--output json {verb}")).exits(0);
        ran.document()["hosts"][0]["processes"].as_array().unwrap_or_else(|| panic!("{ran}")).clone()
    }
}

/// A model in the hub's own layout.
fn model(home: &Path, file: &str) {
    let repo = home.join(".cache/huggingface/hub/models--org--tiny");
    let (commit, blob) = ("c".repeat(40), "b".repeat(64));
    let snapshot = repo.join("snapshots").join(&commit);
    for folder in [repo.join("refs"), repo.join("blobs"), snapshot.clone()] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repo.join("refs/main"), commit).unwrap();
    fs::write(repo.join("blobs").join(&blob), "GGUF").unwrap();
    symlink(format!("../../blobs/{blob}"), snapshot.join(file)).unwrap();
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn complete(port: u16, prompt: &str) -> Option<String> {
    let body = format!("{{\"prompt\":\"{prompt}\"}}");
    let head = format!("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    ask(port, &(head + &body))
}

/// Process and port that `spawn` printed.
#[track_caller]
fn spawned(ran: &Ran) -> (u32, u16) {
    let (pid, url) = ran.stdout.trim().split_once(' ').unwrap_or_else(|| panic!("{ran}"));
    (pid.parse().unwrap(), url.rsplit_once(':').unwrap().1.parse().unwrap())
}

#[test]
fn a_worker_on_a_host_answers_through_a_tunnel_outlives_its_connection_and_is_stopped() {
    let (stage, token) = (Stage::new(&["one"]), token());
    let _mine = Mine(token.clone());
    stage.rbee("fleet install echo-worker -H one").exits(0);
    model(&stage.home("one"), &format!("tiny-{token}.gguf"));
    // The only worker, and a model of the cache.
    let ran = stage.rbee("fleet worker spawn -H one --model org/tiny").exits(0);
    let (pid, port) = spawned(&ran);
    assert!(port >= 7855, "{ran}");
    // Nothing of the connection is there any more, and the worker is.
    eventually_sync("the session's end", || stage.lab.sshd("one").descendants().is_empty());
    assert!(processes_with(&token).contains(&pid), "{ran}");

    let mut tunnel = Command::new("ssh");
    let near = free_port();
    tunnel.arg("-F").arg(stage.lab.ssh_config()).arg("-i").arg(stage.lab.identity()).args(["-N", "-L"]);
    tunnel.arg(format!("127.0.0.1:{near}:127.0.0.1:{port}")).arg("one").stdin(Stdio::null());
    let mut tunnel = tunnel.spawn().unwrap();
    let mut answer = None;
    eventually_sync("an answer through the tunnel", || {
        answer = complete(near, "hello tunnel");
        answer.is_some()
    });
    let _ = tunnel.kill();
    let _ = tunnel.wait();
    let answer = answer.unwrap();
    assert!(answer.contains("hello tunnel") && answer.contains(&format!("tiny-{token}.gguf")), "{answer}");

    let all = stage.processes("fleet worker ps -H one");
    let one = &all[0];
    assert_eq!(
        (all.len(), &one["pid"], &one["state"], &one["port"]),
        (1, &pid.into(), &"healthy".into(), &port.into())
    );
    assert_eq!((&one["program"], &one["model"]), (&"installed".into(), &format!("org/tiny:tiny-{token}.gguf").into()));
    assert!(one["memory_bytes"].as_u64().unwrap() > 100_000 && one["cpu_percent"].is_number(), "{one:#}");
    stage.rbee(&format!("fleet worker process get {pid} -H one")).exits(0).says("--port");
    stage.rbee("fleet worker logs echo-worker -H one").exits(0).says("listening on");
    // What runs is not taken away.
    stage.rbee("fleet worker remove echo-worker -H one").exits(5).says("rbee worker stop");
    for entry in stage.folders("one") {
        for file in fs::read_dir(entry).unwrap().flatten() {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file:?} is open to others: {mode:o}");
        }
    }
    // Not ours, not ended: this very process.
    let own = std::process::id();
    stage.rbee(&format!("fleet worker stop {own} -H one")).exits(5).says("no worker that rbee started");

    let ran = stage.rbee(&format!("fleet worker stop {pid} -H one")).exits(0).says("stopped echo-worker");
    assert_eq!(processes_with(&token), Vec::<u32>::new(), "{ran}");
    assert_eq!((stage.processes("fleet worker ps -H one").len(), stage.folders("one").len()), (0, 0));
    stage.rbee("fleet worker stop --all -H one").exits(0);
    stage.rbee("fleet worker remove echo-worker -H one").exits(0);
}

#[test]
fn what_is_cancelled_before_it_is_healthy_is_gone() {
    let (mut stage, token) = (Stage::new(&["one"]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("one");
    let start = |stage: &Stage, how: &str| {
        let command = format!("--catalog {catalog} fleet worker spawn -H one -- sick deaf {how} {token}");
        let live = stage.start(&command);
        match how {
            // The server, and what left its session.
            "escape" => until_seen(&format!("sleep\0{token}"), 1),
            _ => eventually_sync("the server", || {
                // Beside whoever asked for it.
                processes_with(&format!("deaf\0{how}\0{token}")).len() == 2
            }),
        }
        live
    };
    let live = start(&stage, "escape");
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(130);
    assert_eq!(processes_with(&token), Vec::<u32>::new(), "{ran}");
    assert_eq!(stage.folders("one"), Vec::<PathBuf>::new(), "{ran}");
    stage.is_clean("one", &ran);
    // Killed, it cannot say anything to anybody; the host ends it.
    let live = start(&stage, "escape");
    live.signal(Signal::SIGKILL);
    drop(live);
    eventually_sync("the host's own end of it", || processes_with(&token).is_empty());
    eventually_sync("the end of its folder", || stage.folders("one").is_empty());
    // The host loses its connection.
    let live = start(&stage, "escape");
    stage.lab.sshd_mut("one").restart(Duration::ZERO);
    drop(live);
    eventually_sync("the host's end of it after a cut", || processes_with(&token).is_empty());
    eventually_sync("the end of its folder", || stage.folders("one").is_empty());
    // Even its supervisor is killed, so that nobody is left to end it but its keeper.
    let live = start(&stage, "stay");
    stage.lab.sshd("one").cut();
    drop(live);
    eventually_sync("its own end", || processes_with(&token).is_empty());
}

/// Root has a cgroup for each worker; others know only who was born with its mark.
#[test]
#[ignore = "needs root"]
fn rooted_what_leaves_session_and_environment_is_found_by_its_cgroup() {
    let (stage, token) = (Stage::new(&[]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("local");
    let gone = |ran: &Ran| {
        assert_eq!(processes_with(&token), Vec::<u32>::new(), "{ran}");
        assert_eq!(stage.folders("local"), Vec::<PathBuf>::new(), "{ran}");
    };
    let mut command = stage.bare();
    command.args(["--catalog", &catalog, "worker", "spawn", "--", "sick", "vanish", &token]);
    let live = crate::stage::Live::start(command);
    until_seen(&format!("sleep\0{token}"), 1);
    live.signal(Signal::SIGINT);
    gone(&live.end().exits(130));
    let ran = stage.run_here(&format!("--catalog {catalog} worker spawn -- vanish {token}")).exits(0);
    let (pid, _) = spawned(&ran);
    until_seen(&format!("sleep\0{token}"), 1);
    // Even when nobody else of it is left.
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let id = stage.processes("worker ps")[0]["id"].as_str().unwrap().to_owned();
    let cgroup = fs::read_to_string(stage.folders("local")[0].join("cgroup")).unwrap();
    gone(&stage.run_here(&format!("worker stop {id}")).exits(0));
    assert!(!Path::new(cgroup.trim_end()).exists());
}

#[test]
fn what_does_not_start_says_why_and_leaves_nothing() {
    let (stage, token) = (Stage::new(&[]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("local");
    let spawn = |more: &str| stage.run_here(&format!("--catalog {catalog} worker spawn {more}"));
    let died = spawn(&format!("-- die {token}")).exits(1);
    let said = died.says("first words").says("ended with status 3 before it was healthy: there is no such card");
    assert_eq!(stage.folders("local"), Vec::<PathBuf>::new(), "{said}");
    spawn("--model /no/such.gguf").exits(5).says("the model /no/such.gguf is not there");
    spawn("--model org/none").exits(5).says("rbee model download org/none");
    spawn("--worker other").exits(5).says("other is not installed here");
    spawn("--model nonsense://x").exits(2).says("only hf:// is known");
    spawn("--device cuda:0").exits(5).says("cannot be told a device");
    stage.run_here("worker spawn").exits(5).says("no catalog says how srv is started");
    // Somebody is quicker with the port: another one is taken, and a port that was asked for is not.
    let flag = stage.lab.dir().join(format!("go-{token}"));
    let (port_file, flag_text) = (flag.with_extension("port"), flag.to_str().unwrap());
    let mut command = stage.bare();
    command.args(["--catalog", &catalog, "worker", "spawn", "--", "hold", flag_text]);
    let live = crate::stage::Live::start(command);
    eventually_sync("the first attempt", || fs::read_to_string(&port_file).is_ok_and(|text| text.ends_with('\n')));
    let port: u16 = fs::read_to_string(&port_file).unwrap().trim().parse().unwrap();
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    fs::write(&flag, "").unwrap();
    let ran = live.end().exits(0);
    let (_, other) = spawned(&ran);
    assert_ne!(other, port, "{ran}");
    spawn(&format!("--port {port}")).exits(5).says("is taken");
    drop(taken);
    stage.run_here("worker stop srv").exits(0);
    assert_eq!(processes_with(&token), Vec::<u32>::new());
}

#[test]
fn a_worker_is_started_again_keeps_its_secret_and_ends_with_all_that_it_started() {
    let (stage, token) = (Stage::new(&[]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("local");
    let secret = format!("key{}", rand::random::<u64>());
    let file = stage.file("keys", format!("{secret}\n"));
    let spawn = format!(
        "--catalog {catalog} worker spawn --restart on-failure --port {} --api-key-file {file} -- key deaf escape {token}",
        // Others that run at the same time would take one from 7855 up while it is down.
        free_port()
    );
    let ran = stage.run_here(&spawn).exits(0);
    let (pid, port) = spawned(&ran);
    assert_eq!(fs::read_to_string(stage.home("local").join("key-seen")).unwrap(), secret, "it came to the worker");
    let told = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&told).contains(&secret) && !ran.to_string().contains(&secret), "{ran}");
    for path in stage.files("local").keys().filter(|path| !path.ends_with("key-seen")) {
        let text = fs::read(path).unwrap_or_default();
        let has = String::from_utf8_lossy(&text).contains(&secret);
        assert!(!has || path.ends_with("key"), "{} has the key", path.display());
    }
    let second = stage.run_here(&format!("--catalog {catalog} worker spawn -- {token}")).exits(0);
    assert_ne!(spawned(&second).1, port, "a living worker's port is nobody else's");

    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    let now = || stage.processes(&format!("worker process get {}", ran_id(&stage, port)));
    eventually_sync("the second start", || now()[0]["state"] == "healthy" && now()[0]["pid"] != pid);
    stage.run_here("worker logs srv").exits(5).says("runs several times");
    stage.run_here(&format!("worker logs {}", ran_id(&stage, port))).exits(0).says("ended with status 137");

    // It ignores TERM, and what it started is in a session of its own.
    let ran = stage.run_here(&format!("worker stop {} --grace 300ms", ran_id(&stage, port))).exits(0).says("killed");
    assert_eq!(processes_with(&format!("sleep\0{token}")), Vec::<u32>::new(), "{ran}");
    let ran = stage.run_here("worker stop --all").exits(0).says("stopped srv");
    assert_eq!(processes_with(&token), Vec::<u32>::new(), "{ran}");
    assert_eq!(stage.folders("local"), Vec::<PathBuf>::new());
}

/// The id of the worker on this port.
fn ran_id(stage: &Stage, port: u16) -> String {
    let all = stage.processes("worker ps");
    let one = all.iter().find(|process| process["port"] == port).unwrap();
    one["id"].as_str().unwrap().to_owned()
}

/// Stands in for systemd's manager and for sudo: starts what a unit says, in a session of its own, and ends it.
const SYSTEMCTL: &str = r##"#!/bin/sh
dir=$XDG_CONFIG_HOME/systemd/user
[ "$1" = --user ] && shift || dir=$RBEE_PREFIX/etc/systemd/system
echo "$dir $*" >>"$HOME/systemctl.log"
case $1 in
  enable) ln -s "$dir/$2" "$HOME/enabled-$2" ;;
  disable) rm -f "$HOME/enabled-$2" ;;
  start)
    run=$(sed -n 's/^ExecStart=\/bin\/sh "\(.*\)"$/\1/p' "$dir/$2")
    env -i HOME="$HOME" PATH="$PATH" "$(sed -n 's/^Environment="\([^"]*\)".*/\1/p' "$dir/$2")" \
      setsid /bin/sh "$run" </dev/null >/dev/null 2>&1 &
    ;;
esac
"##;

#[test]
fn a_service_is_written_down_started_and_taken_back_whole() {
    let (stage, token) = (Stage::new(&[]), token());
    let _mine = Mine(token.clone());
    let catalog = stage.server("local");
    stage.file("stand-ins/systemctl", SYSTEMCTL);
    stage.file("stand-ins/sudo", "#!/bin/sh\n[ \"$1\" = -n ] && shift\nexec \"$@\"\n");
    let home = stage.home("local");
    let rbee = |words: &str| {
        let mut command = stage.bare();
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", stage.lab.dir().join("stand-ins").display()));
        command.env("XDG_CONFIG_HOME", home.join("config")).arg("--catalog").arg(&catalog);
        command.args(words.split_whitespace());
        run(command)
    };
    for (flags, folder, wanted) in [
        ("--service", home.join("config/systemd/user"), "WantedBy=default.target"),
        ("--service --system", home.join("prefix/etc/systemd/system"), "WantedBy=multi-user.target"),
    ] {
        let units = || fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
        let ran = rbee(&format!("worker spawn --restart on-failure {flags} -- deaf {token}")).exits(0);
        let (pid, _) = spawned(&ran);
        assert!(processes_with(&token).contains(&pid), "{ran}");
        if !flags.contains("system") {
            ran.says("loginctl enable-linger");
        }
        let unit = fs::read_to_string(&units()[0]).unwrap();
        assert!(unit.contains(wanted) && unit.contains("Restart=on-failure") && !unit.contains(&token), "{unit}");
        assert_eq!(unit.contains(&format!("User={}\n", crate::sshd::account())), flags.contains("system"), "{unit}");
        let id = units()[0].file_stem().unwrap().to_str().unwrap().replace("rbee-worker-", "");
        assert!(home.join(format!("enabled-rbee-worker-{id}.service")).exists());
        // Another start of it, as with the machine: the same record.
        let before = rbee(&format!("--output json worker process get {id}")).exits(0).document();
        assert_eq!(before["hosts"][0]["processes"][0]["state"], "healthy", "{before:#}");
        rbee(&format!("worker stop {id} --grace 300ms")).exits(0).says("killed");
        assert_eq!((processes_with(&token), units()), (vec![], vec![]));
        assert!(!home.join(format!("enabled-rbee-worker-{id}.service")).exists());
        // What does not get healthy is no service, either.
        rbee(&format!("worker spawn {flags} -- die {token}")).exits(1).says("there is no such card");
        assert_eq!((units(), stage.folders("local")), (vec![], vec![]));
    }
    let log = fs::read_to_string(home.join("systemctl.log")).unwrap();
    assert!(log.contains("daemon-reload") && log.contains("stop --no-block"), "{log}");
}
