//! What can be typed behind `rbee worker` and `rbee fleet worker`.

use clap::Subcommand;

use super::{
    args::{InstallFlags, RunFlags, SudoFlags},
    args_spawn::{LogsFlags, ProcessCommand, SpawnFlags, StopFlags},
};

#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// List the workers of the catalog that fit
    Available {
        /// List those that fit nowhere, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Say what is installed, and whether it is still what was installed
    #[command(visible_alias = "ls")]
    List(RunFlags),
    /// Show a worker: what the catalog offers, and what is installed
    #[command(visible_alias = "show")]
    Get {
        /// Id from `available`
        worker: String,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Build and install a worker
    #[command(visible_alias = "download")]
    Install {
        #[command(flatten)]
        install: InstallFlags,
        /// Stop after the plan
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        sudo: SudoFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Remove a worker with its manifest and kept version; refused while it runs
    #[command(visible_alias = "rm")]
    Remove {
        /// Its id
        worker: String,
        /// Remove it even while it runs, and even if the file is no longer the one that was installed
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        sudo: SudoFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Start an installed worker with a model, and leave it running when it is healthy
    ///
    /// Prints its process and its address. Until it is healthy it ends with this run: Ctrl+C leaves nothing behind.
    Spawn(Box<SpawnFlags>),
    /// The workers that were spawned
    #[command(subcommand)]
    Process(ProcessCommand),
    /// The same as process list
    Ps(RunFlags),
    /// End a worker that was spawned, and look that it is gone
    ///
    /// TERM to its session, a grace (--grace, 10s), KILL. What rbee did not start is never touched.
    Stop(StopFlags),
    /// Show what a worker says
    Logs(LogsFlags),
}
