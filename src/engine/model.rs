//! The phases of a model's verbs on one host.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use super::{Failure, Finding, Run, dispatch::Ticket, job::Done, phase::phase};
use crate::{
    models::{
        ChoiceError, Hub, HubError, HubSettings, Manifest, ModelError, ModelRef, Options, RepoId, Room, Shipment, Wish,
        cache::{self, CachedRepo, Removal},
        deliver,
        plan::HostPlan,
        prepare,
    },
    preflight,
    scope::Scope,
    target::Target,
    vocab::{Host, Level, Outcome, Phase, Reason, text::human_bytes},
};

/// What is asked about models.
#[derive(Debug, Clone)]
pub enum ModelRequest {
    Download(Arc<Download>),
    /// What a cache holds, of one repository or of all.
    List {
        only: Option<RepoId>,
    },
    /// Whether what it holds is what its names say.
    Verify {
        only: Option<RepoId>,
    },
    /// A revision of a repository goes, or with none the whole of it.
    Remove {
        repo: RepoId,
        revision: Option<String>,
    },
    /// What is left of downloads that came to no end goes, and with `orphans` blobs that nothing uses.
    Clean {
        orphans: bool,
    },
}

/// One download, for all hosts of a run.
#[derive(Debug)]
pub struct Download {
    pub model: ModelRef,
    pub wish: Wish,
    /// The largest quantisation that fits all hosts.
    pub fits: bool,
    pub hub: HubSettings,
    pub options: Options,
    pub dry_run: bool,
    /// This machine's own cache.
    pub here: Option<PathBuf>,
    /// Asked of the hub once, by the first host that gets there.
    pub shipment: OnceCell<Result<Arc<Shipment>, Failure>>,
    pub rooms: Mutex<Vec<Room>>,
}

impl ModelRequest {
    pub fn changes(&self) -> bool {
        match self {
            Self::Download(download) => !download.dry_run,
            Self::List { .. } | Self::Verify { .. } => false,
            Self::Remove { .. } | Self::Clean { .. } => true,
        }
    }

    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Download(_) => "model download",
            Self::List { .. } => "model list",
            Self::Verify { .. } => "model verify",
            Self::Remove { .. } => "model remove",
            Self::Clean { .. } => "model clean",
        }
    }

    /// Whether no host may go on before all have been looked at.
    pub fn gathers(&self) -> bool {
        matches!(self, Self::Download(download) if download.fits)
    }
}

/// What a host said about its models.
#[derive(Debug, Clone)]
pub enum ModelFinding {
    /// What would be done.
    Plan {
        manifest: Box<Manifest>,
        plan: Box<HostPlan>,
    },
    Cache {
        folder: String,
        repos: Vec<CachedRepo>,
    },
    /// How many blobs were looked at, and which do not hold: repository, file or blob, and why.
    Proof {
        blobs: usize,
        bytes: u64,
        bad: Vec<(String, String, String)>,
    },
}

impl ModelFinding {
    pub fn words(&self) -> String {
        match self {
            Self::Plan { plan, .. } => plan.words(),
            Self::Cache { repos, .. } => {
                let size = repos.iter().map(CachedRepo::size).sum();
                format!("{} models, {}", repos.len(), human_bytes(size))
            }
            Self::Proof { blobs, bytes, bad } if bad.is_empty() => {
                format!("{blobs} blobs hold ({})", human_bytes(*bytes))
            }
            Self::Proof { blobs, bad, .. } => format!("{} of {blobs} blobs do not hold", bad.len()),
        }
    }
}

/// Does on one host what is asked about models.
pub async fn model(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    ticket: &Ticket,
    request: &ModelRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let short = Some(run.settings.limits.short * 2);
    match request {
        ModelRequest::Download(asked) => download(scope, run, host, target, ticket, asked, findings).await,
        ModelRequest::List { only } => {
            let listed = phase(scope, Phase::Model, short, |scope| async move {
                Ok(cache::list(&scope, target, only.as_ref()).await?)
            });
            let (folder, repos) = listed.await?;
            let found = ModelFinding::Cache { folder, repos };
            let words = found.words();
            findings.push(Finding::Model(found));
            Ok(Done::unchanged(words))
        }
        ModelRequest::Verify { only } => verify(scope, run, target, only.as_ref(), findings).await,
        ModelRequest::Remove { repo, revision } => {
            let removed = phase(scope, Phase::Model, short, |scope| async move {
                let (_, repos) = cache::list(&scope, target, Some(repo)).await?;
                let Some(found) = repos.first() else { return Ok(None) };
                let Some(removal) = Removal::of(found, revision.as_deref()) else { return Ok(None) };
                Ok(Some((cache::remove(&scope, target, repo, &removal).await?, removal)))
            });
            Ok(match removed.await? {
                None => Done::unchanged(format!("{repo} is not there")),
                Some((freed, removal)) => {
                    let what = if removal.all {
                        repo.to_string()
                    } else {
                        format!("{} of {repo}", removal.commits.join(", "))
                    };
                    Done::changed(format!("removed {what}, freed {}", human_bytes(freed)))
                }
            })
        }
        ModelRequest::Clean { orphans } => {
            let orphans = *orphans;
            let freed = phase(scope, Phase::Model, short, |scope| async move {
                let mut freed = 0_u64;
                for repo in cache::list(&scope, target, None).await?.1 {
                    let removal = Removal::left_over(&repo, orphans);
                    if !removal.is_nothing() {
                        freed = freed.saturating_add(cache::remove(&scope, target, &repo.repo, &removal).await?);
                    }
                }
                Ok(freed)
            });
            Ok(match freed.await? {
                0 => Done::unchanged("nothing is left over"),
                freed => Done::changed(format!("freed {}", human_bytes(freed))),
            })
        }
    }
}

/// A disk reads no slower than this, in bytes a second.
const READS: u64 = 20_000_000;

async fn verify(
    scope: &Scope,
    run: &Run,
    target: &dyn Target,
    only: Option<&RepoId>,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let short = run.settings.limits.short;
    let listed =
        phase(
            scope,
            Phase::Preflight,
            Some(short * 2),
            |scope| async move { Ok(cache::list(&scope, target, only).await?) },
        );
    let (_, repos) = listed.await?;
    if let (Some(only), true) = (only, repos.is_empty()) {
        return Err(Failure::new(format!("{only} is not there")).because(Some(Reason::Verify)));
    }
    let bytes: u64 = repos.iter().map(CachedRepo::size).sum();
    let blobs = repos.iter().map(|repo| repo.blobs.len()).sum();
    let limit = short * 2 + Duration::from_secs(bytes / READS);
    let proved = phase(scope, Phase::Verify, Some(limit), |scope| async move {
        let mut bad = Vec::new();
        for repo in &repos {
            let all: Vec<(String, u64)> = repo.blobs.iter().map(|(blob, size)| (blob.clone(), *size)).collect();
            let paths = || repo.revisions.values().flat_map(|revision| &revision.files);
            for (blob, why) in cache::prove_blobs(&scope, target, &repo.repo, &all, false).await? {
                let path = paths().find(|(_, name)| *name == blob).map_or(blob.clone(), |(path, _)| path.clone());
                bad.push((repo.repo.to_string(), path, why));
            }
            // A link to a blob that is not there is a file that is not there.
            for (path, _) in paths().filter(|(_, blob)| blob.len() > 1 && !repo.blobs.contains_key(blob)) {
                bad.push((repo.repo.to_string(), path.clone(), "it is not there".into()));
            }
        }
        Ok(bad)
    });
    let bad = proved.await?;
    let found = ModelFinding::Proof { blobs, bytes, bad };
    let words = found.words();
    let bad = matches!(&found, ModelFinding::Proof { bad, .. } if !bad.is_empty());
    findings.push(Finding::Model(found));
    if bad {
        let hint = Some("rbee model download fetches what is wrong again");
        return Err(Failure::new(words).because(Some(Reason::Verify)).hint(hint).in_phase(Phase::Verify));
    }
    Ok(Done::unchanged(words))
}

async fn download(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    ticket: &Ticket,
    asked: &Download,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    if asked.hub.offline {
        return offline(scope, run, target, asked).await;
    }
    if asked.fits {
        let room = phase(scope, Phase::Preflight, Some(run.settings.limits.short), |scope| async move {
            Ok(room(host, &preflight::probe(&scope, target).await?))
        });
        let room = room.await?;
        asked.rooms.lock().unwrap_or_else(PoisonError::into_inner).extend(room);
    }
    scope.race(ticket.gather()).await?;
    let prepared = phase(scope, Phase::Preflight, None, |scope| async move {
        let shipment = asked.shipment.get_or_init(|| ship(&scope, run, asked));
        let shipment = scope.race(shipment).await?.clone()?;
        // Asking the host has a limit; asking the hub has its patience.
        let plan = prepare(&scope, target, &shipment).await?;
        Ok((shipment, plan))
    });
    let (shipment, plan) = prepared.await?;
    let speak = scope.in_phase(Phase::Preflight);
    let finding = ModelFinding::Plan { manifest: Box::new(shipment.manifest.clone()), plan: Box::new(plan.clone()) };
    findings.push(Finding::Model(finding));
    if asked.dry_run {
        return Ok(Done { changed: plan.changes(), ..Done::unchanged(plan.words()) });
    }
    ticket.wait(scope).await?;
    speak.notice(Level::Info, plan.words(), None);
    let moved = phase(scope, Phase::Model, None, |scope| {
        let (shipment, plan) = (shipment.clone(), &plan);
        async move {
            let done = deliver(&scope, target, &shipment, plan).await;
            if done.is_err() && asked.options.clean {
                clean(&scope, target, &shipment).await;
            }
            Ok(done?)
        }
    });
    let done = moved.await?;
    let words = format!("{}: {}", asked.model.repo, done.words(shipment.manifest.size()));
    Ok(Done { changed: done.changed(), words: vec![words, done.snapshot], moved: Some(done.moved), hint: None })
}

/// Asks the hub, once for all hosts, and says what was chosen.
async fn ship(scope: &Scope, run: &Run, asked: &Download) -> Result<Arc<Shipment>, Failure> {
    let hub = Hub::new(asked.hub.clone()).map_err(ModelError::from)?;
    let tree = hub.tree(scope, &asked.model).await.map_err(ModelError::from)?;
    let mut wish = asked.wish.clone();
    let (hosts, smallest) = {
        let rooms = asked.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        (rooms.len(), rooms.iter().min_by_key(|room| room.bytes).cloned())
    };
    if asked.fits {
        let unknown =
            || Failure::refused("no host said how much memory it has", Some("--quant names one instead".into()));
        wish.fits = Some(smallest.ok_or_else(unknown)?);
    }
    let manifest = tree.choose(&asked.model, &wish)?;
    if let Some(why) = &manifest.chosen {
        scope.notice(Level::Info, format!("{}: {why}", manifest.repo), None);
    }
    let text = format!(
        "{} at {}: {} files, {}",
        manifest.repo,
        &manifest.commit[..12],
        manifest.files.len(),
        human_bytes(manifest.size())
    );
    scope.notice(Level::Info, text, None);
    let spool = run.settings.cache_dir.join("scratch").join(format!("{}-models", scope.events().run()));
    let hosts = hosts.max(run.hosts);
    let store = run.settings.cache_dir.join("models");
    Ok(Arc::new(Shipment::new(manifest, hub, asked.options.clone(), hosts, asked.here.clone(), spool, store)))
}

/// The memory that a model may take on this host: its largest GPU's, else its own.
fn room(host: &Host, facts: &crate::vocab::Facts) -> Option<Room> {
    match facts.gpus.iter().filter_map(|gpu| gpu.vram).max() {
        Some(bytes) => Some(Room { bytes, whose: format!("the GPU of {}", host.name) }),
        None => facts.memory.map(|bytes| Room { bytes, whose: format!("the memory of {}", host.name) }),
    }
}

/// What is there is all there can be.
async fn offline(scope: &Scope, run: &Run, target: &dyn Target, asked: &Download) -> Result<Done, Failure> {
    let limit = Some(run.settings.limits.short * 2);
    let listed = phase(scope, Phase::Preflight, limit, |scope| async move {
        let (folder, repos) = cache::list(&scope, target, Some(&asked.model.repo)).await?;
        let repo = repos.into_iter().next();
        let unknown = || ModelError::from(HubError::Offline(asked.model.to_string()));
        let repo = repo.ok_or_else(unknown)?;
        let commit =
            repo.commits_of(&asked.model.revision).first().map(|commit| (*commit).clone()).ok_or_else(unknown)?;
        let revision = &repo.revisions[&commit];
        let wanted = |path: &str| asked.model.file.as_deref().is_none_or(|file| file == path);
        let mut files = revision.files.iter().filter(|(path, _)| wanted(path)).peekable();
        if files.peek().is_none() || files.any(|(_, blob)| blob.len() > 1 && !repo.blobs.contains_key(blob)) {
            return Err(unknown().into());
        }
        Ok(format!("{folder}/{}/snapshots/{commit}", asked.model.repo.folder()))
    });
    let snapshot = listed.await?;
    Ok(Done { words: vec![format!("{} is there", asked.model), snapshot], ..Done::default() })
}

/// Removes the parts of what did not come to its end.
async fn clean(scope: &Scope, target: &dyn Target, shipment: &Shipment) {
    let scope = scope.critical("removing parts", Duration::from_secs(10));
    let parts = shipment.manifest.blobs().iter().map(|file| file.blob.to_string()).collect();
    let removal = Removal { parts, ..Removal::default() };
    if let Err(error) = cache::remove(&scope, target, &shipment.manifest.repo, &removal).await {
        scope.notice(Level::Warning, format!("the parts could not be removed: {error}"), None);
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let (text, reason, hint) = (error.to_string(), error.reason(), error.hint());
        match error {
            ModelError::Target(error) => error.into(),
            ModelError::Hub(HubError::Stopped(stop)) => stop.into(),
            ModelError::Refused(..) | ModelError::Room { .. } => Self::refused(text, hint),
            ModelError::Hub(HubError::Unreachable { .. } | HubError::Write { .. }) => {
                Self::new(text).because(reason).hint(hint)
            }
            ModelError::Hub(_) => Self::refused(text, hint),
            _ => Self::new(text).because(reason).hint(hint),
        }
    }
}

impl From<ChoiceError> for Failure {
    fn from(error: ChoiceError) -> Self {
        Self { outcome: Outcome::Refused, ..Self::refused(error.to_string(), None) }
    }
}
