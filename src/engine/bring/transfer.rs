//! A program comes beside its place: copied from where the host built it, or sent from here.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Errand;
use crate::{
    build::Built,
    engine::{Failure, pending::Pending, phase::phase},
    install::{self, Part, tree},
    transfer::{self, FileSource, TransferError, tree::Tree},
    vocab::{Digest, Phase, Reason, TreeMark},
};

/// Where a finished program lies.
pub(super) enum From {
    Host(String),
    Here(PathBuf),
    Folder(Arc<Tree>),
}

/// A finished program, wherever it lies.
pub(super) struct Program {
    pub name: String,
    /// Of one of several files in a tar.
    pub tree: Option<TreeMark>,
    pub version: Option<String>,
    pub size: u64,
    pub digest: Pending,
}

/// The program's sha256, once it was taken.
pub(super) async fn digest(program: &Program) -> Result<Digest, Failure> {
    program.digest.wait().await.map_err(|error| Failure::new(error).because(Some(Reason::Transfer)))
}

impl std::convert::From<&Built> for Program {
    fn from(built: &Built) -> Self {
        Self {
            name: built.program.clone(),
            tree: built.tree.clone(),
            version: Some(built.version.clone()),
            size: built.size,
            digest: Pending::known(built.digest),
        }
    }
}

/// A program beside its place.
pub(super) struct Brought {
    pub part: Part,
    /// The entry point of a program of several files, with the sum of its tree.
    pub entry: Option<(String, Digest)>,
    pub path: String,
    /// What is at its place now.
    pub found: Option<Digest>,
}

impl Errand<'_> {
    /// Brings a program beside its place; `mark` keeps it apart from one that came before.
    pub(super) async fn transfer(&self, program: &Program, from: &From, mark: &str) -> Result<Brought, Failure> {
        let Self { target, plan, hands, layout, id, .. } = self;
        let limits = &self.run.settings.limits;
        let path = format!("{}/{}", layout.bin, program.name);
        let part = layout.part(&path, &format!("{id}{mark}"));
        let (brought, found) = phase(self.scope, Phase::Transfer, None, |scope| {
            let (path, part) = (&path, &part);
            let run = format!("{id}{mark}");
            async move {
                let limited = scope.within("prepare", limits.short);
                let there = install::prepare(&limited, *target, layout, hands, &plan.worker, &program.name).await?;
                let wanted = |entry, digest| tree::Wanted { worker: &plan.worker, run: &run, entry, digest };
                let bring = async {
                    match (from, &program.tree) {
                        (From::Host(built), None) => {
                            let scope = scope.within("copying the program", limits.short * 4);
                            transfer::copy(&scope, *target, built, part, digest(program).await?).await?;
                        }
                        (From::Here(file), None) => {
                            let source = open(file)?;
                            // A digest that nobody waits for is taken from what is read to be sent.
                            let claim = program.digest.claim();
                            let sent = match &claim {
                                Some(claim) => {
                                    let mut source = source.summed(claim.head().await);
                                    transfer::send(&scope, *target, part, &mut source).await
                                }
                                None => {
                                    let want = program.digest.wait();
                                    transfer::upload(&scope, *target, part, &mut { source }, want).await
                                }
                            };
                            if let Err(TransferError::Digest { .. }) = sent {
                                program.digest.refute();
                            }
                            let digest = sent?;
                            if let Some(claim) = claim {
                                claim.fulfil(digest);
                            }
                        }
                        (From::Host(built), Some(mark)) => {
                            let from = tree::From::Host(built, digest(program).await?);
                            let wanted = wanted(&mark.entry, mark.digest);
                            return Ok(tree::receive(&scope, *target, layout, part, wanted, from).await?);
                        }
                        (From::Here(file), Some(mark)) => {
                            let from = tree::From::File(file, digest(program).await?);
                            let wanted = wanted(&mark.entry, mark.digest);
                            return Ok(tree::receive(&scope, *target, layout, part, wanted, from).await?);
                        }
                        (From::Folder(tree), _) => {
                            let wanted = wanted(&tree.entry, digest(program).await?);
                            let from = tree::From::Folder(tree);
                            return Ok(tree::receive(&scope, *target, layout, part, wanted, from).await?);
                        }
                    }
                    Ok::<_, Failure>(Part::file(part))
                };
                // What is there now is looked at meanwhile.
                let look = async {
                    let found = match plan.old.as_ref().filter(|old| old.path == *path) {
                        Some(old) => install::found(&scope, *target, &[old]).await,
                        None if !there => return Ok(Vec::new()),
                        None => install::digests(&scope, *target, &[path]).await,
                    };
                    Ok::<_, Failure>(found?)
                };
                let (brought, found) = tokio::join!(bring, look);
                Ok((brought?, found?.into_iter().next().flatten()))
            }
        })
        .await?;
        let entry = match (&program.tree, from) {
            (Some(mark), _) => Some((mark.entry.clone(), mark.digest)),
            (None, From::Folder(tree)) => Some((tree.entry.clone(), digest(program).await?)),
            (None, _) => None,
        };
        Ok(Brought { part: brought, entry, path, found })
    }
}

fn open(path: &Path) -> Result<FileSource, Failure> {
    FileSource::open(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display())).because(Some(Reason::Transfer))
    })
}
