//! Round trips are counted, not timed: a turn is a word of ours after we have heard something.

use std::{
    fs,
    process::{Command as Process, Stdio},
    time::{Duration, Instant},
};

use rbee::target::{Captured, Closed, Command, Target, supervisor::Supervision};

use crate::{Far, support::scope};

/// Beats would be turns, too.
const QUIET: Duration = Duration::from_secs(300);

fn quiet() -> Supervision {
    Supervision { lease: QUIET, ..Supervision::default() }
}

#[tokio::test]
async fn a_second_command_costs_one_round_trip() {
    let far = Far::new(Duration::from_millis(100));
    let target = far.target(quiet()).await;
    let (scope, _events) = scope();
    let mut said = Vec::new();
    for nth in 0..6 {
        let (turns, start) = (far.wire.turns(), Instant::now());
        let mut output = Captured::default();
        let command = Command::foreign("echo", format!("echo {nth}; echo {nth} >&2; exit {nth}"));
        let exit = target.run(&scope, &command, &mut output).await.unwrap();
        assert_eq!((exit.status, output.text()), (nth, format!("{nth}\n")));
        said.push((far.wire.turns() - turns, start.elapsed()));
    }
    // A channel, its window, and the supervisor with the command behind it.
    assert!(said[0].0 <= 3, "{said:?}");
    assert!(said[1..].iter().all(|(turns, _)| *turns == 1), "{said:?}");
    assert!(said.iter().all(|(_, took)| *took >= Duration::from_millis(100)), "the wire is not long: {said:?}");
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn what_a_login_script_prints_is_nobodys_output() {
    let far = Far::new(Duration::from_millis(20));
    fs::write(far.lab.sshd("far").home.join(".bashrc"), "echo out of rc; echo err of rc >&2\n").unwrap();
    let target = far.target(quiet()).await;
    let (scope, _events) = scope();
    for nth in 0..3 {
        let mut output = Captured::default();
        let command = Command::foreign("echo", format!("echo out {nth}; echo err {nth} >&2"));
        target.run(&scope, &command, &mut output).await.unwrap();
        assert_eq!(output.text(), format!("out {nth}\n"));
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("err {nth}\n"));
    }
    assert_eq!(target.close().await, Closed::Clean);
}

#[tokio::test]
async fn what_is_registered_is_not_waited_for() {
    let far = Far::new(Duration::from_millis(100));
    let target = far.target(quiet()).await;
    let (scope, _events) = scope();
    let (path, note) = (far.lab.dir().join("scratch"), far.lab.dir().join("note"));
    let mut none = Captured::default();
    target.run(&scope, &Command::own("first", "true"), &mut none).await.unwrap();
    let turns = far.wire.turns();
    target.scratch(&scope, path.to_str().unwrap()).await.unwrap();
    target.cleanup(&scope, &format!("echo done >{}", note.display())).await.unwrap();
    let make = Command::own("make", format!("mkdir {}", path.display()));
    assert_eq!(target.run(&scope, &make, &mut none).await.unwrap().status, 0);
    assert_eq!(far.wire.turns() - turns, 1);
    assert!(path.exists());
    assert_eq!(target.close().await, Closed::Clean);
    assert!(!path.exists());
    assert_eq!(fs::read_to_string(note).unwrap(), "done\n");
}

#[tokio::test]
async fn the_last_command_brings_the_end_with_it() {
    // Long enough that a wait for it cannot be a busy machine.
    let far = Far::new(Duration::from_secs(2));
    let target = far.target(quiet()).await;
    let (scope, _events) = scope();
    let mut output = Captured::default();
    let exit = target.run(&scope, &Command::foreign("last", "echo out; exit 3").last(), &mut output).await.unwrap();
    assert_eq!((exit.status, output.text().as_str()), (3, "out\n"));
    let start = Instant::now();
    assert_eq!(target.close().await, Closed::Clean);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_whole_run_takes_few_round_trips() {
    let far = Far::new(Duration::from_millis(50));
    let inventory = far.lab.dir().join("inventory.toml");
    fs::write(&inventory, format!("[hosts.far]\nport = {}\n", far.wire.port())).unwrap();
    let run = || {
        let before = far.wire.turns();
        let ran = Process::new(env!("CARGO_BIN_EXE_rbee"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", far.lab.home())
            .arg("-i")
            .arg(&inventory)
            .arg("-F")
            .arg(far.lab.ssh_config())
            .args(["fleet", "-H", "far", "exec", "--", "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        far.wire.turns() - before
    };
    // On a busy machine a beat may be counted, or an answer in two parts.
    let turns = (0..3).map(|_| run()).min().unwrap();
    assert!(turns <= 10, "{turns} round trips");
}
