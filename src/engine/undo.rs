//! Back to the version before, and away with a worker.

use super::{
    Failure, Run,
    install::{layout, lock, now},
    job::Done,
    phase::phase,
    sudo,
    sudo_password::Inside,
};
use crate::{
    install::{self, Hands, Layout, Places},
    scope::Scope,
    target::Target,
    vocab::{Facts, Host, Manifest, Phase, WorkerId},
};

/// Goes back to the version before.
pub async fn rollback(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    worker: Option<&WorkerId>,
    inside: Inside<'_>,
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
    let hands = &hands(scope, run, host, target, facts, &[current], inside).await?;
    lock(scope, run, target, facts).await?;
    let layout = layout_of(scope, facts, current, hands);
    let limit = Some(run.settings.limits.short * 4);
    let old = phase(scope, Phase::Install, limit, |scope| async move {
        let id = scope.events().run().to_string();
        let places = places_of(facts, current);
        let old = install::rollback(&scope, target, &layout, hands, current, &id, &now()).await;
        old.map_err(|error| sudo::explain(error, hands, &places, facts))
    })
    .await?;
    Ok(Done::changed(format!("{} is {} again, was {}", old.worker, old.version, current.version)))
}

/// Takes a worker away.
#[expect(clippy::too_many_arguments, reason = "a door of the engine, called once")]
pub async fn remove(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    worker: &WorkerId,
    force: bool,
    inside: Inside<'_>,
) -> Result<Done, Failure> {
    let found: Vec<&Manifest> = facts.installed.iter().filter(|m| m.worker == *worker).collect();
    if found.is_empty() {
        return Ok(Done::unchanged(format!("{worker} is not installed")));
    }
    if !force {
        refuse_running(scope, run, target, &found).await?;
    }
    let root = hands(scope, run, host, target, facts, &found, inside).await?;
    lock(scope, run, target, facts).await?;
    let mut done = Done::default();
    for manifest in found {
        let hands = if of_root(facts, manifest) { &root } else { &Hands::Own };
        let layout = layout_of(scope, facts, manifest, hands);
        phase(scope, Phase::Install, Some(run.settings.limits.short * 4), |scope| async move {
            let digest = install::found(&scope, target, &[manifest]).await?.into_iter().next().flatten();
            let removed = install::remove(&scope, target, &layout, hands, manifest, digest, force).await;
            removed.map_err(|error| sudo::explain(error, hands, &places_of(facts, manifest), facts))
        })
        .await?;
        done = done.and(Done::changed(format!("removed {} {} from {}", worker, manifest.version, manifest.path)));
    }
    Ok(done)
}

/// A program that runs is not taken away under its users.
async fn refuse_running(scope: &Scope, run: &Run, target: &dyn Target, found: &[&Manifest]) -> Result<(), Failure> {
    let scope = scope.in_phase(Phase::Preflight).within("looking for its processes", run.settings.limits.short);
    for manifest in found {
        let running = install::running(&scope, target, manifest).await;
        let running = running.map_err(|error| Failure::from(error).in_phase(Phase::Preflight))?;
        if !running.is_empty() {
            let many = if running.len() == 1 { "process" } else { "processes" };
            let pids: Vec<_> = running.iter().map(ToString::to_string).collect();
            let text = format!("{} runs ({many} {})", manifest.path, pids.join(", "));
            return Err(Failure::refused(
                text,
                Some("end it first (rbee worker stop), or say --force to remove it under its feet".into()),
            ));
        }
    }
    Ok(())
}

/// Whoever may write where these programs are.
async fn hands(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    found: &[&Manifest],
    inside: Inside<'_>,
) -> Result<Hands, Failure> {
    let places = found.iter().filter(|m| of_root(facts, m)).map(|m| places_of(facts, m)).collect();
    let rights = sudo::look(scope, run, host, target, facts, places, inside, false).await?;
    sudo::prove(scope, run, host, target, facts, rights).await
}

fn folder(manifest: &Manifest) -> &str {
    manifest.path.rsplit_once('/').map_or("", |(bin, _)| bin)
}

/// Whether it lies in the system's folder and that is not the user's to write to.
fn of_root(facts: &Facts, manifest: &Manifest) -> bool {
    folder(manifest) == facts.dirs.system_bin && !facts.system_bin.is_ok() && facts.uid != Some(0)
}

fn places_of(facts: &Facts, manifest: &Manifest) -> Places {
    let name = manifest.path.rsplit('/').next().unwrap_or_default();
    let (bin, data) = folders_of(facts, manifest);
    Places::new(&Layout::new(bin, data), &manifest.worker, name)
}

/// The folders that a manifest belongs to.
fn folders_of<'a>(facts: &'a Facts, manifest: &'a Manifest) -> (&'a str, &'a str) {
    let bin = folder(manifest);
    (bin, if bin == facts.dirs.system_bin { &facts.dirs.system_data } else { &facts.dirs.data })
}

/// Where the version before is kept, for who only looks.
pub(super) fn plain_layout(facts: &Facts, manifest: &Manifest) -> Layout {
    let (bin, data) = folders_of(facts, manifest);
    Layout::new(bin, data)
}

fn layout_of(scope: &Scope, facts: &Facts, manifest: &Manifest, hands: &Hands) -> Layout {
    let (bin, data) = folders_of(facts, manifest);
    layout(facts, bin, data, hands, &format!("{}.{}", scope.events().run(), manifest.worker))
}
