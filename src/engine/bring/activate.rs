//! A program beside its place is tried there, and activated once it has run.

use std::time::Duration;

use super::{
    Errand,
    transfer::{Brought, Program, digest},
};
use crate::{
    build,
    engine::{Failure, install::now, job::Done, phase::phase, plan::WorkerPlan, sudo},
    install::{self, Places, Proof},
    scope::Scope,
    vocab::{BuildKey, Digest, Level, Manifest, Phase, Reason, RecipeMeta, text::human_bytes},
};

/// For the smoke test of a recipe: a tiny model, one token.
const SMOKE_LIMIT: Duration = Duration::from_secs(120);

/// A program that has run.
pub(super) struct Tried {
    brought: Brought,
    version: String,
}

impl Errand<'_> {
    /// Runs what a recipe made as its entry says.
    pub(super) async fn try_out(
        &self,
        program: &Program,
        brought: Brought,
        recipe: &RecipeMeta,
    ) -> Result<Tried, Failure> {
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

    pub(super) async fn verify(
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
    pub(super) async fn activate(
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
