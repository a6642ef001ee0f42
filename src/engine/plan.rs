//! What will be done on a host, and why: facts and a request in, a plan out. It is also the dry run.

mod judgement;
mod selection;
mod worker;

use std::{collections::HashMap, sync::Arc, time::Duration};

pub use judgement::{Refusal, judge};
pub(super) use judgement::{judge_build, refuse};
pub(super) use selection::picked;
pub use selection::{expected, recipes};
pub use worker::{Action, WorkerPlan};

use self::judgement::{judge_binary, judge_receive};
use super::{
    gather::FetchPlace,
    prebuilt::{self, Choice},
    request::{BuildPlace, InstallRequest},
};
use crate::{
    build::{Class, build_key},
    catalog::Catalog,
    preflight::{
        check::Role,
        install_dir::{InstallDir, NoInstallDir, choose},
    },
    vocab::{Accelerator, BuildKey, Digest, Facts, Host, Manifest, RecipeMeta, WorkerId},
};

/// Plans every worker that a host is to have.
///
/// `digests` are those of the files that the host's manifests name. What is built is left open: that hangs on other hosts.
///
/// # Errors
/// The first thing that stands against it, with what to do about it.
pub fn plan(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
    digests: &HashMap<String, Option<Digest>>,
    limit: Option<Duration>,
) -> Result<Vec<WorkerPlan>, Refusal> {
    refuse(&judge_receive(facts, request.system))?;
    let dir = choose(facts, request.system).map_err(|why| no_dir(&why))?;
    if !request.binaries.is_empty() {
        return Ok(vec![plan_binary(host, request, facts, &dir, digests)?]);
    }
    selection::wanted(catalog, host, request, facts)?
        .into_iter()
        .map(|(recipe, why)| plan_recipe(host, request, facts, &dir, digests, limit, recipe, why))
        .collect()
}

/// Whether the host has what this recipe makes, as far as manifests tell.
pub(super) fn has(facts: &Facts, recipe: &RecipeMeta, class: &Class, request: &InstallRequest) -> bool {
    let level = request.cpu_level.or(recipe.worker.cpu_level);
    let ours = facts.installed.iter().filter(|manifest| manifest.worker == recipe.worker.id);
    ours.into_iter().any(|manifest| is_as_asked(manifest, recipe, class, level))
}

fn plan_binary(
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
    dir: &InstallDir,
    digests: &HashMap<String, Option<Digest>>,
) -> Result<WorkerPlan, Refusal> {
    let binary = selection::binary(request, facts)?;
    let verdicts = judge_binary(facts, binary, request.system);
    refuse(&verdicts)?;
    let key = binary.digest.ready().map(BuildKey);
    let old = present(facts, &binary.worker, dir);
    let same = match (&old, key) {
        (None, _) => false,
        (Some(old), Some(key)) => intact(old, key, digests),
        (Some(_), None) => return Err(Refusal::new(format!("{} was not read", binary.path.display()), None)),
    };
    Ok(WorkerPlan {
        host: host.name.clone(),
        class: Class::of(Accelerator::Cpu, facts),
        worker: binary.worker.clone(),
        version: None,
        origin: "binary".into(),
        why: format!("--binary for {}", facts.platform()),
        key,
        dir: dir.clone(),
        action: if same && !request.reinstall { Action::Unchanged } else { Action::Send(binary.clone()) },
        old,
        limit: Duration::ZERO,
        fetch: FetchPlace::Host,
        check: false,
        verdicts,
    })
}

#[expect(clippy::too_many_arguments, reason = "the one place where all that is known comes together")]
fn plan_recipe(
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
    dir: &InstallDir,
    digests: &HashMap<String, Option<Digest>>,
    limit: Option<Duration>,
    recipe: Arc<RecipeMeta>,
    why: String,
) -> Result<WorkerPlan, Refusal> {
    let worker = &recipe.worker;
    let class = Class::of(worker.accelerator, facts);
    let asked_level = request.cpu_level.or(worker.cpu_level);
    if let (Some(asked), Some(level)) = (asked_level, class.level)
        && asked > level
    {
        return Err(Refusal::new(
            format!("its processor is of x86-64-v{level}, and a program for x86-64-v{asked} was asked for"),
            Some("leave this host out, or name a lower --cpu-level"),
        ));
    }
    let class = Class { level: class.level.and(asked_level).or(class.level), ..class };
    let old = present(facts, &worker.id, dir);
    let plan = |action, why: String, key, verdicts| WorkerPlan {
        host: host.name.clone(),
        worker: worker.id.clone(),
        version: recipe.version.clone(),
        origin: recipe.origin.clone(),
        why: match (&action, request.fetch) {
            (Action::BuildOwn(_) | Action::Share(..), FetchPlace::Controller) => {
                format!("{why}; its sources are fetched here")
            }
            _ => why,
        },
        key,
        class: class.clone(),
        dir: dir.clone(),
        action,
        old: old.clone(),
        limit: limit.or(worker.limit).unwrap_or_else(|| standard_limit(worker.accelerator)),
        fetch: request.fetch,
        check: request.check,
        verdicts,
    };
    let why = match prebuilt::choose(request, &recipe, facts)? {
        Choice::Take(asset) => {
            let verdicts = judge_build(facts, worker, Role::Receive, request.system);
            refuse(&verdicts)?;
            let key = asset.key();
            let same = !request.reinstall && old.as_ref().is_some_and(|old| intact(old, key, digests));
            let version = asset.version.clone().or(recipe.version.clone());
            let action = if same { Action::Unchanged } else { Action::Prebuilt(asset, None) };
            return Ok(WorkerPlan { version, ..plan(action, format!("{why}; prebuilt"), Some(key), verdicts) });
        }
        Choice::Build(None) => why,
        Choice::Build(Some(no)) => format!("{why}; {no}"),
    };
    let there = old.as_ref().filter(|old| is_as_asked(old, &recipe, &class, asked_level));
    if let Some(old) = there.filter(|old| !request.reinstall && intact(old, old.key, digests)) {
        return Ok(plan(Action::Unchanged, why, Some(old.key), Vec::new()));
    }
    if request.build == BuildPlace::Each {
        let verdicts = judge_build(facts, worker, Role::BuildAndReceive, request.system);
        refuse(&verdicts)?;
        let key = build_key(&recipe, &class.to_string(), &worker.features);
        return Ok(plan(Action::BuildOwn(recipe.clone()), why, Some(key), verdicts));
    }
    let verdicts = judge_build(facts, worker, Role::Receive, request.system);
    refuse(&verdicts)?;
    Ok(plan(Action::Share(recipe.clone(), None), why, None, verdicts))
}

/// Whether what a manifest speaks of is what this recipe makes, for machines like this one.
fn is_as_asked(old: &Manifest, recipe: &RecipeMeta, class: &Class, level: Option<u8>) -> bool {
    let Some(text) = old.class.as_deref() else { return false };
    let Some(built) = Class::parse(text) else { return false };
    // What was made for this host is good for it even where nobody knows for which others it is.
    let runs = built.serves(class) || built == *class;
    let as_told = level.is_none() || built.level.is_none() || built.level == level;
    runs && as_told && old.key == build_key(recipe, text, &recipe.worker.features)
}

fn no_dir(why: &NoInstallDir) -> Refusal {
    Refusal::new(why.to_string(), Some("leave out --system, or make one of the folders writable"))
}

/// What is installed of `worker` in this scope.
fn present(facts: &Facts, worker: &WorkerId, dir: &InstallDir) -> Option<Manifest> {
    let inside = |path: &str| path.rsplit_once('/').is_some_and(|(folder, _)| folder == dir.bin);
    facts.installed.iter().find(|m| m.worker == *worker && inside(&m.path)).cloned()
}

fn intact(manifest: &Manifest, key: BuildKey, digests: &HashMap<String, Option<Digest>>) -> bool {
    manifest.key == key && digests.get(&manifest.path) == Some(&Some(manifest.digest))
}

pub(super) const fn standard_limit(accelerator: Accelerator) -> Duration {
    Duration::from_secs(match accelerator {
        Accelerator::Cpu => 600,
        Accelerator::Cuda => 1200,
        Accelerator::Metal | Accelerator::Rocm => 900,
    })
}
