//! What can be typed about the hives of hosts.

use clap::{Args as ClapArgs, Subcommand};

use super::{
    args::{BuildWhere, RunFlags},
    args_sources::SourceFlags,
};

/// Where rbee goes and how its hive is kept.
const PLACES: &str = "rbee itself goes to /usr/local/bin where that is writable, else to ~/.local/bin. systemd's manager of the \
user keeps it, or launchd, or, where there is neither, a session of its own. Its jobs, its token and its log are in \
~/.local/state/rbee/hive; the log is kept, and one older of 10 MB.";

#[derive(Debug, Subcommand)]
pub enum FleetHiveCommand {
    /// Bring rbee to hosts and start its hive there; one that runs is left as it is
    ///
    /// Whatever stops this in the middle, the host is as before. It is done when the hive answers.
    #[command(after_long_help = PLACES)]
    Install {
        #[command(flatten)]
        how: HowFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Start the hive that was installed
    Start(RunFlags),
    /// End the hive when its jobs have ended; it takes no more of them meanwhile
    ///
    /// It starts again with the machine where systemd or launchd keep it; `remove` takes it away.
    Stop {
        /// Cancel its jobs; a hive that gives no answer is ended by its process
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Say whether the hive runs, which version, for how long, and what it does
    Status(RunFlags),
    /// Bring this rbee to hosts that have a hive, and start it again when its jobs have ended
    ///
    /// If the new one gives no answer, the one before is put back and started. A hive that does not run stays so.
    Upgrade {
        /// Cancel its jobs instead of waiting for them
        #[arg(long)]
        now: bool,
        /// Even if this rbee is older than the one there
        #[arg(long)]
        older: bool,
        #[command(flatten)]
        how: HowFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// End the hive and take rbee away; its jobs, its token and its log stay
    Remove {
        /// Cancel its jobs instead of waiting for them
        #[arg(long)]
        now: bool,
        /// Remove its state, too: ~/.local/state/rbee/hive
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        run: RunFlags,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub struct HowFlags {
    /// rbee's source, for hosts that this program does not run on: a checkout, or the address of an archive or of a git
    /// repository (git+https://…)
    #[arg(long, value_name = "DIR|URL", env = "RBEE_SOURCE")]
    pub source: Option<String>,
    /// Where that is built
    #[arg(long, value_enum, default_value = "auto", env = "RBEE_BUILD")]
    pub build: BuildWhere,
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Port on the host's 127.0.0.1; 0 takes a free one [default: the one it has, else 7835]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
}
