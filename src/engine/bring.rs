//! One worker, from wherever its program comes from to its place.
//!
//! # Theory of operation
//! A program is *tried* before it is anything: it comes beside its place, is run once and, where its recipe says how, made
//! to do something small on the host's real device. Only then it is activated. What was built for several hosts and does
//! not run on this one is built here again; but when it ran nowhere, one host after the other tries that, and the first
//! whose own build does not run either spares the rest the same.

mod activate;
mod transfer;

use self::transfer::{From, Program};
use super::{
    Failure, Run,
    bench::Bench,
    dispatch::Ticket,
    install::layout,
    job::Done,
    made::Made,
    make::{Making, build_in},
    pending::Pending,
    plan::{Action, WorkerPlan, judge_build, refuse},
    share::Share,
};
use crate::{
    artifacts::Artifacts,
    build::build_key,
    install::{Hands, Layout, Proof},
    preflight::check::Role,
    scope::Scope,
    target::Target,
    vocab::{Level, Outcome, Phase, Reason, RecipeMeta},
};

/// Brings a worker to its place.
pub async fn bring(
    scope: &Scope,
    run: &Run,
    bench: &Bench,
    target: &dyn Target,
    ticket: &Ticket,
    plan: &WorkerPlan,
    hands: &Hands,
) -> Result<Done, Failure> {
    let id = scope.events().run().to_string();
    let layout = layout(&bench.facts, &plan.dir.bin, &plan.dir.data, hands, &format!("{id}.{}", plan.worker));
    let errand = Errand { scope, run, bench, target, plan, hands, layout, id };
    match &plan.action {
        Action::Unchanged => Ok(Done::unchanged(plan.words())),
        Action::Prebuilt(asset, None) => Err(Failure::new(format!("{} was not loaded", asset.url))),
        Action::Send(binary) | Action::Prebuilt(_, Some(binary)) => {
            let name = binary.program_name.clone();
            let program = Program { name, tree: None, version: None, size: binary.size, digest: binary.digest.clone() };
            let from = match &binary.tree {
                Some(tree) => From::Folder(tree.clone()),
                None => From::Here(binary.path.clone()),
            };
            let brought = errand.transfer(&program, &from, "").await?;
            let tried = match &plan.action {
                Action::Prebuilt(asset, _) => errand.verify(&program, brought, &asset.verify, Proof::Answers).await?,
                _ => errand.verify(&program, brought, &["--version".to_owned()], Proof::Starts).await?,
            };
            errand.activate(&program, tried, None, "").await
        }
        Action::BuildOwn(recipe) => errand.own(recipe, "", "").await,
        Action::Share(_, Some(share)) => errand.shared(share, ticket).await,
        Action::Share(_, None) => Err(Failure::new(format!("nobody was found to build {}", plan.worker))),
    }
}

struct Errand<'a> {
    scope: &'a Scope,
    run: &'a Run,
    bench: &'a Bench,
    target: &'a dyn Target,
    plan: &'a WorkerPlan,
    hands: &'a Hands,
    layout: Layout,
    id: String,
}

impl Errand<'_> {
    /// What one of several hosts made for all of them.
    async fn shared(&self, share: &Share, ticket: &Ticket) -> Result<Done, Failure> {
        let (host, recipe) = (&self.bench.host.name, &share.recipe);
        let made = share.get(self.scope, self.run, host, ticket, self.plan).await?;
        let kept = &made.kept;
        let program = Program {
            name: kept.artifact.program.clone(),
            tree: kept.artifact.tree.clone(),
            version: Some(kept.artifact.version.clone()),
            size: kept.artifact.size,
            digest: Pending::known(kept.artifact.digest),
        };
        let mine = made.at_builder.as_ref().filter(|(builder, _)| builder == host);
        let from = mine.map_or_else(|| From::Here(kept.path.clone()), |(_, path)| From::Host(path.clone()));
        let brought = self.transfer(&program, &from, "").await?;
        match self.try_out(&program, brought, recipe).await {
            Ok(tried) => {
                made.ran();
                let built = Some((made.way.key, made.way.class.to_string()));
                let whence = if mine.is_some() { String::new() } else { format!(", {}", made.way.words()) };
                self.activate(&program, tried, built, &whence).await
            }
            Err(failure) if failure.outcome == Outcome::Failed && failure.reason == Some(Reason::Verify) => {
                let nowhere = made.did_not_run();
                if nowhere {
                    Artifacts::new(self.run.settings.cache_dir.join("artifacts")).remove(made.way.key);
                }
                if mine.is_some() {
                    made.give_up(host);
                    return Err(failure);
                }
                self.instead(&made, recipe, failure, ticket).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Builds for this host alone what others' build does not do here.
    async fn instead(&self, made: &Made, recipe: &RecipeMeta, no: Failure, ticket: &Ticket) -> Result<Done, Failure> {
        let verdicts = judge_build(&self.bench.facts, &recipe.worker, Role::Build, false);
        if let Err(cannot) = refuse(&verdicts) {
            let error =
                format!("{} ({}), and this host cannot build its own: {}", no.error, made.way.words(), cannot.text);
            return Err(Failure { error, ..no }.hint(cannot.hint));
        }
        ticket.give_place();
        let turn = self.scope.race(made.turn()).await?;
        self.scope.race(ticket.take_place()).await?;
        if let Some(other) = made.given_up() {
            let error = format!("{}; a build of its own did not run on {other} either", no.error);
            return Err(Failure { error, ..no });
        }
        let why = format!("{} does not run here: {}", made.way.what(), no.error);
        self.scope.in_phase(Phase::Verify).notice(Level::Warning, format!("{why}; building it here"), no.hint.clone());
        let done = self.own(recipe, "own", &format!(", built here ({why})")).await;
        match &done {
            Ok(_) => made.ran(),
            Err(failure) if failure.reason == Some(Reason::Verify) => made.give_up(&self.bench.host.name),
            Err(_) => {}
        }
        drop(turn);
        done
    }

    /// What this host builds for itself.
    async fn own(&self, recipe: &RecipeMeta, mark: &str, whence: &str) -> Result<Done, Failure> {
        let Self { scope, plan, .. } = *self;
        let (host, facts, limits) = (&self.bench.host, &self.bench.facts, &self.run.settings.limits);
        let work = format!("{}/scratch/{}.{}{mark}", facts.dirs.cache, self.id, plan.worker);
        let making = Making {
            recipe,
            facts,
            env: &host.env,
            class: &plan.class,
            check: plan.check,
            sources: plan.sources(self.run),
            mirrors: self.run.request.mirrors(),
            limit: plan.limit,
            limits,
        };
        let built = build_in(scope, self.target, &making, &work).await?;
        let program = Program::from(&built);
        let brought = self.transfer(&program, &From::Host(built.path), mark).await?;
        let tried = self.try_out(&program, brought, recipe).await?;
        let class = plan.class.to_string();
        let key = build_key(recipe, &class, &recipe.worker.features);
        self.activate(&program, tried, Some((key, class)), whence).await
    }
}
