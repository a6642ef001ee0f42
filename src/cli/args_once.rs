//! What can be said about builds that several hosts share.

use clap::Args as ClapArgs;

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Options of shared builds")]
pub struct OnceFlags {
    /// Build on this host and no other, selected or not; `local` is this machine
    ///
    /// What several selected hosts need is built once for all that are alike: on one that can build and whose C library is
    /// not newer than theirs, for all of their cards and the lowest of their processor levels. The others get it through
    /// this machine, which keeps it (rbee cache). What was built before, here or on a selected host, is not built again
    /// unless --reinstall says so. A host on which it does not run builds its own.
    #[arg(long, env = "RBEE_BUILD_ON", value_name = "HOST", conflicts_with = "build")]
    pub build_on: Option<String>,
    /// Build for this x86-64 level, not for the lowest of the hosts that share a build
    #[arg(long, env = "RBEE_CPU_LEVEL", value_name = "1-4", value_parser = level)]
    pub cpu_level: Option<u8>,
}

fn level(text: &str) -> Result<u8, String> {
    let number = text.strip_prefix("x86-64-v").or(text.strip_prefix('v')).unwrap_or(text);
    match number.parse() {
        Ok(level @ 1..=4) => Ok(level),
        _ => Err("must be 1, 2, 3 or 4".to_owned()),
    }
}
