//! Back to the version before, and away with a worker.

use super::{
    Failure, Run,
    install::{lock, now},
    job::Done,
    phase::phase,
};
use crate::{
    install::{self, Layout},
    scope::Scope,
    target::Target,
    vocab::{Facts, Manifest, Phase, WorkerId},
};

/// Goes back to the version before.
pub async fn rollback(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    facts: &Facts,
    worker: Option<&WorkerId>,
) -> Result<Done, Failure> {
    let found: Vec<&Manifest> = match worker {
        Some(worker) => facts.installed.iter().filter(|m| m.worker == *worker).collect(),
        None => facts.installed.iter().filter(|m| m.previous.is_some()).collect(),
    };
    let current = match (&found[..], worker) {
        ([one], _) => *one,
        ([], Some(worker)) => return Err(Failure::refused(format!("{worker} is not installed here"), None)),
        ([], None) => return Err(Failure::refused("nothing here has an earlier version", None)),
        (many, _) => {
            let names: Vec<_> = many.iter().map(|m| m.worker.as_str()).collect();
            let text = format!("several workers have an earlier version: {}", names.join(", "));
            return Err(Failure::refused(text, Some("name one of them".into())));
        }
    };
    if current.previous.is_none() {
        return Err(Failure::refused(format!("there is no earlier version of {}", current.worker), None));
    }
    lock(scope, run, target, facts).await?;
    let layout = layout_of(facts, current);
    let limit = Some(run.settings.limits.short * 4);
    let old = phase(scope, Phase::Install, limit, |scope| async move {
        let id = scope.events().run().to_string();
        Ok(install::rollback(&scope, target, &layout, current, &id, &now()).await?)
    })
    .await?;
    Ok(Done::changed(format!("{} is {} again, was {}", old.worker, old.version, current.version)))
}

/// Takes a worker away.
pub async fn remove(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    facts: &Facts,
    worker: &WorkerId,
    force: bool,
) -> Result<Done, Failure> {
    let found: Vec<&Manifest> = facts.installed.iter().filter(|m| m.worker == *worker).collect();
    if found.is_empty() {
        return Ok(Done::unchanged(format!("{worker} is not installed")));
    }
    lock(scope, run, target, facts).await?;
    let mut done = Done::default();
    for manifest in found {
        let layout = layout_of(facts, manifest);
        phase(scope, Phase::Install, Some(run.settings.limits.short * 4), |scope| async move {
            let digest = install::digests(&scope, target, &[&manifest.path]).await?.into_iter().next().flatten();
            Ok(install::remove(&scope, target, &layout, manifest, digest, force).await?)
        })
        .await?;
        done = done.and(Done::changed(format!("removed {} {} from {}", worker, manifest.version, manifest.path)));
    }
    Ok(done)
}

/// The folders that a manifest belongs to.
fn layout_of(facts: &Facts, manifest: &Manifest) -> Layout {
    let bin = manifest.path.rsplit_once('/').map_or(String::new(), |(bin, _)| bin.to_owned());
    let data = if bin == facts.dirs.system_bin { facts.dirs.system_data.clone() } else { facts.dirs.data.clone() };
    Layout { bin, data }
}
