//! Flags, environment and files, merged into what the engine takes.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use super::{
    Complaint,
    args::{Global, InstallFlags, RunFlags},
};
use crate::{
    inventory::{self, Defaults, Intent, Inventory, Source},
    target::ssh::config::{SshConfig, Surroundings},
    vocab::{Host, Limits, Settings, WorkerId, settings},
};

/// Files that were read, before any host is contacted.
pub struct Context {
    pub settings: Settings,
    pub inventory: Inventory,
    /// None for this machine alone.
    pub ssh: Option<SshConfig>,
}

/// `$XDG_CACHE_HOME/rbee`
pub fn cache_dir() -> Result<PathBuf, Complaint> {
    Ok(xdg("XDG_CACHE_HOME", &home()?, ".cache"))
}

impl Context {
    pub fn load(global: &Global, run: &RunFlags, install: &InstallFlags) -> Result<Self, Complaint> {
        let home = home()?;
        let config_dir = xdg("XDG_CONFIG_HOME", &home, ".config");
        let inventory = load_inventory(global, &home, &config_dir)?;
        let around = Surroundings::new(&home).with_env(std::env::vars_os());
        let ssh = SshConfig::load_in(global.ssh_config.as_deref(), around)
            .map_err(|error| Complaint::usage(error.to_string()))?;
        Ok(Self { settings: Self::settings(global, run, install, &inventory)?, inventory, ssh: Some(ssh) })
    }

    /// For this machine alone: neither inventory nor ssh_config are read.
    pub fn here(global: &Global, run: &RunFlags, install: &InstallFlags) -> Result<Self, Complaint> {
        let inventory = Inventory::default();
        Ok(Self { settings: Self::settings(global, run, install, &inventory)?, inventory, ssh: None })
    }

    fn settings(
        global: &Global,
        run: &RunFlags,
        install: &InstallFlags,
        inventory: &Inventory,
    ) -> Result<Settings, Complaint> {
        let home = home()?;
        let limits = limits(global, run, install, inventory.defaults());
        Ok(Settings {
            user: user(),
            cache_dir: cache_dir()?,
            state_dir: xdg("XDG_STATE_HOME", &home, ".local/state"),
            config_dir: xdg("XDG_CONFIG_HOME", &home, ".config"),
            ssh_config: global.ssh_config.clone(),
            agent_socket: std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).map(PathBuf::from),
            shell: std::env::var_os("SHELL").filter(|s| !s.is_empty()).map(PathBuf::from),
            interactive: !global.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            limits,
            forks: global.forks.map(|n| n as usize).or(inventory.defaults().forks).unwrap_or(settings::FORKS),
            color: color(global),
            home,
        })
    }

    pub fn select(&self, pattern: Option<&str>, intent: Intent) -> Result<Vec<Host>, Complaint> {
        let known = |name: &str| self.ssh.as_ref().is_some_and(|ssh| ssh.is_concrete_host(name));
        self.inventory.select(pattern, intent, &known).map_err(|error| Complaint {
            text: error.to_string(),
            hint: error.hint().map(str::to_owned),
            exit: error.exit_code(),
        })
    }
}

pub fn worker_id(id: &str) -> Result<WorkerId, Complaint> {
    WorkerId::new(id).map_err(|error| Complaint::usage(error.to_string()))
}

fn load_inventory(global: &Global, home: &Path, config_dir: &Path) -> Result<Inventory, Complaint> {
    inventory::load(&source(global, config_dir), home).map_err(|error| {
        let more = error.problems().len().saturating_sub(1);
        let complaint = Complaint::usage(error.to_string());
        if more > 0 {
            complaint.hint(format!("and {more} more: rbee inventory check lists them all"))
        } else {
            complaint
        }
    })
}

pub fn source(global: &Global, config_dir: &Path) -> Source {
    match &global.inventory {
        Some(path) => Source::Named(path.clone()),
        None => Source::Usual(vec!["inventory".into(), config_dir.join("inventory.toml")]),
    }
}

fn limits(global: &Global, run: &RunFlags, install: &InstallFlags, defaults: &Defaults) -> Limits {
    let standard = Limits::default();
    Limits {
        connect: run.connect_timeout.or(defaults.connect_timeout).unwrap_or(standard.connect),
        short: defaults.step_timeout.unwrap_or(standard.short),
        install: install.build_timeout.or(defaults.install_timeout),
        idle: install.build_idle.or(defaults.build_idle).unwrap_or(standard.idle),
        run: global.timeout.or(defaults.timeout),
        grace: run.grace.or(defaults.grace).unwrap_or(standard.grace),
        lease: run.lease.or(defaults.lease).unwrap_or(standard.lease),
    }
}

pub fn home() -> Result<PathBuf, Complaint> {
    let set = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    set.or_else(|| nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir))
        .ok_or_else(|| Complaint::usage("this user has no home folder; set HOME"))
}

pub fn user() -> String {
    match nix::unistd::User::from_uid(nix::unistd::geteuid()) {
        Ok(Some(user)) => user.name,
        _ => std::env::var("USER").unwrap_or_else(|_| "unknown".into()),
    }
}

/// A folder of ours below an XDG variable, which counts only when it is absolute.
pub fn xdg(variable: &str, home: &Path, otherwise: &str) -> PathBuf {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
    set.unwrap_or_else(|| home.join(otherwise)).join("rbee")
}

pub fn color(global: &Global) -> bool {
    use super::args::When;
    match global.color {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
                && std::io::stderr().is_terminal()
        }
    }
}
