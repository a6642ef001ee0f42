//! Fetch, build and package of one recipe, on whichever target.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Failure,
    gather::{self, Sources},
    pace::{self, BuildProgress},
    phase::phase,
    watch::{Watch, watch},
};
use crate::{
    build::{self, Built, Class, Staged},
    recipe::Environment,
    scope::Scope,
    target::{Captured, Command, Target, output::EventLines},
    vocab::{Facts, Limits, Mirror, Phase, RecipeMeta, text::sh_quote},
};

/// What is built, for what machines, from where, and how long that may take.
pub struct Making<'a> {
    pub recipe: &'a RecipeMeta,
    /// Of the machine that builds.
    pub facts: &'a Facts,
    pub env: &'a BTreeMap<String, String>,
    /// The machines that it is for.
    pub class: &'a Class,
    /// Also run `check()`.
    pub check: bool,
    pub sources: Sources<'a>,
    pub mirrors: &'a [Mirror],
    pub limit: Duration,
    pub limits: &'a Limits,
}

/// Fetches, builds and packages in a work folder that is gone when the target closes.
pub async fn build_in(scope: &Scope, target: &dyn Target, making: &Making<'_>, work: &str) -> Result<Built, Failure> {
    let Making { recipe, facts, class, check, sources, mirrors, limit, limits, .. } = *making;
    let worker = &recipe.worker;
    let variables = variables(making.env, class);
    let mut environment = Environment { check, ..Environment::of(facts, &variables, &worker.features) };
    gather::describe(&mut environment, recipe, mirrors);
    pace::ask_cargo(&mut environment);
    let started = Instant::now();
    let left = |started: Instant| Some(limit.saturating_sub(started.elapsed()));
    let limited = Limited { worker: worker.id.as_str(), started, limit, idle_limit: limits.idle };

    let staged = phase(scope, Phase::Fetch, left(started), |_| async {
        let scope = scope.in_phase(Phase::Fetch);
        let staged = stage_in(&scope, target, recipe, &environment, work, limits).await?;
        if let Sources::Sent(gathering) = sources {
            gathering.give(&scope, target, &staged, recipe, &environment, limited, limits).await?;
        }
        let fetched = under_watch(&scope, target, limited.in_work("fetch", work), None, async |scope, out| {
            staged.fetch(scope, out).await.map_err(|error| sources.failure(error))
        })
        .await?;
        gather::say_unverified(&scope, &fetched);
        Ok(staged)
    })
    .await?;
    phase(scope, Phase::Build, left(started), |_| {
        let scope = scope.in_phase(Phase::Build);
        let staged = &staged;
        async move {
            let progress = Some(BuildProgress::begin(&scope, facts, &worker.id));
            let begun = Instant::now();
            under_watch(&scope, target, limited.in_work("build", work), progress, async |s, out| {
                staged.build(s, out).await
            })
            .await?;
            pace::remember(&scope, target, facts, work, &worker.id, begun.elapsed()).await;
            Ok(())
        }
    })
    .await?;
    phase(scope, Phase::Package, left(started), |_| {
        let scope = scope.in_phase(Phase::Package);
        let staged = &staged;
        async move {
            under_watch(&scope, target, limited.in_work("packaging", work), None, async |s, out| {
                staged.package(s, out).await
            })
            .await
        }
    })
    .await
}

/// How a recipe learns for which machines it builds: the processor's level as compilers call it, and the cards as CMake
/// does, which takes `CUDAARCHS` by itself.
fn variables(env: &BTreeMap<String, String>, class: &Class) -> BTreeMap<String, String> {
    let mut variables = env.clone();
    if let Some(level) = class.level {
        variables.insert("RBEE_CPU_LEVEL".into(), format!("x86-64-v{level}").replace("-v1", ""));
    }
    if let Some(list) = class.cuda_list() {
        variables.insert("RBEE_CUDA_ARCHITECTURES".into(), list.clone());
        variables.insert("CUDAARCHS".into(), list);
    }
    variables
}

/// Makes the folder that a recipe is staged in, as scratch.
pub(super) async fn work_folder(scope: &Scope, target: &dyn Target, work: &str) -> Result<(), Failure> {
    target.scratch(scope, work).await?;
    let mut said = Captured::default();
    // BSD's chmod takes a -- behind the mode for a file.
    let script = format!("umask 077; mkdir -p -- {0} && chmod 700 {0}", sh_quote(work));
    let exit = target.run(scope, &Command::own("work folder", script), &mut said).await?;
    match exit.status {
        0 => Ok(()),
        _ => Err(Failure::new(format!("cannot make {work}: {}", said.last_words()))),
    }
}

/// Makes the work folder, and puts the recipe into it.
pub(super) async fn stage_in<'t>(
    scope: &Scope,
    target: &'t dyn Target,
    recipe: &RecipeMeta,
    environment: &Environment,
    work: &str,
    limits: &Limits,
) -> Result<Staged<'t>, Failure> {
    let scope = scope.within("staging the recipe", limits.short * 4);
    work_folder(&scope, target, work).await?;
    Ok(build::stage(&scope, target, recipe, environment, work).await?)
}

/// What fetch, build and packaging of one worker may take together.
#[derive(Clone, Copy)]
pub(super) struct Limited<'a> {
    worker: &'a str,
    started: Instant,
    limit: Duration,
    idle_limit: Duration,
}

impl Limited<'_> {
    pub(super) fn in_work<'w>(&self, what: &str, work: &'w str) -> Watch<'w> {
        Watch {
            operation: format!("{what} of {}", self.worker),
            started: self.started,
            limit: self.limit,
            idle_limit: self.idle_limit,
            work,
        }
    }
}

/// Runs a step of a build with its output told live and its watch beside it.
pub(super) async fn under_watch<T, E: Into<Failure>>(
    scope: &Scope,
    target: &dyn Target,
    limit: Watch<'_>,
    progress: Option<BuildProgress>,
    step: impl AsyncFnOnce(&Scope, &mut EventLines) -> Result<T, E>,
) -> Result<T, Failure> {
    let (watched, alarm) = scope.with_alarm();
    let mut output = EventLines::new(&watched);
    if let Some(progress) = progress {
        output = output.observed_by(progress);
    }
    let activity = output.activity();
    let done = CancellationToken::new();
    let stepping = async {
        let result = step(&watched, &mut output).await;
        done.cancel();
        result
    };
    let (result, ()) = tokio::join!(stepping, watch(scope, target, activity, &alarm, &limit, &done));
    output.finish().await;
    result.map_err(Into::into)
}
