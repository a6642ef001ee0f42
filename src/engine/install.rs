//! The phases that change a host.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::{
    Failure, Finding, Run,
    bench::Bench,
    bring,
    dispatch::Ticket,
    group::{Need, Place, Source},
    job::Done,
    plan::{self, Action, WorkerPlan},
    prebuilt,
    request::InstallRequest,
    roster, sudo,
    sudo_password::Inside,
    undo,
};
use crate::{
    install::{self, Hands, Layout, Places},
    preflight::{
        check::{Grade, Role},
        install_dir::choose,
    },
    scope::Scope,
    target::{Captured, Command, Target},
    vocab::{Digest, Facts, Host, Level, Manifest, Phase, Reason, WorkerId},
};

/// Brings the host's workers to what is asked.
#[expect(clippy::too_many_arguments, reason = "a door of the engine, called once")]
pub async fn install(
    scope: &Scope,
    run: &Run,
    bench: &Arc<Bench>,
    target: &dyn Target,
    request: &InstallRequest,
    ticket: &Ticket,
    inside: Inside<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let (host, facts) = (&bench.host, &*bench.facts);
    let mut request = request.clone();
    let mut plans = loop {
        let mut plans = decide(scope, run, host, target, facts, &request).await?;
        if request.dry_run {
            break plans;
        }
        match prebuilt::load(scope, run, &request, facts, &mut plans).await? {
            None => break plans,
            Some((worker, why)) => {
                let text = format!("no prebuilt {worker}, so it is built: {why}");
                scope.in_phase(Phase::Preflight).notice(Level::Warning, text, None);
                request.unfit.push(worker);
            }
        }
    };
    let request = &request;
    compare(scope, run, bench, target, request, ticket, &mut plans).await?;
    findings.push(Finding::Plan(plans.clone()));
    let speak = scope.in_phase(Phase::Preflight);
    for plan in &plans {
        for verdict in plan.verdicts.iter().filter(|v| v.grade == Grade::Warn) {
            speak.notice(Level::Warning, verdict.text.clone(), verdict.hint.clone());
        }
        if plan.changes() {
            speak.notice(Level::Info, format!("{} ({})", plan.words(), plan.reason()), None);
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
            done.and(Done { changed: plan.changes(), words: vec![plan.words()], ..Done::default() })
        }));
    }
    ticket.wait(scope).await?;
    let hands = sudo::prove(scope, run, host, target, facts, rights).await?;
    let mut done = Done::default();
    if plans.iter().any(WorkerPlan::changes) {
        lock(scope, run, target, facts).await?;
    }
    for plan in &plans {
        done = match &plan.action {
            Action::Unchanged => done.and(Done::unchanged(plan.words())),
            _ => done.and(bring::bring(scope, run, bench, target, ticket, plan, &hands).await?),
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
    for binary in &request.binaries {
        if !hangs(&binary.worker) {
            // Many hosts share one reading; one host's is that which sends it.
            if run.hosts > 1 {
                binary.digest.start();
            }
            continue;
        }
        let read = scope.race(binary.digest.wait()).await?;
        read.map_err(|error| Failure::new(error).because(Some(Reason::Transfer)).in_phase(Phase::Preflight))?;
    }
    // Every installed program is what its manifest says, until it is looked at.
    let mut digests: HashMap<String, Option<Digest>> =
        facts.installed.iter().map(|m| (m.path.clone(), Some(m.digest))).collect();
    loop {
        let planned = plan::plan(&run.catalog, host, request, facts, &digests, limits.install);
        let plans = planned.map_err(|no| Failure::refused(no.text, no.hint))?;
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

/// Enters the host among those of the run, and fills in how it comes to what has to be built.
async fn compare(
    scope: &Scope,
    run: &Run,
    bench: &Arc<Bench>,
    target: &dyn Target,
    request: &InstallRequest,
    ticket: &Ticket,
    plans: &mut [WorkerPlan],
) -> Result<(), Failure> {
    let scope = &scope.in_phase(Phase::Preflight);
    let (host, facts) = (&bench.host, &bench.facts);
    let need = |plan: &WorkerPlan| match &plan.action {
        Action::Share(recipe, _) => Some(Need {
            host: host.name.clone(),
            facts: facts.clone(),
            recipe: recipe.clone(),
            class: plan.class.clone(),
        }),
        _ => None,
    };
    let needs: Vec<Need> = plans.iter().filter_map(need).collect();
    let mut kept = Vec::new();
    for old in plans.iter().filter(|plan| plan.changes() && !request.reinstall).filter_map(|plan| plan.old.as_ref()) {
        let layout = undo::plain_layout(facts, old);
        let limited = scope.within("kept versions", run.settings.limits.short);
        let found = install::kept(&limited, target, &layout, old).await?;
        // A kept tree has no link that leads to it.
        let found = found.filter(|(_, manifest)| manifest.entry.is_none());
        kept.extend(found.and_then(|(path, manifest)| roster::offer(&host.name, &manifest, &path)));
    }
    let none = needs.is_empty();
    ticket.enter(roster::seen(host, bench.clone(), facts, kept), needs);
    if none {
        return Ok(());
    }
    let shares = ticket.shares(scope, run, request, &host.name).await.map_err(|no| no.in_phase(Phase::Preflight))?;
    let open = plans.iter_mut().filter(|plan| matches!(plan.action, Action::Share(..)));
    for (plan, share) in open.zip(shares) {
        let share = share.map_err(|no| Failure::refused(no.text, no.hint))?;
        if share.first().source == Source::Build(Place::Host(host.name.clone())) {
            let verdicts = plan::judge_build(facts, &share.recipe.worker, Role::Build, false);
            plan.verdicts.extend(verdicts.into_iter().filter(|v| v.grade == Grade::Warn));
        }
        plan.key = Some(share.first().key);
        plan.action = Action::Share(share.recipe.clone(), Some(share));
    }
    Ok(())
}

/// The folders of one scope of installation, and where programs arrive for those of root's.
pub(super) fn layout(facts: &Facts, bin: &str, data: &str, hands: &Hands, part: &str) -> Layout {
    let layout = Layout::new(bin, data);
    match hands {
        Hands::Own => layout,
        Hands::Root(_) => layout.through(format!("{}/scratch/{part}.sudo", facts.dirs.cache)),
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

/// RFC 3339, UTC, whole seconds.
pub(super) fn now() -> String {
    let now = time::OffsetDateTime::from(SystemTime::now());
    let now = now.replace_nanosecond(0).unwrap_or(now);
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
