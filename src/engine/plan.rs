//! What will be done on a host, and why: facts and a request in, a plan out. It is also the dry run.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    gather::FetchPlace,
    request::{Binary, BuildPlace, InstallRequest, Wanted},
};
use crate::{
    build::{build_key, class_of},
    catalog::{Catalog, fits},
    preflight::{
        check::{self, Grade, Role, Verdict},
        install_dir::{InstallDir, NoInstallDir, choose},
    },
    vocab::{
        Accelerator, BuildKey, Digest, Facts, Host, Manifest, RecipeMeta, WorkerId, WorkerMeta, facts::Libc,
        text::human_bytes,
    },
};

/// Why a host will not get what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub hint: Option<String>,
}

impl Refusal {
    fn new(text: impl Into<String>, hint: Option<&str>) -> Self {
        Self { text: text.into(), hint: hint.map(str::to_owned) }
    }
}

/// What happens with one worker on one host.
#[derive(Debug, Clone)]
pub struct WorkerPlan {
    pub worker: WorkerId,
    /// As far as it is known before a build.
    pub version: Option<String>,
    /// Where the recipe or the program comes from.
    pub origin: String,
    /// Why this one.
    pub why: String,
    /// `None` for a program that is still being read, where nothing hangs on its sha256 yet.
    pub key: Option<BuildKey>,
    pub dir: InstallDir,
    pub action: Action,
    /// What the host has of it now, in the folder it would go to.
    pub old: Option<Manifest>,
    /// For fetch, build and package together.
    pub limit: Duration,
    /// Where its sources are fetched, if they are.
    pub fetch: FetchPlace,
    /// Run the recipe's own tests, too.
    pub check: bool,
    pub verdicts: Vec<Verdict>,
}

/// How a worker comes to its place.
#[derive(Debug, Clone)]
pub enum Action {
    /// Same build key, and the file still has its manifest's digest.
    Unchanged,
    BuildOnHost(Arc<RecipeMeta>),
    BuildHere(Arc<RecipeMeta>),
    Send(Arc<Binary>),
}

impl WorkerPlan {
    /// The plan as one fragment.
    pub fn words(&self) -> String {
        let version = self.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
        let what = format!("{}{version}", self.worker);
        match &self.action {
            Action::Unchanged => {
                let at = self.old.as_ref().map_or(self.dir.bin.as_str(), |old| old.path.as_str());
                format!("{what} is there ({at})")
            }
            Action::BuildOnHost(_) => format!("build {what} on the host, install to {}", self.dir.words()),
            Action::BuildHere(_) => format!("build {what} here, install to {}", self.dir.words()),
            Action::Send(binary) => {
                format!(
                    "send {} ({}), install to {}",
                    binary.path.display(),
                    human_bytes(binary.size),
                    self.dir.words()
                )
            }
        }
    }

    /// The name that its program will have, as far as that is known before a build.
    pub fn program(&self) -> &str {
        match (&self.action, &self.old) {
            (Action::Send(binary), _) => &binary.program_name,
            (_, Some(old)) => old.path.rsplit('/').next().unwrap_or_default(),
            _ => self.worker.as_str(),
        }
    }

    pub const fn changes(&self) -> bool {
        !matches!(self.action, Action::Unchanged)
    }
}

/// Plans every worker that a host is to have.
///
/// `digests` are those of the files that the host's manifests name; `controller` is this machine, if it may build.
///
/// # Errors
/// The first thing that stands against it, with what to do about it.
pub fn plan(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
    digests: &HashMap<String, Option<Digest>>,
    controller: Option<&Facts>,
    limit: Option<Duration>,
) -> Result<Vec<WorkerPlan>, Refusal> {
    refuse(&check::check(
        facts,
        &check::Request { role: Role::Receive, worker: None, program: None, size: None, system: request.system },
    ))?;
    let dir = choose(facts, request.system).map_err(|why| no_dir(&why))?;
    if !request.binaries.is_empty() {
        return Ok(vec![plan_binary(request, facts, &dir, digests)?]);
    }
    let wanted = wanted(catalog, host, request, facts)?;
    wanted
        .into_iter()
        .map(|(recipe, why)| plan_recipe(request, facts, &dir, digests, controller, limit, recipe, why))
        .collect()
}

/// Judges a host for what it would get, without planning how.
pub fn judge(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
) -> (Vec<Verdict>, Option<Refusal>) {
    let general =
        check::Request { role: Role::Receive, worker: None, program: None, size: None, system: request.system };
    if request.worker.is_none() && host.workers.is_empty() {
        let verdicts = check::check(facts, &general);
        let refusal = refuse(&verdicts).err();
        return (verdicts, refusal);
    }
    match wanted(catalog, host, request, facts) {
        Err(refusal) => (check::check(facts, &general), Some(refusal)),
        Ok(recipes) => {
            let role = match request.build {
                BuildPlace::Local => Role::Receive,
                BuildPlace::Auto | BuildPlace::Host => Role::BuildAndReceive,
            };
            let mut verdicts: Vec<Verdict> = Vec::new();
            for (recipe, _) in &recipes {
                let worker = Some(&recipe.worker);
                for verdict in check::check(facts, &check::Request { role, worker, ..general.clone() }) {
                    if !verdicts.contains(&verdict) {
                        verdicts.push(verdict);
                    }
                }
            }
            let refusal = refuse(&verdicts).err();
            (verdicts, refusal)
        }
    }
}

/// The workers that a host would get, each with the name that its program will have as far as that is known.
pub fn expected(catalog: &Catalog, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<(WorkerId, String)> {
    match request.binaries.first() {
        Some(binary) => vec![(binary.worker.clone(), binary.program_name.clone())],
        None => {
            let recipes = wanted(catalog, host, request, facts).unwrap_or_default();
            recipes.into_iter().map(|(recipe, _)| (recipe.worker.id.clone(), recipe.worker.id.to_string())).collect()
        }
    }
}

/// The recipes of the workers that a host would get.
pub fn recipes(catalog: &Catalog, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<Arc<RecipeMeta>> {
    wanted(catalog, host, request, facts).unwrap_or_default().into_iter().map(|(recipe, _)| recipe).collect()
}

/// The recipes that a host is to have, each with the reason.
fn wanted(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
) -> Result<Vec<(Arc<RecipeMeta>, String)>, Refusal> {
    let from_catalog = |name: &str, why: Option<&str>| {
        let pick = catalog.pick(name, facts).map_err(|text| Refusal { text, hint: None })?;
        let recipe = catalog.get(&pick.worker).map_err(|error| Refusal { text: error.to_string(), hint: None })?;
        Ok((Arc::new(recipe), why.map_or(pick.why, str::to_owned)))
    };
    match &request.worker {
        Some(Wanted::Recipe(recipe)) => {
            fits(&recipe.worker, facts).map_err(|text| Refusal { text, hint: None })?;
            Ok(vec![(recipe.clone(), "named".into())])
        }
        Some(Wanted::Named(name) | Wanted::Versioned { name, .. }) => Ok(vec![from_catalog(name, None)?]),
        // Nothing is listed for it, so it is as asked.
        None => host.workers.iter().map(|id| from_catalog(id.as_str(), Some("listed in the inventory"))).collect(),
    }
}

fn plan_binary(
    request: &InstallRequest,
    facts: &Facts,
    dir: &InstallDir,
    digests: &HashMap<String, Option<Digest>>,
) -> Result<WorkerPlan, Refusal> {
    let platform = facts.platform();
    let binary =
        request.binaries.iter().find(|binary| binary.platform.as_deref().is_none_or(|p| p == platform)).ok_or_else(
            || {
                let have: Vec<_> = request.binaries.iter().filter_map(|b| b.platform.as_deref()).collect();
                Refusal::new(
                    format!("there is no --binary for {platform}, only for {}", have.join(" and ")),
                    Some("add --binary OS-ARCH=PATH for it"),
                )
            },
        )?;
    let checked = check::check(
        facts,
        &check::Request {
            role: Role::Receive,
            worker: None,
            program: Some(&binary.program),
            size: Some(binary.size),
            system: request.system,
        },
    );
    refuse(&checked)?;
    let key = binary.digest.ready().map(BuildKey);
    let old = present(facts, &binary.worker, dir);
    let same = match (&old, key) {
        (None, _) => false,
        (Some(old), Some(key)) => intact(old, key, digests),
        (Some(_), None) => return Err(Refusal::new(format!("{} was not read", binary.path.display()), None)),
    };
    Ok(WorkerPlan {
        worker: binary.worker.clone(),
        version: None,
        origin: "binary".into(),
        why: format!("--binary for {platform}"),
        key,
        dir: dir.clone(),
        action: if same && !request.reinstall { Action::Unchanged } else { Action::Send(binary.clone()) },
        old,
        limit: Duration::ZERO,
        fetch: FetchPlace::Host,
        check: false,
        verdicts: checked,
    })
}

#[expect(clippy::too_many_arguments, reason = "the one place where all that is known comes together")]
fn plan_recipe(
    request: &InstallRequest,
    facts: &Facts,
    dir: &InstallDir,
    digests: &HashMap<String, Option<Digest>>,
    controller: Option<&Facts>,
    limit: Option<Duration>,
    recipe: Arc<RecipeMeta>,
    why: String,
) -> Result<WorkerPlan, Refusal> {
    let worker = &recipe.worker;
    let key = build_key(&recipe, &class_of(worker.accelerator, facts), &worker.features);
    let old = present(facts, &worker.id, dir);
    let plan = |action, why: String, verdicts| WorkerPlan {
        worker: worker.id.clone(),
        version: recipe.version.clone(),
        origin: recipe.origin.clone(),
        why: match (&action, request.fetch) {
            (Action::BuildOnHost(_), FetchPlace::Controller) => format!("{why}; its sources are fetched here"),
            _ => why,
        },
        key: Some(key),
        dir: dir.clone(),
        action,
        old: old.clone(),
        limit: limit.or(worker.limit).unwrap_or_else(|| standard_limit(worker.accelerator)),
        fetch: request.fetch,
        check: request.check,
        verdicts,
    };
    if !request.reinstall && old.as_ref().is_some_and(|old| intact(old, key, digests)) {
        return Ok(plan(Action::Unchanged, why, Vec::new()));
    }
    let on_host = || judge_build(facts, worker, Role::BuildAndReceive, request.system);
    let here = || judge_here(controller, facts, worker);
    match request.build {
        BuildPlace::Host => {
            let verdicts = on_host();
            refuse(&verdicts)?;
            Ok(plan(Action::BuildOnHost(recipe.clone()), why, verdicts))
        }
        BuildPlace::Local => {
            let verdicts = here()?;
            Ok(plan(Action::BuildHere(recipe.clone()), format!("{why}; --build local"), verdicts))
        }
        BuildPlace::Auto => {
            let verdicts = on_host();
            match (refuse(&verdicts), here()) {
                (Ok(()), _) => Ok(plan(Action::BuildOnHost(recipe.clone()), why, verdicts)),
                (Err(no), Ok(verdicts)) => {
                    let why = format!("{why}; not on the host: {}", no.text);
                    Ok(plan(Action::BuildHere(recipe.clone()), why, verdicts))
                }
                (Err(no), Err(_)) => Err(no),
            }
        }
    }
}

/// Judges whether this machine can build for the host.
fn judge_here(controller: Option<&Facts>, host: &Facts, worker: &WorkerMeta) -> Result<Vec<Verdict>, Refusal> {
    let Some(here) = controller else {
        return Err(Refusal::new("this machine was not looked at", None));
    };
    if (&here.os, &here.arch) != (&host.os, &host.arch) {
        return Err(Refusal::new(
            format!("this machine is {}, and what it builds does not run on {}", here.platform(), host.platform()),
            Some("build on the host (--build host)"),
        ));
    }
    let runs = match (&here.libc, &host.libc) {
        (Some(Libc::Glibc(..)), Some(Libc::Glibc(..))) => here.libc <= host.libc,
        (mine, theirs) => mine == theirs,
    };
    if !runs {
        let name = |libc: &Option<Libc>| libc.as_ref().map_or("no known C library".to_owned(), ToString::to_string);
        return Err(Refusal::new(
            format!("this machine has {}, and the host only {}", name(&here.libc), name(&host.libc)),
            Some("build on the host (--build host)"),
        ));
    }
    let verdicts = judge_build(here, worker, Role::Build, false);
    refuse(&verdicts).map_err(|no| Refusal { text: format!("this machine cannot build it: {}", no.text), ..no })?;
    Ok(verdicts)
}

fn judge_build(facts: &Facts, worker: &WorkerMeta, role: Role, system: bool) -> Vec<Verdict> {
    check::check(facts, &check::Request { role, worker: Some(worker), program: None, size: None, system })
}

fn refuse(verdicts: &[Verdict]) -> Result<(), Refusal> {
    let no: Vec<_> = verdicts.iter().filter(|v| v.grade == Grade::No).collect();
    if no.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        text: no.iter().map(|v| v.text.as_str()).collect::<Vec<_>>().join("; "),
        hint: no.iter().find_map(|v| v.hint.clone()),
    })
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
