//! Runs a host's package manager, as root where it has to be.
//!
//! # Theory of operation
//! Half an installation of a package is worse than none, so this is a critical section: neither cancel nor a deadline of
//! the run ends it, only a limit of its own. It is one command with nothing to read: where it would ask, it goes by its
//! defaults. Both sudo and the manager are called by their paths in folders that only root writes to; PATH is the user's.

use std::time::Duration;

use super::sudo::Taken;
use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError, output::EventLines},
    vocab::{
        Secret,
        text::{plain_line, sh_join, sh_quote},
    },
};

/// Compilers and GPU toolkits are gigabytes.
const LIMIT: Duration = Duration::from_secs(3600);
/// A wrong password takes sudo some seconds.
const PROOF_LIMIT: Duration = Duration::from_secs(30);
/// Lines of an error that are told.
const WORDS: usize = 3;

/// How root is had for a package manager.
#[derive(Debug, Clone)]
pub enum Root {
    /// The user is root, or the manager wants none.
    Own,
    Sudo {
        /// Absolute.
        sudo: String,
        password: Option<Secret>,
    },
}

/// How a package manager's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    Done,
    /// Sudo ran nothing, since it wants a password.
    Password,
    /// With the last words of whoever said no.
    Failed {
        status: i32,
        words: String,
    },
}

/// Runs `words`, whose first is the manager's path, to its end; its output is told live.
///
/// # Errors
/// As [`Target::run`]; the scope had ended before.
pub async fn run(scope: &Scope, target: &dyn Target, words: &[String], root: &Root) -> Result<Ran, TargetError> {
    scope.check()?;
    let critical = scope.critical("the package manager", LIMIT);
    let mut output = EventLines::new(&critical);
    let exit = target.run(&critical, &command(words, root), &mut output).await;
    output.finish().await;
    let said: Vec<&str> = output.tail().collect();
    Ok(match exit?.status {
        0 => Ran::Done,
        _ if matches!(root, Root::Sudo { password: None, .. }) && wants_password(&said) => Ran::Password,
        status => Ran::Failed { status, words: last_words(&said) },
    })
}

/// Tries the password without running anything else.
///
/// # Errors
/// As [`Target::run`].
pub async fn prove(scope: &Scope, target: &dyn Target, sudo: &str, password: &Secret) -> Result<Taken, TargetError> {
    let script = format!("{ENGLISH}exec {} -k -S -p '' -v\n", sh_quote(sudo));
    let mut said = Captured::default();
    let limited = scope.within("sudo with a password", PROOF_LIMIT);
    let exit = target.run(&limited, &Command::foreign("sudo", script).with_stdin(password.clone()), &mut said).await?;
    let stderr = String::from_utf8_lossy(&said.stderr);
    let refused = ["not in the sudoers", "may not run", "not allowed to", "I'm afraid I can't do that"];
    let lines: Vec<String> = stderr.lines().map(plain_line).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Ok(match exit.status {
        0 => Taken::Yes,
        _ if refused.iter().any(|no| stderr.contains(no)) => Taken::NotAllowed(last_words(&lines)),
        _ => Taken::Wrong(last_words(&lines)),
    })
}

const ENGLISH: &str = "LC_ALL=C LANGUAGE= DEBIAN_FRONTEND=noninteractive NONINTERACTIVE=1\n\
                       export LC_ALL LANGUAGE DEBIAN_FRONTEND NONINTERACTIVE\n";

fn command(words: &[String], root: &Root) -> Command {
    let run = sh_join(words);
    let (line, password) = match root {
        Root::Own => (format!("exec {run}"), None),
        Root::Sudo { sudo, password: None } => (format!("exec {} -n -- {run}", sh_quote(sudo)), None),
        Root::Sudo { sudo, password } => (format!("exec {} -k -S -p '' -- {run}", sh_quote(sudo)), password.clone()),
    };
    let mut command = Command::foreign("package manager", format!("{ENGLISH}{line}\n"));
    command.stdin = password;
    command
}

/// Only sudo's own last words count: a package may talk of passwords, too.
fn wants_password(said: &[&str]) -> bool {
    said.last().is_some_and(|line| {
        line.starts_with("sudo: ")
            && (line.contains("password is required") || line.contains("authentication is required"))
    })
}

/// The lines that are marked as errors, else the last one.
fn last_words(said: &[&str]) -> String {
    let marks = ["E: ", "Error: ", "error: ", "ERROR: ", "sudo: "];
    let errors: Vec<&str> =
        said.iter().filter(|line| marks.iter().any(|mark| line.starts_with(mark))).copied().collect();
    let from = errors.len().saturating_sub(WORDS);
    match (errors.is_empty(), said.iter().rev().find(|line| !line.trim().is_empty())) {
        (false, _) => errors[from..].join("; "),
        (true, Some(last)) => last.trim().to_owned(),
        (true, None) => "it said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_run_is_one_command_with_nothing_to_read() {
        let words = ["/usr/bin/apt-get", "install", "-y", "g++"].map(str::to_owned);
        let own = command(&words, &Root::Own);
        assert!(
            own.script.ends_with("\nexec /usr/bin/apt-get install -y g++\n") && own.stdin.is_none(),
            "{}",
            own.script
        );
        let sudo = |password: Option<&str>| {
            let password = password.map(|text| Secret::new(text.to_owned()));
            command(&words, &Root::Sudo { sudo: "/usr/bin/sudo".into(), password })
        };
        assert!(sudo(None).script.ends_with("\nexec /usr/bin/sudo -n -- /usr/bin/apt-get install -y g++\n"));
        let asked = sudo(Some("open sesame"));
        assert!(asked.script.ends_with("\nexec /usr/bin/sudo -k -S -p '' -- /usr/bin/apt-get install -y g++\n"));
        assert!(!asked.script.contains("sesame") && asked.stdin.is_some());
    }

    #[test]
    fn the_last_words_are_those_that_say_why() {
        let locked = [
            "Reading package lists...",
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)",
            "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?",
        ];
        assert_eq!(last_words(&locked), format!("{}; {}", locked[1], locked[2]));
        assert_eq!(last_words(&["one", "two", " "]), "two");
        assert_eq!(last_words(&[]), "it said nothing");
        assert!(wants_password(&["sudo: a password is required"]));
        assert!(wants_password(&["sudo: interactive authentication is required"]));
        assert!(!wants_password(&["sudo: a password is required", "E: broken packages"]));
        assert!(!wants_password(&["a password is required for postgres"]));
    }
}
