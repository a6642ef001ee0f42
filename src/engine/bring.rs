//! One worker, from wherever its program comes from to its place.
//!
//! # Theory of operation
//! A program is *tried* before it is anything: it comes beside its place, is run once and, where its recipe says how, made
//! to do something small on the host's real device. Only then it is activated. What was built for several hosts and does
//! not run on this one is built here again; but when it ran nowhere, one host after the other tries that, and the first
//! whose own build does not run either spares the rest the same.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Failure, Run,
    bench::Bench,
    dispatch::Ticket,
    install::{layout, now},
    job::Done,
    made::Made,
    make::{Making, build_in},
    pending::Pending,
    phase::phase,
    plan::{Action, WorkerPlan, judge_build, refuse},
    share::Share,
    sudo,
};
use crate::{
    artifacts::Artifacts,
    build::{self, Built, build_key},
    install::{self, Hands, Layout, Part, Places, Proof, tree},
    preflight::check::Role,
    scope::Scope,
    target::Target,
    transfer::{self, FileSource, TransferError, tree::Tree},
    vocab::{BuildKey, Digest, Level, Manifest, Outcome, Phase, Reason, RecipeMeta, TreeMark, text::human_bytes},
};

/// For the smoke test of a recipe: a tiny model, one token.
const SMOKE_LIMIT: Duration = Duration::from_secs(120);

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

/// A program beside its place.
struct Brought {
    part: Part,
    /// The entry point of a program of several files, with the sum of its tree.
    entry: Option<(String, Digest)>,
    path: String,
    /// What is at its place now.
    found: Option<Digest>,
}

/// One that has run.
struct Tried {
    brought: Brought,
    version: String,
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

    /// Brings a program beside its place; `mark` keeps it apart from one that came before.
    async fn transfer(&self, program: &Program, from: &From, mark: &str) -> Result<Brought, Failure> {
        let Self { target, plan, hands, layout, id, .. } = self;
        let limits = &self.run.settings.limits;
        let path = format!("{}/{}", layout.bin, program.name);
        let part = layout.part(&path, &format!("{id}{mark}"));
        let (brought, found) = phase(self.scope, Phase::Transfer, None, |scope| {
            let (path, part) = (&path, &part);
            let run = format!("{id}{mark}");
            async move {
                let limited = scope.within("prepare", limits.short);
                install::prepare(&limited, *target, layout, hands, &plan.worker, &program.name).await?;
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
                                Some(_) => transfer::send(&scope, *target, part, &mut source.summed()).await,
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

    /// Runs what a recipe made as its entry says.
    async fn try_out(&self, program: &Program, brought: Brought, recipe: &RecipeMeta) -> Result<Tried, Failure> {
        let tried = self.verify(program, brought, &recipe.worker.verify, Proof::Answers).await?;
        let Some(line) = &recipe.worker.smoke else { return Ok(tried) };
        let part = &tried.brought.part.path;
        let name = part.rsplit('/').next().unwrap_or_default().trim_start_matches('.');
        let work = format!("{}/scratch/{name}.smoke", self.bench.facts.dirs.cache);
        phase(self.scope, Phase::Verify, Some(SMOKE_LIMIT), |scope| {
            let work = &work;
            async move {
                self.target.scratch(&scope, work).await?;
                let tried = build::smoke(&scope, self.target, recipe, line, part, work).await?;
                tried.map_err(|error| Failure::new(error).because(Some(Reason::Verify)))
            }
        })
        .await?;
        Ok(tried)
    }

    async fn verify(
        &self,
        program: &Program,
        brought: Brought,
        arguments: &[String],
        proof: Proof,
    ) -> Result<Tried, Failure> {
        let short = Some(self.run.settings.limits.short);
        let said = phase(self.scope, Phase::Verify, short, |scope| {
            let part = &brought.part.path;
            async move { Ok(install::prove(&scope, self.target, part, &program.name, arguments, proof).await?) }
        })
        .await?;
        let version = program.version.clone().or_else(|| first_version(&said)).unwrap_or_else(|| "unknown".into());
        Ok(Tried { brought, version })
    }

    /// Puts a program to its place; `built` is its key and class, and `whence` ends the sentence about it.
    async fn activate(
        &self,
        program: &Program,
        tried: Tried,
        built: Option<(BuildKey, String)>,
        whence: &str,
    ) -> Result<Done, Failure> {
        let Self { target, plan, hands, layout, .. } = self;
        let (entry, digest) = match tried.brought.entry {
            Some((entry, digest)) => (Some(entry), digest),
            None => (None, digest(program).await?),
        };
        let (key, class) = match built {
            Some((key, class)) => (key, Some(class)),
            None => (plan.key.unwrap_or(BuildKey(digest)), None),
        };
        let manifest = Manifest {
            worker: plan.worker.clone(),
            version: tried.version,
            key,
            class,
            digest,
            size: program.tree.as_ref().map_or(program.size, |mark| mark.size),
            entry,
            path: tried.brought.path,
            origin: plan.origin.clone(),
            run: self.id.clone(),
            installed_at: now(),
            previous: None,
        };
        let (manifest, part, found) = (&manifest, &tried.brought.part, tried.brought.found);
        let short = Some(self.run.settings.limits.short);
        let old = phase(self.scope, Phase::Install, short, |scope| async move {
            let old = replaced(&scope, plan, manifest, found);
            let new = Manifest { previous: previous(manifest, old.as_ref()), ..manifest.clone() };
            let places = Places::new(layout, &new.worker, &program.name);
            let activated = install::activate(&scope, *target, layout, hands, part, &new, old.as_ref()).await;
            activated.map_err(|error| sudo::explain(error, hands, &places, &self.bench.facts))?;
            Ok(old)
        })
        .await?;
        let size = human_bytes(manifest.size);
        let words = format!("{} {} to {} ({size}{whence})", manifest.worker, manifest.version, manifest.path);
        Ok(Done::changed(match old {
            Some(old) if old.version == manifest.version => format!("reinstalled {words}"),
            Some(old) => format!("installed {words}, was {}", old.version),
            None => format!("installed {words}"),
        }))
    }
}

/// Where a finished program lies.
enum From {
    Host(String),
    Here(std::path::PathBuf),
    Folder(Arc<Tree>),
}

struct Program {
    name: String,
    /// Of one of several files in a tar.
    tree: Option<TreeMark>,
    version: Option<String>,
    size: u64,
    digest: Pending,
}

/// The program's sha256, once it was taken.
async fn digest(program: &Program) -> Result<Digest, Failure> {
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

fn open(path: &Path) -> Result<FileSource, Failure> {
    FileSource::open(path).map_err(|error| {
        Failure::new(format!("cannot read {}: {error}", path.display())).because(Some(Reason::Transfer))
    })
}

/// What stands at the final path now: the manifest's program, or a stranger that gets a manifest of its own.
fn replaced(scope: &Scope, plan: &WorkerPlan, new: &Manifest, found: Option<Digest>) -> Option<Manifest> {
    let digest = found?;
    match &plan.old {
        Some(old) if old.path == new.path && old.digest == digest => Some(old.clone()),
        old => {
            scope.notice(
                Level::Warning,
                format!("{} was not installed by rbee, or was changed since; it is kept for a rollback", new.path),
                None,
            );
            let previous = old.as_ref().and_then(|old| old.previous);
            Some(Manifest {
                version: "unknown".into(),
                origin: "found on the host".into(),
                digest,
                key: BuildKey(digest),
                class: None,
                entry: None,
                previous,
                ..new.clone()
            })
        }
    }
}

/// The version that a rollback of `new` leads to; the same bytes again are none.
fn previous(new: &Manifest, old: Option<&Manifest>) -> Option<Digest> {
    match old {
        Some(old) if old.digest == new.digest => old.previous,
        Some(old) => Some(old.digest),
        None => None,
    }
}

/// The first word that looks like a version.
fn first_version(text: &str) -> Option<String> {
    text.split_ascii_whitespace()
        .map(|word| word.trim_start_matches('v').trim_end_matches([',', ';', ')']))
        .find(|word| {
            word.len() <= 64
                && word.starts_with(|c: char| c.is_ascii_digit())
                && word.contains('.')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || ".-+_".contains(c))
        })
        .map(str::to_owned)
}
