//! The commands of `Match exec`, each run once.

use std::{
    collections::HashMap,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::surroundings::Surroundings;

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How often its end is looked for; it grows up to the second.
const LOOK: Duration = Duration::from_millis(1);
const LOOK_LIMIT: Duration = Duration::from_millis(20);

type Answer = Arc<OnceLock<Result<bool, String>>>;

/// What the commands have answered, by their text.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<String, Answer>>);

impl Answers {
    /// Whether a command ends with status 0. It is run at the first question; others wait for the same answer.
    ///
    /// # Errors
    /// It cannot be run, was ended by a signal, or takes too long.
    pub fn ask(&self, command: &str, around: &Surroundings) -> Result<bool, String> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.entry(command.to_owned()).or_default().clone();
        drop(answers);
        answer.get_or_init(|| run(command, around, LIMIT)).clone()
    }
}

fn run(command: &str, around: &Surroundings, limit: Duration) -> Result<bool, String> {
    let shell = around.env.get("SHELL").map_or("/bin/sh", String::as_str);
    let mut child = Command::new(shell)
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("exec \"{command}\": cannot run {shell}: {error}"))?;
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    let end = Instant::now() + limit;
    let mut look = LOOK;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(look),
            Ok(None) => {
                break Err(format!("exec \"{command}\" took longer than {} s and was ended", limit.as_secs_f64()));
            }
            Err(error) => break Err(format!("exec \"{command}\": {error}")),
        }
        look = (look * 2).min(LOOK_LIMIT);
    };
    match ended {
        Ok(status) => match status.code() {
            Some(code) => Ok(code == 0),
            None => Err(format!("exec \"{command}\" was ended by a signal")),
        },
        Err(error) => {
            // Its group is still its own: the leader is reaped only after this.
            if let Ok(group) = group {
                let _ = killpg(group, Signal::SIGKILL);
            }
            let _ = child.wait();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_run_once_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let around = Surroundings::new(dir.path());
        let count = dir.path().join("count");
        let answers = Answers::default();
        let command = format!("echo x >> {}", count.display());
        assert_eq!((answers.ask(&command, &around), answers.ask(&command, &around)), (Ok(true), Ok(true)));
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
        assert_eq!(answers.ask("exit 3", &around), Ok(false));
        assert!(answers.ask("kill -TERM $$", &around).unwrap_err().contains("signal"));
        let pid = dir.path().join("pid");
        let slow = format!("sleep 300 & echo $! > {}; wait", pid.display());
        assert!(run(&slow, &around, Duration::from_millis(400)).unwrap_err().contains("0.4 s"));
        let child = Pid::from_raw(std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap());
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            nix::sys::signal::kill(child, None).is_err() || stat.contains(") Z ")
        };
        let end = Instant::now() + Duration::from_secs(20);
        while !gone() {
            assert!(Instant::now() < end, "what the command started is still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
