//! The system's folders through sudo: short file operations, each word of them fixed, and nothing else.
//!
//! # Theory of operation
//! Everything up to the verified program happens as the user, in the user's scratch: build, upload, the one run that
//! proves it. Root then makes a file beside the final path, fills it, *hashes it there*, and renames it. What the user
//! (or whoever got hold of that account) does to the scratch file meanwhile does not matter: the copy belongs to root,
//! lies in a folder of root's, and its sha256 decides.
//!
//! What a careful administrator has to grant for that ([`sudoers_lines`]) is a handful of commands without a wildcard
//! (in sudoers `*` matches blanks and `/`), without a shell, and without a path below a folder that the user can
//! write to. Two programs of one user's choice in `/usr/local/bin` under one name are all that the lines give away:
//!
//! - Bytes come to root through `tee`'s *stdin*, from a file that the user's own shell opened. `cp FROM TO` with a FROM
//!   that belongs to the user would read any file of the host: FROM could be a symbolic link to `/etc/shadow`. The same
//!   is true of `install /dev/stdin TO`, which opens the file anew as root: a descriptor that was opened with `O_PATH`
//!   needs no right to read. `tee` reads the descriptor itself, and gets no more than the user could.
//! - No path holds a run, a digest or a version: parts are `.NAME.rbee`, the kept version is `ID.previous`. So each
//!   command is one exact text, which old and new sudo and sudo-rs match alike.
//! - Tools are called by absolute paths in folders that only root writes to, never through the user's PATH.
//!
//! With rights of that kind each operation is a `sudo -k -n` of its own, and what a lost controller leaves is removed
//! by a cleanup that was registered before ([`prepare`]). With a password there is nobody to give it to that cleanup,
//! and a password in front of `tee`'s bytes would end up in the file wherever sudo did not ask for it. So there the same
//! operations are one `sudo -k -S sh -c`, whose stdin is the password and nothing else: it is asked for once, whatever
//! `timestamp_timeout` says, and its shell ignores signals and comes to its end by itself, within seconds. That takes
//! the right to run `sh` as root, which who types a password for sudo usually has; whoever has not is shown the lines.
//! The file is opened by root there, so that it must not be readable for others until its sha256 is the right one.
//!
//! A program of several files is beyond such lines: its paths are as many as its files, and `tar` as root makes of an
//! archive whatever the archive says, devices and set-user-ID files among it. So a tree takes the right to run `sh` as
//! root, with a password or without, and root unpacks it where nobody else can look until its sum is the right one.
//!
//! Nobody but root can end what root runs. A step under sudo is therefore a critical section: cancel waits for it.

mod ask;
mod pinned;
mod scripts;
#[cfg(test)]
mod tests;
mod tree;

use std::time::Duration;

pub use ask::{AskError, Asked, Right, ask};
pub use pinned::{Operations, Places, Tools, sudoers_lines};

use super::{InstallError, Part};
use crate::{
    scope::Scope,
    target::{Captured, Command, Exit, Target, TargetError},
    vocab::{Manifest, Secret, text::plain_line},
    wire,
};

/// How root is had on a host.
#[derive(Debug, Clone)]
pub struct Sudo {
    pub tools: Tools,
    /// `None` where sudo asks for none.
    pub password: Option<Secret>,
}

/// Who carries out what touches the final folders.
#[derive(Debug, Clone)]
pub enum Hands {
    /// The user, who may write there.
    Own,
    Root(Box<Sudo>),
}

/// How sudo took a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// The words are sudo's own.
    Wrong(String),
    /// The password may be right; the user may not do this all the same.
    NotAllowed(String),
}

/// How long one step under sudo may take: a copy and a sha256 of a large program, on a slow disk.
const LIMIT: Duration = Duration::from_secs(180);

/// Tries the password once.
///
/// # Errors
/// As [`Target::run`].
pub async fn prove(scope: &Scope, target: &dyn Target, sudo: &Sudo) -> Result<Taken, TargetError> {
    let mut said = Captured::default();
    let exit = run(scope, target, sudo, "sudo", scripts::prove(sudo), &mut said).await?;
    if exit.status == 0 && said.text().lines().any(|line| line == "granted") {
        return Ok(Taken::Yes);
    }
    let words = words(&String::from_utf8_lossy(&said.stderr));
    let denied = ["not in the sudoers", "not allowed to", "may not run", "I'm afraid I can't do that", "tty"];
    Ok(match denied.iter().any(|no| words.contains(no)) {
        true => Taken::NotAllowed(words),
        false => Taken::Wrong(words),
    })
}

/// Registers what removes root's parts when the controller is lost; before the first of them is made.
///
/// # Errors
/// As [`Target::cleanup`].
pub async fn prepare(
    scope: &Scope,
    target: &dyn Target,
    sudo: &Sudo,
    places: &Places,
    parts: &str,
) -> Result<(), TargetError> {
    match sudo.password {
        None => target.cleanup(scope, &scripts::sweep(sudo, places, parts)).await,
        Some(_) => Ok(()),
    }
}

/// Installs the file `source`, whose folder is `parts`; what is there is kept as `old`.
///
/// # Errors
/// With the host's own words; the old program is still there then.
#[expect(clippy::too_many_arguments, reason = "all that one installation is")]
pub async fn put(
    scope: &Scope,
    target: &dyn Target,
    sudo: &Sudo,
    places: &Places,
    parts: &str,
    source: &str,
    new: &Manifest,
    old: Option<&Manifest>,
) -> Result<(), InstallError> {
    let text = |manifest: &Manifest| {
        wire::manifest::write(manifest).map_err(|error| InstallError::Manifest(error.to_string()))
    };
    let keep = old.filter(|old| old.digest != new.digest).map(text).transpose()?;
    let script = scripts::put(sudo, places, parts, source, new.digest, &text(new)?, keep.as_deref());
    let mut said = Captured::default();
    let exit = run(scope, target, sudo, "sudo: install", script, &mut said).await?;
    match exit.status {
        0 => Ok(()),
        scripts::OTHER_DIGEST => {
            let words = "the copy beside it has another sha256, so the file was changed on the way".to_owned();
            Err(InstallError::Activate { path: new.path.clone(), words })
        }
        _ => Err(refused(new, &said)),
    }
}

/// Installs a tree, or a program in place of a tree; `part` lies in the user's scratch.
///
/// # Errors
/// With the host's own words; the old program is still there then.
pub async fn put_tree(
    scope: &Scope,
    target: &dyn Target,
    sudo: &Sudo,
    places: &Places,
    part: &Part,
    new: &Manifest,
    old: Option<&Manifest>,
) -> Result<(), InstallError> {
    let text = |manifest: &Manifest| {
        wire::manifest::write(manifest).map_err(|error| InstallError::Manifest(error.to_string()))
    };
    let keep = old.filter(|old| old.digest != new.digest).map(|old| Ok::<_, InstallError>((old, text(old)?)));
    let keep = keep.transpose()?;
    let script = tree::put(sudo, places, part, new, &text(new)?, keep.as_ref().map(|(m, t)| (*m, t.as_str())), old);
    let mut said = Captured::default();
    match run(scope, target, sudo, "sudo: install", script, &mut said).await?.status {
        0 => Ok(()),
        scripts::OTHER_DIGEST => {
            let words = "the copy beside it has another sha256, so it was changed on the way".to_owned();
            Err(InstallError::Activate { path: new.path.clone(), words })
        }
        _ => Err(refused_shell(new, &said)),
    }
}

/// Removes program, manifest and kept version.
///
/// # Errors
/// With the host's own words.
pub async fn remove(
    scope: &Scope,
    target: &dyn Target,
    sudo: &Sudo,
    places: &Places,
    manifest: &Manifest,
) -> Result<(), InstallError> {
    let mut said = Captured::default();
    let script = match manifest.entry {
        Some(_) => tree::remove(sudo, places, manifest),
        None => scripts::remove(sudo, places, manifest),
    };
    match run(scope, target, sudo, "sudo: remove", script, &mut said).await?.status {
        0 => Ok(()),
        _ if manifest.entry.is_some() => Err(refused_shell(manifest, &said)),
        _ => Err(refused(manifest, &said)),
    }
}

fn refused(manifest: &Manifest, said: &Captured) -> InstallError {
    InstallError::Root { path: manifest.path.clone(), words: words(&String::from_utf8_lossy(&said.stderr)) }
}

fn refused_shell(manifest: &Manifest, said: &Captured) -> InstallError {
    InstallError::RootShell { path: manifest.path.clone(), words: words(&String::from_utf8_lossy(&said.stderr)) }
}

/// Runs a step to its end, cancelled or not; nobody could end it.
async fn run(
    scope: &Scope,
    target: &dyn Target,
    sudo: &Sudo,
    label: &str,
    script: String,
    said: &mut Captured,
) -> Result<Exit, TargetError> {
    scope.check()?;
    // What runs as root has to be looked for as if it were somebody else's: no signal of ours tells whether it is there.
    let mut command = Command::foreign(label, script);
    command.stdin.clone_from(&sudo.password);
    target.run(&scope.critical("a step under sudo", LIMIT), &command, said).await
}

/// What sudo said, else the last words; without its name before it.
fn words(stderr: &str) -> String {
    let lines: Vec<String> =
        stderr.lines().map(plain_line).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let incidental = ["Sorry, try again.", "sudo: no password was provided"];
    let own = lines.iter().rev().find(|line| {
        (line.starts_with("sudo: ") || line.starts_with("Sorry, ") || line.contains("sudoers"))
            && !incidental.contains(&line.as_str())
    });
    match own.or(lines.last()) {
        Some(line) => line.strip_prefix("sudo: ").unwrap_or(line).to_owned(),
        None => "it said nothing".to_owned(),
    }
}
