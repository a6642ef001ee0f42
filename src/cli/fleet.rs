//! `rbee fleet …`

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::json;

use super::{
    Complaint, answer,
    args::{FleetCommand, Global, InstallFlags, OutputForm, RunFlags},
    asked::{Answer, Asked, install_request},
    bench, catalogs,
    context::{Context, worker_id},
    daemon, door, models, offers,
    output::{self, Kind},
    password, print, recipe, signals, spawn, sudo_password,
    table::table,
    tell, trust, worker,
};
use crate::{
    catalog::Catalog,
    engine::{
        Conclusion, Fleet, LocalFleet, Request, Run, SshFleet, SudoPassword, WorkerRequest, dispatch,
        gather::Gathering, local_build::LocalBuilds, prebuilt::Prebuilts, request::Wanted,
    },
    inventory::Intent,
    report::{self, Lines},
    scope::{Cancel, CancelReason, Scope, events},
    target::ssh::{Connector, People, config::SshConfig},
    vocab::{
        ExitCode, Host, HostName, Route, RunId, Settings, WorkerId,
        text::{human_duration, sh_join},
    },
};

pub async fn run(global: Global, pattern: Option<&str>, command: FleetCommand) -> Result<ExitCode, Complaint> {
    let asked = match command {
        FleetCommand::Hosts => return hosts(&global, pattern),
        other => ask(other).await?,
    };
    let context = Context::load(&global, &asked.run, &asked.install)?;
    let hosts = context.select(pattern, asked.intent)?;
    carry_out(&global, context, hosts, asked).await
}

async fn ask(command: FleetCommand) -> Result<Asked, Complaint> {
    let (query, change) = (Asked::query, Asked::change);
    Ok(match command {
        FleetCommand::Hosts => unreachable!("answered without contacting anyone"),
        FleetCommand::Ping(run) => query(Request::Ping, run),
        // Whoever asks nobody and accepts nothing looks no further than what is known.
        FleetCommand::Trust { accept_new, run } => {
            Asked { accept_new, ..query(Request::Trust { propose: accept_new }, run) }
        }
        FleetCommand::Status(run) => query(Request::Status, run),
        FleetCommand::Check { install, run } => {
            let request = Request::Check(install_request(&install, false).await?);
            Asked { install, ..query(request, run) }
        }
        FleetCommand::Plan { install, exit_code, run } => {
            let request = Request::Install(install_request(&install, true).await?);
            Asked { install, changes_exit: exit_code, ..query(request, run) }
        }
        FleetCommand::Install { install, dry_run, sudo, run } => Asked::install(install, dry_run, sudo, run).await?,
        FleetCommand::Hive(command) => daemon::ask(*command).await?,
        FleetCommand::Model(command) => models::ask(*command)?,
        FleetCommand::Worker(command) => worker::ask(*command, false).await?,
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

/// The workers and families whose recipes a request needs; none, where it has no use for a catalog.
fn wanted<'a>(request: &'a Request, hosts: &'a [Host]) -> Option<Vec<&'a str>> {
    let listed = || hosts.iter().flat_map(|host| &host.workers).map(WorkerId::as_str).collect();
    match request {
        Request::Install(install) | Request::Check(install) if install.binaries.is_empty() => match &install.worker {
            Some(Wanted::Named(name) | Wanted::Versioned { name, .. }) => Some(vec![name]),
            Some(Wanted::Recipe(_)) => None,
            None => Some(listed()),
        },
        Request::Look { worker } => Some(worker.iter().map(WorkerId::as_str).collect()),
        Request::Worker(WorkerRequest::Spawn(spawn)) => Some(spawn.worker.iter().map(String::as_str).collect()),
        _ => None,
    }
}

/// The one machine that may build, by whatever selects exactly one.
fn builder(context: &Context, name: &str) -> Result<Host, Complaint> {
    if name == HostName::local().as_str() {
        return Ok(Host::local());
    }
    if context.ssh.is_none() {
        return Err(Complaint::usage(format!("--build-on {name}: what is installed here is built here"))
            .hint("rbee fleet install builds on other hosts"));
    }
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
        let variants: Vec<_> = catalog.family(name).filter(|worker| worker.id.as_str() != name).collect();
        // Which variant a host gets is known when it was looked at; one that can be had is enough for now.
        if variants.iter().any(|worker| catalog.get(&worker.id).is_ok()) {
            return Ok(());
        }
        let error = match variants.first() {
            Some(worker) => catalog.get(&worker.id).err(),
            None => catalog.resolve(name).err(),
        };
        error.map_or(Ok(()), |error| Err(Complaint::usage(error.to_string())))
    };
    match &install.worker {
        Some(Wanted::Named(name)) => known(name),
        // Which versions there are is known on the hosts.
        Some(Wanted::Recipe(_) | Wanted::Versioned { .. }) => Ok(()),
        None if matches!(request, Request::Install(_)) && hosts.iter().all(|host| host.workers.is_empty()) => {
            Err(Complaint::usage("no worker was named, and the inventory lists none for the selected hosts").hint(
                "name one (rbee worker available lists them), or write workers = [\"…\"] for a host in the inventory",
            ))
        }
        None => hosts.iter().flat_map(|host| &host.workers).try_for_each(|id| known(id.as_str())),
    }
}

/// The catalogs, with the recipes that a request needs; it is for nobody that they do not have.
pub async fn open_catalog(
    global: &Global,
    settings: &Settings,
    request: &Request,
    hosts: &[Host],
) -> Result<Catalog, Complaint> {
    let catalog = match wanted(request, hosts) {
        Some(names) => {
            let opening = catalogs::open(global, &settings.cache_dir, &names);
            match settings.limits.run {
                None => opening.await?,
                Some(limit) => tokio::time::timeout(limit, opening).await.map_err(|_| Complaint {
                    exit: ExitCode::Deadline,
                    ..Complaint::usage(format!("the catalogs did not come within {}", human_duration(limit)))
                })??,
            }
        }
        None => Catalog::default(),
    };
    check_workers(request, &catalog, hosts)?;
    Ok(catalog)
}

/// Asks it of the hosts and shows what came back.
pub async fn carry_out(
    global: &Global,
    context: Context,
    hosts: Vec<Host>,
    mut asked: Asked,
) -> Result<ExitCode, Complaint> {
    if let (Request::Install(request), Some(name)) = (&mut asked.request, &asked.install.once.build_on) {
        request.build_on = Some(builder(&context, name)?);
    }
    let catalog = open_catalog(global, &context.settings, &asked.request, &hosts).await?;
    let Context { settings, ssh, inventory } = context;
    let id = run_id()?;
    let (emitter, receiver) = events(id.clone());
    let scope = Scope::new(Cancel::new(), emitter);
    // Before the first question: Ctrl+C must not leave the terminal without echo.
    let listener = signals::listen(scope.clone(), matches!(asked.request, Request::Exec { .. }))
        .map_err(|error| Complaint::usage(format!("cannot handle signals: {error}")))?;
    let logs = match asked.kind {
        Kind::Run(_) => output::log_dir(&settings.state_dir, &id),
        Kind::Query => None,
    };
    let output::Readers { mut readers, prompt, screen } =
        output::readers(global, &asked.run, asked.kind, settings.color, logs.as_deref(), settings.interactive);
    let password = password::of_login(&asked.run, prompt.as_ref()).await?;
    let people = People { prompt: prompt.clone(), password, banners: global.verbose > 0 };
    let sudo = SudoPassword::new(sudo_password::given(&asked.sudo, prompt.as_ref()).await?, prompt.clone());
    let fleet = reach(&settings, ssh, people, &hosts, &asked.request)?;
    let door = match asked.kind {
        Kind::Run(_) => door::open(&settings, &id, asked.request.verb(), &hosts, &scope),
        Kind::Query => None,
    };
    let door = door.map(|(door, journal)| {
        readers.push(Box::new(journal));
        door
    });

    let reporter = report::spawn(receiver, readers)
        .map_err(|error| Complaint::usage(format!("cannot start a thread: {error}")))?;
    let timer = settings.limits.run.map(|limit| tokio::spawn(expire(scope.clone(), limit)));

    let request = match asked.request {
        Request::Trust { propose } => Request::Trust { propose: propose || settings.interactive },
        request => request,
    };
    let run = Run {
        hosts: hosts.len(),
        max_fail: asked.run.max_fail.map(|n| n as usize).or(inventory.defaults().max_fail),
        all_or_nothing: asked.install.all_or_nothing,
        ..assemble(&id, settings, fleet, catalog, request, sudo)
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
    if let Some(door) = door {
        door.close(bench::ended(&run, &conclusion)).await;
    }
    if asked.kind == Kind::Query {
        match &asked.answer {
            Answer::Hosts => answer::show(global, run.request.verb(), &conclusion, shown),
            Answer::Available { all } => offers::available(global, &run.catalog, &conclusion, *all),
            Answer::Hives => daemon::show(global, &conclusion),
            Answer::Models => models::show(global, &conclusion),
            Answer::Worker(id) => offers::one(global, &run.catalog, &conclusion, id)?,
            Answer::Recipe(about) => return Ok(recipe::answer(global, &conclusion, about)),
            Answer::Processes if global.output != OutputForm::Json => spawn::show_list(&conclusion),
            Answer::Process if global.output != OutputForm::Json => spawn::show_one(&conclusion),
            Answer::Processes | Answer::Process | Answer::Spawned => {
                answer::show(global, run.request.verb(), &conclusion, shown);
            }
        }
    } else if matches!(asked.answer, Answer::Spawned) {
        spawn::show_spawned(global, &conclusion);
    }
    Ok(exit(&conclusion, asked.changes_exit))
}

/// The way to the hosts; what ssh_config says of one of them and cannot be followed ends it before any is contacted.
pub fn reach(
    settings: &Settings,
    ssh: Option<SshConfig>,
    people: People,
    hosts: &[Host],
    request: &Request,
) -> Result<Arc<dyn Fleet>, Complaint> {
    let Some(ssh) = ssh else { return Ok(Arc::new(LocalFleet::new(settings))) };
    let connector = Connector::with_people(settings, ssh, people);
    let builder = match request {
        Request::Install(install) => install.build_on.as_ref(),
        _ => None,
    };
    for host in hosts.iter().chain(builder).filter(|host| matches!(host.route, Route::Ssh(_))) {
        connector.resolve(host).map_err(|error| Complaint::usage(format!("{}: {error}", host.name)))?;
    }
    Ok(Arc::new(SshFleet::new(connector, settings, request)))
}

/// What the engine takes; the same for what was typed and for what a hive was given.
pub fn assemble(
    id: &RunId,
    settings: Settings,
    fleet: Arc<dyn Fleet>,
    catalog: Catalog,
    request: Request,
    sudo: SudoPassword,
) -> Run {
    Run {
        fleet,
        catalog,
        request,
        hosts: 1,
        max_fail: None,
        all_or_nothing: false,
        local_builds: LocalBuilds::new(settings.cache_dir.join("scratch").join(id.as_str())),
        prebuilts: Prebuilts::new(settings.cache_dir.join("prebuilt")),
        gathering: Gathering::new(&settings.cache_dir.join("scratch"), id),
        sudo,
        who: format!("{}@{}", settings.user, machine()),
        settings,
    }
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
