//! `rbee fleet …`

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::json;

use super::{
    Complaint, answer,
    args::{FleetCommand, Global, InstallFlags, OutputForm, RunFlags, SudoFlags},
    context::{self, Context},
    output::{self, Kind},
    password, print, programs, signals, sudo_password,
    table::table,
    tell, trust,
};
use crate::{
    catalog::Catalog,
    engine::{
        Conclusion, InstallRequest, Request, Run, SshFleet, SudoPassword, dispatch, local_build::LocalBuilds,
        request::Wanted,
    },
    inventory::Intent,
    report::{self, Lines},
    scope::{Cancel, CancelReason, Scope, events},
    target::ssh::{Connector, People},
    transfer::Memo,
    vocab::{ExitCode, Host, HostName, Route, RunId, WorkerId, text::sh_join},
};

/// A verb, as it is asked of the engine.
struct Asked {
    request: Request,
    kind: Kind,
    intent: Intent,
    run: RunFlags,
    install: InstallFlags,
    sudo: SudoFlags,
    /// `plan --exit-code`.
    changes_exit: bool,
    /// `trust --accept-new`.
    accept_new: bool,
}

pub async fn run(global: Global, pattern: Option<&str>, command: FleetCommand) -> Result<ExitCode, Complaint> {
    let asked = match command {
        FleetCommand::Hosts => return hosts(&global, pattern),
        other => ask(&global, other).await?,
    };
    let context = Context::load(&global, &asked.run, &asked.install)?;
    let hosts = context.select(pattern, asked.intent)?;
    let catalog = context::catalog(&global)?;
    check_workers(&asked.request, &catalog, &hosts)?;
    carry_out(&global, context, hosts, catalog, asked).await
}

async fn ask(global: &Global, command: FleetCommand) -> Result<Asked, Complaint> {
    let query = |request, run| Asked {
        request,
        kind: Kind::Query,
        intent: Intent::Read,
        run,
        install: InstallFlags::default(),
        sudo: SudoFlags::default(),
        changes_exit: false,
        accept_new: false,
    };
    let change = |request, run| Asked { kind: Kind::Run(Lines::Talk), intent: Intent::Change, ..query(request, run) };
    let worker_id = |id: &str| WorkerId::new(id).map_err(|error| Complaint::usage(error.to_string()));
    Ok(match command {
        FleetCommand::Hosts => unreachable!("answered without contacting anyone"),
        FleetCommand::Ping(run) => query(Request::Ping, run),
        // Whoever asks nobody and accepts nothing looks no further than what is known.
        FleetCommand::Trust { accept_new, run } => {
            Asked { accept_new, ..query(Request::Trust { propose: accept_new }, run) }
        }
        FleetCommand::Status(run) => query(Request::Status, run),
        FleetCommand::Check { install, run } => {
            let request = Request::Check(install_request(global, &install, false).await?);
            Asked { install, ..query(request, run) }
        }
        FleetCommand::Plan { install, exit_code, run } => {
            let request = Request::Install(install_request(global, &install, true).await?);
            Asked { install, changes_exit: exit_code, ..query(request, run) }
        }
        FleetCommand::Install { install, dry_run: true, sudo, run } => {
            let request = Request::Install(install_request(global, &install, true).await?);
            Asked { install, sudo, intent: Intent::Change, ..query(request, run) }
        }
        FleetCommand::Install { install, dry_run: false, sudo, run } => {
            let request = Request::Install(install_request(global, &install, false).await?);
            Asked { install, sudo, ..change(request, run) }
        }
        FleetCommand::Rollback { worker, sudo, run } => {
            let request = Request::Rollback { worker: worker.as_deref().map(worker_id).transpose()? };
            Asked { sudo, ..change(request, run) }
        }
        FleetCommand::Remove { worker, force, sudo, run } => {
            Asked { sudo, ..change(Request::Remove { worker: worker_id(&worker)?, force }, run) }
        }
        FleetCommand::Exec { command, run } => {
            // One word is a line for the shell, as with ssh; several are quoted, so that they arrive as they are.
            let script = match &command[..] {
                [line] => line.clone(),
                words => sh_join(words),
            };
            Asked { kind: Kind::Run(Lines::Data), ..change(Request::Exec { script }, run) }
        }
    })
}

async fn install_request(global: &Global, flags: &InstallFlags, dry_run: bool) -> Result<InstallRequest, Complaint> {
    let build_on = flags.once.build_on.as_deref().map(|name| builder(global, name)).transpose()?;
    let binaries = programs::read(&flags.binary, flags.worker.as_deref(), &Memo::new(&context::cache_dir()?))?;
    let is_path = |name: &str| name.contains('/') || name.starts_with('.');
    let worker = match flags.worker.as_deref() {
        Some(name) if binaries.is_empty() && is_path(name) => {
            let recipe = context::catalog(global)?.resolve(name).map_err(|e| Complaint::usage(e.to_string()))?;
            Some(Wanted::Recipe(Arc::new(recipe)))
        }
        Some(name) => Some(Wanted::Named(name.to_owned())),
        None => None,
    };
    Ok(InstallRequest {
        worker,
        build: flags.build.into(),
        build_on,
        cpu_level: flags.once.cpu_level,
        binaries,
        system: flags.system,
        fix_path: flags.fix_path,
        reinstall: flags.reinstall,
        dry_run,
    })
}

/// The one machine that may build, by whatever selects exactly one.
fn builder(global: &Global, name: &str) -> Result<Host, Complaint> {
    if name == HostName::local().as_str() {
        return Ok(Host::local());
    }
    let context = Context::load(global, &RunFlags::default(), &InstallFlags::default())?;
    let found = context.select(Some(name), Intent::Change);
    let mut found = found.map_err(|error| Complaint { exit: ExitCode::Usage, ..error })?;
    match (found.pop(), found.is_empty()) {
        (Some(host), true) => Ok(host),
        _ => Err(Complaint::usage(format!("--build-on {name}: that is more than one host"))),
    }
}

/// A worker that no catalog has is a mistake of whoever typed it, not of a host.
fn check_workers(request: &Request, catalog: &Catalog, hosts: &[Host]) -> Result<(), Complaint> {
    let (Request::Install(install) | Request::Check(install)) = request else { return Ok(()) };
    if !install.binaries.is_empty() {
        return Ok(());
    }
    let known = |name: &str| {
        if catalog.family(name).next().is_some() {
            return Ok(());
        }
        catalog.resolve(name).map(drop).map_err(|error| Complaint::usage(error.to_string()))
    };
    match &install.worker {
        Some(Wanted::Named(name)) => known(name),
        Some(Wanted::Recipe(_)) => Ok(()),
        None if matches!(request, Request::Install(_)) && hosts.iter().all(|host| host.workers.is_empty()) => {
            Err(Complaint::usage("no worker was named, and the inventory lists none for the selected hosts").hint(
                "name one (rbee worker available lists them), or write workers = [\"…\"] for a host in the inventory",
            ))
        }
        None => hosts.iter().flat_map(|host| &host.workers).try_for_each(|id| known(id.as_str())),
    }
}

async fn carry_out(
    global: &Global,
    context: Context,
    hosts: Vec<Host>,
    catalog: Catalog,
    asked: Asked,
) -> Result<ExitCode, Complaint> {
    let Context { settings, ssh, inventory } = context;
    let id = run_id()?;
    let (emitter, receiver) = events(id.clone());
    let scope = Scope::new(Cancel::new(), emitter);
    // Before the first question: Ctrl+C must not leave the terminal without echo.
    let listener =
        signals::listen(scope.clone()).map_err(|error| Complaint::usage(format!("cannot handle signals: {error}")))?;
    let logs = match asked.kind {
        Kind::Run(_) => output::log_dir(&settings.state_dir, &id),
        Kind::Query => None,
    };
    let output::Readers { readers, prompt, screen } =
        output::readers(global, &asked.run, asked.kind, settings.color, logs.as_deref(), settings.interactive);
    let password = password::of_login(&asked.run, prompt.as_ref()).await?;
    let people = People { prompt: prompt.clone(), password, banners: global.verbose > 0 };
    let connector = Connector::with_people(&settings, ssh, people);
    let sudo = SudoPassword::new(sudo_password::given(&asked.sudo, prompt.as_ref()).await?, prompt.clone());
    let builder = match &asked.request {
        Request::Install(install) => install.build_on.as_ref(),
        _ => None,
    };
    for host in hosts.iter().chain(builder).filter(|host| matches!(host.route, Route::Ssh(_))) {
        connector.resolve(host).map_err(|error| Complaint::usage(format!("{}: {error}", host.name)))?;
    }

    let reporter = report::spawn(receiver, readers)
        .map_err(|error| Complaint::usage(format!("cannot start a thread: {error}")))?;
    let timer = settings.limits.run.map(|limit| tokio::spawn(expire(scope.clone(), limit)));

    let local_builds = LocalBuilds::new(settings.cache_dir.join("scratch").join(id.as_str()));
    let run = Run {
        fleet: Arc::new(SshFleet::new(connector, &settings, &asked.request)),
        catalog,
        request: match asked.request {
            Request::Trust { propose } => Request::Trust { propose: propose || settings.interactive },
            request => request,
        },
        max_fail: asked.run.max_fail.map(|n| n as usize).or(inventory.defaults().max_fail),
        all_or_nothing: asked.install.all_or_nothing,
        local_builds,
        sudo,
        who: format!("{}@{}", settings.user, machine()),
        settings,
    };
    let run = Arc::new(run);
    let mut conclusion = dispatch(&scope, run.clone(), &hosts).await;
    let shown = matches!(run.request, Request::Trust { .. })
        && trust::ceremony(&scope, &run, prompt.as_ref(), screen.as_ref(), asked.accept_new, &mut conclusion).await;
    listener.abort();
    let _ = listener.await;
    if let Some(timer) = timer {
        timer.abort();
        let _ = timer.await;
    }
    drop(scope);
    for error in
        tokio::task::spawn_blocking(move || reporter.join()).await.ok().and_then(Result::ok).unwrap_or_default()
    {
        tell(&format!("rbee: {error}\n"));
    }
    if asked.kind == Kind::Query {
        answer::show(global, run.request.verb(), &conclusion, shown);
    }
    Ok(exit(&conclusion, asked.changes_exit))
}

fn exit(conclusion: &Conclusion, changes_exit: bool) -> ExitCode {
    match conclusion.summary.exit {
        ExitCode::Ok if changes_exit && answer::changes(conclusion) => ExitCode::Changes,
        exit => exit,
    }
}

async fn expire(scope: Scope, limit: Duration) {
    tokio::time::sleep(limit).await;
    scope.cancel().ask(CancelReason::Deadline);
}

/// `fleet hosts`: the inventory's word, nobody is contacted.
fn hosts(global: &Global, pattern: Option<&str>) -> Result<ExitCode, Complaint> {
    let context = Context::load(global, &RunFlags::default(), &InstallFlags::default())?;
    let hosts = context.select(pattern, Intent::Read)?;
    let address = |host: &Host| match &host.route {
        Route::Local => "this machine".to_owned(),
        Route::Ssh(route) => {
            let user = route.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
            let port = route.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{user}{}{port}", route.address.as_deref().unwrap_or(host.name.as_str()))
        }
    };
    if global.output == OutputForm::Json {
        let rows: Vec<_> = hosts
            .iter()
            .map(|host| {
                json!({
                    "host": host.name.as_str(), "address": address(host), "groups": host.groups,
                    "workers": host.workers.iter().map(WorkerId::as_str).collect::<Vec<_>>(),
                    "optional": host.optional, "origin": host.origin,
                })
            })
            .collect();
        print(&format!("{:#}\n", json!({ "v": 1, "hosts": rows })));
        return Ok(ExitCode::Ok);
    }
    let rows: Vec<Vec<String>> = hosts
        .iter()
        .map(|host| {
            let groups: Vec<_> = host.groups.iter().map(String::as_str).collect();
            let workers: Vec<_> = host.workers.iter().map(WorkerId::as_str).collect();
            let mut notes = host.origin.clone();
            if host.optional {
                notes.push_str(", optional");
            }
            vec![host.name.to_string(), address(host), groups.join(" "), workers.join(" "), notes]
        })
        .collect();
    print(&table(&["HOST", "ADDRESS", "GROUPS", "WORKERS", "FROM"], &rows));
    Ok(ExitCode::Ok)
}

/// `YYYYMMDD-HHMMSS-xxxxxx`, UTC.
fn run_id() -> Result<RunId, Complaint> {
    let now = time::OffsetDateTime::from(SystemTime::now());
    let form = time::macros::format_description!("[year][month][day]-[hour][minute][second]");
    let stamp = now.format(form).map_err(|error| Complaint::usage(format!("the clock is off: {error}")))?;
    RunId::new(&format!("{stamp}-{:06x}", rand::random::<u32>() & 0xff_ffff))
        .map_err(|error| Complaint::usage(error.to_string()))
}

fn machine() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "unknown".into())
}
