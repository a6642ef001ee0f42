//! What can be typed.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::{
    args_daemon::FleetHiveCommand,
    args_hive::{HiveCommand, Job, Worker},
    args_model::{Model, ModelCommand},
    args_worker::WorkerCommand,
};
pub use super::{
    args_install::{BuildWhere, InstallFlags},
    args_run::{RunFlags, SudoFlags, some_duration},
};

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
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
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
    /// The verbs of `rbee worker`, on the selected hosts
    #[command(subcommand)]
    Worker(Box<WorkerCommand>),
    /// Models: fetch, check and remove them
    #[command(subcommand)]
    Model(Box<ModelCommand>),
    /// The hives of hosts: bring, start, stop, look, upgrade, remove
    #[command(subcommand)]
    Hive(Box<FleetHiveCommand>),
    /// Run a command; it is ended when its output goes to a pipe that nobody reads any more
    Exec {
        /// The command and its arguments; one single word is taken as a line for the shell
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
        #[command(flatten)]
        run: RunFlags,
    },
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn every_word_that_can_be_typed_is_explained() {
        let mut silent = Vec::new();
        look(&super::Args::command(), &mut silent);
        assert!(silent.is_empty(), "without a line of help: {silent:#?}");
    }

    fn look(command: &clap::Command, silent: &mut Vec<String>) {
        let shown =
            |arg: &&clap::Arg| !arg.is_hide_set() && arg.get_help().is_none_or(|help| help.to_string().is_empty());
        silent.extend(
            command.get_arguments().filter(shown).map(|arg| format!("{}: {}", command.get_name(), arg.get_id())),
        );
        for inner in command.get_subcommands() {
            if inner.get_about().is_none() {
                silent.push(inner.get_name().to_owned());
            }
            look(inner, silent);
        }
    }
}
