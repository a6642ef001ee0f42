//! A host's own hive: rbee brought there, started, looked at, ended.
//!
//! # Theory of operation
//! Every verb that changes something is a [`change`]: registered with the host's supervisor before it begins, so that whatever
//! stops it, the host takes it back. rbee's own program comes by the same way as any worker's (beside its place, verified,
//! run once, renamed, the one before kept). A hive is not ended before its successor is there, and not before its jobs have
//! ended, unless they were to be cancelled.

mod change;
mod ending;
mod starting;

use std::sync::Arc;

use super::{
    Failure, Finding, InstallRequest, Run, dispatch::Ticket, job, job::Done, phase::phase, query,
    query::InstalledState, undo,
};
use crate::{
    daemon::{self, DaemonError, Ground, Keeper, Places},
    install::Layout,
    preflight::install_dir::{InstallDir, choose},
    scope::Scope,
    target::Target,
    vocab::{Facts, Host, Level, Manifest, Phase, RecipeMeta, WorkerId, vercmp},
};

/// What is asked of the hives of hosts.
#[derive(Debug, Clone)]
pub struct HiveRequest {
    pub task: HiveTask,
    /// rbee's own program, as one that is installed without a build.
    pub own: InstallRequest,
    /// Its recipe, for hosts that this program does not run on.
    pub recipe: Option<Arc<RecipeMeta>>,
    /// Of this program.
    pub version: String,
    pub port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiveTask {
    Install,
    Start,
    /// `now` cancels its jobs.
    Stop {
        now: bool,
    },
    Status,
    /// `older` takes even a program that is older than what is there.
    Upgrade {
        now: bool,
        older: bool,
    },
    Remove {
        now: bool,
        /// Its state, too.
        purge: bool,
    },
}

impl HiveTask {
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Install => "hive install",
            Self::Start => "hive start",
            Self::Stop { .. } => "hive stop",
            Self::Status => "hive status",
            Self::Upgrade { .. } => "hive upgrade",
            Self::Remove { .. } => "hive remove",
        }
    }

    pub const fn changes(self) -> bool {
        !matches!(self, Self::Status)
    }
}

/// What became of a host's hive.
#[derive(Debug, Clone)]
pub struct HiveFinding {
    pub state: HiveState,
    pub installed: Option<(Manifest, InstalledState)>,
    pub ground: Ground,
    pub meters: Option<daemon::Meters>,
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiveState {
    /// Neither installed nor running.
    Absent,
    Stopped,
    Running,
    /// Its process is there and gives no answer.
    Silent,
}

impl HiveState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Silent => "silent",
        }
    }
}

impl HiveFinding {
    pub fn words(&self) -> String {
        let Some(process) = &self.ground.serving else { return self.state.as_str().to_owned() };
        let jobs = match self.meters.as_ref().map(daemon::Meters::left) {
            None => String::new(),
            Some(1) => ", 1 job".into(),
            Some(n) => format!(", {n} jobs"),
        };
        format!("{} {} (process {}{jobs})", self.state.as_str(), process.version, process.pid)
    }

    /// What a person should know besides.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.ground.replaced {
            notes.push("another program is at its place than the one that runs".to_owned());
        }
        if self.ground.undone {
            notes.push("a change did not come to its end; the next one takes it back first".to_owned());
        }
        if let Some((manifest, state)) = &self.installed
            && *state != InstalledState::Intact
        {
            notes.push(format!("{} is {}", manifest.path, state.as_str()));
        }
        if self.ground.stale {
            notes.push("it did not end by itself: its last process is gone without a word".to_owned());
        }
        notes.extend(lingering(&self.ground).map(|(text, _)| text));
        notes
    }
}

/// What does not outlive a login or a reboot, and what would change that.
fn lingering(ground: &Ground) -> Option<(String, Option<String>)> {
    match ground.kept_by()? {
        Keeper::Systemd { .. } if ground.lingers == Some(false) => Some((
            "it ends with the user's last login there, and does not start with the machine".into(),
            Some("loginctl enable-linger there (as root: with the user's name) lets it stay".into()),
        )),
        Keeper::Session { .. } => Some((
            "nothing there starts it again after a crash or a reboot: there is no systemd for the user".into(),
            None,
        )),
        _ => None,
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Target(error) => error.into(),
            error => Self::new(error.to_string()),
        }
    }
}

/// Does on one host what is asked of its hive.
pub async fn hive(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &Arc<dyn Target>,
    ticket: &Ticket,
    request: &HiveRequest,
    findings: &mut Vec<Finding>,
) -> Result<Done, Failure> {
    let facts = Arc::new(job::facts(scope, run, &**target).await?);
    let dir = choose(&facts, false).map_err(|why| Failure::refused(why.to_string(), None))?;
    let places = Places::new(&facts.dirs.state);
    let errand = Errand { scope, run, host, target, ticket, request, facts, places, dir };
    let ground = errand.survey().await?;
    match request.task {
        HiveTask::Status => {
            let found = errand.status(ground).await?;
            let words = found.words();
            findings.push(Finding::Hive(Box::new(found)));
            Ok(Done::unchanged(words))
        }
        HiveTask::Install => errand.install(ground).await,
        HiveTask::Start => errand.start(ground).await,
        HiveTask::Stop { now } => errand.stop(ground, now).await,
        HiveTask::Upgrade { now, older } => errand.upgrade(ground, now, older).await,
        HiveTask::Remove { now, purge } => errand.remove(ground, now, purge).await,
    }
}

/// One host, and what is known of it.
struct Errand<'a> {
    scope: &'a Scope,
    run: &'a Run,
    host: &'a Host,
    target: &'a Arc<dyn Target>,
    ticket: &'a Ticket,
    request: &'a HiveRequest,
    facts: Arc<Facts>,
    places: Places,
    dir: InstallDir,
}

impl Errand<'_> {
    fn target(&self) -> &dyn Target {
        &**self.target
    }

    /// rbee as it is installed where it would go to.
    fn installed(&self) -> Option<&Manifest> {
        let here = |manifest: &&Manifest| {
            manifest.worker.as_str() == RBEE
                && manifest.path.rsplit_once('/').is_some_and(|(folder, _)| folder == self.dir.bin)
        };
        self.facts.installed.iter().find(here)
    }

    /// Where it is, or would be.
    fn program(&self) -> String {
        self.installed().map_or_else(|| format!("{}/{RBEE}", self.dir.bin), |manifest| manifest.path.clone())
    }

    fn manifest(&self) -> Result<String, Failure> {
        let id = WorkerId::new(RBEE).map_err(|error| Failure::new(error.to_string()))?;
        Ok(Layout::new(&self.dir.bin, &self.dir.data).manifest(&id))
    }

    async fn survey(&self) -> Result<Ground, Failure> {
        phase(self.scope, Phase::Preflight, Some(self.run.settings.limits.short), |scope| async move {
            Ok(daemon::survey(&scope, self.target(), &self.places).await?)
        })
        .await
    }

    async fn state_of_program(&self) -> Result<Option<(Manifest, InstalledState)>, Failure> {
        let Some(manifest) = self.installed() else { return Ok(None) };
        let limit = Some(self.run.settings.limits.short * 2);
        let states = phase(self.scope, Phase::Verify, limit, |scope| async move {
            query::states(&scope, self.target(), std::iter::once(manifest)).await
        });
        Ok(states.await?.into_iter().next().map(|status| (status.manifest, status.state)))
    }

    async fn status(&self, ground: Ground) -> Result<HiveFinding, Failure> {
        let installed = self.state_of_program().await?;
        let mut meters = None;
        let state = match &ground.serving {
            None if installed.is_none() && ground.launch.is_none() => HiveState::Absent,
            None => HiveState::Stopped,
            Some(_) => {
                meters = phase(self.scope, Phase::Run, Some(self.run.settings.limits.short), |scope| async move {
                    Ok(daemon::status(&scope, self.target(), &self.places).await?)
                })
                .await?;
                if meters.is_some() { HiveState::Running } else { HiveState::Silent }
            }
        };
        Ok(HiveFinding { state, installed, ground, meters, log: self.places.log() })
    }

    async fn install(&self, ground: Ground) -> Result<Done, Failure> {
        let Some(process) = &ground.serving else { return self.bring(ground, None).await };
        if ground.kept_by().is_none() || self.installed().is_none() {
            let text =
                format!("a hive that was started by hand runs there (process {}, {})", process.pid, process.path);
            return Err(Failure::refused(text, Some("end it first: rbee fleet hive stop".into())));
        }
        let mut done = Done::unchanged(format!("its hive runs: {} (process {})", process.version, process.pid));
        if process.version != self.request.version {
            done.hint = Some(format!("rbee fleet hive upgrade brings {}", self.request.version));
        }
        Ok(done)
    }

    async fn upgrade(&self, ground: Ground, now: bool, older: bool) -> Result<Done, Failure> {
        let (Some(old), Some(_)) = (self.installed(), ground.kept_by()) else {
            let hint = Some("rbee fleet hive install brings it".into());
            return Err(Failure::refused("no hive is installed there", hint));
        };
        let mine = &self.request.version;
        if !older && vercmp(mine, &old.version).is_lt() {
            let text = format!("it has {}, which is newer than this rbee ({mine})", old.version);
            return Err(Failure::refused(text, Some("--older takes this one all the same".into())));
        }
        if self.is_the_same(old).await? && !ground.replaced {
            return Ok(Done::unchanged(format!("{} {} is there", old.worker, old.version)));
        }
        self.bring(ground, Some(now)).await
    }

    /// Whether what is there is this very program.
    async fn is_the_same(&self, old: &Manifest) -> Result<bool, Failure> {
        let Some(binary) = self.request.own.binaries.first() else { return Ok(false) };
        let mine = self.scope.race(binary.digest.wait()).await?.map_err(Failure::new)?;
        let state = self.state_of_program().await?;
        Ok(mine == old.digest && matches!(state, Some((_, InstalledState::Intact))))
    }

    async fn remove(&self, ground: Ground, now: bool, purge: bool) -> Result<Done, Failure> {
        let keeper = ground.kept_by();
        if ground.serving.is_none() && keeper.is_none() && self.installed().is_none() && !purge {
            return Ok(Done::unchanged("no hive is installed there"));
        }
        self.hold().await?;
        let mut done = match ground.serving {
            Some(_) => self.stop(ground.clone(), now).await?,
            None => Done::default(),
        };
        let id = WorkerId::new(RBEE).map_err(|error| Failure::new(error.to_string()))?;
        if self.installed().is_some() {
            let inside = self.run.sudo.inside();
            let (run, host) = (self.run, self.host);
            let gone = undo::remove(self.scope, run, host, self.target(), &self.facts, &id, false, inside).await?;
            done = done.and(gone);
        }
        if keeper.is_some() || purge {
            let keeper = keeper.unwrap_or(Keeper::Session { by: "setsid".into() });
            phase(self.scope, Phase::Install, Some(self.run.settings.limits.short), |scope| async move {
                Ok(daemon::take_down(&scope, self.target(), &self.places, &keeper, purge).await?)
            })
            .await?;
            let state = match purge {
                true => format!("removed {}", self.places.state),
                false => format!("its jobs and its log stay in {}", self.places.state),
            };
            done = done.and(Done::changed(state));
        }
        Ok(done)
    }

    fn say_lingering(&self, ground: &Ground) {
        if let Some((text, hint)) = lingering(ground) {
            self.scope.in_phase(Phase::Run).notice(Level::Warning, text, hint);
        }
    }
}

/// The id that rbee's own program has among what is installed.
const RBEE: &str = "rbee";
