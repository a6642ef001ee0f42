//! `--fetch controller`: sources are fetched here, once for all hosts that build from them, and sent.
//!
//! # Theory of operation
//! The driver that fetches on a host runs here, with this machine's cache, and leaves one archive of everything that it
//! checked: downloads as they are, repositories cut to what is wanted of them. The archive goes to the host's work
//! folder like any upload, is compared by its sha256 there and unpacked; where that was done, the driver asks no network
//! and still compares every checksum. It is scratch here and there.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

use super::{Failure, make};
use crate::{
    build::{self, BuildError, Fetched, Staged, build_key},
    recipe::Environment,
    scope::Scope,
    target::{Closed, Target, local::local, supervisor::Supervision},
    transfer::{self, FileSource},
    vocab::{
        BuildKey, Digest, HostName, Level, Limits, Mirror, Phase, RecipeMeta, RunId,
        text::{human_bytes, plain_line},
    },
};

/// Where sources are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FetchPlace {
    /// Where they are built.
    #[default]
    Host,
    /// On this machine.
    Controller,
}

/// How a build comes by its sources.
#[derive(Clone, Copy)]
pub enum Sources<'a> {
    /// It fetches them itself, on a host that might not reach what this machine reaches.
    OnHost,
    /// It fetches them itself, here.
    Here,
    /// They are given to it.
    Sent(&'a Gathering),
}

impl Sources<'_> {
    /// The failure, with advice where sources can be had otherwise.
    pub fn failure(self, error: BuildError) -> Failure {
        let advise = matches!((self, &error), (Sources::OnHost, BuildError::Unreachable { .. }));
        let hint = "if the host cannot get there, --fetch controller gets the sources here and sends them";
        Failure::from(error).hint(advise.then_some(hint))
    }
}

/// Sources that were fetched here in this run, failures too: what failed for one host is not tried again for the next.
#[derive(Default)]
pub struct Gathering {
    state: Mutex<State>,
    /// How this run's folders begin; each is registered as scratch.
    prefix: String,
}

#[derive(Default)]
struct State {
    target: Option<Arc<dyn Target>>,
    done: HashMap<BuildKey, Result<Archive, Failure>>,
}

/// One archive of all sources of a recipe.
#[derive(Debug, Clone)]
struct Archive {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

impl Gathering {
    /// `scratch` is the folder for what a run needs; its path must be UTF-8 when something is gathered.
    pub fn new(scratch: &Path, run: &RunId) -> Self {
        let prefix = scratch.to_str().map(|scratch| format!("{scratch}/{run}.sources"));
        Self { prefix: prefix.unwrap_or_default(), ..Self::default() }
    }

    /// Fetches here what the recipe wants on a host with this environment, and gives it to the build there.
    ///
    /// # Errors
    /// A source cannot be had, or not be sent.
    #[expect(clippy::too_many_arguments, reason = "a build's whole surroundings, once")]
    pub(super) async fn give(
        &self,
        scope: &Scope,
        target: &dyn Target,
        staged: &Staged<'_>,
        recipe: &RecipeMeta,
        environment: &Environment,
        watch: make::Limited<'_>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let archive = self.get(scope, recipe, environment, watch, limits).await?;
        scope.notice(Level::Info, format!("sending its sources ({})", human_bytes(archive.size)), None);
        let read = |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", archive.path.display()));
        let mut source = FileSource::open(&archive.path).map_err(read)?;
        let want = std::future::ready(Ok(archive.digest));
        transfer::upload(scope, target, &staged.archive(), &mut source, want).await?;
        staged.give(&scope.within("unpacking the sources", limits.short * 10)).await?;
        Ok(())
    }

    /// The archive; waits for its turn.
    async fn get(
        &self,
        scope: &Scope,
        recipe: &RecipeMeta,
        environment: &Environment,
        watch: make::Limited<'_>,
        limits: &Limits,
    ) -> Result<Archive, Failure> {
        // The host's architecture and variables decide what its sources are; its tools are not those of this machine.
        let mut environment = Environment { jobs: 1, path: Vec::new(), check: false, ..environment.clone() };
        environment.variables.retain(|name, _| !is_of_its_machine(name));
        let class = environment.script().map_err(BuildError::from)?;
        let key = build_key(recipe, &class, &environment.features);
        let mut state = scope.race(self.state.lock()).await?;
        if let Some(done) = state.done.get(&key) {
            return done.clone();
        }
        let supervision = Supervision { grace: limits.grace, lease: limits.lease, ..Supervision::default() };
        let target = state.target.get_or_insert_with(|| Arc::new(local(supervision))).clone();
        if self.prefix.is_empty() {
            return Err(Failure::new("the cache folder's path is not UTF-8"));
        }
        let work = format!("{}.{}", self.prefix, &key.to_string()[..16]);
        let here = scope.for_host(&HostName::local()).in_phase(Phase::Fetch);
        let result = gather(&here, &*target, recipe, &environment, &work, watch, limits).await;
        // A cancel says nothing about the sources.
        if scope.check().is_ok() {
            state.done.insert(key, result.clone());
        }
        result
    }

    /// Removes what was fetched for this run; `Some` when that could not be confirmed.
    pub async fn close(&self) -> Option<String> {
        let target = self.state.lock().await.target.take()?;
        match target.close().await {
            Closed::Clean => None,
            Closed::Unconfirmed(what) => Some(format!("cleanup unconfirmed: {what}")),
        }
    }
}

/// Tells the driver what the recipe's entry, and the caller, say of its sources.
pub(super) fn describe(environment: &mut Environment, recipe: &RecipeMeta, mirrors: &[Mirror]) {
    environment.mirrors = mirrors.iter().chain(&recipe.worker.mirrors).cloned().collect();
    environment.submodules = recipe.worker.submodules;
}

/// Says aloud what nothing checks.
pub(super) fn say_unverified(scope: &Scope, fetched: &Fetched) {
    if !fetched.unverified.is_empty() {
        let text = format!("nothing checks these sources: {}", fetched.unverified.join(", "));
        let hint = "a checksum or a whole commit in the recipe would".to_owned();
        scope.notice(Level::Warning, plain_line(&text), Some(hint));
    }
}

/// Whether a variable of a host would mean something else, or nothing, here.
fn is_of_its_machine(name: &str) -> bool {
    let places = ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "GIT_SSH_COMMAND"];
    places.contains(&name) || name.starts_with("XDG_") || name.to_ascii_lowercase().ends_with("_proxy")
}

async fn gather(
    scope: &Scope,
    target: &dyn Target,
    recipe: &RecipeMeta,
    environment: &Environment,
    work: &str,
    watch: make::Limited<'_>,
    limits: &Limits,
) -> Result<Archive, Failure> {
    let short = scope.within("staging the recipe", limits.short * 4);
    make::work_folder(&short, target, work).await?;
    let staged = build::stage(&short, target, recipe, environment, work).await?;
    make::under_watch(scope, target, watch.in_work("fetch", work), None, async |scope, out| {
        staged.gather(scope, out).await.map_err(|error| Sources::Here.failure(error))
    })
    .await?;
    let path = PathBuf::from(staged.archive());
    let (digest, size) = scope.race(transfer::file_digest(&path)).await??;
    Ok(Archive { path, digest, size })
}
