//! Published programs in a run: taken where there are some, each loaded once for all hosts.

use std::{collections::HashMap, fs::File, path::PathBuf, sync::Arc};

use tokio::sync::Mutex;

use super::{
    Failure, Run,
    pending::Pending,
    phase::phase,
    plan::{Action, Refusal, WorkerPlan},
    request::{Binary, InstallRequest, UsePrebuilt},
};
use crate::{
    prebuilt::{Asset, Form, PrebuiltError, fetch},
    preflight::binary::{inspect, misfit},
    scope::Scope,
    vocab::{BuildKey, Facts, Level, Phase, Reason, RecipeMeta},
};

/// What is done about a worker.
pub enum Choice {
    Take(Arc<Asset>),
    /// With the reason, where a published program was asked for.
    Build(Option<String>),
}

/// Whether a published program is taken.
///
/// # Errors
/// It must be, and there is none.
pub fn choose(request: &InstallRequest, recipe: &RecipeMeta, facts: &Facts) -> Result<Choice, Refusal> {
    let wanted = match request.prebuilt {
        UsePrebuilt::Never => return Ok(Choice::Build(None)),
        _ if request.unfit.contains(&recipe.worker.id) => return Ok(Choice::Build(None)),
        wanted => wanted,
    };
    match (Asset::of(&recipe.worker, recipe.version.as_deref(), &recipe.files, facts), wanted) {
        (Ok(asset), _) => Ok(Choice::Take(Arc::new(asset))),
        (Err(no), UsePrebuilt::Prefer) => Ok(Choice::Build(Some(no.0))),
        (Err(no), _) => Err(Refusal { text: no.0, hint: Some("--prebuilt=prefer builds it then".into()) }),
    }
}

type Slot = Arc<Mutex<Option<Result<Arc<Binary>, Failure>>>>;

/// What was loaded in this run, failures too.
#[derive(Default)]
pub struct Prebuilts {
    dir: PathBuf,
    loaded: Mutex<HashMap<BuildKey, Slot>>,
}

impl Prebuilts {
    /// `dir` is where they are kept.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, ..Self::default() }
    }

    /// The program of an asset; waits while another host's task loads it.
    ///
    /// # Errors
    /// As [`fetch`].
    pub async fn get(&self, scope: &Scope, asset: &Asset) -> Result<Arc<Binary>, Failure> {
        let slot = scope.race(self.loaded.lock()).await?.entry(asset.key()).or_default().clone();
        let mut slot = scope.race(slot.lock()).await?;
        if let Some(done) = &*slot {
            return done.clone();
        }
        let result = self.load(scope, asset).await.map(Arc::new);
        // A cancel says nothing about the asset.
        if scope.check().is_ok() {
            *slot = Some(result.clone());
        }
        result
    }

    async fn load(&self, scope: &Scope, asset: &Asset) -> Result<Binary, Failure> {
        let fetched = fetch(scope, &self.dir, asset).await.map_err(|error| match error {
            PrebuiltError::Stopped(stop) => Failure::from(stop),
            error => Failure::new(error.to_string()).because(Some(Reason::Fetch)),
        })?;
        let (path, tree, entry) = match fetched.form {
            Form::File(path) => (path.clone(), None, path),
            Form::Tree(tree) => (tree.root.clone(), Some(tree.clone()), tree.entry_path()),
        };
        let wrong =
            |text: String| Failure::new(format!("cannot use {}: {text}", asset.url)).because(Some(Reason::Fetch));
        let mut file = File::open(&entry).map_err(|error| wrong(error.to_string()))?;
        let program = inspect(&mut file).map_err(|error| wrong(error.to_string()))?;
        Ok(Binary {
            worker: asset.worker.clone(),
            program_name: asset.worker.to_string(),
            path,
            tree,
            platform: None,
            program,
            size: fetched.size,
            digest: Pending::known(fetched.digest),
            used: Some(fetched.used),
        })
    }
}

/// Loads what the plans take; the first worker whose program is not to be had or does not fit, where a build will do.
///
/// # Errors
/// There is none, and it must be that one.
pub async fn load(
    scope: &Scope,
    run: &Run,
    request: &InstallRequest,
    facts: &Facts,
    plans: &mut [WorkerPlan],
) -> Result<Option<(crate::vocab::WorkerId, String)>, Failure> {
    for plan in plans.iter_mut() {
        let Action::Prebuilt(asset, _) = &plan.action else { continue };
        let asset = asset.clone();
        let loaded = phase(scope, Phase::Fetch, None, |scope| {
            let asset = asset.clone();
            async move {
                scope.notice(Level::Info, format!("takes {}", asset.url), None);
                let binary = run.prebuilts.get(&scope, &asset).await?;
                match misfit(&binary.program, facts) {
                    None => Ok(binary),
                    Some((why, hint)) => {
                        Err(Failure::refused(format!("{} is {why}", asset.url), Some(hint)).in_phase(Phase::Fetch))
                    }
                }
            }
        })
        .await;
        match loaded {
            Ok(binary) => plan.action = Action::Prebuilt(asset, Some(binary)),
            Err(failure) if request.prebuilt == UsePrebuilt::Prefer && scope.check().is_ok() => {
                return Ok(Some((plan.worker.clone(), failure.error)));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}
