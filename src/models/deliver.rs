//! One host's model, from the look at what is there to the ref that says that all of it is.

use std::time::Instant;

use super::{
    ModelError,
    cache::prove,
    fetch::fetch,
    manifest::ModelFile,
    plan::{HostPlan, Via, plan},
    reference::is_commit,
    relay::relay,
    said::{End, Listener},
    script,
    shipment::Shipment,
    small,
    survey::{Look, survey},
    tally::Tally,
};
use crate::{
    scope::Scope,
    target::Target,
    vocab::{
        Level, Moved, Origin,
        text::{human_bytes, human_duration, plain_line},
    },
};

/// What was done on a host.
#[derive(Debug, Clone, Default)]
pub struct Delivered {
    /// Blobs that came.
    pub blobs: usize,
    /// Links and refs that were made.
    pub links: usize,
    pub moved: Moved,
    /// The snapshot's folder.
    pub snapshot: String,
}

impl Delivered {
    pub fn changed(&self) -> bool {
        self.blobs > 0 || self.links > 0
    }

    /// `2.1 GB in 34s (62 MB/s, bytes ÷ rate 32s): 2.1 GB from the hub`.
    pub fn words(&self, size: u64) -> String {
        if !self.changed() {
            return format!("{} are there and hold", human_bytes(size));
        }
        let Moved { wan, relayed, took, least } = self.moved;
        let moved = wan.max(relayed);
        let rate = (moved as f64 / took.as_secs_f64().max(0.001)) as u64;
        let mut ways = Vec::new();
        if wan > 0 {
            ways.push(format!("{} from the hub", human_bytes(wan)));
        }
        if relayed > 0 {
            ways.push(format!("{} from this machine", human_bytes(relayed)));
        }
        if ways.is_empty() {
            ways.push(format!("{} links", self.links));
        }
        let least = least.map(|least| format!(", bytes ÷ rate {}", human_duration(least))).unwrap_or_default();
        let pace = if moved > 0 { format!(" ({}/s{least})", human_bytes(rate)) } else { String::new() };
        format!("{} in {}{pace}: {}", human_bytes(size), human_duration(took), ways.join(", "))
    }
}

/// Looks at the host and decides; changes nothing there.
///
/// # Errors
/// The host cannot be asked, or cannot take the model.
pub async fn prepare(scope: &Scope, target: &dyn Target, shipment: &Shipment) -> Result<HostPlan, ModelError> {
    let files: Vec<&ModelFile> = shipment.manifest.files.iter().collect();
    // Where the bytes are is known only from a link; all large files are at one place, as a rule.
    let origin = match shipment.manifest.files.iter().find(|file| file.blob.is_large()) {
        Some(file) => Some(shipment.link(scope, file, None).await?.link.origin),
        None => None,
    };
    let survey = survey(scope, target, &shipment.manifest, &files, Look::All(origin.as_deref())).await?;
    plan(&shipment.manifest, &survey, &shipment.options)
}

/// Brings the host what the plan says, proves it, and links it; the ref is last.
///
/// # Errors
/// Something could not be brought; what came is kept.
pub async fn deliver(
    scope: &Scope,
    target: &dyn Target,
    shipment: &Shipment,
    plan: &HostPlan,
) -> Result<Delivered, ModelError> {
    let started = Instant::now();
    let manifest = &shipment.manifest;
    let mut missing = plan.missing.clone();
    let mut there = plan.there;
    if !plan.unproven.is_empty() {
        let files: Vec<&ModelFile> = plan.unproven.iter().collect();
        for (file, why) in prove(scope, target, manifest, &files, true).await? {
            scope.notice(Level::Warning, format!("{}: {why}; fetching it again", file.path), None);
            there = there.saturating_sub(file.size);
            missing.push(file);
        }
    }
    let source = if plan.via == Via::Relay { Origin::Controller } else { Origin::Hub };
    let tally = Tally::new(scope, plan.total, there, Some(source));
    let (large, small): (Vec<&ModelFile>, Vec<&ModelFile>) = missing.iter().partition(|file| file.blob.is_large());
    if !small.is_empty() {
        small::send(scope, target, shipment, &plan.cache, &small, &tally).await?;
    }
    for file in large {
        match plan.via {
            Via::Relay => relay(scope, target, shipment, &plan.cache, file, &tally).await?,
            Via::Auto | Via::Hub => fetch(scope, target, shipment, file, &tally).await?,
        }
    }
    let links = link(scope, target, shipment).await?;
    let snapshot = format!("{}/{}/snapshots/{}", plan.cache, manifest.repo.folder(), manifest.commit);
    Ok(Delivered { blobs: missing.len(), links, moved: tally.moved(started.elapsed()), snapshot })
}

/// Makes the links that are missing, then the ref; yields how many there were.
async fn link(scope: &Scope, target: &dyn Target, shipment: &Shipment) -> Result<usize, ModelError> {
    let manifest = &shipment.manifest;
    let lines: Vec<String> = manifest.files.iter().map(|file| format!("{} {}", file.blob, file.path)).collect();
    let reference = if is_commit(&manifest.revision) { "" } else { &manifest.revision };
    let pieces = script::pieces(&lines, |line| line.len() + 8);
    let mut made = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let more = if at + 1 < pieces.len() { "yes" } else { "" };
        let values = [
            ("M", manifest.repo.folder()),
            ("K", manifest.commit.clone()),
            ("REF", reference.to_owned()),
            ("D", piece.join("\n")),
            ("BIG", more.to_owned()),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut listener = Listener::new(None);
        target.run(scope, &script::command("link", &values, script::LINK), &mut listener).await?;
        made += listener.others.iter().filter(|line| *line == "linked").count();
        match listener.end() {
            End::Done => {}
            End::Disk(why) => return Err(ModelError::Disk(why)),
            End::Broken(why) => return Err(ModelError::Host(plain_line(&why))),
            other => return Err(ModelError::Host(format!("the snapshot could not be linked: {other:?}"))),
        }
    }
    Ok(made)
}
