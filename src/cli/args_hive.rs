//! What can be typed about hives and jobs.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Subcommand};

use super::args_worker::WorkerCommand;
use crate::{hive::PORT, vocab::parse_duration};

#[derive(Debug, Subcommand)]
pub enum HiveCommand {
    /// Take jobs on a unix socket, and on loopback from whoever has the token; runs until it is ended
    ///
    /// Ctrl+C or SIGTERM ends all jobs and looks that nothing is left; once more skips the grace. `--timeout` is the limit of
    /// each job that brings none of its own, `--catalog` and `--inventory` are what its jobs may name.
    Serve(ServeFlags),
    /// Say whether a hive is there, and what it does
    Status {
        #[command(flatten)]
        remote: RemoteFlags,
    },
    /// Print the token that the hive of this machine asks for on loopback
    Token,
    /// Connect stdin and stdout with the hive of this machine; what `--host` runs on a host
    DialStdio,
}

#[derive(Debug, ClapArgs)]
pub struct ServeFlags {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, env = "RBEE_PORT", value_name = "N", default_value_t = PORT)]
    pub port: u16,
    /// Jobs that run at a time; further ones wait
    #[arg(long, env = "RBEE_JOBS", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub jobs: u32,
    /// How long an ended job is listed [default: 7d]
    #[arg(long, env = "RBEE_KEEP_JOBS", value_name = "DUR", value_parser = parse_duration)]
    pub keep: Option<Duration>,
    /// Between TERM and KILL [default: 500ms]
    #[arg(long, env = "RBEE_GRACE", value_name = "DUR", value_parser = parse_duration)]
    pub grace: Option<Duration>,
}

/// Which hive is meant.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Hive options")]
pub struct RemoteFlags {
    /// Let this hive do it: http://127.0.0.1:7835, or unix:PATH
    #[arg(long, global = true, env = "RBEE_HIVE", value_name = "URL", conflicts_with = "host")]
    pub hive: Option<String>,
    /// Let the hive on this host do it, over SSH
    #[arg(long, global = true, env = "RBEE_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// File with the token for --hive http://… [default: the one of this machine's hive]
    #[arg(long, global = true, env = "RBEE_HIVE_TOKEN_FILE", value_name = "FILE")]
    pub hive_token_file: Option<PathBuf>,
}

impl RemoteFlags {
    /// Whether a hive was named.
    pub fn is_some(&self) -> bool {
        self.hive.is_some() || self.host.is_some()
    }
}

/// Whether to wait for what was submitted.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Hive options")]
pub struct SubmitFlags {
    #[command(flatten)]
    pub remote: RemoteFlags,
    /// Print the job's id and leave; it goes on in the hive
    #[arg(long, global = true)]
    pub detach: bool,
}

/// Workers here, or where a hive is.
#[derive(Debug, ClapArgs)]
pub struct Worker {
    #[command(flatten)]
    pub submit: SubmitFlags,
    #[command(subcommand)]
    pub command: WorkerCommand,
}

#[derive(Debug, ClapArgs)]
pub struct Job {
    #[command(flatten)]
    pub remote: RemoteFlags,
    #[command(subcommand)]
    pub command: JobCommand,
}

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs: of this machine's hive and runs, or of the hive that is named
    #[command(visible_alias = "ls")]
    List,
    /// Show one job
    #[command(visible_alias = "show")]
    Get {
        /// Its id, as `job list` shows it
        id: String,
    },
    /// Show what a job says, from its beginning to its end; Ctrl+C leaves, and the job goes on
    Attach {
        /// Its id, as `job list` shows it
        id: String,
        /// Begin behind the event with this number
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: u64,
    },
    /// End a job, and say what was confirmed
    Cancel {
        /// Its id, as `job list` shows it
        id: String,
    },
    /// Let a hive run a command on its machine, or on hosts of its inventory
    Exec {
        /// Hosts of the hive's inventory instead of its own machine
        #[arg(short = 'H', long, value_name = "PATTERN")]
        hosts: Option<String>,
        /// Print the job's id and leave; it goes on in the hive
        #[arg(long)]
        detach: bool,
        /// The command and its arguments; one single word is taken as a line for the shell
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
        command: Vec<String>,
    },
}
