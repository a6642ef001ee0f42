//! What can be typed.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::{
    args_daemon::FleetHiveCommand,
    args_hive::{HiveCommand, Job, Worker},
    args_model::{Model, ModelCommand},
    args_prebuilt::PrebuiltHow,
    args_sources::SourceFlags,
    args_worker::WorkerCommand,
};
use crate::{engine::BuildPlace, vocab::parse_duration};

/// Provisions a fleet of LLM inference machines over nothing but SSH.
#[derive(Debug, Parser)]
#[command(name = "rbee", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 all as asked · 1 a host failed · 2 usage or configuration · 3 no host selected · \
4 only unreachable hosts · 5 preflight refused · 6 cleanup unconfirmed · 20 changes planned (plan --exit-code) · \
124 deadline · 130/143 cancelled, clean everywhere"
)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Inventory file or folder [default: ./inventory/, else ~/.config/rbee/inventory.toml]
    #[arg(short, long, global = true, env = "RBEE_INVENTORY", value_name = "PATH")]
    pub inventory: Option<PathBuf>,
    /// Read this instead of ~/.ssh/config and the system's, as `ssh -F`
    #[arg(short = 'F', long, global = true, env = "RBEE_SSH_CONFIG", value_name = "PATH")]
    pub ssh_config: Option<PathBuf>,
    /// Folder of recipes, or address of a catalog, to look in before the built-in one (repeatable; the first that has a
    /// worker wins; several with `:` between)
    #[arg(long, global = true, env = "RBEE_CATALOG", value_name = "DIR|URL")]
    pub catalog: Vec<String>,
    /// Form of the output; `auto` is tty on a terminal, else plain
    #[arg(long, global = true, env = "RBEE_OUTPUT", value_enum, default_value = "auto")]
    pub output: OutputForm,
    /// Colour
    #[arg(long, global = true, env = "RBEE_COLOR", value_enum, default_value = "auto")]
    pub color: When,
    /// Say more (twice: what the program itself does)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say only what failed, and the recap
    #[arg(short, long, global = true, env = "RBEE_QUIET")]
    pub quiet: bool,
    /// Hard limit of the whole run, as 90s, 30m, 2h
    #[arg(long, global = true, env = "RBEE_TIMEOUT", value_name = "DUR", value_parser = some_duration)]
    pub timeout: Option<Duration>,
    /// Hosts worked on at a time [default: 64]
    #[arg(long, global = true, env = "RBEE_FORKS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub forks: Option<u32>,
    /// Never ask anything
    #[arg(long, global = true, env = "RBEE_NO_INPUT")]
    pub no_input: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    Auto,
    Tty,
    Plain,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work on the selected hosts
    Fleet(Box<Fleet>),
    /// Workers on this machine: what can be installed, and what is
    Worker(Box<Worker>),
    /// The daemon of this machine, which takes jobs over HTTP
    #[command(subcommand)]
    Hive(HiveCommand),
    /// Jobs of hives, and of runs in progress
    Job(Job),
    /// Models: fetch, check and remove them
    Model(Box<Model>),
    /// What was built, and is kept so that it is not built again
    #[command(subcommand)]
    Cache(super::cache::CacheCommand),
    /// SSH hosts on loopback, to try things out
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// For authors of recipes: read, lint and build one, as makepkg does
    #[command(subcommand)]
    Recipe(super::recipe::RecipeCommand),
    /// The inventory itself
    #[command(subcommand)]
    Inventory(InventoryCommand),
    /// Print the completions of a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page
    Man,
}

#[derive(Debug, ClapArgs)]
pub struct Fleet {
    /// Hosts to work on: names, globs, ranges, @group; `,` union, `&` intersection, `!` exclusion, `all`
    #[arg(short = 'H', long, global = true, env = "RBEE_HOSTS", value_name = "PATTERN")]
    pub hosts: Option<String>,
    #[command(subcommand)]
    pub command: FleetCommand,
}

#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// List the selected hosts; contacts none
    Hosts,
    /// Say who is there, and how far
    Ping(RunFlags),
    /// Make hosts known: show all their keys, ask once, write them down
    Trust {
        /// Take keys of new hosts as they are; a changed one is refused even then
        #[arg(long, env = "RBEE_ACCEPT_NEW")]
        accept_new: bool,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Gather facts and judge them
    Check {
        #[command(flatten)]
        install: InstallFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Say what `install` would do; changes nothing
    Plan {
        #[command(flatten)]
        install: InstallFlags,
        /// End with status 20 when there is something to change
        #[arg(long)]
        exit_code: bool,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Build and install workers
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
    /// Say what is installed where, and whether it is still what was installed
    Status(RunFlags),
    /// Go back to the version before; sends nothing
    Rollback {
        /// The worker, where several have an earlier version
        worker: Option<String>,
        #[command(flatten)]
        sudo: SudoFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Remove a worker with its manifest and kept version; refused while it runs
    Remove {
        worker: String,
        /// Remove it even while it runs, and even if the file is no longer the one that was installed
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        sudo: SudoFlags,
        #[command(flatten)]
        run: RunFlags,
    },
    /// The verbs of `rbee worker`, on the selected hosts
    #[command(subcommand)]
    Worker(Box<WorkerCommand>),
    /// Models: fetch, check and remove them
    #[command(subcommand)]
    Model(Box<ModelCommand>),
    /// The hives of hosts: bring, start, stop, look, upgrade, remove
    #[command(subcommand)]
    Hive(Box<FleetHiveCommand>),
    /// Run a command
    Exec {
        /// The command and its arguments; one single word is taken as a line for the shell
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
        #[command(flatten)]
        run: RunFlags,
    },
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub struct InstallFlags {
    /// Id or family from the catalog, also as ID@VERSION, or a folder with a PKGBUILD (with a `/` in it, or starting with `.`)
    pub worker: Option<String>,
    /// Where to build
    #[arg(long, value_enum, default_value = "auto", env = "RBEE_BUILD")]
    pub build: BuildWhere,
    #[command(flatten)]
    pub once: super::args_once::OnceFlags,
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Install this program instead of building, or a folder or an archive with bin, lib and share;
    /// with OS-ARCH=, for those hosts only (repeatable)
    #[arg(long, value_name = "[OS-ARCH=]PATH")]
    pub binary: Vec<String>,
    /// Take what is published ready to run instead of building it; prefer builds where there is none
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "require", env = "RBEE_PREBUILT", conflicts_with = "binary")]
    pub prebuilt: Option<PrebuiltHow>,
    /// Install to /usr/local/bin and nowhere else
    #[arg(long)]
    pub system: bool,
    /// Append the line that puts the folder on PATH to the shell's start-up file
    #[arg(long)]
    pub fix_path: bool,
    /// Build and install even what is there already
    #[arg(long)]
    pub reinstall: bool,
    /// Also run the recipe's own tests, its check() function, when it is built
    #[arg(long)]
    pub check: bool,
    /// Where a build lacks tools or libraries, have the host's package manager install them, as root through sudo
    ///
    /// The line that is run is told before, and by `fleet check` and `fleet plan`. Nothing ends it in the middle: Ctrl+C waits
    /// for it. Hosts are looked at again afterwards.
    #[arg(long)]
    pub install_deps: bool,
    /// Limit for fetch, build and package [default: the worker's own, else 10m; cuda 20m]
    #[arg(long, env = "RBEE_BUILD_TIMEOUT", value_name = "DUR", value_parser = some_duration)]
    pub build_timeout: Option<Duration>,
    /// Limit without output and without CPU time in a build [default: 5m]
    #[arg(long, env = "RBEE_BUILD_IDLE", value_name = "DUR", value_parser = some_duration)]
    pub build_idle: Option<Duration>,
    /// If preflight refuses one host, change none
    #[arg(long)]
    pub all_or_nothing: bool,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Sudo options")]
pub struct SudoFlags {
    /// Ask for the password of sudo, once for all hosts
    #[arg(long, conflicts_with = "sudo_password_file")]
    pub ask_sudo_pass: bool,
    /// Read the password of sudo from the first line of a file, or of stdin (`-`)
    #[arg(long, env = "RBEE_SUDO_PASSWORD_FILE", value_name = "FILE")]
    pub sudo_password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Run options")]
pub struct RunFlags {
    /// End the run when so many hosts have failed
    #[arg(long, env = "RBEE_MAX_FAIL", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_fail: Option<u32>,
    /// Between TERM and KILL [default: 500ms]
    #[arg(long, env = "RBEE_GRACE", value_name = "DUR", value_parser = parse_duration)]
    pub grace: Option<Duration>,
    /// How long a host goes on without word from here [default: 10s]
    ///
    /// With more than 30s, hosts go on while this machine is away (a cut, a closed lid): it connects again within the lease
    /// and takes up output and status where they stopped. Output that waits is kept there in ~/.cache/rbee/roam, up to some
    /// 256 MB a stream; then the command waits, too. Ctrl+C ends everything as ever, but if this program is killed, its
    /// hosts cannot know that from an absence: they go on until the lease is over, and no other run can take them up.
    /// (Where systemd-logind has KillUserProcesses=yes, a host ends everything when the connection is gone.)
    #[arg(long, env = "RBEE_LEASE", value_name = "DUR", value_parser = lease)]
    pub lease: Option<Duration>,
    /// For each connection, until the login [default: ssh_config's, else 10s]
    #[arg(long, env = "RBEE_CONNECT_TIMEOUT", value_name = "DUR", value_parser = some_duration)]
    pub connect_timeout: Option<Duration>,
    /// Ask for the password of the login before anything else, for all hosts that want one
    #[arg(long, conflicts_with = "password_file")]
    pub ask_pass: bool,
    /// Read the password of the login from a file that nobody else may read, or from stdin (`-`)
    #[arg(long, env = "RBEE_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Also write a JUnit report
    #[arg(long, env = "RBEE_JUNIT", value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write annotations for GitHub Actions
    #[arg(long, env = "RBEE_GITHUB")]
    pub github: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum BuildWhere {
    /// Once for all hosts that are alike: on the best of the selected ones, else here if this machine can
    #[default]
    Auto,
    /// The same, never here
    Host,
    /// Here, once for all hosts that it is good for
    Local,
    /// On each host, for itself
    Each,
}

impl From<BuildWhere> for BuildPlace {
    fn from(place: BuildWhere) -> Self {
        match place {
            BuildWhere::Auto => Self::Auto,
            BuildWhere::Host => Self::Host,
            BuildWhere::Local => Self::Local,
            BuildWhere::Each => Self::Each,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Start SSH hosts on loopback, each with a home of its own
    Up {
        /// How many
        #[arg(long = "hosts", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
        #[command(flatten)]
        place: SandboxPlace,
        #[command(flatten)]
        hub: super::args_model::HubFlags,
        /// Come back when they are ready, and leave them running
        #[arg(long)]
        detach: bool,
    },
    /// End them
    Down(SandboxPlace),
    /// Say whether they run
    Status(SandboxPlace),
}

#[derive(Debug, ClapArgs)]
pub struct SandboxPlace {
    /// Folder for their homes, keys and inventory
    #[arg(long, env = "RBEE_SANDBOX", default_value = ".sandbox", value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum InventoryCommand {
    /// Read it strictly and say what is wrong, all of it
    Check {
        /// Say how this host is reached, and which line of which file says so
        #[arg(long, value_name = "HOST")]
        explain: Option<String>,
    },
    /// Print an inventory that is made of something else
    #[command(subcommand)]
    Import(ImportCommand),
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The hosts of an ssh_config
    SshConfig {
        /// With address, port, user and keys in the inventory; without a file, the names in ~/.ssh/config, which is still
        /// asked for the rest
        file: Option<PathBuf>,
    },
    /// The hosts and groups of an inventory of Ansible's
    Ansible {
        /// INI or YAML
        file: PathBuf,
    },
}

pub fn some_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn lease(text: &str) -> Result<Duration, String> {
    match some_duration(text)? {
        short if short < Duration::from_secs(2) => Err("must be at least 2s".into()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Args::command().debug_assert();
    }
}
