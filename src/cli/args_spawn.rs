//! What can be typed about workers that run.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::args::RunFlags;

#[derive(Debug, Clone, ClapArgs)]
pub struct SpawnFlags {
    /// Id or family of an installed worker [default: the only one]
    #[arg(long, value_name = "ID", env = "RBEE_WORKER_ID")]
    pub worker: Option<String>,
    /// org/repo, org/repo:file, or a path that begins with / or . [default: the only one that it can read]
    #[arg(long, value_name = "REF|PATH", env = "RBEE_MODEL")]
    pub model: Option<String>,
    /// What it computes on, as cuda:0
    #[arg(long, value_name = "NAME", env = "RBEE_DEVICE")]
    pub device: Option<String>,
    /// Port that it listens on; auto takes the first that is free, from 7855 up
    #[arg(long, value_name = "auto|N", env = "RBEE_WORKER_PORT", default_value = "auto", value_parser = port)]
    pub port: Port,
    /// Address that it listens on; with any but loopback, whoever reaches that reaches the worker
    #[arg(long, value_name = "ADDR", env = "RBEE_BIND", default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// File with the API keys that it asks for, one a line
    #[arg(long, value_name = "FILE", env = "RBEE_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// When it is started again
    #[arg(long, value_enum, value_name = "WHEN", env = "RBEE_RESTART", default_value = "never")]
    pub restart: Restart,
    /// Make it a service of the user, by systemd or launchd, so that it starts again with the machine
    #[arg(long, env = "RBEE_SERVICE")]
    pub service: bool,
    /// Make it a service of the machine instead, which needs no login: written as root, through sudo without a password
    #[arg(long, requires = "service")]
    pub system: bool,
    #[command(flatten)]
    pub run: RunFlags,
    /// Given to the worker as they are, behind `--`
    #[arg(last = true, value_name = "ARGS")]
    pub more: Vec<String>,
}

/// `--port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub Option<u16>);

fn port(text: &str) -> Result<Port, String> {
    match text {
        "auto" => Ok(Port(None)),
        text => match text.parse() {
            Ok(0) | Err(_) => Err("is neither auto nor a number from 1 to 65535".into()),
            Ok(port) => Ok(Port(Some(port))),
        },
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Restart {
    #[default]
    Never,
    /// When it ended with another status than 0, after a pause that grows from 1s to 60s
    OnFailure,
}

#[derive(Debug, Subcommand)]
pub enum ProcessCommand {
    /// List the workers that were spawned: process, model, address, health, what they use
    #[command(visible_alias = "ls")]
    List(RunFlags),
    /// Show one of them
    #[command(visible_alias = "show")]
    Get {
        /// Its process, its id from `process list`, or a worker's id
        which: String,
        #[command(flatten)]
        run: RunFlags,
    },
}

#[derive(Debug, ClapArgs)]
pub struct StopFlags {
    /// Its process, its id from `process list`, or a worker's id
    #[arg(required_unless_present = "all")]
    pub which: Option<String>,
    /// End all of them, or all of that worker
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub run: RunFlags,
}

#[derive(Debug, ClapArgs)]
pub struct LogsFlags {
    /// Its process, its id from `process list`, or a worker's id
    pub which: String,
    /// Show what comes, too, until it ends or Ctrl+C
    #[arg(short, long)]
    pub follow: bool,
    /// How many lines from the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub lines: u32,
    #[command(flatten)]
    pub run: RunFlags,
}
