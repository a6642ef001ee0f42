//! What will be done on a host, and why: facts and a request in, a plan out. It is also the dry run.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Run,
    gather::{FetchPlace, Sources},
    group::{Place, Source},
    prebuilt::{self, Choice},
    request::{Binary, BuildPlace, InstallRequest, Wanted},
    share::Share,
};
use crate::{
    build::{Class, build_key},
    catalog::{Catalog, Pick, fits},
    prebuilt::Asset,
    preflight::{
        check::{self, Grade, Role, Verdict},
        install_dir::{InstallDir, NoInstallDir, choose},
    },
    vocab::{
        Accelerator, BuildKey, Digest, Facts, Host, HostName, Manifest, RecipeMeta, WorkerId, WorkerMeta,
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
    pub fn new(text: impl Into<String>, hint: Option<&str>) -> Self {
        Self { text: text.into(), hint: hint.map(str::to_owned) }
    }
}

/// What happens with one worker on one host.
#[derive(Debug, Clone)]
pub struct WorkerPlan {
    pub host: HostName,
    pub worker: WorkerId,
    /// As far as it is known before a build.
    pub version: Option<String>,
    /// Where the recipe or the program comes from.
    pub origin: String,
    /// Why this one.
    pub why: String,
    /// `None` for a program that is still being read, where nothing hangs on its sha256 yet, and for a build before it is
    /// known for whom it is.
    pub key: Option<BuildKey>,
    /// What the host is by itself, for a worker of this kind.
    pub class: Class,
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
    /// The host builds it for itself and nobody else.
    BuildOwn(Arc<RecipeMeta>),
    /// Built once for all hosts that are alike; how, is known once all of them were seen.
    Share(Arc<RecipeMeta>, Option<Arc<Share>>),
    Send(Arc<Binary>),
    /// What is published; with the program, once it was loaded.
    Prebuilt(Arc<Asset>, Option<Arc<Binary>>),
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
            Action::BuildOwn(_) => format!("build {what} on the host, install to {}", self.dir.words()),
            Action::Share(_, share) => {
                let how = match share.as_ref().map(|share| &share.first().source) {
                    None => format!("build {what}"),
                    Some(Source::Cache) => format!("send {what} from the cache"),
                    Some(Source::Host(offer)) => format!("take {what} from {}", offer.host),
                    Some(Source::Build(Place::Here)) => format!("build {what} here"),
                    Some(Source::Build(Place::Host(builder))) if *builder == self.host => {
                        format!("build {what} on the host")
                    }
                    Some(Source::Build(Place::Host(builder))) => format!("build {what} on {builder}"),
                };
                format!("{how}, install to {}", self.dir.words())
            }
            Action::Send(binary) => {
                format!(
                    "send {} ({}), install to {}",
                    binary.path.display(),
                    human_bytes(binary.size),
                    self.dir.words()
                )
            }
            Action::Prebuilt(asset, _) => format!("take {what} from {}, install to {}", asset.url, self.dir.words()),
        }
    }

    /// How a build on a host comes by its sources.
    pub(super) fn sources<'a>(&self, run: &'a Run) -> Sources<'a> {
        match self.fetch {
            FetchPlace::Host => Sources::OnHost,
            FetchPlace::Controller => Sources::Sent(&run.gathering),
        }
    }

    /// Why this one, and why from there.
    pub fn reason(&self) -> String {
        match &self.action {
            Action::Share(_, Some(share)) => format!("{}; {}", self.why, share.words()),
            _ => self.why.clone(),
        }
    }

    /// The name that its program will have, as far as that is known before a build.
    pub fn program(&self) -> &str {
        match (&self.action, &self.old) {
            (Action::Send(binary), _) => &binary.program_name,
            (Action::Prebuilt(asset, _), _) => asset.worker.as_str(),
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
    refuse(&check::check(
        facts,
        &check::Request { role: Role::Receive, worker: None, program: None, size: None, system: request.system },
    ))?;
    let dir = choose(facts, request.system).map_err(|why| no_dir(&why))?;
    if !request.binaries.is_empty() {
        return Ok(vec![plan_binary(host, request, facts, &dir, digests)?]);
    }
    let wanted = wanted(catalog, host, request, facts)?;
    wanted
        .into_iter()
        .map(|(recipe, why)| plan_recipe(host, request, facts, &dir, digests, limit, recipe, why))
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
            // Who builds for several is not known before all of them were seen.
            let role = match request.build {
                BuildPlace::Each => Role::BuildAndReceive,
                BuildPlace::Auto | BuildPlace::Host | BuildPlace::Local => Role::Receive,
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
        let pick = picked(catalog, name, facts, request).map_err(|text| Refusal { text, hint: None })?;
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

/// Which variant it is: what was found by asking others, or what the host's own facts say.
pub(super) fn picked(catalog: &Catalog, name: &str, facts: &Facts, request: &InstallRequest) -> Result<Pick, String> {
    match request.picks.iter().find(|(family, _)| family == name) {
        Some((_, pick)) => Ok(pick.clone()),
        None => catalog.pick(name, facts),
    }
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
        host: host.name.clone(),
        class: Class::of(Accelerator::Cpu, facts),
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

/// Judges a host for a worker.
pub(super) fn judge_build(facts: &Facts, worker: &WorkerMeta, role: Role, system: bool) -> Vec<Verdict> {
    check::check(facts, &check::Request { role, worker: Some(worker), program: None, size: None, system })
}

/// # Errors
/// What stands against it, all of it.
pub(super) fn refuse(verdicts: &[Verdict]) -> Result<(), Refusal> {
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
