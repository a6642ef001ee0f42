//! The one small thing that a new program is made to do on the host's real device, before anybody calls it.

use super::{BuildError, staged::InMemory};
use crate::{
    scope::Scope,
    target::{Captured, Command, Target, TargetError},
    vocab::{RecipeMeta, recipe::RecipeFile, text::sh_quote},
};

/// What a recipe's folder has for whoever builds it, and not for who tries what was built.
const OF_THE_BUILD: [&str; 3] = ["PKGBUILD", ".SRCINFO", "worker.toml"];

/// Runs the `smoke` line of the entry for the program at `path`, in the new folder `work` (the caller's scratch) with the
/// recipe's own files in it; what it said last, when it did not end well.
///
/// # Errors
/// The files could not be put there.
pub async fn smoke(
    scope: &Scope,
    target: &dyn Target,
    recipe: &RecipeMeta,
    line: &str,
    path: &str,
    work: &str,
) -> Result<Result<(), String>, BuildError> {
    let files: Vec<_> = recipe.files.iter().filter(|file| !OF_THE_BUILD.contains(&file.path.as_str())).collect();
    let folder = sh_quote(work);
    // BSD's chmod takes a -- behind the mode for a file.
    let made = format!("umask 077; mkdir -p -- {folder} && chmod 700 {folder}");
    own(scope, target, "make a folder to try it in", made).await?;
    if !files.is_empty() {
        let archive = pack(&files).map_err(|error| TargetError::Local(error.to_string()))?;
        target.put(scope, &format!("{work}/files.tar"), &mut InMemory::from(archive)).await?;
        // Without -o, root would give the files to whoever the archive names.
        let unpack = format!("cd -- {folder} && tar -xof files.tar && rm -f files.tar");
        own(scope, target, "unpack the recipe's files", unpack).await?;
    }
    let script = format!(
        "cd -- {folder} || exit 125\nRBEE_PROGRAM={}; export RBEE_PROGRAM\nexec /bin/sh -c {}\n",
        sh_quote(path),
        sh_quote(line)
    );
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::foreign("smoke", script), &mut said).await?;
    if exit.status == 0 {
        return Ok(Ok(()));
    }
    let words = match said.last_words() {
        words if words.is_empty() => "it said nothing".to_owned(),
        words => words,
    };
    Ok(Err(format!("the smoke test ended with status {}: {words}", exit.status)))
}

async fn own(scope: &Scope, target: &dyn Target, label: &str, script: String) -> Result<(), BuildError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own(label, script), &mut said).await?;
    if exit.status == 0 {
        return Ok(());
    }
    let text = format!("cannot {label} (status {}) {}", exit.status, said.last_words());
    Err(TargetError::Host(text.trim_end().to_owned()).into())
}

fn pack(files: &[&RecipeFile]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        // Any moment in the past; tar warns of the very first ones.
        header.set_mtime(1_000_000_000);
        header.set_entry_type(tar::EntryType::Regular);
        archive.append_data(&mut header, &file.path, file.content.as_slice())?;
    }
    archive.into_inner()
}
