//! What is to be installed, and how it is come by.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::{args_once::OnceFlags, args_prebuilt::PrebuiltHow, args_run::some_duration, args_sources::SourceFlags};
use crate::engine::BuildPlace;

#[derive(Debug, Clone, Default, ClapArgs)]
pub struct InstallFlags {
    /// Id or family from the catalog, also as ID@VERSION, or a folder with a PKGBUILD (with a `/` in it, or starting with `.`)
    pub worker: Option<String>,
    /// Where to build
    #[arg(long, value_enum, default_value = "auto", env = "RBEE_BUILD")]
    pub build: BuildWhere,
    #[command(flatten)]
    pub once: OnceFlags,
    #[command(flatten)]
    pub sources: SourceFlags,
    /// Install this program instead of building, or a folder or an archive with bin, lib and share;
    /// with OS-ARCH=, for those hosts only (repeatable)
    #[arg(long, value_name = "[OS-ARCH=]PATH")]
    pub binary: Vec<String>,
    /// Take what is published ready to run instead of building it; with `prefer`, build where there is none
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
    /// Limit for fetch, build and package [default: the worker's own, else 10m; cuda 20m, metal and rocm 15m]
    #[arg(long, env = "RBEE_BUILD_TIMEOUT", value_name = "DUR", value_parser = some_duration)]
    pub build_timeout: Option<Duration>,
    /// Limit without output and without CPU time in a build [default: 5m]
    #[arg(long, env = "RBEE_BUILD_IDLE", value_name = "DUR", value_parser = some_duration)]
    pub build_idle: Option<Duration>,
    /// If one host is refused by preflight or cannot be reached, change none
    #[arg(long)]
    pub all_or_nothing: bool,
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
