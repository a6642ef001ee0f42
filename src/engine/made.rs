//! A program that one of several hosts made: how it comes to the controller's cache, and what becomes of it on the first
//! hosts.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Failure,
    group::{Offer, Way},
    install::now,
    make::{Making, build_in},
    phase::phase,
};
use crate::{
    artifacts::{Artifact, Artifacts, Checked},
    install::tree,
    scope::Scope,
    target::Target,
    transfer,
    vocab::{HostName, Phase, Reason, RecipeMeta},
};

/// For reading and packing what is installed.
const TREE_LIMIT: Duration = Duration::from_secs(120);

/// A program that is ready to be sent.
#[derive(Debug)]
pub struct Made {
    pub kept: Checked,
    pub way: Way,
    /// Where the builder has it, until its own task ends.
    pub at_builder: Option<(HostName, String)>,
    trial: Mutex<Trial>,
    /// Of hosts that build their own instead.
    turn: tokio::sync::Mutex<()>,
}

/// What became of the program on the first hosts.
#[derive(Debug, Default)]
struct Trial {
    ran: bool,
    /// Where not even a build of its own ran.
    given_up: Option<HostName>,
}

impl Made {
    pub(super) fn new(kept: Checked, way: &Way, at_builder: Option<(HostName, String)>) -> Self {
        Self { kept, way: way.clone(), at_builder, trial: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// It ran on a host.
    pub fn ran(&self) {
        self.trial().ran = true;
    }

    /// It did not run on a host. True when it ran nowhere yet: then it may be the program's fault.
    pub fn did_not_run(&self) -> bool {
        !self.trial().ran
    }

    /// Not even a build of this host's own ran.
    pub fn give_up(&self, host: &HostName) {
        self.trial().given_up.get_or_insert_with(|| host.clone());
    }

    /// Where a build of its own did not run either, if it ran nowhere.
    pub fn given_up(&self) -> Option<HostName> {
        let trial = self.trial();
        trial.given_up.clone().filter(|_| !trial.ran)
    }

    /// Waits for the turn to build instead; once it ran somewhere, nobody needs to wait.
    pub async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.trial().ran {
            return None;
        }
        Some(self.turn.lock().await)
    }

    fn trial(&self) -> MutexGuard<'_, Trial> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds, and brings the result to the cache; also where the builder has it.
pub(super) async fn build(
    scope: &Scope,
    target: &dyn Target,
    cache: &Artifacts,
    way: &Way,
    making: &Making<'_>,
    work: &str,
) -> Result<(Checked, String), Failure> {
    let built = build_in(scope, target, making, work).await?;
    let artifact = Artifact {
        worker: making.recipe.worker.id.clone(),
        version: built.version.clone(),
        key: way.key,
        class: way.class.to_string(),
        program: built.program.clone(),
        tree: built.tree.clone(),
        size: built.size,
        digest: built.digest,
        from: way.words(),
        made_at: now(),
    };
    let path = built.path;
    let kept = phase(scope, Phase::Transfer, None, |scope| keep(scope, target, cache, artifact, &path)).await?;
    Ok((kept, path))
}

/// Brings what a host has to the cache.
pub(super) async fn take(
    scope: &Scope,
    target: &dyn Target,
    cache: &Artifacts,
    offer: &Offer,
    way: &Way,
    recipe: &RecipeMeta,
    scratch: &str,
) -> Result<Checked, Failure> {
    let artifact = Artifact {
        worker: recipe.worker.id.clone(),
        version: offer.version.clone(),
        key: way.key,
        class: way.class.to_string(),
        program: offer.program.clone(),
        tree: offer.tree.clone(),
        size: offer.size,
        digest: offer.digest,
        from: way.words(),
        made_at: now(),
    };
    phase(scope, Phase::Transfer, None, |scope| async move {
        match &offer.tree {
            None => keep(scope, target, cache, artifact, &offer.path).await,
            Some(mark) => {
                let limited = scope.within("packing a program of several files", TREE_LIMIT);
                let packed = tree::pack(&limited, target, &offer.path, &recipe.worker.id, mark, scratch).await?;
                let artifact = Artifact { size: packed.size, digest: packed.digest, ..artifact };
                keep(scope, target, cache, artifact, &packed.path).await
            }
        }
    })
    .await
}

async fn keep(
    scope: Scope,
    target: &dyn Target,
    cache: &Artifacts,
    artifact: Artifact,
    path: &str,
) -> Result<Checked, Failure> {
    let local = |error: crate::artifacts::CacheError| {
        Failure::new(error.to_string()).hint(Some("rbee cache prune makes room")).because(Some(Reason::Transfer))
    };
    let draft = cache.draft().map_err(local)?;
    let file = draft.data().map_err(local)?;
    transfer::download(&scope, target, path, file, artifact.size, artifact.digest).await?;
    draft.keep(artifact).map_err(local)
}
