//! How a run over hosts goes: its limits, its connections, the password of sudo.

use std::{path::PathBuf, time::Duration};

use clap::Args as ClapArgs;

use crate::vocab::parse_duration;

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

/// A duration that is not nothing.
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
