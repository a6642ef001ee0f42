//! What recipes need of the machine that builds: looked for in preflight, and installed where that was asked for.

use super::{
    Failure, Run,
    dispatch::Ticket,
    election, install,
    job::Done,
    phase::phase,
    plan::{self, WorkerPlan},
    request::{BuildPlace, InstallRequest},
    sudo_password::Inside,
};
use crate::{
    install::{
        packages::{self, Ran, Root},
        sudo::Taken,
    },
    preflight::{
        self, Provision,
        check::{self, Role},
        needs,
    },
    scope::Scope,
    target::Target,
    vocab::{Facts, Host, Level, Needs, Phase, Reason, facts::Tool},
};

/// Stands for what a package manager will bring.
const ANY: &str = "9999";

/// Where the system's own programs are, and only root writes.
const SYSTEM: [&str; 8] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/run/wrappers/bin",
    "/run/current-system/sw/bin",
];

/// What the host's recipes need, if it may come to build them.
fn of_host(run: &Run, host: &Host, request: &InstallRequest, facts: &Facts) -> Vec<Needs> {
    if !request.binaries.is_empty() {
        return Vec::new();
    }
    let recipes = plan::recipes(&run.catalog, host, request, facts);
    recipes.iter().map(|recipe| recipe.worker.needs.clone()).collect()
}

/// Asks the host for what its recipes name and the probe did not answer; mostly that is nothing.
///
/// # Errors
/// As the probe.
pub async fn look(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    request: &InstallRequest,
    mut facts: Facts,
) -> Result<Facts, Failure> {
    let wanted = of_host(run, host, request, &facts);
    run.local_builds.want(&wanted);
    if request.build != BuildPlace::Local {
        let limited = scope.in_phase(Phase::Preflight).within("look for packages", run.settings.limits.short);
        ask(&limited, target, &mut facts, &wanted).await.map_err(|failure| failure.in_phase(Phase::Preflight))?;
    }
    Ok(facts)
}

/// Adds the answers to what `wanted` leaves open.
pub(super) async fn ask(
    scope: &Scope,
    target: &dyn Target,
    facts: &mut Facts,
    wanted: &[Needs],
) -> Result<(), Failure> {
    let mut questions: Vec<String> = Vec::new();
    for question in wanted.iter().flat_map(|needs| needs::questions(facts, needs)) {
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
    let before = facts.silent.len();
    needs::ask(scope, target, facts, &questions).await?;
    for name in &facts.silent[before..] {
        scope.notice(
            Level::Warning,
            format!("{name} did not answer in time, so it is not known whether it is there"),
            None,
        );
    }
    Ok(())
}

/// A host with what it needs, as far as that could be had.
pub struct Provided<'a> {
    pub facts: Facts,
    pub inside: Inside<'a>,
    pub done: Option<Done>,
}

/// With `--install-deps`: has the host's package manager install what is missing, after a word on it, and looks again.
///
/// # Errors
/// Root cannot be had, or the package manager says no; with its own words.
#[expect(clippy::too_many_arguments, reason = "a door of the engine, called once")]
pub async fn provide<'a>(
    scope: &Scope,
    run: &'a Run,
    host: &Host,
    target: &dyn Target,
    request: &InstallRequest,
    facts: Facts,
    ticket: &Ticket,
    inside: Inside<'a>,
) -> Result<Provided<'a>, Failure> {
    let as_it_is = |facts, inside| Ok(Provided { facts, inside, done: None });
    if !request.install_deps || request.build == BuildPlace::Local {
        return as_it_is(facts, inside);
    }
    let wanted = of_host(run, host, request, &facts);
    let Some(provision) = needs::remedy(&facts, &wanted.iter().collect::<Vec<_>>()) else {
        return as_it_is(facts, inside);
    };
    // What else stands against this host is said by its plan; nothing is installed in vain.
    let then = as_if(facts.clone(), &wanted);
    if !provision.whole || is_as_asked(run, host, request, &facts) || refused(run, host, request, &then) {
        return as_it_is(facts, inside);
    }
    if request.build != BuildPlace::Each {
        // What one of several builds, only that one needs the tools for.
        let known = ticket.known(scope).await?;
        let elected = election::elected(scope, run, request, &host.name, &known).await?;
        let mine = elected.contains(&host.name);
        ticket.expect(elected);
        if !mine {
            return as_it_is(facts, inside);
        }
    }
    let line = provision.line();
    let speak = scope.in_phase(Phase::Preflight);
    if request.dry_run {
        speak.notice(Level::Warning, format!("would install first what is missing there: {line}"), None);
        return as_it_is(then, inside);
    }
    trusted(&provision.path, &facts, &line)?;
    ticket.wait(scope).await?;
    install::lock(scope, run, target, &facts).await?;
    speak.notice(Level::Info, format!("installing what is missing there: {line}"), None);
    phase(scope, Phase::Install, None, |scope| {
        let (facts, provision) = (&facts, &provision);
        async move { bring(&scope, run, host, target, facts, provision, inside).await }
    })
    .await?;
    let found = phase(scope, Phase::Preflight, Some(run.settings.limits.short * 2), |scope| {
        let wanted = &wanted;
        async move {
            let mut facts = preflight::probe(&scope, target).await?;
            ask(&scope, target, &mut facts, wanted).await?;
            Ok(facts)
        }
    })
    .await?;
    let left = wanted.iter().flat_map(|needs| needs::lacking(&found, needs)).collect::<Vec<_>>();
    if !left.is_empty() {
        let text = format!("{} came to its end, and all the same: {}", provision.manager, left.join("; "));
        return Err(Failure::refused(text, Some(format!("what was run: {line}"))));
    }
    let done = Done::changed(format!("installed by {}: {}", provision.manager, provision.packages().join(" ")));
    Ok(Provided { facts: found, inside: run.sudo.inside(), done: Some(done) })
}

/// Whether nothing has to be built for the host.
fn is_as_asked(run: &Run, host: &Host, request: &InstallRequest, facts: &Facts) -> bool {
    let digests = facts.installed.iter().map(|manifest| (manifest.path.clone(), Some(manifest.digest))).collect();
    let plans = plan::plan(&run.catalog, host, request, facts, &digests, None);
    plans.is_ok_and(|plans| !plans.iter().any(WorkerPlan::changes))
}

/// Whether something stands against a host that builds for itself.
fn refused(run: &Run, host: &Host, request: &InstallRequest, facts: &Facts) -> bool {
    plan::recipes(&run.catalog, host, request, facts).iter().any(|recipe| {
        let asked = check::Request {
            role: Role::BuildAndReceive,
            worker: Some(&recipe.worker),
            program: None,
            size: None,
            system: request.system,
        };
        check::refuses(&check::check(facts, &asked))
    })
}

/// Runs the package manager; where sudo wants a password, with that.
async fn bring(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    provision: &Provision,
    inside: Inside<'_>,
) -> Result<(), Failure> {
    let line = provision.line();
    let words: Vec<String> = std::iter::once(&provision.path).chain(&provision.arguments).cloned().collect();
    let mut root = Root::Own;
    if provision.sudo {
        let Some(Tool { path, .. }) = facts.tool("sudo") else {
            return Err(Failure::refused(
                format!("{} has to be run as root, and there is no sudo", provision.manager),
                Some(format!("run as root: {}", line.trim_start_matches("sudo "))),
            ));
        };
        trusted(path, facts, &line)?;
        root = Root::Sudo { sudo: path.clone(), password: None };
    }
    let mut ran = packages::run(scope, target, &words, &root).await?;
    if let (Ran::Password, Root::Sudo { sudo, .. }) = (&ran, &root) {
        let asked = run.sudo.get(scope, &host.name, "packages are missing", inside).await?;
        let Some(password) = asked else {
            let text = format!("sudo on {} asks for a password, and there is none", host.name);
            return Err(Failure::refused(text, Some(format!("say --ask-sudo-pass, or run there: {line}"))));
        };
        let taken = run.sudo.attempt(scope, &host.name, packages::prove(scope, target, sudo, &password)).await??;
        match taken {
            Taken::Yes => {}
            Taken::Wrong(words) | Taken::NotAllowed(words) => {
                return Err(Failure::new(format!("sudo on {} did not take the password: {words}", host.name))
                    .because(Some(Reason::Auth))
                    .hint(Some("it was tried once, and nothing was changed there")));
            }
        }
        root = Root::Sudo { sudo: sudo.clone(), password: Some(password) };
        ran = packages::run(scope, target, &words, &root).await?;
    }
    let failed = |text: String| Failure::new(text).hint(Some(format!("what was run: {line}")));
    let manager = provision.manager;
    if scope.check().is_err() {
        let end = match &ran {
            Ran::Done => "came to its end".to_owned(),
            Ran::Password => "was not run".to_owned(),
            Ran::Failed { status, words } => format!("failed with status {status}: {words}"),
        };
        scope.notice(Level::Warning, format!("{manager} was waited for, and {end}"), None);
    }
    scope.check()?;
    match ran {
        Ran::Done => Ok(()),
        Ran::Password => Err(failed("sudo wants a password all the same".to_owned())),
        Ran::Failed { status, words } => Err(failed(format!("{manager} failed with status {status}: {words}"))),
    }
}

/// Demands that a program that is to be root lies where only root puts programs.
fn trusted(path: &str, facts: &Facts, line: &str) -> Result<(), Failure> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if facts.uid == Some(0) || SYSTEM.contains(&folder) || folder == facts.dirs.system_bin {
        return Ok(());
    }
    // Only brew is a user's own, and is never root.
    if path.ends_with("/brew") {
        return Ok(());
    }
    let text = format!("{path} is not in a folder of the system's, and is not run as root");
    Err(Failure::refused(text, Some(format!("run there: {line}"))))
}

/// A host as it would be if its package manager brought what it lacks; as it is, where that would not be all.
pub(super) fn prepared(facts: &Facts, wanted: &Needs) -> Facts {
    match needs::remedy(facts, &[wanted]) {
        Some(provision) if provision.whole => as_if(facts.clone(), std::slice::from_ref(wanted)),
        _ => facts.clone(),
    }
}

/// The host as it would be: what is missing is there, in a version that will do.
fn as_if(mut facts: Facts, wanted: &[Needs]) -> Facts {
    let missing: Vec<String> = wanted.iter().flat_map(|needs| needs::missing(&facts, needs)).collect();
    for name in missing {
        facts.tools.insert(name, Tool { path: String::new(), version: Some(ANY.to_owned()), on_path: true });
    }
    facts
}
