//! `rbee worker …` on this machine, and `rbee fleet worker …` on the selected hosts: the same verbs, another place.

use super::{
    Complaint,
    args::{BuildWhere, Global, InstallFlags, RunFlags},
    args_hive::Worker,
    args_sources::FetchWhere,
    args_spawn::{LogsFlags, ProcessCommand},
    args_worker::WorkerCommand,
    asked::{Answer, Asked},
    context::{Context, worker_id},
    fleet, job, spawn,
};
use crate::{
    engine::{Request, version},
    vocab::{ExitCode, Host},
    wire::operation::{BuildWord, FetchWord, Operation},
    wire::submission::Submission,
};

/// On this machine, which needs neither inventory nor ssh_config for it.
pub async fn run(global: Global, Worker { submit, command }: Worker) -> Result<ExitCode, Complaint> {
    if let WorkerCommand::Install { install: InstallFlags { worker: None, binary, .. }, .. } = &command
        && binary.is_empty()
    {
        return Err(Complaint::usage("no worker was named").hint("`rbee worker available` lists them"));
    }
    if submit.remote.is_some() || submit.detach {
        return job::submit(&global, &submit, Submission::new(operation(command)?)).await;
    }
    let asked = ask(command, true).await?;
    let context = Context::here(&global, &asked.run, &asked.install)?;
    fleet::carry_out(&global, context, vec![Host::local()], asked).await
}

/// The same verb, for a hive; what only this machine has does not travel.
fn operation(command: WorkerCommand) -> Result<Operation, Complaint> {
    let stays = |what: &str| Err(Complaint::usage(format!("{what} stays on this machine: a hive is not given it")));
    Ok(match command {
        WorkerCommand::List(_) => Operation::WorkerListInstalled {},
        WorkerCommand::Available { .. } => Operation::WorkerCatalogList {},
        WorkerCommand::Get { worker, .. } => Operation::WorkerCatalogGet { worker_id: worker_id(&worker)?.to_string() },
        WorkerCommand::Install { install, dry_run, sudo, .. } => {
            if !install.binary.is_empty() {
                return stays("--binary");
            }
            if !install.sources.mirror.is_empty() {
                return stays("--mirror");
            }
            if install.build_timeout.is_some() || install.build_idle.is_some() {
                return stays("a limit of the build")
                    .map_err(|it: Complaint| it.hint("--timeout is the limit of the whole job"));
            }
            if sudo.ask_sudo_pass || sudo.sudo_password_file.is_some() {
                return stays("a password of sudo");
            }
            if install.once.build_on.is_some() || install.once.cpu_level.is_some() {
                return stays("--build-on or --cpu-level");
            }
            let worker = install.worker.unwrap_or_default();
            if worker.contains('/') || worker.starts_with('.') {
                return stays("a recipe's folder").map_err(|it: Complaint| {
                    it.hint("start the hive with --catalog DIR, and name the worker by its id")
                });
            }
            let (worker, version) = match version::split(&worker).map_err(Complaint::usage)? {
                Some((worker, version)) => (worker.to_owned(), Some(version.to_owned())),
                None => (worker, None),
            };
            Operation::WorkerInstall {
                worker_id: worker_id(&worker)?.to_string(),
                version,
                build: match install.build {
                    BuildWhere::Auto => BuildWord::Auto,
                    // A hive is one machine: what it builds for itself, it builds once.
                    BuildWhere::Host | BuildWhere::Each => BuildWord::Host,
                    BuildWhere::Local => BuildWord::Local,
                },
                fetch: match install.sources.fetch {
                    FetchWhere::Host => FetchWord::Host,
                    FetchWhere::Controller => FetchWord::Controller,
                },
                check: install.check,
                install_deps: install.install_deps,
                system: install.system,
                fix_path: install.fix_path,
                reinstall: install.reinstall,
                dry_run,
            }
        }
        WorkerCommand::Spawn(flags) => spawn::spawn_operation(*flags)?,
        WorkerCommand::Ps(_) | WorkerCommand::Process(ProcessCommand::List(_)) => Operation::WorkerProcessList {},
        WorkerCommand::Process(ProcessCommand::Get { which, .. }) => {
            spawn::which(&which)?;
            Operation::WorkerProcessGet { which }
        }
        WorkerCommand::Stop(flags) => spawn::stop_operation(flags)?,
        WorkerCommand::Logs(LogsFlags { which, lines, follow, .. }) => {
            spawn::which(&which)?;
            Operation::WorkerProcessLogs { which, lines, follow }
        }
        WorkerCommand::Remove { worker, force, .. } => {
            Operation::WorkerRemove { worker_id: worker_id(&worker)?.to_string(), force }
        }
    })
}

/// `here` if it is asked of this machine.
pub async fn ask(command: WorkerCommand, here: bool) -> Result<Asked, Complaint> {
    Ok(match command {
        WorkerCommand::Spawn(flags) => spawn::ask_spawn(*flags, here)?,
        WorkerCommand::Process(command) => spawn::ask_process(command)?,
        WorkerCommand::Ps(run) => spawn::ask_list(run),
        WorkerCommand::Stop(flags) => spawn::ask_stop(flags)?,
        WorkerCommand::Logs(flags) => spawn::ask_logs(flags)?,
        WorkerCommand::Available { all, run } => look(None, Answer::Available { all }, run),
        WorkerCommand::List(run) => Asked::query(Request::Status, run),
        WorkerCommand::Get { worker, run } => {
            let worker = worker_id(&worker)?;
            look(Some(worker.clone()), Answer::Worker(worker), run)
        }
        WorkerCommand::Install { install, dry_run, sudo, run } => Asked::install(install, dry_run, sudo, run).await?,
        WorkerCommand::Remove { worker, force, sudo, run } => {
            Asked { sudo, ..Asked::change(Request::Remove { worker: worker_id(&worker)?, force }, run) }
        }
    })
}

fn look(worker: Option<crate::vocab::WorkerId>, answer: Answer, run: RunFlags) -> Asked {
    Asked { answer, ..Asked::query(Request::Look { worker }, run) }
}
