//! `rbee cache …`

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Complaint,
    args::{Global, OutputForm},
    context, print,
    table::table,
};
use crate::{
    artifacts::{self, Artifacts, Bounds, CacheError, Entry, Kept, Store},
    vocab::{
        ExitCode, parse_duration,
        text::{counted, human_bytes, human_duration},
    },
    wire,
};

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what is kept on this machine: programs that were built, and what was fetched for them
    List,
    /// Remove what is older or more than asked; without options, everything
    Prune {
        /// Remove what was not used for so long, as 12h or 30d
        #[arg(long, value_name = "DUR", value_parser = age)]
        older_than: Option<Duration>,
        /// Remove what was not used for longest, until the rest is no more than this: 500 MB, 20GB
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
    },
}

pub fn run(global: &Global, command: &CacheCommand) -> Result<ExitCode, Complaint> {
    let cache = context::cache_dir()?;
    let artifacts = Artifacts::new(cache.join("artifacts"));
    let is_json = global.output == OutputForm::Json;
    match command {
        CacheCommand::List => {
            let (entries, stores) = (artifacts.list(), artifacts::kept(&cache));
            if is_json {
                let document = json!({
                    "v": 1, "artifacts": values(&entries), "size": sum(&entries), "stores": totals(&stores),
                });
                print(&format!("{document:#}\n"));
            } else {
                print(&format!("{}{}", listed(&entries), beside(&stores)));
            }
        }
        CacheCommand::Prune { older_than, max_size } => {
            let failed = |error: CacheError| Complaint { text: error.to_string(), hint: None, exit: ExitCode::Failed };
            let (older_than, now) = (*older_than, SystemTime::now());
            let bounds = Bounds { older_than, max_size: *max_size };
            let pruned = artifacts.prune(&bounds, now).map_err(failed)?;
            // What was built is dearest: the rest may have the room that it leaves.
            let left = sum(&pruned.kept) + sum(&pruned.in_use);
            let bounds = Bounds { older_than, max_size: max_size.map(|most| most.saturating_sub(left)) };
            let swept = artifacts::sweep(&cache, &bounds, now).map_err(failed)?;
            let freed = sum(&pruned.removed) + bytes(&swept.removed);
            if is_json {
                let (removed, in_use) = (values(&pruned.removed), values(&pruned.in_use));
                let document = json!({
                    "v": 1, "removed": removed, "in_use": in_use, "kept": values(&pruned.kept), "freed": freed,
                    "stores": {
                        "removed": totals(&swept.removed), "in_use": totals(&swept.in_use),
                        "kept": totals(&swept.kept),
                    },
                });
                print(&format!("{document:#}\n"));
            } else {
                let stay = pruned.kept.iter().chain(&pruned.in_use).cloned().collect::<Vec<_>>();
                let mut text = format!("removed {}, kept {}\n", amount(&pruned.removed), amount(&stay));
                let others = swept.kept.iter().chain(&swept.in_use).cloned().collect::<Vec<_>>();
                if !swept.removed.is_empty() || !others.is_empty() {
                    text.push_str(&format!(
                        "and of what is kept beside them {}, kept {}\n",
                        human_bytes(bytes(&swept.removed)),
                        human_bytes(bytes(&others))
                    ));
                }
                for entry in &pruned.in_use {
                    text.push_str(&format!("{} is in use\n", entry.artifact.key.0.short()));
                }
                for kept in &swept.in_use {
                    text.push_str(&format!("{} is in use\n", kept.path.display()));
                }
                print(&text);
            }
        }
    }
    Ok(ExitCode::Ok)
}

/// A line for each store that has something.
fn beside(stores: &[Kept]) -> String {
    let mut text = String::new();
    for (store, kept) in by_store(stores) {
        let what = match store {
            Store::Prebuilt => "published programs",
            Store::Sources => "downloaded sources",
            Store::Git => "mirrors of repositories",
            Store::Models => "models to be passed on",
            Store::Catalogs => "copies of catalogs",
            Store::Digests => "checksums of files",
        };
        text.push_str(&format!("{what}: {}, {}\n", kept.len(), human_bytes(kept.iter().map(|kept| kept.size).sum())));
    }
    text
}

fn by_store(stores: &[Kept]) -> BTreeMap<Store, Vec<&Kept>> {
    let mut map: BTreeMap<Store, Vec<&Kept>> = BTreeMap::new();
    for kept in stores {
        map.entry(kept.store).or_default().push(kept);
    }
    map
}

fn totals(stores: &[Kept]) -> Value {
    let total = |(store, kept): (Store, Vec<&Kept>)| {
        let size: u64 = kept.iter().map(|kept| kept.size).sum();
        json!({ "store": store.as_str(), "entries": kept.len(), "size": size })
    };
    by_store(stores).into_iter().map(total).collect()
}

fn bytes(stores: &[Kept]) -> u64 {
    stores.iter().map(|kept| kept.size).sum()
}

fn listed(entries: &[Entry]) -> String {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|Entry { artifact, used }| {
            vec![
                artifact.key.0.short(),
                artifact.worker.to_string(),
                artifact.version.clone(),
                human_bytes(artifact.size),
                artifact.class.clone(),
                artifact.from.clone(),
                format!("{} ago", human_duration(Duration::from_secs(used.elapsed().unwrap_or_default().as_secs()))),
            ]
        })
        .collect();
    let head = ["KEY", "WORKER", "VERSION", "SIZE", "FOR", "FROM", "USED"];
    format!("{}{}\n", table(&head, &rows), amount(entries))
}

/// "3 programs, 41 MB".
fn amount(entries: &[Entry]) -> String {
    format!("{}, {}", counted(entries.len(), "program"), human_bytes(sum(entries)))
}

fn sum(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.artifact.size).sum()
}

fn values(entries: &[Entry]) -> Vec<Value> {
    let value = |Entry { artifact, used }: &Entry| {
        json!({
            "key": artifact.key.to_string(), "worker": artifact.worker.as_str(), "version": artifact.version,
            "class": artifact.class, "program": artifact.program, "size": artifact.size,
            "digest": artifact.digest.to_string(), "from": artifact.from, "made_at": artifact.made_at,
            "used_at": wire::rfc3339(*used),
        })
    };
    entries.iter().map(value).collect()
}

fn age(text: &str) -> Result<Duration, String> {
    if let Some(days) = text.trim().strip_suffix('d') {
        let days = days.trim().parse::<u32>().map_err(|_| "is no number of days".to_owned())?;
        return Ok(Duration::from_secs(u64::from(days) * 86_400));
    }
    parse_duration(text).map_err(|error| error.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| "is no size like 500 MB or 20GB".to_owned())?;
    let factor: f64 = match text[end..].trim() {
        "" | "B" => 1.0,
        "kB" | "KB" | "k" | "K" => 1e3,
        "MB" | "M" => 1e6,
        "GB" | "G" => 1e9,
        "TB" | "T" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        other => return Err(format!("{other:?} is no unit; B, kB, MB, GB, TB and KiB, MiB, GiB, TiB are")),
    };
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_read_as_people_write_them() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("90m"), Ok(Duration::from_secs(5400)));
        assert!(age("d").is_err() && age("-1d").is_err() && age("99999999999d").is_err());
        assert_eq!((size("0"), size("1.5 GB"), size("2KiB")), (Ok(0), Ok(1_500_000_000), Ok(2048)));
        assert!(size("GB").is_err() && size("3 apples").is_err() && size("-1").is_err());
    }
}
