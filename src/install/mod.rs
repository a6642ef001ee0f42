//! Puts a program where it belongs, all at once, and takes it away again.
//!
//! # Theory of operation
//! A program arrives as a hidden *part* beside its final path (see [`crate::transfer`]). It is made executable, run
//! once, and only then renamed; the manifest follows in the same script. What was there before goes to the store as a
//! hard link first, so that a rollback needs nothing from anywhere else. Whatever stops this in the middle leaves
//! either the old program or the new one: a program whose digest is not its manifest's is simply installed again.
//! Programs of several files: see [`tree`].

mod layout;
mod lock;
pub mod packages;
mod running;
mod scripts;
pub mod sudo;
pub mod tree;

pub use layout::Layout;
pub use lock::{LockError, lock};
pub use running::running;
pub use sudo::{Hands, Places, Sudo};
pub use tree::{Part, found};

use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    transfer::{self, TransferError, digest_script, parse_digest, tree::TreeError},
    vocab::{
        Digest, Manifest, Reason, WorkerId,
        text::{sh_join, sh_quote},
    },
    wire,
};

/// Why an installation, a rollback or a removal did not come about.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("cannot install it: {0}")]
    Tree(#[from] TreeError),
    #[error("cannot write to {dir}: {words}")]
    Directory { dir: String, words: String },
    #[error("{command} ended with status {status}: {words}")]
    DoesNotRun { command: String, status: i32, words: String },
    #[error("cannot put {path} in place: {words}")]
    Activate { path: String, words: String },
    #[error("sudo did not put {path} in place: {words}")]
    Root { path: String, words: String },
    /// What no line of sudoers can pin: it was tried with a shell as root.
    #[error("sudo did not put {path}, a program of several files, in place: {words}")]
    RootShell { path: String, words: String },
    #[error("there is no earlier version of {0} to go back to")]
    NoPrevious(WorkerId),
    #[error("the kept version of {worker} is damaged: {what}")]
    Damaged { worker: WorkerId, what: String },
    #[error("{path} is not the file that was installed (sha256 {got} instead of {want})")]
    Foreign { path: String, want: String, got: String },
    #[error("cannot write a manifest: {0}")]
    Manifest(String),
}

impl InstallError {
    /// The reason to report; `None` where the phase decides.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Target(error) | Self::Transfer(TransferError::Target(error)) => error.reason(),
            Self::Transfer(TransferError::Digest { .. }) | Self::DoesNotRun { .. } => Some(Reason::Verify),
            Self::Transfer(_) => Some(Reason::Transfer),
            _ => None,
        }
    }

    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::DoesNotRun { status: 126, .. } => Some("is the install directory on a filesystem mounted noexec?"),
            Self::Foreign { .. } => Some("move it away, or say --force to remove it all the same"),
            Self::RootShell { .. } => Some(
                "unlike a single program, it needs the right to run sh through sudo: with a password (--ask-sudo-pass), \
                 or by NOPASSWD: ALL; without --system it goes to the user's own folder",
            ),
            Self::Directory { words, .. } if words.contains("space") => Some("free some space there and run again"),
            _ => None,
        }
    }
}

/// Makes the folders that an installation of `program` writes to; the first write of a run on a host. Yields whether there
/// is something in its place.
///
/// # Errors
/// With the host's own words.
pub async fn prepare(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    hands: &Hands,
    worker: &WorkerId,
    program: &str,
) -> Result<bool, InstallError> {
    let mut said = Captured::default();
    let script = match hands {
        Hands::Own => scripts::prepare(layout),
        Hands::Root(sudo) => {
            let places = Places::new(layout, worker, program);
            // Cleanups run in this order, and the one of root's looks for a mark in the scratch folder.
            sudo::prepare(scope, target, sudo, &places, layout.parts()).await?;
            target.scratch(scope, layout.parts()).await?;
            scripts::prepare_parts(layout.parts())
        }
    };
    let path = format!("{}/{program}", layout.bin);
    let path = sh_quote(&path);
    let script = format!("{script}[ ! -e {path} ] && [ ! -h {path} ] || echo there\n");
    let exit = target.run(scope, &Command::own("prepare", script), &mut said).await?;
    if exit.status == 0 {
        return Ok(!said.text().is_empty());
    }
    Err(InstallError::Directory { dir: layout.parts().to_owned(), words: said.last_words() })
}

/// How the one run that proves a program is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The recipe says how it answers: status 0.
    Answers,
    /// Nothing is known of its arguments: that it starts at all.
    Starts,
}

/// Makes the part executable and runs it once; the words that it says.
///
/// # Errors
/// [`InstallError::DoesNotRun`] with the program's last words.
pub async fn prove(
    scope: &Scope,
    target: &dyn Target,
    part: &str,
    name: &str,
    arguments: &[String],
    proof: Proof,
) -> Result<String, InstallError> {
    let call = sh_join(std::iter::once(part).chain(arguments.iter().map(String::as_str)));
    let script = format!("chmod 0755 {} && exec {call}", sh_quote(part));
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::foreign("first run", script), &mut said).await?;
    let ok = match proof {
        Proof::Answers => exit.status == 0,
        Proof::Starts => exit.status < 126,
    };
    if ok {
        return Ok(said.text().lines().next().unwrap_or_default().to_owned());
    }
    let command = sh_join(std::iter::once(name).chain(arguments.iter().map(String::as_str)));
    let words = match said.last_words() {
        words if words.is_empty() => "it said nothing".to_owned(),
        words => words.replace(part, name),
    };
    Err(InstallError::DoesNotRun { command, status: exit.status, words })
}

/// Renames the part to its final path and writes the manifest; keeps what was there.
///
/// `old` is what the host has there now, if anything: its own manifest, or one made up for a program that was found.
///
/// # Errors
/// With the host's own words; the old program is still there then.
pub async fn activate(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    hands: &Hands,
    part: &Part,
    new: &Manifest,
    old: Option<&Manifest>,
) -> Result<(), InstallError> {
    if let Hands::Root(sudo) = hands {
        let places = Places::new(layout, &new.worker, scripts::base(&new.path));
        return match new.entry.is_some() || old.is_some_and(|old| old.entry.is_some()) {
            true => sudo::put_tree(scope, target, sudo, &places, part, new, old).await,
            false => sudo::put(scope, target, sudo, &places, layout.parts(), &part.path, new, old).await,
        };
    }
    let text = |manifest: &Manifest| {
        wire::manifest::write(manifest).map_err(|error| InstallError::Manifest(error.to_string()))
    };
    let old_text = old.map(text).transpose()?;
    let staged = layout.manifest_part(&new.worker, &new.run);
    target.scratch(scope, &staged).await?;
    if new.entry.is_some() {
        target.cleanup(scope, &tree::undo(layout, new, &layout.tree_part(&new.worker, &new.run))).await?;
    }
    let keep = old.zip(old_text.as_deref());
    let script = scripts::activate(layout, &part.path, &staged, new, &text(new)?, keep);
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("activate", script), &mut said).await?;
    if exit.status == 0 {
        return Ok(());
    }
    Err(InstallError::Activate { path: new.path.clone(), words: said.last_words() })
}

/// Puts the kept version back; the one that was current is kept in its stead.
///
/// # Errors
/// [`InstallError::NoPrevious`], or as [`prove`] and [`activate`]; the current program stays then.
pub async fn rollback(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    hands: &Hands,
    current: &Manifest,
    run: &str,
    now: &str,
) -> Result<Manifest, InstallError> {
    let Some(previous) = current.previous else { return Err(InstallError::NoPrevious(current.worker.clone())) };
    let damaged = |what: String| InstallError::Damaged { worker: current.worker.clone(), what };
    let (kept, mut old) = match read_kept(scope, target, layout, current, previous).await? {
        Some(found) => found.map_err(damaged)?,
        None => return Err(InstallError::NoPrevious(current.worker.clone())),
    };
    let name = scripts::base(&current.path);
    if matches!(hands, Hands::Root(_)) {
        prepare(scope, target, layout, hands, &current.worker, name).await?;
    }
    let part = layout.part(&current.path, run);
    let part = match old.entry {
        Some(_) => tree::kept(scope, target, &kept, &old, &part).await?,
        None => match transfer::copy(scope, target, &kept, &part, previous).await {
            Err(TransferError::Digest { got, .. }) => return Err(damaged(format!("its sha256 is {got}"))),
            other => other.map(|()| Part::file(part))?,
        },
    };
    prove(scope, target, &part.path, name, &["--version".into()], Proof::Starts).await?;
    old.previous = Some(current.digest);
    run.clone_into(&mut old.run);
    now.clone_into(&mut old.installed_at);
    activate(scope, target, layout, hands, &part, &old, Some(current)).await?;
    Ok(old)
}

/// The version that a rollback of `current` leads to, and where its program is; `None` where nothing whole is kept.
///
/// # Errors
/// The host could not be asked.
pub async fn kept(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    current: &Manifest,
) -> Result<Option<(String, Manifest)>, InstallError> {
    let Some(previous) = current.previous else { return Ok(None) };
    let found = read_kept(scope, target, layout, current, previous).await?;
    Ok(found.and_then(Result::ok))
}

async fn read_kept(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    current: &Manifest,
    previous: Digest,
) -> Result<Option<Result<(String, Manifest), String>>, InstallError> {
    let mut said = Captured::default();
    let script = scripts::read_kept(layout, &previous, &current.worker, &current.path);
    target.run(scope, &Command::own("kept manifest", script), &mut said).await?;
    Ok(kept_version(&said.text(), current, previous))
}

/// The kept program that `current` speaks of, with its manifest; what is wrong with it, if nothing else is there.
fn kept_version(text: &str, current: &Manifest, previous: Digest) -> Option<Result<(String, Manifest), String>> {
    let mut found = None;
    for entry in text.split('\u{1e}').skip(1) {
        let Some((program, manifest)) = entry.split_once('\n') else { continue };
        let read = match wire::manifest::read(manifest) {
            Ok(old) if old.digest == previous && old.path == current.path && old.worker == current.worker => {
                return Some(Ok((program.to_owned(), old)));
            }
            Ok(_) => Err("its manifest speaks of another program".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        found.get_or_insert(read);
    }
    found
}

/// Removes program, manifest and kept version.
///
/// # Errors
/// [`InstallError::Foreign`] when the file is no longer the one that was installed, unless `force`.
pub async fn remove(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    hands: &Hands,
    manifest: &Manifest,
    found: Option<Digest>,
    force: bool,
) -> Result<(), InstallError> {
    if let Some(got) = found
        && got != manifest.digest
        && !force
    {
        return Err(InstallError::Foreign {
            path: manifest.path.clone(),
            want: manifest.digest.short(),
            got: got.short(),
        });
    }
    if let Hands::Root(sudo) = hands {
        let places = Places::new(layout, &manifest.worker, scripts::base(&manifest.path));
        return sudo::remove(scope, target, sudo, &places, manifest).await;
    }
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("remove", scripts::remove(layout, manifest)), &mut said).await?;
    if exit.status == 0 {
        return Ok(());
    }
    Err(InstallError::Activate { path: manifest.path.clone(), words: said.last_words() })
}

/// The digests of single files on the host, in the order of `paths`; `None` for one that is not there.
///
/// # Errors
/// The host has no tool for it.
pub async fn digests(scope: &Scope, target: &dyn Target, paths: &[&str]) -> Result<Vec<Option<Digest>>, InstallError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("sha256", digest_script(paths)), &mut said).await?;
    let found: Vec<_> = said.text().lines().map(parse_digest).collect();
    if exit.status == 69 || found.len() != paths.len() {
        return Err(TransferError::Host(said.last_words()).into());
    }
    Ok(found)
}
