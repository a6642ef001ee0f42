//! What a person types, and what a program reads back.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    stage::{Ran, Stage, run},
    support::{processes_with, token},
};

impl Stage {
    /// `rbee` without an inventory of the lab's.
    fn alone(&self, arguments: &[&str]) -> Ran {
        let mut command = self.bare();
        command.args(arguments);
        run(command)
    }
}

/// A complaint: on stderr, short, with a next step, and no backtrace.
#[track_caller]
fn complains(ran: Ran, code: i32, texts: &[&str]) {
    let ran = ran.exits(code);
    assert!(ran.stdout.is_empty(), "talk on stdout\n{ran}");
    assert!(!ran.stderr.contains("panicked") && ran.stderr.lines().count() <= 8, "{ran}");
    for text in texts {
        assert!(ran.stderr.contains(text), "nobody says {text:?}\n{ran}");
    }
}

#[test]
fn what_was_mistyped_is_named_before_anybody_is_contacted() {
    let stage = Stage::new(&[]);
    complains(stage.alone(&["fleet", "install", "echo-worker"]), 2, &["inventory", "sandbox up"]);
    complains(stage.alone(&["fleet", "exec", "-H", "@lab", "--", "true"]), 3, &["lab"]);
    complains(stage.alone(&["-i", "absent.toml", "fleet", "hosts"]), 2, &["absent.toml"]);
    complains(stage.alone(&["fleet", "--bogus"]), 2, &["--bogus"]);
    complains(stage.alone(&["flet"]), 2, &["fleet"]);
    complains(stage.alone(&["fleet", "hosts", "--timeout", "5"]), 2, &["unit"]);

    stage.inventory("[hosts.gpu-box]\nadress = \"192.0.2.1\"\n");
    complains(stage.rbee("fleet install echo-worker -H all"), 2, &["inventory.toml:2", "adress", "\"address\""]);
    complains(stage.rbee("inventory check"), 2, &["inventory.toml:2"]);
    stage.inventory("[hosts.gpu-box\n");
    complains(stage.rbee("fleet hosts"), 2, &["inventory.toml:1"]);

    // 192.0.2.0/24 is nobody's: whoever contacts it waits.
    stage.inventory("[hosts.gpu-box]\naddress = \"192.0.2.1\"\ngroups = [\"cuda\"]\n");
    complains(stage.rbee("fleet install echo-worker -H gpu-bx"), 3, &["did you mean \"gpu-box\"?"]);
    complains(stage.rbee("fleet install echo-worker -H @cude"), 3, &["did you mean \"cuda\"?"]);
    complains(stage.rbee("fleet install echo-worker -H gpu-box&!@cuda"), 3, &["no host is left"]);
    complains(stage.rbee("fleet install echo-worker -H zz*"), 3, &["zz*"]);
    complains(stage.rbee("fleet install echo-worker -H gpu-box,,"), 2, &["empty"]);
    complains(stage.rbee("fleet install echo-worker"), 2, &["--hosts", "gpu-box"]);
    complains(stage.rbee("fleet install echo-workr -H all"), 2, &["did you mean \"echo-worker\"?"]);
    complains(stage.rbee("fleet install ./absent -H all"), 2, &["absent"]);
    complains(stage.rbee("fleet install tool --binary absent -H all"), 2, &["absent"]);
    let mut empty = stage.command("fleet hosts -H");
    empty.arg("");
    complains(run(empty), 2, &["empty"]);
    let mut hosts = stage.command("fleet exec -- true");
    hosts.env("RBEE_HOSTS", "gpu-bx");
    complains(run(hosts), 3, &["gpu-box"]);
}

#[test]
fn an_inventory_is_shown_without_a_connection() {
    let stage = Stage::new(&[]);
    stage.inventory(
        "[hosts.\"node[1-3]\"]\naddress = \"192.0.2.[1-3]\"\ngroups = [\"cpu\"]\n[hosts.gpu-box]\naddress = \"192.0.2.2\"\n\
         workers = [\"echo-worker\"]\noptional = true\n",
    );
    let names = |ran: Ran| -> Vec<String> {
        let document = ran.exits(0).document();
        assert_eq!(document["v"], 1);
        document["hosts"].as_array().unwrap().iter().map(|h| h["host"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(stage.rbee("fleet hosts --output json")).len(), 4);
    assert_eq!(names(stage.rbee("fleet hosts --output json -H node[2-3]")), ["node2", "node3"]);
    let mut chosen = stage.command("fleet hosts --output json");
    chosen.env("RBEE_HOSTS", "@cpu,!node2");
    assert_eq!(names(run(chosen)), ["node1", "node3"]);
    let all = stage.rbee("fleet hosts -H gpu-box --output json").document();
    let host = &all["hosts"][0];
    assert_eq!((&host["optional"], &host["workers"][0]), (&true.into(), &"echo-worker".into()));
    let plain = stage.rbee("fleet hosts").exits(0);
    assert!(plain.stdout.lines().any(|line| line.starts_with("node1 ") && line.contains("cpu")), "{plain}");
}

#[test]
fn a_run_is_a_stream_of_numbered_events() {
    let stage = Stage::new(&["one", "two"]);
    let dead = crate::sshd::free_port();
    stage.inventory(&format!("[hosts.one]\n[hosts.two]\n[hosts.gone]\naddress = \"127.0.0.1\"\nport = {dead}\n"));
    let ran = stage.events("fleet install echo-worker -H all --build host").exits(4);
    let lines = ran.lines();
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["seq"], index + 1, "{ran}");
        assert_eq!((&line["v"], &line["run"]), (&1.into(), &lines[0]["run"]), "{ran}");
        let at = line["at"].as_str().unwrap();
        assert!(at.len() >= 20 && at.ends_with('Z'), "{at}");
    }
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    assert_eq!((&lines[0]["type"], of("run_started").len()), (&"run_started".into(), 1));
    assert_eq!((&lines.last().unwrap()["type"], of("summary").len()), (&"summary".into(), 1));
    let summary = of("summary")[0];
    assert_eq!((&summary["exit"], summary["hosts"].as_array().unwrap().len()), (&4.into(), 3));
    for host in ["one", "two", "gone"] {
        let mine = |kind: &str| of(kind).into_iter().filter(|line| line["host"] == host).collect::<Vec<_>>();
        assert_eq!((mine("host_started").len(), mine("host_finished").len()), (1, 1), "{ran}");
        // Every phase that starts ends, and the host's end comes after all of it.
        assert_eq!(mine("phase_started").len(), mine("phase_finished").len(), "{ran}");
        let last = lines.iter().rfind(|line| line["host"] == host).unwrap();
        assert_eq!(last["type"], "host_finished", "{ran}");
        assert_eq!(last["outcome"], ran.host(host)["outcome"]);
    }
    let phases: Vec<_> =
        of("phase_started").into_iter().filter(|p| p["host"] == "one").map(|p| p["phase"].as_str().unwrap()).collect();
    // What one of them builds for both goes to the controller first.
    let expected = ["connect", "preflight", "fetch", "build", "package", "transfer", "transfer", "verify", "install"];
    assert_eq!(phases, expected, "{ran}");
    // The logs of the run are kept for each host.
    let logs = stage.lab.home().join(".local/state/rbee/runs").join(lines[0]["run"].as_str().unwrap());
    assert!(std::fs::read_dir(&logs).unwrap().count() >= 2, "{}", logs.display());
}

#[test]
fn stdout_is_data_and_stderr_is_talk() {
    let stage = Stage::new(&["one"]);
    let exec = |words: &[&str]| {
        let mut command = stage.command("fleet exec -H one --output plain --");
        command.args(words);
        run(command)
    };
    let ran = exec(&["echo data; echo talk >&2"]).exits(0);
    assert!(ran.stdout.contains("data") && !ran.stdout.contains("talk"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 1, "something else on stdout\n{ran}");
    assert!(ran.stderr.contains("talk"), "{ran}");
    // Words arrive as they were typed.
    let ran = exec(&["printf", "%s\n", "a  b", "$HOME", "'", "*"]).exits(0);
    let said: Vec<_> = ran.stdout.lines().map(|line| line.split_once("| ").unwrap().1).collect();
    assert_eq!(said, ["a  b", "$HOME", "'", "*"], "{ran}");
    let ran = exec(&["exit 7"]).exits(1).says("status 7");
    assert!(ran.stdout.is_empty(), "{ran}");
    let ran = stage.rbee("fleet ping -H one --output json").exits(0);
    assert!(ran.stderr.is_empty() && ran.document()["hosts"][0]["ping"]["round_trip_ms"].is_number(), "{ran}");
    let ran = stage.rbee("fleet check -H one --output json").exits(0);
    assert_eq!(ran.document()["hosts"][0]["check"]["facts"]["os"], "linux", "{ran}");
}

#[test]
fn a_reader_that_has_enough_is_no_bug() {
    let stage = Stage::new(&["one"]);
    for arguments in
        ["fleet exec -H one --output json -- seq 1 100000", "fleet exec -H one --output plain -- seq 1 100000"]
    {
        let mut child = stage.command(arguments).spawn().unwrap();
        let mut line = String::new();
        // It is closed when the first line has been read.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code().is_some_and(|code| code != 70) && !said.contains("bug"), "{ended:?}");
        assert!(!line.is_empty());
    }
    for arguments in [["completions", "bash"], ["man", "--color=never"]] {
        let mut command = stage.bare();
        let mut child = command.args(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

/// `rbee fleet exec … | head` is over when head is, and the command with it.
#[test]
fn a_command_whose_output_nobody_reads_any_more_is_ended() {
    let stage = Stage::new(&["one"]);
    let token = token();
    for output in ["plain", "json"] {
        let mut command = stage.command(&format!("fleet exec -H one,local --output {output} --"));
        let mut child = command.arg(format!("while :; do sleep 0.1; echo {token}; done")).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(143), "{said}");
        assert!(output == "json" || said.contains("left by whoever read its output"), "{said}");
        assert_eq!(processes_with(&token), [] as [u32; 0]);
    }
}

#[test]
fn completions_and_the_manual_are_printed() {
    let stage = Stage::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let ran = stage.alone(&["completions", shell]).exits(0);
        assert!(ran.stderr.is_empty() && ran.stdout.contains("rollback"), "{ran}");
    }
    let script = stage.alone(&["completions", "bash"]).exits(0).stdout;
    let file = stage.file("completions.bash", script);
    let checked = Command::new("bash").args(["-n", &file]).stderr(Stdio::piped()).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let ran = stage.alone(&["man"]).exits(0);
    assert!(ran.stdout.contains(".TH rbee 1"), "{ran}");
    stage.alone(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    let ran = stage.alone(&["fleet", "install", "--help"]).exits(0);
    assert!(ran.stderr.is_empty() && ran.stdout.contains("--dry-run"), "{ran}");
}
