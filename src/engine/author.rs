//! What the authors of recipes ask for: to have one read, and to have one built without installing anything.

use std::{path::Path, sync::Arc, time::Instant};

use super::{
    Failure, Finding, Run, gather, job,
    job::Done,
    make::{stage_in, under_watch},
    pace::{self, BuildProgress},
    phase::phase,
    plan::standard_limit,
    watch::Watch,
};
use crate::{
    build::{
        BuildError, Packages, Staged,
        trees::{Out, OutError, Rules, Unpacked},
    },
    recipe::{Environment, Evaluated},
    scope::Scope,
    target::{Closed, Output, Target, local::local, output::EventLines, supervisor::Supervision},
    vocab::{
        Facts, Host, Level, Limits, Phase, Reason, RecipeMeta, Route, Stream, WorkerId, facts::Arch, text::human_bytes,
    },
};

/// What a recipe may print while it is read; the rest is dropped.
const PRINTED: usize = 64 << 10;

/// An author's request.
#[derive(Debug, Clone)]
pub struct RecipeRequest {
    pub recipe: Arc<RecipeMeta>,
    pub task: RecipeTask,
}

/// What is to be done with the recipe.
#[derive(Debug, Clone)]
pub enum RecipeTask {
    /// Have bash read it, and nothing else; for "print" and "check".
    Read {
        verb: &'static str,
    },
    Build(Trees),
}

/// A build whose packages are left in a folder of this machine.
#[derive(Debug, Clone)]
pub struct Trees {
    pub out: Out,
    /// Run `check()`, too.
    pub check: bool,
}

impl RecipeRequest {
    /// As in `rbee VERB`.
    pub const fn verb(&self) -> &'static str {
        match self.task {
            RecipeTask::Read { verb } => verb,
            RecipeTask::Build(_) => "recipe build",
        }
    }
}

/// What came of reading a recipe.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Or what is wrong with it, in one sentence.
    pub evaluated: Result<Evaluated, String>,
    /// What it printed, the first of it.
    pub printed: String,
}

impl Reading {
    pub fn words(&self) -> String {
        match &self.evaluated {
            Ok(evaluated) => format!("read {}", evaluated.one("pkgname").unwrap_or("a recipe without a name")),
            Err(error) => error.clone(),
        }
    }
}

/// Does what the author asked for.
pub async fn recipe(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    request: &RecipeRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    match &request.task {
        RecipeTask::Read { .. } => {
            let reading = read(scope, run, target, &request.recipe).await?;
            let words = reading.words();
            findings.push(Finding::Recipe(Box::new(reading)));
            Ok(Done::unchanged(words))
        }
        RecipeTask::Build(trees) => build(scope, run, host, target, &request.recipe, trees).await,
    }
}

/// Has bash read the recipe on this machine.
async fn read(scope: &Scope, run: &Run, target: &dyn Target, recipe: &RecipeMeta) -> Result<Reading, Failure> {
    let limits = &run.settings.limits;
    let work = run.settings.cache_dir.join("scratch").join(format!("{}.recipe", scope.events().run()));
    let work = utf8(&work)?.to_owned();
    let environment = Environment {
        arch: Arch::parse(std::env::consts::ARCH),
        features: recipe.worker.features.clone(),
        ..Environment::default()
    };
    phase(scope, Phase::Run, None, |scope| async move {
        let staged = stage_in(&scope, target, recipe, &environment, &work, limits).await?;
        let mut printed = Bounded::default();
        let result = staged.evaluate(&scope.within("reading the recipe", limits.short * 2), &mut printed).await;
        let printed = printed.text();
        match result {
            Ok(evaluated) => Ok(Reading { evaluated: Ok(evaluated), printed }),
            Err(BuildError::Failed { text, .. }) => Ok(Reading { evaluated: Err(text), printed }),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Keeps the first of what is printed.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Bounded {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

#[async_trait::async_trait]
impl Output for Bounded {
    async fn chunk(&mut self, _: Stream, bytes: &[u8]) {
        let room = PRINTED - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// All phases, and then the packages come here.
async fn build(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    recipe: &RecipeMeta,
    trees: &Trees,
) -> Result<Done, Failure> {
    let limits = &run.settings.limits;
    let facts = job::facts(scope, run, target).await?;
    let work = format!("{}/scratch/{}.recipe", facts.dirs.cache, scope.events().run());
    let mut environment =
        Environment { check: trees.check, ..Environment::of(&facts, &host.env, &recipe.worker.features) };
    pace::ask_cargo(&mut environment);
    gather::describe(&mut environment, recipe, &[]);
    let (environment, worker) = (&environment, &recipe.worker.id);
    let making = Making {
        scope,
        target,
        worker,
        work: &work,
        limits,
        limit: limits.install.or(recipe.worker.limit).unwrap_or_else(|| standard_limit(recipe.worker.accelerator)),
        started: Instant::now(),
    };
    let staged = &phase(scope, Phase::Fetch, Some(making.limit), |_| async {
        let scope = scope.in_phase(Phase::Fetch);
        let staged = stage_in(&scope, target, recipe, environment, &work, limits).await?;
        // What is in the way of its packages is better known before they are built.
        let mut printed = Bounded::default();
        let read = scope.within("reading the recipe", limits.short * 2);
        let evaluated = staged.evaluate(&read, &mut printed).await?;
        trees.out.look(evaluated.all("pkgname"))?;
        let fetched = making.step(Phase::Fetch, "fetch", None, async |s, out| staged.fetch(s, out).await).await?;
        gather::say_unverified(&scope, &fetched);
        Ok(staged)
    })
    .await?;
    phase(scope, Phase::Build, making.left(), |scope| {
        let (making, facts, work) = (&making, &facts, &work);
        async move {
            let progress = Some(BuildProgress::begin(&scope, facts, worker));
            let begun = Instant::now();
            making.step(Phase::Build, "build", progress, async |s, out| staged.build(s, out).await).await?;
            pace::remember(&scope, target, facts, work, worker, begun.elapsed()).await;
            Ok(())
        }
    })
    .await?;
    let packages = &phase(scope, Phase::Package, making.left(), |_| {
        making.step(Phase::Package, "packaging", None, async |s, out| staged.package_trees(s, out).await)
    })
    .await?;
    let unpacked = phase(scope, Phase::Transfer, None, |scope| async move {
        match host.route {
            Route::Local => bring(&scope, target, staged, packages, &trees.out, Rules::new(true)).await,
            Route::Ssh(_) => {
                // What arrives is this machine's to remove, should this process be killed.
                let here = local(Supervision { grace: limits.grace, lease: limits.lease, ..Supervision::default() });
                let brought = bring(&scope, &here, staged, packages, &trees.out, Rules::new(false)).await;
                match here.close().await {
                    Closed::Clean => brought,
                    Closed::Unconfirmed(what) => {
                        let text = format!("cleanup of this machine unconfirmed: {what}");
                        Err(Failure::new(text).because(Some(Reason::Unconfirmed)))
                    }
                }
            }
        }
    })
    .await?;
    Ok(told(packages, &unpacked, &facts, &trees.out))
}

/// What the phases of one build have in common.
struct Making<'a> {
    scope: &'a Scope,
    target: &'a dyn Target,
    worker: &'a WorkerId,
    work: &'a str,
    limits: &'a Limits,
    limit: std::time::Duration,
    started: Instant,
}

impl Making<'_> {
    fn left(&self) -> Option<std::time::Duration> {
        Some(self.limit.saturating_sub(self.started.elapsed()))
    }

    async fn step<T>(
        &self,
        phase: Phase,
        what: &str,
        progress: Option<BuildProgress>,
        step: impl AsyncFnOnce(&Scope, &mut EventLines) -> Result<T, BuildError>,
    ) -> Result<T, Failure> {
        let watch = Watch {
            operation: format!("{what} of {}", self.worker),
            started: self.started,
            limit: self.limit,
            idle_limit: self.limits.idle,
            work: self.work,
        };
        under_watch(&self.scope.in_phase(phase), self.target, watch, progress, step).await
    }
}

/// Takes the packages' trees and puts them in place; `here` removes what arrived and was not put in place.
async fn bring(
    scope: &Scope,
    here: &dyn Target,
    staged: &Staged<'_>,
    packages: &Packages,
    out: &Out,
    rules: Rules,
) -> Result<Unpacked, Failure> {
    let run = scope.events().run().to_string();
    out.look(&packages.names)?;
    here.scratch(scope, utf8(&out.arrival(&run))?).await?;
    let folder = out.prepare(&run)?;
    let unpacked = staged.take(scope, packages, &folder, rules).await?;
    for path in unpacked.without_set_id.iter().take(5) {
        let text = format!("{path} no longer runs as its owner, who is another one here");
        scope.notice(Level::Warning, text, None);
    }
    scope.check()?;
    // From here on there is nothing to wait for.
    let (out, tops) = (out.clone(), unpacked.tops.clone());
    tokio::task::spawn_blocking(move || out.place(&folder, &tops))
        .await
        .map_err(|error| Failure::new(error.to_string()))??;
    Ok(unpacked)
}

fn told(packages: &Packages, unpacked: &Unpacked, facts: &Facts, out: &Out) -> Done {
    Done::changed(format!(
        "built {} {} for {}, left in {} ({} files, {})",
        packages.names.join(" and "),
        packages.version,
        facts.platform(),
        out.path().display(),
        unpacked.files,
        human_bytes(unpacked.bytes)
    ))
}

fn utf8(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::new(format!("the path {} is not UTF-8", path.display())))
}

impl From<OutError> for Failure {
    fn from(error: OutError) -> Self {
        Self::new(error.to_string()).hint(error.hint())
    }
}
