//! Fetch, build and package of one recipe, on whichever target.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    Failure,
    pace::{self, BuildProgress},
    phase::phase,
    watch::{Watch, watch},
};
use crate::{
    build::{self, BuildError, Built, Class},
    recipe::Environment,
    scope::Scope,
    target::{Captured, Command, Target, output::EventLines},
    vocab::{Facts, Limits, Phase, RecipeMeta, text::sh_quote},
};

/// What is built, for what machines, and how long that may take.
pub struct Making<'a> {
    pub recipe: &'a RecipeMeta,
    /// Of the machine that builds.
    pub facts: &'a Facts,
    pub env: &'a BTreeMap<String, String>,
    /// The machines that it is for.
    pub class: &'a Class,
    pub limit: Duration,
    pub limits: &'a Limits,
}

/// Fetches, builds and packages in a work folder that is gone when the target closes.
pub async fn build_in(
    scope: &Scope,
    target: &dyn Target,
    making: &Making<'_>,
    work: &str,
) -> Result<Built, Failure> {
    let Making { recipe, facts, class, limit, limits, .. } = *making;
    let mut environment = Environment::of(facts, &variables(making.env, class), &recipe.worker.features);
    pace::ask_cargo(&mut environment);
    let started = Instant::now();
    let left = |started: Instant| Some(limit.saturating_sub(started.elapsed()));
    let watched = |what: &str| Watch {
        operation: format!("{what} of {}", recipe.worker.id),
        started,
        limit,
        idle_limit: limits.idle,
        work,
    };

    let staged = phase(scope, Phase::Fetch, left(started), |_| async {
        let scope = scope.in_phase(Phase::Fetch).within("staging the recipe", limits.short * 4);
        target.scratch(&scope, work).await?;
        let mut said = Captured::default();
        // BSD's chmod takes a -- behind the mode for a file.
        let script = format!("umask 077; mkdir -p -- {0} && chmod 700 {0}", sh_quote(work));
        let exit = target.run(&scope, &Command::own("work folder", script), &mut said).await?;
        if exit.status != 0 {
            return Err(Failure::new(format!("cannot make {work}: {}", said.last_words())));
        }
        let staged = build::stage(&scope, target, recipe, &environment, work).await?;
        under_watch(&scope.in_phase(Phase::Fetch), target, watched("fetch"), None, async |scope, out| {
            staged.fetch(scope, out).await
        })
        .await?;
        Ok(staged)
    })
    .await?;
    phase(scope, Phase::Build, left(started), |_| {
        let scope = scope.in_phase(Phase::Build);
        let staged = &staged;
        async move {
            let progress = Some(BuildProgress::begin(&scope, facts, &recipe.worker.id));
            let begun = Instant::now();
            under_watch(&scope, target, watched("build"), progress, async |s, out| staged.build(s, out).await).await?;
            pace::remember(&scope, target, facts, work, &recipe.worker.id, begun.elapsed()).await;
            Ok(())
        }
    })
    .await?;
    phase(scope, Phase::Package, left(started), |_| {
        let scope = scope.in_phase(Phase::Package);
        let staged = &staged;
        async move {
            under_watch(&scope, target, watched("packaging"), None, async |s, out| staged.package(s, out).await).await
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

/// Runs a step of a build with its output told live and its watch beside it.
async fn under_watch<T>(
    scope: &Scope,
    target: &dyn Target,
    limit: Watch<'_>,
    progress: Option<BuildProgress>,
    step: impl AsyncFnOnce(&Scope, &mut EventLines) -> Result<T, BuildError>,
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
    result.map_err(Failure::from)
}
