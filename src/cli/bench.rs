//! Turns what is submitted to a hive into runs of the engine: the same ones that are typed.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{
    Complaint,
    args::{Global, InstallFlags, RunFlags},
    context::Context,
    document, fleet, models, models_hive, offers, spawn,
};
use crate::{
    engine::{
        BuildPlace, Conclusion, FetchPlace, InstallRequest, ModelRequest, Request, Run, SudoPassword, dispatch,
        request::Wanted,
    },
    hive::{Bench, Refused},
    inventory::Intent,
    job::{Ended, Order, Work},
    preflight,
    scope::{Cancel, Scope, events},
    target::{Target, local::local, ssh::People, supervisor::Supervision},
    vocab::{Host, Level, RunId, WorkerId, text::sh_join},
    wire::{
        capabilities::Capabilities,
        operation::{BuildWord, FetchWord, Operation},
        submission::Submission,
    },
};

/// This machine, as a hive knows it: files are read anew for each job.
pub struct Machine {
    global: Global,
    run: RunFlags,
    /// Lookers at the machine, at a time.
    looking: Semaphore,
}

impl From<Complaint> for Refused {
    fn from(complaint: Complaint) -> Self {
        Self { text: complaint.text, hint: complaint.hint }
    }
}

impl Machine {
    pub fn new(global: &Global, run: RunFlags) -> Self {
        // Nobody is there to be asked.
        let global = Global { no_input: true, ..global.clone() };
        Self { global, run, looking: Semaphore::new(2) }
    }
}

#[async_trait]
impl Bench for Machine {
    async fn prepare(&self, submission: &Submission) -> Result<Order, Refused> {
        let (global, run) = (self.global.clone(), self.run.clone());
        let asked = submission.clone();
        let read = tokio::task::spawn_blocking(move || {
            let request = request(&asked.operation)?;
            read(&global, &run, &asked, &request).map(|(context, hosts)| (request, context, hosts))
        });
        let read = read.await.map_err(|error| Refused { text: format!("a bug in rbee: {error}"), hint: None })?;
        let (request, context, hosts) = read?;
        Ok(self.order(submission, request, context, hosts).await?)
    }

    async fn capabilities(&self) -> Result<Capabilities, Refused> {
        let refused = |text: String| Refused { text, hint: None };
        let _turn = self.looking.acquire().await.map_err(|error| refused(error.to_string()))?;
        let id = RunId::new("capabilities").map_err(|error| refused(error.to_string()))?;
        let (emitter, _receiver) = events(id);
        let limit = crate::vocab::Limits::default().short;
        let scope = Scope::new(Cancel::new(), emitter).within("looking at this machine", limit);
        let target = local(Supervision::default());
        let facts = preflight::probe(&scope, &target).await;
        target.close().await;
        facts.map(|facts| Capabilities::of(&facts)).map_err(|error| refused(error.to_string()))
    }
}

/// What is written about the hosts that are meant.
fn read(
    global: &Global,
    run: &RunFlags,
    submission: &Submission,
    request: &Request,
) -> Result<(Context, Vec<Host>), Complaint> {
    match &submission.hosts {
        Some(pattern) => {
            let context = Context::load(global, run, &InstallFlags::default())?;
            let intent = if request.changes() { Intent::Change } else { Intent::Read };
            let hosts = context.select(Some(pattern), intent)?;
            Ok((context, hosts))
        }
        // Neither inventory nor ssh_config are read for this machine.
        None => Ok((Context::here(global, run, &InstallFlags::default())?, vec![Host::local()])),
    }
}

impl Machine {
    /// Checks everything that needs no connection to a host.
    async fn order(
        &self,
        submission: &Submission,
        request: Request,
        context: Context,
        hosts: Vec<Host>,
    ) -> Result<Order, Complaint> {
        let catalog = fleet::open_catalog(&self.global, &context.settings, &request, &hosts).await?;
        let Context { settings, ssh, inventory } = context;
        let fleet = fleet::reach(&settings, ssh, People::default(), &hosts, &request)?;
        let verb = request.verb().to_owned();
        let names = hosts.iter().map(|host| host.name.clone()).collect();
        let limit = submission.timeout.or(settings.limits.run);
        let max_fail = inventory.defaults().max_fail;
        let work: Work = Box::new(move |scope: Scope| {
            Box::pin(async move {
                let id = scope.events().run().clone();
                let run = fleet::assemble(&id, settings, fleet, catalog, request, SudoPassword::new(None, None));
                let run = Arc::new(Run { hosts: hosts.len(), max_fail, ..run });
                let conclusion = dispatch(&scope, run.clone(), &hosts).await;
                ended(&run, &conclusion)
            })
        });
        Ok(Order { verb, submission: submission.to_value(), hosts: names, limit, work })
    }
}

/// The engine's form of an operation.
fn request(operation: &Operation) -> Result<Request, Complaint> {
    let id = |id: &str| WorkerId::new(id).map_err(|error| Complaint::usage(error.to_string()));
    let named = |id: &str| Some(Wanted::Named(id.to_owned()));
    Ok(match operation {
        Operation::Ping {} => Request::Ping,
        Operation::Exec { command } => Request::Exec {
            script: match &command[..] {
                [line] => line.clone(),
                words => sh_join(words),
            },
        },
        Operation::HiveCheck {} => Request::Check(InstallRequest::default()),
        Operation::WorkerCheck { worker_id } => {
            Request::Check(InstallRequest { worker: named(worker_id), ..InstallRequest::default() })
        }
        Operation::WorkerInstall {
            worker_id,
            version,
            build,
            fetch,
            check,
            install_deps,
            system,
            fix_path,
            reinstall,
            dry_run,
        } => Request::Install(InstallRequest {
            worker: match version {
                Some(version) => Some(Wanted::Versioned { name: worker_id.clone(), version: version.clone() }),
                None => named(worker_id),
            },
            build: match build {
                BuildWord::Auto => BuildPlace::Auto,
                BuildWord::Host => BuildPlace::Host,
                BuildWord::Local => BuildPlace::Local,
            },
            fetch: match fetch {
                FetchWord::Host => FetchPlace::Host,
                FetchWord::Controller => FetchPlace::Controller,
            },
            check: *check,
            install_deps: *install_deps,
            system: *system,
            fix_path: *fix_path,
            reinstall: *reinstall,
            dry_run: *dry_run,
            ..InstallRequest::default()
        }),
        Operation::WorkerCatalogList {} => Request::Look { worker: None },
        Operation::WorkerCatalogGet { worker_id } => Request::Look { worker: Some(id(worker_id)?) },
        Operation::WorkerListInstalled {} => Request::Status,
        Operation::WorkerRollback { worker_id } => {
            Request::Rollback { worker: worker_id.as_deref().map(id).transpose()? }
        }
        Operation::WorkerRemove { worker_id, force } => Request::Remove { worker: id(worker_id)?, force: *force },
        Operation::WorkerSpawn { .. }
        | Operation::WorkerProcessList {}
        | Operation::WorkerProcessGet { .. }
        | Operation::WorkerProcessDelete { .. }
        | Operation::WorkerProcessLogs { .. } => Request::Worker(spawn::of_operation(operation)?),
        Operation::ModelDownload(asked) => models_hive::download(asked)?,
        Operation::ModelList { repo } => {
            Request::Model(ModelRequest::List { only: repo.as_deref().map(models::repo).transpose()? })
        }
        Operation::ModelVerify { repo } => {
            Request::Model(ModelRequest::Verify { only: repo.as_deref().map(models::repo).transpose()? })
        }
        Operation::ModelRemove { model } => Request::Model(models::removal(model)?),
        Operation::ModelClean { orphans } => Request::Model(ModelRequest::Clean { orphans: *orphans }),
    })
}

/// What a job says about how its run ended.
pub fn ended(run: &Run, conclusion: &Conclusion) -> Ended {
    let bad = conclusion.summary.hosts.iter().find(|host| !host.report.outcome.is_ok());
    let error = bad.map(|host| {
        let why = host.report.error.clone().unwrap_or_else(|| host.report.outcome.to_string());
        format!("{}: {why}", host.host)
    });
    let result = match &run.request {
        Request::Look { worker: None } => Some(offers::available_document(&run.catalog, conclusion)),
        Request::Look { worker: Some(id) } => Some(offers::one_document(&run.catalog, conclusion, id)),
        request @ Request::Worker(_) => Some(document::document(request.verb(), conclusion)),
        request if request.changes() => None,
        request => Some(document::document(request.verb(), conclusion)),
    };
    Ended { exit: conclusion.summary.exit, error, result }
}

/// Says in a run's own stream that it cannot be seen from other terminals.
pub fn unseen(scope: &Scope, why: &dyn std::fmt::Display) {
    scope.notice(Level::Info, format!("this run cannot be seen by rbee job: {why}"), None);
}
