//! What a command line asks of the engine, and what is made of the answer.

use std::sync::Arc;

use super::{
    Complaint,
    args::{InstallFlags, RunFlags, SudoFlags},
    context,
    output::Kind,
    programs,
};
use crate::{
    catalog::Catalog,
    engine::{
        InstallRequest, Request,
        request::{UsePrebuilt, Wanted},
        version,
    },
    inventory::Intent,
    report::Lines,
    transfer::Memo,
    vocab::WorkerId,
};

/// A verb, as it is asked of the engine.
pub struct Asked {
    pub request: Request,
    pub kind: Kind,
    pub intent: Intent,
    pub run: RunFlags,
    pub install: InstallFlags,
    pub sudo: SudoFlags,
    pub answer: Answer,
    /// `plan --exit-code`.
    pub changes_exit: bool,
    /// `trust --accept-new`.
    pub accept_new: bool,
}

/// What is made of what the hosts said to a query.
pub enum Answer {
    /// A row a host.
    Hosts,
    /// The catalog's workers.
    Available { all: bool },
    /// What becomes of the hosts' hives.
    Hives,
    /// What the hosts' caches hold.
    Models,
    /// One worker, in the catalog and on the hosts.
    Worker(WorkerId),
    /// Process and address of what was spawned.
    Spawned,
    /// What was spawned, a row each.
    Processes,
    /// One of them, with all that is known.
    Process,
    /// A recipe, in the words of its folder's author.
    Recipe(Box<super::recipe::About>),
}

impl Asked {
    pub fn query(request: Request, run: RunFlags) -> Self {
        Self {
            request,
            kind: Kind::Query,
            intent: Intent::Read,
            run,
            install: InstallFlags::default(),
            sudo: SudoFlags::default(),
            answer: Answer::Hosts,
            changes_exit: false,
            accept_new: false,
        }
    }

    pub fn change(request: Request, run: RunFlags) -> Self {
        Self { kind: Kind::Run(Lines::Talk), intent: Intent::Change, ..Self::query(request, run) }
    }

    pub async fn install(
        install: InstallFlags,
        dry_run: bool,
        sudo: SudoFlags,
        run: RunFlags,
    ) -> Result<Self, Complaint> {
        let request = Request::Install(install_request(&install, dry_run).await?);
        Ok(match dry_run {
            true => Self { install, sudo, intent: Intent::Change, ..Self::query(request, run) },
            false => Self { install, sudo, ..Self::change(request, run) },
        })
    }
}

pub async fn install_request(flags: &InstallFlags, dry_run: bool) -> Result<InstallRequest, Complaint> {
    let cache = context::cache_dir()?;
    let binaries = programs::read(&flags.binary, flags.worker.as_deref(), &Memo::new(&cache), &cache).await?;
    let is_path = |name: &str| name.contains('/') || name.starts_with('.');
    let worker = match flags.worker.as_deref() {
        Some(name) if binaries.is_empty() && is_path(name) => {
            let recipe = Catalog::default().resolve(name).map_err(|e| Complaint::usage(e.to_string()))?;
            Some(Wanted::Recipe(Arc::new(recipe)))
        }
        Some(name) => Some(match version::split(name).map_err(Complaint::usage)? {
            Some((name, version)) => Wanted::Versioned { name: name.to_owned(), version: version.to_owned() },
            None => Wanted::Named(name.to_owned()),
        }),
        None => None,
    };
    Ok(InstallRequest {
        worker,
        build: flags.build.into(),
        // Looked for among the hosts, once those are known.
        build_on: None,
        cpu_level: flags.once.cpu_level,
        fetch: flags.sources.fetch.into(),
        mirrors: flags.sources.mirror.clone(),
        binaries,
        prebuilt: flags.prebuilt.map_or(UsePrebuilt::Never, UsePrebuilt::from),
        unfit: Vec::new(),
        picks: Vec::new(),
        system: flags.system,
        fix_path: flags.fix_path,
        reinstall: flags.reinstall,
        check: flags.check,
        install_deps: flags.install_deps,
        dry_run,
    })
}
