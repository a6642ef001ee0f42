//! Programs of several files: a tree in the store, and a link in the bin folder.
//!
//! # Theory of operation
//! A tree arrives as one tar, is unpacked in a hidden folder of the store, and its sum is taken there. It is run once through a hidden link beside the final path, so that the first run is called as every later
//! one will be: libraries that are found by `$ORIGIN/../lib` are, as the kernel names the file that the link leads to;
//! a program that looks beside its `argv[0]` finds nothing there, and fails before anybody else calls it. Then the
//! folder is renamed to its sum, and a link to it is renamed to the final path.
//!
//! A tree that the store has already, and that still has its sum, is not sent again.

use std::{fs::File, path::Path, sync::Arc};

use super::{InstallError, Layout};
use crate::{
    scope::Scope,
    target::{Captured, Command, Target},
    transfer::{
        self, FileSource, TransferError, parse_digest,
        tree::{Tree, TreeSource, check_tar, digest_script, pack_script, tree_sum},
    },
    vocab::{
        Digest, Manifest, TreeMark, WorkerId,
        text::{plain_line, sh_quote},
    },
};

/// Something on its way to its final path.
#[derive(Debug, Clone)]
pub struct Part {
    /// What is run and renamed: the program, or a link into a tree.
    pub path: String,
    /// The sum of the tar that root unpacks, where root does.
    pub archive: Option<Digest>,
}

impl Part {
    pub fn file(path: impl Into<String>) -> Self {
        Self { path: path.into(), archive: None }
    }
}

/// Where a tree comes from.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// A tar on the host, with its sha256.
    Host(&'a str, Digest),
    /// A tar here.
    File(&'a Path, Digest),
    Folder(&'a Arc<Tree>),
}

/// What a tree is to be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub worker: &'a WorkerId,
    pub run: &'a str,
    /// "bin/NAME".
    pub entry: &'a str,
    pub digest: Digest,
}

/// The status of a host without tar.
const NO_TAR: i32 = 91;

/// Brings a tree beside its place and proves that it is whole; `part` will be a link to its entry point.
///
/// # Errors
/// As the transfer; nothing stays behind.
pub async fn receive(
    scope: &Scope,
    target: &dyn Target,
    layout: &Layout,
    part: &str,
    wanted: Wanted<'_>,
    from: From<'_>,
) -> Result<Part, InstallError> {
    let Wanted { worker, run, entry, digest } = wanted;
    let (store, folder) = (layout.store(&digest), layout.tree_part(worker, run));
    if sum(scope, target, &store, worker, entry).await? == Some(digest) {
        link(scope, target, &store, entry, part).await?;
        return Ok(Part::file(part));
    }
    let archive = format!("{folder}.tar");
    // Root unpacks for itself, and from there.
    let through = layout.parts() != layout.bin;
    target.scratch(scope, &folder).await?;
    if !through {
        shell(scope, target, "make the store", &format!("umask 022; mkdir -p -- {}", sh_quote(&layout.stores())))
            .await?;
    }
    let (packed, sha256) = match from {
        From::Host(built, sha256) if !through => (built, sha256),
        From::Host(built, sha256) => {
            transfer::copy(scope, target, built, &archive, sha256).await?;
            (archive.as_str(), sha256)
        }
        From::File(path, sha256) => {
            let read = |error| TransferError::Read { path: path.display().to_string(), error };
            check_tar(File::open(path).map_err(read)?)?;
            let mut source = FileSource::open(path).map_err(read)?;
            let want = async { Ok(sha256) };
            transfer::upload(scope, target, &archive, &mut source, want).await?;
            (archive.as_str(), sha256)
        }
        From::Folder(tree) => {
            let mut source = TreeSource::open(tree.clone())
                .map_err(|error| TransferError::Read { path: tree.root.display().to_string(), error })?;
            let sha256 = transfer::send(scope, target, &archive, &mut source).await?;
            (archive.as_str(), sha256)
        }
    };
    shell(scope, target, "unpack", &unpacked(packed, &folder, packed == archive && !through)).await?;
    let got = sum(scope, target, &folder, worker, entry).await?;
    match got {
        Some(got) if got == digest => {}
        Some(got) => return Err(TransferError::Digest { path: folder, want: digest, got }.into()),
        None => return Err(TransferError::Host(format!("cannot read {folder} on the host")).into()),
    }
    link(scope, target, &folder, entry, part).await?;
    Ok(Part { path: part.to_owned(), archive: through.then_some(sha256) })
}

/// The sum of the tree in a folder of the host; `None` when there is none.
///
/// # Errors
/// The host has no tool for it.
pub async fn sum(
    scope: &Scope,
    target: &dyn Target,
    folder: &str,
    worker: &WorkerId,
    entry: &str,
) -> Result<Option<Digest>, InstallError> {
    let script = digest_script(&[tree_sum(&sh_quote(folder), worker, entry)]);
    Ok(sums(scope, target, script).await?.into_iter().next().flatten())
}

/// A tar of an installed tree, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

/// Packs the tree that the link `path` leads into, after it was proven to be whole, into the new folder `scratch`.
///
/// # Errors
/// It is no link into a store, or the tree is not what it was.
pub async fn pack(
    scope: &Scope,
    target: &dyn Target,
    path: &str,
    worker: &WorkerId,
    mark: &TreeMark,
    scratch: &str,
) -> Result<Packed, InstallError> {
    let failed = |why: &str| InstallError::from(TransferError::Host(format!("cannot take {path}: {why}")));
    let mut said = Captured::default();
    target.run(scope, &Command::own("look for the tree", format!("readlink {}", sh_quote(path))), &mut said).await?;
    let link = said.text();
    let folder = link.trim_end_matches('\n').strip_suffix(&format!("/{}", mark.entry));
    let folder =
        folder.filter(|folder| folder.starts_with('/') && folder.ends_with(&format!("/store/{}", mark.digest)));
    let folder = folder.ok_or_else(|| failed("it is no link into the store"))?.to_owned();
    if sum(scope, target, &folder, worker, &mark.entry).await? != Some(mark.digest) {
        return Err(failed("its tree is not what was installed"));
    }
    target.scratch(scope, scratch).await?;
    let archive = format!("{scratch}/tree.tar");
    let script = format!(
        "umask 077; mkdir -p -- {0} && chmod 700 {0} || exit\n( {1} ) && wc -c <{2}\n",
        sh_quote(scratch),
        pack_script(&folder, &archive),
        sh_quote(&archive)
    );
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("pack the tree", script), &mut said).await?;
    let size = said.text().trim().parse().ok().filter(|_| exit.status == 0);
    let size = size.ok_or_else(|| failed(&said.last_words()))?;
    let digest = crate::transfer::digest_of(scope, target, &archive).await?;
    Ok(Packed { path: archive, size, digest })
}

pub(super) async fn sums(
    scope: &Scope,
    target: &dyn Target,
    script: String,
) -> Result<Vec<Option<Digest>>, InstallError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("sha256", script), &mut said).await?;
    if exit.status == 69 {
        return Err(TransferError::Host(said.last_words()).into());
    }
    Ok(said.text().lines().map(parse_digest).collect())
}

/// Makes `part` a link to the entry point of the tree in `folder`.
pub(super) async fn link(
    scope: &Scope,
    target: &dyn Target,
    folder: &str,
    entry: &str,
    part: &str,
) -> Result<(), InstallError> {
    target.scratch(scope, part).await?;
    let script = format!(
        "rm -f -- {part} && ln -s -- {to} {part}\n",
        to = sh_quote(&format!("{folder}/{entry}")),
        part = sh_quote(part)
    );
    shell(scope, target, "link", &script).await
}

async fn shell(scope: &Scope, target: &dyn Target, label: &str, script: &str) -> Result<(), InstallError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own(label, script), &mut said).await?;
    match exit.status {
        0 => Ok(()),
        NO_TAR => {
            Err(TransferError::Host("there is no tar on this host, which a package of several files needs".into())
                .into())
        }
        _ => Err(TransferError::Host(format!("cannot {label} on the host: {}", first_words(&said))).into()),
    }
}

/// The first thing that was wrong: tar ends with a line that says no more than that something was.
fn first_words(said: &Captured) -> String {
    let stderr = String::from_utf8_lossy(&said.stderr);
    let mut lines = stderr.lines().map(plain_line).filter(|line| !line.trim().is_empty());
    match lines.next() {
        // What GNU tar says of a disk that became full in the middle of a block.
        Some(line) if line.contains("Wrote only") => format!("{line}; no space is left there"),
        Some(line) => line,
        None => said.last_words(),
    }
}

fn unpacked(archive: &str, folder: &str, remove: bool) -> String {
    let (folder, archive) = (sh_quote(folder), sh_quote(archive));
    let after = if remove { format!("rm -f -- {archive}\n") } else { String::new() };
    // Without -o, root would give the files to whoever the archive names.
    format!(
        "umask 022; command -v tar >/dev/null 2>&1 || exit {NO_TAR}\n\
         mkdir -- {folder} && cd -- {folder} && tar -xof {archive} || exit\n{after}"
    )
}

/// Renames the tree to its place, if one arrived, and makes `part` a link to it there; part of a larger script.
///
/// A damaged tree of the same sum makes room first, and comes back if nothing takes its place.
pub(super) fn place(layout: &Layout, new: &Manifest, part: &str, arrived: &str) -> String {
    let Some(entry) = &new.entry else { return String::new() };
    let store = layout.store(&new.digest);
    let to = format!("{store}/{entry}");
    format!(
        "[ ! -d {path} ] || [ -L {path} ] || {{ echo {path} is a folder >&2; exit 73; }}\n\
         if [ -d {arrived} ]; then\n\
         if [ -e {store} ]; then mv -- {store} {old}; fi\n\
         mv -- {arrived} {store}\nrm -rf -- {old}\nfi\n\
         rm -f -- {part}\nln -s -- {to} {part}\n",
        path = sh_quote(&new.path),
        arrived = sh_quote(arrived),
        old = sh_quote(&format!("{arrived}.old")),
        store = sh_quote(&store),
        part = sh_quote(part),
        to = sh_quote(&to),
    )
}

/// Brings back a tree that made room, and removes one that nobody speaks of: for a run that is cut off in the middle.
pub(super) fn undo(layout: &Layout, new: &Manifest, arrived: &str) -> String {
    let (store, old) = (layout.store(&new.digest), format!("{arrived}.old"));
    format!(
        "if [ -d {old} ]; then [ -e {store} ] || mv -- {old} {store}; rm -rf -- {old}; fi\n\
         [ ! -d {store}/bin ] || grep -qsF -e {digest} {installed}/*.toml || rm -rf -- {store}",
        store = sh_quote(&store),
        old = sh_quote(&old),
        digest = new.digest,
        installed = sh_quote(&layout.installed()),
    )
}

/// The digests of installed programs, of trees and single files; `None` for one that is not there.
///
/// Of a program of several files it is the sum of its tree, as long as its path is a link to that tree.
///
/// # Errors
/// The host has no tool for it.
pub async fn found(
    scope: &Scope,
    target: &dyn Target,
    manifests: &[&Manifest],
) -> Result<Vec<Option<Digest>>, InstallError> {
    if manifests.iter().all(|manifest| manifest.entry.is_none()) {
        let paths: Vec<&str> = manifests.iter().map(|manifest| manifest.path.as_str()).collect();
        return super::digests(scope, target, &paths).await;
    }
    let found = sums(scope, target, found_script(manifests)).await?;
    if found.len() != manifests.len() {
        return Err(TransferError::Host("the host did not tell the sha256 of every program".into()).into());
    }
    Ok(found)
}

fn found_script(manifests: &[&Manifest]) -> String {
    let calls: Vec<String> = manifests
        .iter()
        .map(|manifest| {
            let path = sh_quote(&manifest.path);
            let file = format!("{{ $h <{path}; }} 2>/dev/null || echo -");
            let Some(entry) = &manifest.entry else { return file };
            let end = sh_quote(&format!("/{}/{entry}", manifest.digest)).into_owned();
            format!(
                "t=; [ ! -L {path} ] || t=$(readlink {path})\ncase $t in /*/store{end}) t=${{t%/{entry}}}\n\
                 if [ -e {path} ]; then {sum}; else echo -; fi ;;\n*) {file} ;; esac",
                entry = sh_quote(entry),
                sum = tree_sum("\"$t\"", &manifest.worker, entry),
            )
        })
        .collect();
    digest_script(&calls)
}

/// Proves that a kept tree is whole.
pub(super) async fn kept(
    scope: &Scope,
    target: &dyn Target,
    folder: &str,
    old: &Manifest,
    part: &str,
) -> Result<Part, InstallError> {
    let entry = old.entry.as_deref().unwrap_or_default();
    let damaged = |what| InstallError::Damaged { worker: old.worker.clone(), what };
    match sum(scope, target, folder, &old.worker, entry).await? {
        Some(got) if got == old.digest => {}
        Some(got) => return Err(damaged(format!("the sha256 of its files is {got}"))),
        None => return Err(damaged("its files are gone".into())),
    }
    link(scope, target, folder, entry, part).await?;
    Ok(Part::file(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::BuildKey;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let manifest = Manifest {
            worker: WorkerId::new("srv").unwrap(),
            version: "1.0".into(),
            class: None,
            key: BuildKey(Digest::new([2; 32])),
            digest: Digest::new([2; 32]),
            size: 7,
            path: "/home/it's me/.local/bin/srv".into(),
            entry: Some("bin/srv".into()),
            origin: "built in".into(),
            run: "RUN".into(),
            installed_at: "2026-01-01T00:00:00Z".into(),
            previous: Some(Digest::new([1; 32])),
        };
        let layout = Layout::new("/home/it's me/.local/bin", "/home/it's me/.local/share/rbee");
        let (folder, part) = (layout.tree_part(&manifest.worker, "RUN"), layout.part(&manifest.path, "RUN"));
        insta::assert_snapshot!("unpacked", unpacked(&format!("{folder}.tar"), &folder, true));
        insta::assert_snapshot!("place", place(&layout, &manifest, &part, &folder));
        insta::assert_snapshot!("undo", undo(&layout, &manifest, &folder));
        let single = Manifest { entry: None, path: "/usr/local/bin/x".into(), ..manifest.clone() };
        let script = found_script(&[&manifest, &single]);
        insta::assert_snapshot!("found", script.split_once("tree_sum()").unwrap().1);
    }
}
