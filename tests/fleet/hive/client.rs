//! `rbee` as a client of hives and of runs in other terminals.

use std::{
    fs, io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    os::unix::fs::symlink,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{Hive, lines};
use crate::{
    stage::{Live, Ran, Stage},
    support::{processes_with, token, until_seen},
};

impl Stage {
    /// A command that may have blanks in its words.
    fn words(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.command("");
        command.args(words);
        command
    }
}

fn run(stage: &Stage, words: &[&str]) -> Ran {
    crate::stage::run(stage.words(words))
}

fn id_of(ran: &Ran) -> String {
    let id = ran.stdout.trim().to_owned();
    assert!(id.len() > 10 && !id.contains(char::is_whitespace), "{ran}");
    id
}

#[test]
fn a_run_is_seen_and_ended_from_another_terminal() {
    let stage = Stage::new(&["one"]);
    let word = token();
    let mut live = Live::start(stage.words(&[
        "--output",
        "json",
        "fleet",
        "exec",
        "-H",
        "one",
        "--",
        &format!("echo here; trap '' TERM; sleep {word}; sleep {word}"),
    ]));
    live.until_line("here");
    let listed = run(&stage, &["job", "list"]).exits(0);
    let row = listed.stdout.lines().nth(1).unwrap().to_owned();
    assert!(row.contains("run") && row.contains("exec") && row.contains("running"), "{listed}");
    let id = row.split_whitespace().next().unwrap();
    run(&stage, &["job", "get", id]).exits(0).says("running");
    // It attaches in the middle, and sees the end.
    let mut other = Live::start(stage.words(&["--output", "json", "job", "attach", id]));
    other.until_line("here");
    let answer = run(&stage, &["job", "cancel", id]).exits(0).says("nothing is left");
    assert!(answer.stdout.contains("cancelled"), "{answer}");
    let seen = other.end().exits(130);
    assert_eq!(seen.lines().last().unwrap()["type"], "job_finished", "{seen}");
    live.end().exits(130);
    assert_eq!(processes_with(&word), [] as [u32; 0]);
    run(&stage, &["job", "get", id]).exits(2).says("rbee job list");
    let runs = stage.lab.home().join(".local/state/rbee/runs").join(id);
    assert!(runs.join("events.ndjson").exists() && !runs.join("journal").exists());
}

#[test]
fn a_submitted_job_looks_as_if_it_ran_here() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let socket = format!("unix:{}", hive.socket.display());
    for place in [socket.as_str(), &hive.url()] {
        let ran = run(&stage, &["job", "exec", "--hive", place, "--", "echo data; echo talk >&2"]).exits(0);
        assert!(ran.stdout.contains("data") && !ran.stdout.contains("talk"), "{ran}");
        assert!(ran.stderr.contains("talk"), "{ran}");
    }
    let ran = run(&stage, &["job", "exec", "--hive", &socket, "--", "exit 7"]).exits(1).says("status 7");
    assert!(ran.stdout.is_empty(), "{ran}");
    let ran = run(&stage, &["--output", "json", "job", "exec", "--hive", &socket, "--", "echo hi"]).exits(0);
    assert_eq!(
        (lines(&ran.lines()), &ran.lines().last().unwrap()["type"]),
        (vec!["hi"], &"job_finished".into()),
        "{ran}"
    );
    run(&stage, &["worker", "list", "--hive", &socket]).exits(0);
    run(&stage, &["worker", "install", "echo-worker@9.9", "--hive", &socket]).exits(5).says("9.9");
    run(&stage, &["worker", "install", "echo-worker@", "--hive", &socket]).exits(2).says("no version");
    // Whoever has no more time has the job ended, too.
    let word = token();
    let script = format!("trap '' TERM; env -i setsid sleep {word} & sleep {word}");
    run(&stage, &["--timeout", "2s", "job", "exec", "--hive", &socket, "--", &script]).exits(124);
    assert_eq!(processes_with(&word), [] as [u32; 0]);
    run(&stage, &["worker", "install", "nothing-like-it", "--hive", &socket]).exits(2).says("nothing-like-it");
    run(&stage, &["job", "exec", "--hive", "http://192.0.2.1:1", "--", "true"]).exits(2).says("--host");
    run(&stage, &["job", "exec", "--hive", "unix:/nowhere", "--", "true"]).exits(4).says("/nowhere");
}

#[test]
fn detaching_needs_a_hive_and_comes_back_later() {
    let stage = Stage::new(&[]);
    run(&stage, &["worker", "install", "echo-worker", "--detach"]).exits(2).says("rbee hive serve");
    run(&stage, &["job", "exec", "--detach", "--", "true"]).exits(2).says("rbee hive serve");
    let hive = stage.hive("");
    let socket = format!("unix:{}", hive.socket.display());
    let gate = stage.lab.dir().join("gate");
    let script = format!("echo one; until [ -e {} ]; do sleep 0.1; done; echo two", gate.display());
    let id = id_of(&run(&stage, &["job", "exec", "--detach", "--hive", &socket, "--", &script]).exits(0));
    let mut watching = Live::start(stage.words(&["--output", "json", "job", "attach", &id]));
    watching.until_line("one");
    // Whoever only looks on leaves alone.
    watching.signal(Signal::SIGINT);
    watching.end().exits(130).says("goes on");
    assert_eq!(hive.job(&id)["state"], "running");
    fs::write(gate, "").unwrap();
    let ran = run(&stage, &["--output", "json", "job", "attach", &id, "--after", "2"]).exits(0);
    assert_eq!(lines(&ran.lines()), ["one", "two"], "{ran}");
    assert_eq!(ran.lines()[0]["seq"], 3, "{ran}");
    let last = hive.job(&id)["last_event"].to_string();
    run(&stage, &["job", "attach", &id, "--after", &last]).exits(0);
}

/// A way to a hive that can be cut; it is there again at once.
struct Relay {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self { port: listener.local_addr().unwrap().port(), open: Arc::default() };
        let open = relay.open.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                open.lock().unwrap().extend([near, far]);
            }
        });
        relay
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_reader_that_was_cut_off_comes_back_and_misses_nothing() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let relay = Relay::to(hive.port);
    let gates = ["first", "second"].map(|name| stage.lab.dir().join(name));
    let wait = |gate: &std::path::Path| format!("until [ -e {} ]; do sleep 0.1; done", gate.display());
    let script =
        format!("seq 1 1000; {}; seq 1001 2000; {}; seq 2001 3000; echo end", wait(&gates[0]), wait(&gates[1]));
    let url = format!("http://127.0.0.1:{}", relay.port);
    let mut live = Live::start(stage.words(&["--output", "json", "job", "exec", "--hive", &url, "--", &script]));
    for (gate, seen) in gates.iter().zip(["1000", "2000"]) {
        live.until(|event| event["text"] == seen).unwrap();
        relay.cut();
        fs::write(gate, "").unwrap();
    }
    let ran = live.end().exits(0);
    let events = ran.lines();
    for (nth, event) in events.iter().enumerate() {
        assert_eq!(event["seq"].as_u64(), Some(nth as u64 + 1), "{ran}");
    }
    let said: Vec<String> = (1..=3000).map(|number| number.to_string()).chain(["end".to_owned()]).collect();
    assert_eq!(lines(&events), said);
}

#[test]
fn a_reader_outlives_the_hive_and_is_told_the_end_by_the_next_one() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let (word, port) = (token(), hive.port);
    let id = hive.exec(&format!("echo here; sleep {word}"));
    let mut live = Live::start(stage.words(&["--output", "json", "job", "attach", &id]));
    live.until_line("here");
    hive.live.signal(Signal::SIGKILL);
    hive.live.end();
    let hive = Hive::start(stage.command(&format!("--output json hive serve --port {port}")), &stage.lab.home());
    let ran = live.end().exits(6);
    let last = ran.lines().pop().unwrap();
    assert_eq!((&last["type"], &last["state"]), (&"job_finished".into(), &"failed".into()), "{ran}");
    crate::support::eventually_sync("the end of what it ran", || processes_with(&word).is_empty());
    hive.end().exits(0);
}

#[test]
fn ctrl_c_ends_the_job_that_was_submitted() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let socket = format!("unix:{}", hive.socket.display());
    let word = token();
    let script = format!("trap '' TERM; env -i setsid sleep {word} & echo here; sleep {word}");
    let mut live = Live::start(stage.words(&["--output", "json", "job", "exec", "--hive", &socket, "--", &script]));
    live.until_line("here");
    until_seen(&word, 2);
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(130);
    assert_eq!(ran.lines().last().unwrap()["confirmed"], true, "{ran}");
    assert_eq!(processes_with(&word), [] as [u32; 0]);
}

#[test]
fn a_hive_that_says_nothing_is_left_with_its_own_status() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let socket = format!("unix:{}", hive.socket.display());
    let start = |word: &str| {
        let script = format!("echo here; sleep {word}");
        let mut live = Live::start(stage.words(&["--output", "json", "job", "exec", "--hive", &socket, "--", &script]));
        live.until_line("here");
        live
    };
    let words = [token(), token()];
    let (patient, hasty) = (start(&words[0]), start(&words[1]));
    hive.live.signal(Signal::SIGSTOP);
    let asked = Instant::now();
    patient.signal(Signal::SIGINT);
    hasty.signal(Signal::SIGINT);
    hasty.until_said("once more leaves without waiting");
    hasty.signal(Signal::SIGINT);
    hasty.end().exits(6).says("left without looking");
    patient.end().exits(6).says("rbee job get");
    let took = asked.elapsed();
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(15), "{took:?}");
    hive.live.signal(Signal::SIGCONT);
    hive.end();
    assert!(words.iter().all(|word| processes_with(word).is_empty()));
}

#[test]
fn a_hive_on_a_host_is_reached_over_ssh() {
    let stage = Stage::new(&["one"]);
    let (home, prefix) = (stage.home("one"), stage.bin("one"));
    run(&stage, &["job", "list", "--host", "one"]).exits(4);
    fs::create_dir_all(home.join(".local/bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_rbee"), home.join(".local/bin/rbee")).unwrap();
    run(&stage, &["job", "list", "--host", "one"]).exits(4).says("no hive is running");
    let mut command = stage.bare();
    command.env("HOME", &home).env("RBEE_PREFIX", prefix.parent().unwrap());
    command.args(["--output", "json", "hive", "serve", "--port", "0"]);
    let hive = Hive::start(command, &home);
    // A stream stays open while other requests pass.
    let ran = run(&stage, &["job", "exec", "--host", "one", "--", "echo $HOME"]).exits(0);
    assert!(ran.stdout.contains(home.to_str().unwrap()), "{ran}");
    let word = token();
    let script = format!("trap '' TERM; echo here; sleep {word}; sleep {word}");
    let mut live = Live::start(stage.words(&["--output", "json", "job", "exec", "--host", "one", "--", &script]));
    live.until_line("here");
    run(&stage, &["job", "list", "--host", "one"]).exits(0).says("running");
    live.signal(Signal::SIGINT);
    live.end().exits(130);
    assert_eq!(processes_with(&word), [] as [u32; 0]);
    // What is installed over SSH is known to the hive at once.
    assert_eq!(hive.ask("GET", "/v1/capabilities", None).is(200).json()["workers"], json!([]));
    stage.rbee("fleet install echo-worker -H one --build host").exits(0);
    let found = hive.ask("GET", "/v1/capabilities", None).is(200).json();
    assert_eq!(found["workers"][0]["id"], "echo-worker", "{found:#}");
    run(&stage, &["hive", "status", "--host", "one"]).exits(0).says(env!("CARGO_PKG_VERSION"));
}
