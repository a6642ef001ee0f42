//! What can be typed about models.

use std::{ffi::OsString, time::Duration};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::{Complaint, args::RunFlags, args_hive::SubmitFlags};
use crate::{models, sandbox::hub::Faults, vocab::parse_duration};

/// Models here, or where a hive is.
#[derive(Debug, ClapArgs)]
pub struct Model {
    #[command(flatten)]
    pub submit: SubmitFlags,
    #[command(subcommand)]
    pub command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Fetch a model into the hub's cache; goes on where an earlier run stopped
    #[command(visible_alias = "dl")]
    Download {
        #[command(flatten)]
        model: Box<ModelFlags>,
        /// Say what is there, what is missing and whether it fits; changes nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        run: RunFlags,
    },
    /// List the models that are there
    #[command(visible_alias = "ls")]
    List(RunFlags),
    /// Show the revisions and files of one that is there
    #[command(visible_alias = "show")]
    Get {
        /// org/repo
        #[arg(value_name = "REPO")]
        repo: String,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Take the digests of what is there, and compare
    Verify {
        /// org/repo [default: all]
        #[arg(value_name = "REPO")]
        repo: Option<String>,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Remove a model, or one revision of it; what another revision uses stays
    #[command(visible_alias = "rm")]
    Remove {
        /// org/repo, org/repo@revision
        #[arg(value_name = "REF")]
        model: String,
        #[command(flatten)]
        run: RunFlags,
    },
    /// Remove what is left of downloads that came to no end
    Clean {
        /// Also blobs that no revision uses
        #[arg(long)]
        orphans: bool,
        #[command(flatten)]
        run: RunFlags,
    },
}

/// Which model, and how it comes.
#[derive(Debug, Clone, ClapArgs)]
pub struct ModelFlags {
    /// org/repo, org/repo:file, org/repo@revision, hf://…
    #[arg(value_name = "REF")]
    pub model: Option<String>,
    /// Only files that match; `*` matches slashes, too (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No files that match (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// This quantisation of a GGUF repository, as Q5_K_M [default: the first it has of Q4_K_M, Q4_K_S, Q4_0, IQ4_XS …]
    #[arg(long, value_name = "NAME", conflicts_with = "fits")]
    pub quant: Option<String>,
    /// The largest quantisation that fits the smallest GPU (or memory) of the hosts
    #[arg(long)]
    pub fits: bool,
    /// Which way it comes; `auto` is the hub where the host reaches it. From host to host (`swarm`) is not there yet
    #[arg(long, value_enum, default_value = "auto", env = "RBEE_VIA")]
    pub via: ViaWay,
    /// Connections of each host at a time
    #[arg(long, value_name = "N", default_value_t = 16, env = "RBEE_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub connections: u32,
    /// Bytes a second for all hosts together, as 50MB
    #[arg(long, value_name = "SIZE", env = "RBEE_LIMIT_RATE", value_parser = size)]
    pub limit_rate: Option<u64>,
    /// A connection that is silent for so long is made anew
    #[arg(long, value_name = "DUR", default_value = "20s", env = "RBEE_SILENCE", value_parser = parse_duration)]
    pub silence: Duration,
    /// Limit without a byte
    #[arg(long, value_name = "DUR", default_value = "10m", env = "RBEE_STALL", value_parser = parse_duration)]
    pub stall: Duration,
    /// Go on though the disk says that there is too little room
    #[arg(long)]
    pub force_disk: bool,
    /// If one host cannot take it, send it to none
    #[arg(long)]
    pub all_or_nothing: bool,
    /// When it does not come to its end, keep nothing of it
    #[arg(long)]
    pub clean: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ViaWay {
    Auto,
    /// Each host fetches it from the hub
    Hub,
    /// This machine fetches it once and sends it on
    Relay,
}

impl From<ViaWay> for models::Via {
    fn from(way: ViaWay) -> Self {
        match way {
            ViaWay::Auto => Self::Auto,
            ViaWay::Hub => Self::Hub,
            ViaWay::Relay => Self::Relay,
        }
    }
}

/// `50MB`, `4MiB`, `1000000`.
fn size(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[end..].trim_end_matches("/s") {
        "" | "B" => 1,
        "kB" | "K" | "k" => 1000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("must be a number with kB, MB or GB".into()),
    };
    let number: u64 = text[..end].parse().map_err(|_| "must be a number with kB, MB or GB".to_owned())?;
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| "must be more than nothing".into())
}

/// The sandbox's model hub.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct HubFlags {
    /// Also start a model hub, for HF_ENDPOINT
    #[arg(long)]
    pub hub: bool,
    /// Let the hub go wrong: reset=SIZE, close=SIZE, stalls=N, rate=SIZE, slow=N, limited=DUR, unavailable=N, links=DUR,
    /// error-pages=N, flips=N, no-ranges, direct, bound, page=N (repeatable)
    #[arg(long, value_name = "FAULT", requires = "hub")]
    pub hub_fault: Vec<String>,
}

impl HubFlags {
    /// `None` without a hub.
    pub fn faults(&self) -> Result<Option<Faults>, Complaint> {
        if !self.hub {
            return Ok(None);
        }
        let mut faults = Faults::default();
        for text in &self.hub_fault {
            faults.add(text).map_err(|error| Complaint::usage(error.to_string()))?;
        }
        Ok(Some(faults))
    }

    /// The same, as words to be typed.
    pub fn words(&self) -> Vec<OsString> {
        let hub = self.hub.then(|| OsString::from("--hub"));
        let faults = self.hub_fault.iter().flat_map(|fault| ["--hub-fault".into(), OsString::from(fault)]);
        hub.into_iter().chain(faults).collect()
    }
}
