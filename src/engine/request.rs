//! What a front door asks for.

use std::{path::PathBuf, sync::Arc};

use super::{
    HiveRequest, ModelRequest,
    author::{RecipeRequest, RecipeTask},
    gather::FetchPlace,
    pending::Pending,
    worker::WorkerRequest,
};
use crate::{
    catalog::Pick,
    preflight::binary::Program,
    transfer::tree::Tree,
    vocab::{Host, Mirror, RecipeMeta, WorkerId},
};

/// One operation over a selection of hosts.
#[derive(Debug, Clone)]
pub enum Request {
    /// Connects, and says how far away the host is.
    Ping,
    /// Gathers facts and judges them, for a worker if one is named.
    Check(InstallRequest),
    /// Looks at host keys; `propose` passes bastions whose keys may become known.
    Trust {
        propose: bool,
    },
    /// Runs a command, as words already quoted for a shell.
    Exec {
        script: String,
    },
    Install(InstallRequest),
    /// What is installed, and whether it is still what was installed.
    Status,
    /// What the host is, and what it has of one worker.
    Look {
        worker: Option<WorkerId>,
    },
    Rollback {
        worker: Option<WorkerId>,
    },
    Remove {
        worker: WorkerId,
        force: bool,
    },
    /// For the authors of recipes.
    Recipe(RecipeRequest),
    Model(ModelRequest),
    /// Workers that run.
    Worker(WorkerRequest),
    /// The daemon of a host.
    Hive(Box<HiveRequest>),
}

impl Request {
    /// Whether it may change a host; what only asks leaves no trace there.
    pub fn changes(&self) -> bool {
        match self {
            Self::Ping | Self::Check(_) | Self::Trust { .. } | Self::Status | Self::Look { .. } => false,
            Self::Install(request) => !request.dry_run,
            Self::Model(request) => request.changes(),
            Self::Worker(request) => request.changes(),
            Self::Hive(request) => request.task.changes(),
            Self::Exec { .. } | Self::Rollback { .. } | Self::Remove { .. } => true,
            Self::Recipe(request) => matches!(request.task, RecipeTask::Build(_)),
        }
    }

    /// Begins to read the programs that it may send.
    pub fn read_ahead(&self) {
        let binaries = match self {
            Self::Install(request) | Self::Check(request) => &request.binaries,
            Self::Hive(request) => &request.own.binaries,
            _ => return,
        };
        binaries.iter().for_each(|binary| binary.digest.ahead());
    }

    /// Other places of sources.
    pub fn mirrors(&self) -> &[Mirror] {
        match self {
            Self::Install(request) => &request.mirrors,
            Self::Hive(request) => &request.own.mirrors,
            _ => &[],
        }
    }

    /// As in `rbee fleet VERB`.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Check(_) => "check",
            Self::Trust { .. } => "trust",
            Self::Exec { .. } => "exec",
            Self::Install(request) if request.dry_run => "plan",
            Self::Install(_) => "install",
            Self::Status => "status",
            Self::Look { worker: None } => "available",
            Self::Look { worker: Some(_) } => "get",
            Self::Rollback { .. } => "rollback",
            Self::Remove { .. } => "remove",
            Self::Recipe(request) => request.verb(),
            Self::Model(request) => request.verb(),
            Self::Worker(request) => request.verb(),
            Self::Hive(request) => request.task.verb(),
        }
    }
}

/// What is to be installed, and how it is come by.
#[derive(Debug, Clone, Default)]
pub struct InstallRequest {
    pub worker: Option<Wanted>,
    pub build: BuildPlace,
    /// The one machine that may build, selected or not.
    pub build_on: Option<Host>,
    /// 1 to 4 of the x86-64 levels, instead of the lowest of the hosts that share a build.
    pub cpu_level: Option<u8>,
    pub fetch: FetchPlace,
    /// Other places of sources, before those that a worker's entry names.
    pub mirrors: Vec<Mirror>,
    /// Ready programs; they are installed instead of a build.
    pub binaries: Vec<Arc<Binary>>,
    /// Whether published programs are taken.
    pub prebuilt: UsePrebuilt,
    /// Families of which this host gets another variant than its own facts say, by others' help.
    pub picks: Vec<(String, Pick)>,
    /// Workers whose published program turned out not to be for this host.
    pub unfit: Vec<WorkerId>,
    /// The system's folder and no other.
    pub system: bool,
    /// Append the line that puts the folder on PATH to the shell's start-up file.
    pub fix_path: bool,
    /// Install even what is there already.
    pub reinstall: bool,
    /// Run the recipe's own tests, too.
    pub check: bool,
    /// Have the host's package manager bring what a build there lacks.
    pub install_deps: bool,
    /// Stop after the plan.
    pub dry_run: bool,
}

/// The worker that was named.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// An id or a family of the catalog.
    Named(String),
    /// An id or a family, and the version that it is to have.
    Versioned { name: String, version: String },
    /// A folder with a recipe.
    Recipe(Arc<RecipeMeta>),
}

/// Whether a worker is taken ready to run from where it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsePrebuilt {
    #[default]
    Never,
    /// And built where there is none.
    Prefer,
    Require,
}

/// Where a recipe is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuildPlace {
    /// Once for all hosts that are alike: on the best of the selected ones, else here if this machine can.
    #[default]
    Auto,
    /// The same, never here.
    Host,
    /// Here.
    Local,
    /// On each host for itself.
    Each,
}

/// A program that needs no build.
#[derive(Debug, Clone)]
pub struct Binary {
    pub worker: WorkerId,
    /// The file name it is installed under.
    pub program_name: String,
    pub path: PathBuf,
    /// Of a program of several files: what is in the folder `path`.
    pub tree: Option<Arc<Tree>>,
    /// "linux-x86_64", if it was said for which platform it is.
    pub platform: Option<String>,
    pub program: Program,
    pub size: u64,
    pub digest: Pending,
    /// Keeps it in the cache, if that is where it lies.
    pub used: Option<Arc<std::fs::File>>,
}
