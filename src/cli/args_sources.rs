//! Flags for where sources come from.

use clap::{Args, ValueEnum};

use crate::{engine::FetchPlace, vocab::Mirror};

#[derive(Debug, Clone, Default, Args)]
pub struct SourceFlags {
    /// Where the sources of a build on a host are fetched: there, or on this machine, which then sends them over SSH
    #[arg(long, value_enum, default_value = "host", env = "RBEE_FETCH", value_name = "WHERE")]
    pub fetch: FetchWhere,
    /// Ask URL for a source whose URL begins with PREFIX when its own place does not have it (repeatable)
    ///
    /// Only for sources that have a checksum, and for git ones with a whole commit: what nothing checks comes from its own
    /// place. HTTPS is never left for less. Both end in `/`, or else stand for one whole URL.
    #[arg(long, env = "RBEE_MIRROR", value_name = "PREFIX=URL", value_parser = mirror, value_delimiter = ' ')]
    pub mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FetchWhere {
    /// Where it is built
    #[default]
    Host,
    /// Here; the host needs no internet for it
    Controller,
}

impl From<FetchWhere> for FetchPlace {
    fn from(place: FetchWhere) -> Self {
        match place {
            FetchWhere::Host => Self::Host,
            FetchWhere::Controller => Self::Controller,
        }
    }
}

fn mirror(text: &str) -> Result<Mirror, String> {
    Mirror::parse(text).map_err(|error| error.to_string())
}
