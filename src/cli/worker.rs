//! `rbee worker …` on this machine, and `rbee fleet worker …` on the selected hosts: the same verbs, another place.

use super::{
    Complaint,
    args::{Global, InstallFlags, RunFlags},
    args_worker::WorkerCommand,
    asked::{Answer, Asked},
    context::{Context, worker_id},
    fleet,
};
use crate::{
    engine::Request,
    vocab::{ExitCode, Host},
};

/// On this machine, which needs neither inventory nor ssh_config for it.
pub async fn run(global: Global, command: WorkerCommand) -> Result<ExitCode, Complaint> {
    if let WorkerCommand::Install { install: InstallFlags { worker: None, binary, .. }, .. } = &command
        && binary.is_empty()
    {
        return Err(Complaint::usage("no worker was named").hint("`rbee worker available` lists them"));
    }
    let asked = ask(command).await?;
    let context = Context::here(&global, &asked.run, &asked.install)?;
    fleet::carry_out(&global, context, vec![Host::local()], asked).await
}

pub async fn ask(command: WorkerCommand) -> Result<Asked, Complaint> {
    Ok(match command {
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
