//! What is planned: one worker on one host, and the words for it.

use std::{sync::Arc, time::Duration};

use crate::{
    build::Class,
    engine::{
        Run,
        gather::{FetchPlace, Sources},
        group::{Place, Source},
        request::Binary,
        share::Share,
    },
    prebuilt::Asset,
    preflight::{check::Verdict, install_dir::InstallDir},
    vocab::{BuildKey, HostName, Manifest, RecipeMeta, WorkerId, text::human_bytes},
};

/// What happens with one worker on one host.
#[derive(Debug, Clone)]
pub struct WorkerPlan {
    pub host: HostName,
    pub worker: WorkerId,
    /// As far as it is known before a build.
    pub version: Option<String>,
    /// Where the recipe or the program comes from.
    pub origin: String,
    /// Why this one.
    pub why: String,
    /// `None` for a program that is still being read, where nothing hangs on its sha256 yet, and for a build before it is
    /// known for whom it is.
    pub key: Option<BuildKey>,
    /// What the host is by itself, for a worker of this kind.
    pub class: Class,
    pub dir: InstallDir,
    pub action: Action,
    /// What the host has of it now, in the folder it would go to.
    pub old: Option<Manifest>,
    /// For fetch, build and package together.
    pub limit: Duration,
    /// Where its sources are fetched, if they are.
    pub fetch: FetchPlace,
    /// Run the recipe's own tests, too.
    pub check: bool,
    pub verdicts: Vec<Verdict>,
}

/// How a worker comes to its place.
#[derive(Debug, Clone)]
pub enum Action {
    /// Same build key, and the file still has its manifest's digest.
    Unchanged,
    /// The host builds it for itself and nobody else.
    BuildOwn(Arc<RecipeMeta>),
    /// Built once for all hosts that are alike; how, is known once all of them were seen.
    Share(Arc<RecipeMeta>, Option<Arc<Share>>),
    Send(Arc<Binary>),
    /// What is published; with the program, once it was loaded.
    Prebuilt(Arc<Asset>, Option<Arc<Binary>>),
}

impl WorkerPlan {
    /// The plan as one fragment.
    pub fn words(&self) -> String {
        let version = self.version.as_deref().map(|v| format!(" {v}")).unwrap_or_default();
        let what = format!("{}{version}", self.worker);
        match &self.action {
            Action::Unchanged => {
                let at = self.old.as_ref().map_or(self.dir.bin.as_str(), |old| old.path.as_str());
                format!("{what} is there ({at})")
            }
            Action::BuildOwn(_) => format!("build {what} on the host, install to {}", self.dir.words()),
            Action::Share(_, share) => {
                let how = match share.as_ref().map(|share| &share.first().source) {
                    None => format!("build {what}"),
                    Some(Source::Cache) => format!("send {what} from the cache"),
                    Some(Source::Host(offer)) => format!("take {what} from {}", offer.host),
                    Some(Source::Build(Place::Here)) => format!("build {what} here"),
                    Some(Source::Build(Place::Host(builder))) if *builder == self.host => {
                        format!("build {what} on the host")
                    }
                    Some(Source::Build(Place::Host(builder))) => format!("build {what} on {builder}"),
                };
                format!("{how}, install to {}", self.dir.words())
            }
            Action::Send(binary) => {
                format!(
                    "send {} ({}), install to {}",
                    binary.path.display(),
                    human_bytes(binary.size),
                    self.dir.words()
                )
            }
            Action::Prebuilt(asset, _) => format!("take {what} from {}, install to {}", asset.url, self.dir.words()),
        }
    }

    /// How a build on a host comes by its sources.
    pub(in crate::engine) fn sources<'a>(&self, run: &'a Run) -> Sources<'a> {
        match self.fetch {
            FetchPlace::Host => Sources::OnHost,
            FetchPlace::Controller => Sources::Sent(&run.gathering),
        }
    }

    /// Why this one, and why from there.
    pub fn reason(&self) -> String {
        match &self.action {
            Action::Share(_, Some(share)) => format!("{}; {}", self.why, share.words()),
            _ => self.why.clone(),
        }
    }

    /// The name that its program will have, as far as that is known before a build.
    pub fn program(&self) -> &str {
        match (&self.action, &self.old) {
            (Action::Send(binary), _) => &binary.program_name,
            (Action::Prebuilt(asset, _), _) => asset.worker.as_str(),
            (_, Some(old)) => old.path.rsplit('/').next().unwrap_or_default(),
            _ => self.worker.as_str(),
        }
    }

    pub const fn changes(&self) -> bool {
        !matches!(self.action, Action::Unchanged)
    }
}
