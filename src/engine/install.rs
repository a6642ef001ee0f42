//! The phases that change a host.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    time::{Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{
    Failure, Finding, Run,
    dispatch::Ticket,
    job::Done,
    phase::phase,
    plan::{self, Action, WorkerPlan},
    request::{BuildPlace, InstallRequest},
    watch::{Watch, watch},
};
use crate::{
    build::{self, BuildError, Built},
    install::{self, Layout, Proof},
    recipe::Environment,
    scope::Scope,
    target::{Captured, Command, Target, output::EventLines},
    transfer::{self, FileSource},
    vocab::{
        Digest, Facts, Host, Level, Limits, Manifest, Phase, Reason, RecipeMeta, WorkerId,
        text::{human_bytes, sh_quote},
    },
};

/// Brings the host's workers to what is asked.
#[expect(clippy::too_many_arguments, reason = "a door of the engine, called once")]
pub async fn install(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    request: &InstallRequest,
    ticket: &Ticket,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let plans = decide(scope, run, host, target, facts, request).await?;
    findings.push(Finding::Plan(plans.clone()));
    let speak = scope.in_phase(Phase::Preflight);
    for plan in &plans {
        for verdict in plan.verdicts.iter().filter(|v| v.grade == crate::preflight::check::Grade::Warn) {
            speak.notice(Level::Warning, verdict.text.clone(), verdict.hint.clone());
        }
        if plan.changes() {
            speak.notice(Level::Info, format!("{} ({})", plan.words(), plan.why), None);
        }
    }
    if plans.is_empty() {
        return Ok(Done::unchanged("the inventory lists no worker for this host"));
    }
    if request.dry_run {
        return Ok(plans.iter().fold(Done::default(), |done, plan| {
            done.and(Done { changed: plan.changes(), words: vec![plan.words()], hint: None })
        }));
    }
    if !ticket.wait().await {
        let text = "not started: with --all-or-nothing, another host's refusal is this one's";
        return Err(Failure::refused(text, None));
    }
    let mut done = Done::default();
    if plans.iter().any(WorkerPlan::changes) {
        lock(scope, run, target, facts).await?;
    }
    for plan in &plans {
        done = match &plan.action {
            Action::Unchanged => done.and(Done::unchanged(plan.words())),
            _ => done.and(bring(scope, run, host, target, facts, plan).await?),
        };
    }
    if let Some(fix) = plans.first().and_then(|plan| plan.dir.path_fix.as_ref().map(|fix| (fix, &plan.dir))) {
        let (fix, dir) = fix;
        if request.fix_path {
            done = done.and(fix_path(scope, run, target, &fix.script(), &fix.file).await?);
        } else {
            done.hint =
                Some(format!("{} is not on PATH there; --fix-path adds to {}: {}", dir.bin, fix.file, fix.line));
        }
    }
    Ok(done)
}

/// Plans, and looks at installed programs only where the plan hangs on them.
async fn decide(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    request: &InstallRequest,
) -> Result<Vec<WorkerPlan>, Failure> {
    let limits = &run.settings.limits;
    let scope = scope.in_phase(Phase::Preflight);
    for binary in &request.binaries {
        let read = scope.race(binary.digest.wait()).await?;
        read.map_err(|error| Failure::new(error).because(Some(Reason::Transfer)).in_phase(Phase::Preflight))?;
    }
    // Every installed program is what its manifest says, until it is looked at.
    let mut digests: HashMap<String, Option<Digest>> =
        facts.installed.iter().map(|m| (m.path.clone(), Some(m.digest))).collect();
    let mut here: Option<Facts> = None;
    loop {
        let planned = plan::plan(&run.catalog, host, request, facts, &digests, here.as_ref(), limits.install);
        let plans = match planned {
            Ok(plans) => plans,
            // This machine is only looked at when it may be needed.
            Err(_) if here.is_none() && request.build != BuildPlace::Host && request.binaries.is_empty() => {
                here = Some(run.local_builds.facts(&scope, limits).await?);
                continue;
            }
            Err(no) => return Err(Failure::refused(no.text, no.hint)),
        };
        let unchanged = plans.iter().filter(|plan| !plan.changes()).filter_map(|plan| plan.old.as_ref());
        let paths: Vec<&str> = unchanged.map(|old| old.path.as_str()).collect();
        let limited = scope.within("sha256 of installed programs", limits.short * 4);
        let found = install::digests(&limited, target, &paths)
            .await
            .map_err(|error| Failure::from(error).in_phase(Phase::Preflight))?;
        let same = paths.iter().zip(&found).all(|(path, found)| digests.get(*path) == Some(found));
        if same {
            return Ok(plans);
        }
        // A changed file is planned differently, and is not asked for again.
        let found: Vec<_> = paths.iter().map(ToString::to_string).zip(found).collect();
        digests.extend(found);
    }
}

/// One worker, from its source to its place.
async fn bring(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    plan: &WorkerPlan,
) -> Result<Done, Failure> {
    let id = scope.events().run().to_string();
    let layout = Layout { bin: plan.dir.bin.clone(), data: plan.dir.data.clone() };
    let limits = &run.settings.limits;
    let short = Some(limits.short);

    let (program, from) = match &plan.action {
        Action::BuildOnHost(recipe) => {
            let work = format!("{}/scratch/{id}.{}", facts.dirs.cache, plan.worker);
            let built = build_in(scope, target, recipe, facts, &host.env, plan, &work, limits).await?;
            (Program::from(&built), From::Host(built.path))
        }
        Action::BuildHere(recipe) => {
            let built = run.local_builds.get(scope, plan, recipe, limits).await?;
            (Program::from(&built), From::Here(built.path.into()))
        }
        Action::Send(binary) => {
            let name = binary.program_name.clone();
            let program = Program { name, version: None, size: binary.size, digest: plan.key.0 };
            (program, From::Here(binary.path.clone()))
        }
        Action::Unchanged => return Ok(Done::unchanged(plan.words())),
    };
    let path = format!("{}/{}", layout.bin, program.name);
    let part = layout.part(&path, &id);

    let found = phase(scope, Phase::Transfer, None, |scope| {
        let (layout, part, from, path) = (&layout, &part, &from, &path);
        async move {
            install::prepare(&scope.within("prepare", limits.short), target, layout).await?;
            let bring = async {
                match from {
                    From::Host(built) => {
                        let scope = scope.within("copying the program", limits.short * 4);
                        transfer::copy(&scope, target, built, part, program.digest).await?;
                    }
                    From::Here(file) => {
                        let mut source = open(file)?;
                        transfer::upload(&scope, target, part, &mut source, program.digest).await?;
                    }
                }
                Ok::<_, Failure>(())
            };
            // What is there now is looked at meanwhile.
            let look = async { Ok::<_, Failure>(install::digests(&scope, target, &[path]).await?) };
            let (brought, found) = tokio::join!(bring, look);
            brought?;
            Ok(found?.into_iter().next().flatten())
        }
    })
    .await?;

    let (arguments, proof) = match &plan.action {
        Action::BuildOnHost(recipe) | Action::BuildHere(recipe) => (recipe.worker.verify.clone(), Proof::Answers),
        _ => (vec!["--version".to_owned()], Proof::Starts),
    };
    let said = phase(scope, Phase::Verify, short, |scope| {
        let (part, name, arguments) = (&part, &program.name, &arguments);
        async move { Ok(install::prove(&scope, target, part, name, arguments, proof).await?) }
    })
    .await?;

    let version = program.version.clone().or_else(|| first_version(&said)).unwrap_or_else(|| "unknown".into());
    let manifest = Manifest {
        worker: plan.worker.clone(),
        version,
        key: plan.key,
        digest: program.digest,
        size: program.size,
        path,
        origin: plan.origin.clone(),
        run: id,
        installed_at: now(),
        previous: None,
    };
    let manifest = &manifest;
    let old = phase(scope, Phase::Install, short, |scope| {
        let (layout, part) = (&layout, &part);
        async move {
            let old = replaced(&scope, plan, manifest, found);
            let new = Manifest { previous: previous(manifest, old.as_ref()), ..manifest.clone() };
            install::activate(&scope, target, layout, part, &new, old.as_ref()).await?;
            Ok(old)
        }
    })
    .await?;
    let size = human_bytes(manifest.size);
    let words = format!("{} {} to {} ({size})", manifest.worker, manifest.version, manifest.path);
    Ok(Done::changed(match old {
        Some(old) if old.version == manifest.version => format!("reinstalled {words}"),
        Some(old) => format!("installed {words}, was {}", old.version),
        None => format!("installed {words}"),
    }))
}

/// Where a finished program lies.
enum From {
    Host(String),
    Here(std::path::PathBuf),
}

struct Program {
    name: String,
    version: Option<String>,
    size: u64,
    digest: Digest,
}

impl std::convert::From<&Built> for Program {
    fn from(built: &Built) -> Self {
        Self {
            name: built.program.clone(),
            version: Some(built.version.clone()),
            size: built.size,
            digest: built.digest,
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
                key: crate::vocab::BuildKey(digest),
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

/// Fetches, builds and packages in a work folder that is gone when the target closes.
#[expect(clippy::too_many_arguments, reason = "the same for a host and for this machine")]
pub async fn build_in(
    scope: &Scope,
    target: &dyn Target,
    recipe: &RecipeMeta,
    facts: &Facts,
    env: &BTreeMap<String, String>,
    plan: &WorkerPlan,
    work: &str,
    limits: &Limits,
) -> Result<Built, Failure> {
    let environment = Environment::of(facts, env, &recipe.worker.features);
    let started = Instant::now();
    let left = |started: Instant| Some(plan.limit.saturating_sub(started.elapsed()));
    let watched = |operation: String| Watch { operation, started, limit: plan.limit, idle_limit: limits.idle, work };

    let staged = phase(scope, Phase::Fetch, left(started), |_| async {
        let scope = scope.in_phase(Phase::Fetch).within("staging the recipe", limits.short * 4);
        target.scratch(&scope, work).await?;
        let mut said = Captured::default();
        let script = format!("umask 077; mkdir -p -- {0} && chmod 700 -- {0}", sh_quote(work));
        let exit = target.run(&scope, &Command::own("work folder", script), &mut said).await?;
        if exit.status != 0 {
            return Err(Failure::new(format!("cannot make {work}: {}", said.last_words())));
        }
        let staged = build::stage(&scope, target, recipe, &environment, work).await?;
        under_watch(
            &scope_of(&scope, Phase::Fetch),
            target,
            watched(format!("fetch of {}", plan.worker)),
            async |scope, out| staged.fetch(scope, out).await,
        )
        .await?;
        Ok(staged)
    })
    .await?;
    phase(scope, Phase::Build, left(started), |_| {
        let staged = &staged;
        async move {
            let scope = scope.in_phase(Phase::Build);
            under_watch(&scope, target, watched(format!("build of {}", plan.worker)), async |scope, out| {
                staged.build(scope, out).await
            })
            .await
        }
    })
    .await?;
    phase(scope, Phase::Package, left(started), |_| {
        let staged = &staged;
        async move {
            let scope = scope.in_phase(Phase::Package);
            under_watch(&scope, target, watched(format!("packaging of {}", plan.worker)), async |scope, out| {
                staged.package(scope, out).await
            })
            .await
        }
    })
    .await
}

/// The scope of a watched step has no deadline of its own: its watch decides.
fn scope_of(scope: &Scope, phase: Phase) -> Scope {
    scope.in_phase(phase)
}

/// Runs a step of a build with its output told live and its watch beside it.
async fn under_watch<T>(
    scope: &Scope,
    target: &dyn Target,
    limit: Watch<'_>,
    step: impl AsyncFnOnce(&Scope, &mut EventLines) -> Result<T, BuildError>,
) -> Result<T, Failure> {
    let (watched, alarm) = scope.with_alarm();
    let mut output = EventLines::new(&watched);
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

/// Goes back to the version before.
pub async fn rollback(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    facts: &Facts,
    worker: Option<&WorkerId>,
) -> Result<Done, Failure> {
    let found: Vec<&Manifest> = match worker {
        Some(worker) => facts.installed.iter().filter(|m| m.worker == *worker).collect(),
        None => facts.installed.iter().filter(|m| m.previous.is_some()).collect(),
    };
    let current = match (&found[..], worker) {
        ([one], _) => *one,
        ([], Some(worker)) => return Err(Failure::refused(format!("{worker} is not installed here"), None)),
        ([], None) => return Err(Failure::refused("nothing here has an earlier version", None)),
        (many, _) => {
            let names: Vec<_> = many.iter().map(|m| m.worker.as_str()).collect();
            let text = format!("several workers have an earlier version: {}", names.join(", "));
            return Err(Failure::refused(text, Some("name one of them".into())));
        }
    };
    if current.previous.is_none() {
        return Err(Failure::refused(format!("there is no earlier version of {}", current.worker), None));
    }
    lock(scope, run, target, facts).await?;
    let layout = layout_of(facts, current);
    let limit = Some(run.settings.limits.short * 4);
    let old = phase(scope, Phase::Install, limit, |scope| async move {
        let id = scope.events().run().to_string();
        Ok(install::rollback(&scope, target, &layout, current, &id, &now()).await?)
    })
    .await?;
    Ok(Done::changed(format!("{} is {} again, was {}", old.worker, old.version, current.version)))
}

/// Takes a worker away.
pub async fn remove(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    facts: &Facts,
    worker: &WorkerId,
    force: bool,
) -> Result<Done, Failure> {
    let found: Vec<&Manifest> = facts.installed.iter().filter(|m| m.worker == *worker).collect();
    if found.is_empty() {
        return Ok(Done::unchanged(format!("{worker} is not installed")));
    }
    lock(scope, run, target, facts).await?;
    let mut done = Done::default();
    for manifest in found {
        let layout = layout_of(facts, manifest);
        phase(scope, Phase::Install, Some(run.settings.limits.short * 4), |scope| async move {
            let digest = install::digests(&scope, target, &[&manifest.path]).await?.into_iter().next().flatten();
            Ok(install::remove(&scope, target, &layout, manifest, digest, force).await?)
        })
        .await?;
        done = done.and(Done::changed(format!("removed {} {} from {}", worker, manifest.version, manifest.path)));
    }
    Ok(done)
}

/// The folders that a manifest belongs to.
fn layout_of(facts: &Facts, manifest: &Manifest) -> Layout {
    let bin = manifest.path.rsplit_once('/').map_or(String::new(), |(bin, _)| bin.to_owned());
    let data = if bin == facts.dirs.system_bin { facts.dirs.system_data.clone() } else { facts.dirs.data.clone() };
    Layout { bin, data }
}

async fn lock(scope: &Scope, run: &Run, target: &dyn Target, facts: &Facts) -> Result<(), Failure> {
    let limited = scope.in_phase(Phase::Preflight).within("lock", run.settings.limits.short);
    install::lock(&limited, target, &facts.dirs.state, &run.who)
        .await
        .map_err(|error| Failure::from(error).in_phase(Phase::Preflight))
}

async fn fix_path(scope: &Scope, run: &Run, target: &dyn Target, script: &str, file: &str) -> Result<Done, Failure> {
    let limited = scope.in_phase(Phase::Install).within("PATH", run.settings.limits.short);
    let mut said = Captured::default();
    let exit = target.run(&limited, &Command::own("PATH", script), &mut said).await?;
    match exit.status {
        0 => Ok(Done::changed(format!("put it on PATH in {file}"))),
        _ => Err(Failure::new(format!("cannot write {file}: {}", said.last_words())).in_phase(Phase::Install)),
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

/// RFC 3339, UTC, whole seconds.
fn now() -> String {
    let now = time::OffsetDateTime::from(SystemTime::now());
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
