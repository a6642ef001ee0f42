//! The phases that change a host.

use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use super::{
    Failure, Finding, Run,
    dispatch::Ticket,
    gather::{FetchPlace, Sources},
    job::Done,
    make::build_in,
    phase::phase,
    plan::{self, Action, WorkerPlan},
    request::{BuildPlace, InstallRequest, Pending},
    sudo,
    sudo_password::Inside,
};
use crate::{
    build::Built,
    install::{self, Hands, Layout, Part, Places, Proof, tree},
    preflight::install_dir::choose,
    scope::Scope,
    target::{Captured, Command, Target},
    transfer::{self, FileSource, TransferError, tree::Tree},
    vocab::{Digest, Facts, Host, Level, Manifest, Phase, Reason, TreeMark, WorkerId, text::human_bytes},
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
    inside: Inside<'_>,
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
    let through_sudo = plans.iter().filter(|plan| plan.changes() && plan.dir.sudo);
    let places = through_sudo
        .map(|plan| Places::new(&Layout::new(&plan.dir.bin, &plan.dir.data), &plan.worker, plan.program()))
        .collect();
    let rights = sudo::look(scope, run, host, target, facts, places, inside, request.dry_run).await?;
    if request.dry_run {
        return Ok(plans.iter().fold(Done::default(), |done, plan| {
            done.and(Done { changed: plan.changes(), words: vec![plan.words()], hint: None })
        }));
    }
    if !ticket.wait().await {
        let text = "not started: with --all-or-nothing, another host's refusal is this one's";
        return Err(Failure::refused(text, None));
    }
    let hands = sudo::prove(scope, run, host, target, facts, rights).await?;
    let mut done = Done::default();
    if plans.iter().any(WorkerPlan::changes) {
        lock(scope, run, target, facts).await?;
    }
    for plan in &plans {
        done = match &plan.action {
            Action::Unchanged => done.and(Done::unchanged(plan.words())),
            _ => done.and(bring(scope, run, host, target, facts, plan, &hands).await?),
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

/// The programs that would go to a folder of root's, as far as they are known before there is a plan.
pub(super) fn through_sudo(run: &Run, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<Places> {
    let Some(dir) = choose(facts, request.system).ok().filter(|dir| dir.sudo) else { return Vec::new() };
    let layout = Layout::new(&dir.bin, &dir.data);
    let workers = plan::expected(&run.catalog, host, request, facts);
    workers.iter().map(|(worker, program)| Places::new(&layout, worker, program)).collect()
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
    // A program that replaces none is read while it is sent.
    let hangs =
        |worker: &WorkerId| request.dry_run || facts.installed.iter().any(|manifest| manifest.worker == *worker);
    for binary in request.binaries.iter().filter(|binary| hangs(&binary.worker)) {
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
        let unchanged: Vec<&Manifest> =
            plans.iter().filter(|plan| !plan.changes()).filter_map(|plan| plan.old.as_ref()).collect();
        let limited = scope.within("sha256 of installed programs", limits.short * 4);
        let found = install::found(&limited, target, &unchanged)
            .await
            .map_err(|error| Failure::from(error).in_phase(Phase::Preflight))?;
        let same = unchanged.iter().zip(&found).all(|(old, found)| digests.get(&old.path) == Some(found));
        if same {
            return Ok(plans);
        }
        // A changed file is planned differently, and is not asked for again.
        let found: Vec<_> = unchanged.iter().map(|old| old.path.clone()).zip(found).collect();
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
    hands: &Hands,
) -> Result<Done, Failure> {
    let id = scope.events().run().to_string();
    let layout = layout(facts, &plan.dir.bin, &plan.dir.data, hands, &format!("{id}.{}", plan.worker));
    let limits = &run.settings.limits;
    let short = Some(limits.short);

    let (program, from) = match &plan.action {
        Action::BuildOnHost(recipe) => {
            let work = format!("{}/scratch/{id}.{}", facts.dirs.cache, plan.worker);
            let from = match plan.fetch {
                FetchPlace::Host => Sources::OnHost,
                FetchPlace::Controller => Sources::Sent(&run.gathering),
            };
            let (env, mirrors) = (&host.env, run.request.mirrors());
            let built = build_in(scope, target, recipe, facts, env, plan, &work, from, mirrors, limits).await?;
            (Program::from(&built), From::Host(built.path))
        }
        Action::BuildHere(recipe) => {
            let built = run.local_builds.get(scope, plan, recipe, run.request.mirrors(), limits).await?;
            (Program::from(&built), From::Here(built.path.into()))
        }
        Action::Send(binary) => {
            let name = binary.program_name.clone();
            let program = Program { name, tree: None, version: None, size: binary.size, digest: binary.digest.clone() };
            let from = match &binary.tree {
                Some(tree) => From::Folder(tree.clone()),
                None => From::Here(binary.path.clone()),
            };
            (program, from)
        }
        Action::Unchanged => return Ok(Done::unchanged(plan.words())),
    };
    let program = &program;
    let path = format!("{}/{}", layout.bin, program.name);
    let part = layout.part(&path, &id);

    let (part, found) = phase(scope, Phase::Transfer, None, |scope| {
        let (layout, part, from, path, name, id) = (&layout, &part, &from, &path, &program.name, id.as_str());
        async move {
            let limited = scope.within("prepare", limits.short);
            install::prepare(&limited, target, layout, hands, &plan.worker, name).await?;
            let wanted = |entry, digest| tree::Wanted { worker: &plan.worker, run: id, entry, digest };
            let bring = async {
                match (from, &program.tree) {
                    (From::Host(built), None) => {
                        let scope = scope.within("copying the program", limits.short * 4);
                        transfer::copy(&scope, target, built, part, digest(program).await?).await?;
                    }
                    (From::Here(file), None) => {
                        let mut source = open(file)?;
                        let sent = transfer::upload(&scope, target, part, &mut source, program.digest.wait()).await;
                        if let Err(TransferError::Digest { .. }) = sent {
                            program.digest.refute();
                        }
                        sent?;
                    }
                    (From::Host(built), Some(mark)) => {
                        let from = tree::From::Host(built, digest(program).await?);
                        let wanted = wanted(&mark.entry, mark.digest);
                        return Ok(tree::receive(&scope, target, layout, part, wanted, from).await?);
                    }
                    (From::Here(file), Some(mark)) => {
                        let from = tree::From::File(file, digest(program).await?);
                        let wanted = wanted(&mark.entry, mark.digest);
                        return Ok(tree::receive(&scope, target, layout, part, wanted, from).await?);
                    }
                    (From::Folder(tree), _) => {
                        let wanted = wanted(&tree.entry, digest(program).await?);
                        let from = tree::From::Folder(tree);
                        return Ok(tree::receive(&scope, target, layout, part, wanted, from).await?);
                    }
                }
                Ok::<_, Failure>(Part::file(part))
            };
            // What is there now is looked at meanwhile.
            let look = async {
                let found = match plan.old.as_ref().filter(|old| old.path == *path) {
                    Some(old) => install::found(&scope, target, &[old]).await,
                    None => install::digests(&scope, target, &[path]).await,
                };
                Ok::<_, Failure>(found?)
            };
            let (brought, found) = tokio::join!(bring, look);
            Ok((brought?, found?.into_iter().next().flatten()))
        }
    })
    .await?;

    let (digest, size, entry) = match (&program.tree, &from) {
        (Some(mark), _) => (mark.digest, mark.size, Some(mark.entry.clone())),
        (None, From::Folder(tree)) => (digest(program).await?, program.size, Some(tree.entry.clone())),
        (None, _) => (digest(program).await?, program.size, None),
    };
    let (arguments, proof) = match &plan.action {
        Action::BuildOnHost(recipe) | Action::BuildHere(recipe) => (recipe.worker.verify.clone(), Proof::Answers),
        _ => (vec!["--version".to_owned()], Proof::Starts),
    };
    let said = phase(scope, Phase::Verify, short, |scope| {
        let (part, name, arguments) = (&part, &program.name, &arguments);
        async move { Ok(install::prove(&scope, target, &part.path, name, arguments, proof).await?) }
    })
    .await?;

    let version = program.version.clone().or_else(|| first_version(&said)).unwrap_or_else(|| "unknown".into());
    let manifest = Manifest {
        worker: plan.worker.clone(),
        version,
        key: plan.key.unwrap_or(crate::vocab::BuildKey(digest)),
        digest,
        size,
        path,
        entry,
        origin: plan.origin.clone(),
        run: id,
        installed_at: now(),
        previous: None,
    };
    let manifest = &manifest;
    let old = phase(scope, Phase::Install, short, |scope| {
        let (layout, part, name) = (&layout, &part, &program.name);
        async move {
            let old = replaced(&scope, plan, manifest, found);
            let new = Manifest { previous: previous(manifest, old.as_ref()), ..manifest.clone() };
            let places = Places::new(layout, &new.worker, name);
            let activated = install::activate(&scope, target, layout, hands, part, &new, old.as_ref()).await;
            activated.map_err(|error| sudo::explain(error, hands, &places, facts))?;
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

/// The folders of one scope of installation, and where programs arrive for those of root's.
pub(super) fn layout(facts: &Facts, bin: &str, data: &str, hands: &Hands, part: &str) -> Layout {
    let layout = Layout::new(bin, data);
    match hands {
        Hands::Own => layout,
        Hands::Root(_) => layout.through(format!("{}/scratch/{part}.sudo", facts.dirs.cache)),
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
                key: crate::vocab::BuildKey(digest),
                previous,
                entry: None,
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

/// Takes the host's lock for this run.
pub(super) async fn lock(scope: &Scope, run: &Run, target: &dyn Target, facts: &Facts) -> Result<(), Failure> {
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
pub(super) fn now() -> String {
    let now = time::OffsetDateTime::from(SystemTime::now());
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
