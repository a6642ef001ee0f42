//! What would be done on a host: a pure function of the manifest and what the host said. It is the dry run, too.

use super::{
    ModelError,
    manifest::{Manifest, ModelFile},
    parts::{self, cut_for},
    survey::Survey,
};
use crate::vocab::text::human_bytes;

/// How the bytes come to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// By the hub where the host can, else by relay.
    #[default]
    Auto,
    /// The host fetches them itself.
    Hub,
    /// This machine fetches them once and sends them on.
    Relay,
}

/// How a download is done.
#[derive(Debug, Clone)]
pub struct Options {
    pub via: Via,
    /// At a time, for each host.
    pub connections: u32,
    /// Bytes a second, for all hosts together.
    pub rate: Option<u64>,
    /// A connection that says nothing for so long is made anew.
    pub silence: std::time::Duration,
    /// Without a byte for so long, a host fails.
    pub stall: std::time::Duration,
    /// Go on though the disk says that it is full.
    pub force_disk: bool,
    /// Remove the parts of what was cancelled.
    pub clean: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            via: Via::Auto,
            connections: 16,
            rate: None,
            silence: std::time::Duration::from_secs(20),
            stall: std::time::Duration::from_secs(600),
            force_disk: false,
            clean: false,
        }
    }
}

/// What is to be done on one host.
#[derive(Debug, Clone)]
pub struct HostPlan {
    pub cache: String,
    /// Blobs that have to come, each once.
    pub missing: Vec<ModelFile>,
    /// Blobs that are there and whose digest is not known to hold.
    pub unproven: Vec<ModelFile>,
    /// All bytes of the model.
    pub total: u64,
    /// Bytes of blobs that are there whole.
    pub there: u64,
    /// Bytes of blobs that are there in part.
    pub kept: u64,
    /// Links of the snapshot that have to be made.
    pub links: usize,
    /// The ref has to be written.
    pub stale: bool,
    pub free: Option<u64>,
    /// Hub or relay.
    pub via: Via,
    /// Why that way.
    pub why: String,
}

impl HostPlan {
    pub fn changes(&self) -> bool {
        !self.missing.is_empty() || self.links > 0 || self.stale
    }

    /// Bytes that have to come.
    pub fn to_come(&self) -> u64 {
        self.missing.iter().map(|file| file.size).sum::<u64>().saturating_sub(self.kept)
    }

    /// The plan as one fragment.
    pub fn words(&self) -> String {
        if !self.changes() {
            return format!("all {} are there", human_bytes(self.total));
        }
        let kept = if self.kept > 0 { format!(", {} kept from before", human_bytes(self.kept)) } else { String::new() };
        let there = if self.there > 0 { format!(", {} are there", human_bytes(self.there)) } else { String::new() };
        if self.missing.is_empty() {
            return format!("nothing to fetch{there}; {} links to make", self.links);
        }
        format!("fetch {}{there}{kept} ({})", human_bytes(self.to_come()), self.why)
    }
}

/// File systems without symbolic links, as Linux and macOS call them.
const LINKLESS: &[&str] = &["vfat", "msdos", "exfat"];

/// Decides; an error is a refusal, before a byte moves.
///
/// # Errors
/// The host cannot take the model.
pub fn plan(manifest: &Manifest, survey: &Survey, options: &Options) -> Result<HostPlan, ModelError> {
    let refuse = |text: String, hint: &str| Err(ModelError::Refused(text, Some(hint.to_owned())));
    let blobs = manifest.blobs();
    let missing: Vec<ModelFile> = blobs.iter().filter(|file| !survey.has(file)).map(|file| (*file).clone()).collect();
    let unproven =
        blobs.iter().filter(|file| survey.has(file) && !survey.has_proven(file)).map(|file| (*file).clone()).collect();
    let total = manifest.size();
    let to_fetch: u64 = missing.iter().map(|file| file.size).sum();
    let kept = |file: &ModelFile| {
        let empty = parts::Parts::default();
        parts::rest(file.size, options.connections, survey.parts.get(&file.blob).unwrap_or(&empty)).have
    };
    let kept: u64 = missing.iter().map(kept).sum();
    let links = manifest.files.iter().filter(|file| !survey.files.contains(&file.path)).count();
    let stale =
        survey.reference.as_deref() != Some(&manifest.commit) && !super::reference::is_commit(&manifest.revision);
    let large = missing.iter().any(|file| file.blob.is_large());
    let (via, why) = way(survey, options, large)?;
    let plan = HostPlan {
        cache: survey.cache.clone(),
        missing,
        unproven,
        total,
        there: total.saturating_sub(to_fetch),
        kept,
        links,
        stale,
        free: survey.free,
        via,
        why,
    };
    if !plan.changes() {
        return Ok(plan);
    }
    if let Some(folder) = &survey.closed {
        return refuse(
            format!("models go to {}, and {folder} cannot be written to", survey.cache),
            "set HF_HOME for this host, in the inventory's env for instance",
        );
    }
    if let Some(kind) = survey.file_system.as_deref().filter(|kind| LINKLESS.contains(kind)) {
        return refuse(
            format!("models go to {}, whose file system ({kind}) has no symbolic links", survey.cache),
            "set HF_HOME for this host, in the inventory's env for instance",
        );
    }
    if !survey.hash {
        return refuse(
            "there is no openssl, sha256sum or shasum to check bytes with".into(),
            "install one of them on the host",
        );
    }
    let largest = plan.missing.iter().map(|file| file.size).max().unwrap_or(0);
    // A segment is twice there while it is appended.
    let moving = if options.connections > 1 { cut_for(largest, options.connections).min(largest) } else { 0 };
    let spare = plan.to_come() / 20;
    let wanted = plan.to_come().saturating_add(moving).saturating_add(spare);
    if let Some(free) = survey.free.filter(|free| *free < wanted && !options.force_disk) {
        return Err(ModelError::Room { free, wanted });
    }
    let names = (plan.missing.len() * 2 + plan.links * 2 + 50) as u64;
    if let Some(free) = survey.inodes.filter(|free| *free > 0 && *free < names && !options.force_disk) {
        return refuse(
            format!("there is room for {free} more files where models go, and {names} are wanted"),
            "remove files there; --force-disk goes on all the same",
        );
    }
    Ok(plan)
}

/// Hub or relay, and why.
fn way(survey: &Survey, options: &Options, large: bool) -> Result<(Via, String), ModelError> {
    let far = survey.reach.filter(|code| *code != 0);
    let trouble = match (&survey.curl, far) {
        (None, _) => Some("the host has no curl".to_owned()),
        (Some(_), Some(code)) => Some(format!("the host does not reach the hub's files (curl {code})")),
        _ => None,
    };
    Ok(match (options.via, trouble) {
        _ if !large => (Via::Hub, "small files only, sent from here".into()),
        (Via::Relay, _) => (Via::Relay, "through this machine, as asked".into()),
        (Via::Auto, Some(why)) => (Via::Relay, format!("through this machine: {why}")),
        (Via::Hub, Some(why)) => {
            return Err(ModelError::Refused(why, Some("--via relay sends it from this machine".into())));
        }
        (Via::Hub, None) => (Via::Hub, "from the hub, as asked".into()),
        (Via::Auto, None) => (Via::Hub, "from the hub".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{BlobId, RepoId};

    fn manifest() -> Manifest {
        let file =
            |path: &str, blob: String, size| ModelFile { path: path.into(), size, blob: BlobId::parse(&blob).unwrap() };
        Manifest {
            repo: RepoId::new("a/b").unwrap(),
            revision: "main".into(),
            commit: "c".repeat(40),
            gated: false,
            files: vec![file("m.gguf", "a".repeat(64), 1_000_000_000), file("config.json", "b".repeat(40), 100)],
            chosen: None,
        }
    }

    fn host(more: &str) -> Survey {
        let mut survey = Survey::default();
        survey.read(&format!(
            "cache /c\nwritable yes\ndf x 1 1 99999999 1% /\ncurl curl 8\nreach 0\nhash openssl\n{more}"
        ));
        survey
    }

    #[test]
    fn auto_says_which_way_and_why() {
        let decide = |survey: &Survey, via| plan(&manifest(), survey, &Options { via, ..Options::default() });
        assert_eq!(decide(&host(""), Via::Auto).unwrap().via, Via::Hub);
        let mut bare = host("");
        bare.curl = None;
        let relayed = decide(&bare, Via::Auto).unwrap();
        assert_eq!((relayed.via, relayed.why.as_str()), (Via::Relay, "through this machine: the host has no curl"));
        assert!(decide(&bare, Via::Hub).is_err());
        let mut far = host("");
        far.reach = Some(28);
        assert_eq!(decide(&far, Via::Auto).unwrap().via, Via::Relay);
    }

    #[test]
    fn a_snapshot_needs_links() {
        let on = |kind: &str| plan(&manifest(), &host(&format!("fs {kind}\n")), &Options::default());
        assert!(on("ext4").is_ok());
        let text = on("exfat").unwrap_err().to_string();
        assert_eq!(text, "models go to /c, whose file system (exfat) has no symbolic links");
    }

    #[test]
    fn room_counts_what_is_there_and_can_be_overruled() {
        let small = Options { connections: 1, ..Options::default() };
        let mut tight = host("");
        tight.free = Some(600_000_000);
        assert!(matches!(plan(&manifest(), &tight, &small), Err(ModelError::Room { wanted: 1_050_000_105, .. })));
        let wide = plan(&manifest(), &tight, &Options::default());
        let most = 1_050_000_105 + cut_for(1_000_000_000, 16);
        assert!(matches!(wide, Err(ModelError::Room { wanted, .. }) if wanted == most && most < 1_090_000_000));
        assert!(plan(&manifest(), &tight, &Options { force_disk: true, ..small.clone() }).is_ok());
        let mut half = host(&format!("cut {0} 500000000\npart {0} base 500000000\n", "a".repeat(64)));
        half.free = Some(600_000_000);
        let plan = plan(&manifest(), &half, &small).unwrap();
        assert_eq!((plan.kept, plan.to_come()), (500_000_000, 500_000_100));
        assert_eq!(plan.words(), "fetch 500 MB, 500 MB kept from before (from the hub)");
    }

    #[test]
    fn what_is_there_needs_nothing() {
        let all = format!(
            "proven {} 1000000000\nblob {} 100\nfile m.gguf\nfile config.json\nref {}\n",
            "a".repeat(64),
            "b".repeat(40),
            "c".repeat(40)
        );
        let mut survey = host(&all);
        survey.free = Some(0);
        let plan = plan(&manifest(), &survey, &Options::default()).unwrap();
        assert!(!plan.changes() && plan.unproven.len() == 1 && plan.there == 1_000_000_100);
    }
}
