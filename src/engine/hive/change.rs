//! What is one whole or nothing.

use std::{future::Future, sync::Arc};

use super::{Errand, RBEE};
use crate::{
    daemon::{self, Before, Ground, Keeper, Launch, PORT, port_of},
    engine::{Failure, InstallRequest, bench::Bench, install, job::Done, needs, phase::phase, request::Wanted},
    install::lock,
    preflight::binary::misfit,
    scope::Scope,
    target::{Captured, Command},
    vocab::{
        Level, Outcome, Phase, Reason,
        text::{human_duration, sh_quote},
    },
};

impl Errand<'_> {
    /// Brings rbee there and starts its hive; `restart` ends the one that runs, cancelling its jobs or not.
    pub(super) async fn bring(&self, ground: Ground, restart: Option<bool>) -> Result<Done, Failure> {
        let keeper = daemon::choose(&ground).map_err(|why| Failure::refused(why, None))?;
        let request = self.way()?;
        self.hold().await?;
        let ground = self.settle(ground).await?;
        let runs = ground.serving.is_some();
        if let (true, Some(now)) = (runs, restart) {
            self.wait_for_jobs(&ground, now).await?;
        }
        let launch = self.launch(&ground);
        self.whole(&ground, &keeper, async {
            if let (true, Some(true)) = (runs, restart) {
                self.end(&ground, true, true).await?;
            }
            let done = self.bring_program(request).await?;
            let set_up = self.set_up(&ground, &keeper, &launch).await?;
            if runs && !done.changed && !set_up && !ground.replaced && restart != Some(true) {
                return Ok(done);
            }
            if runs {
                self.end(&ground, false, true).await?;
            } else if restart.is_some() {
                return Ok(done.and(Done::changed("its hive did not run, and was not started")));
            }
            let started = self.start_and_wait(&keeper).await?;
            Ok(done.and(started))
        })
        .await
    }

    /// Starts what was set up.
    pub(super) async fn start(&self, ground: Ground) -> Result<Done, Failure> {
        let Some(keeper) = ground.kept_by() else {
            return Err(Failure::refused(
                "no hive is installed there",
                Some("rbee fleet hive install brings it".into()),
            ));
        };
        if let Some(process) = &ground.serving {
            let answers = self.status(ground.clone()).await?.meters.is_some();
            if answers {
                let words = format!("its hive runs: {} (process {})", process.version, process.pid);
                return Ok(Done::unchanged(words));
            }
            return Err(self.is_silent(process.pid));
        }
        self.hold().await?;
        let ground = self.settle(ground).await?;
        if ground.serving.is_some() {
            return Ok(Done::changed("its hive runs again: a change was taken back"));
        }
        self.whole(&ground, &keeper, self.start_and_wait(&keeper)).await
    }

    pub(super) fn is_silent(&self, pid: u32) -> Failure {
        Failure::new(format!("its hive (process {pid}) gives no answer"))
            .because(Some(Reason::Status))
            .hint(Some("rbee fleet hive stop --now ends it by its process"))
    }

    /// How rbee comes there: this very program, or built from its recipe.
    fn way(&self) -> Result<InstallRequest, Failure> {
        let own = &self.request.own;
        let why = own.binaries.first().and_then(|binary| misfit(&binary.program, &self.facts));
        let (Some((why, _)), recipe) = (why, &self.request.recipe) else { return Ok(own.clone()) };
        let Some(recipe) = recipe else {
            let hint = "name its source with --source DIR, a checkout of rbee, or URL: then it is built there";
            return Err(Failure::refused(format!("this rbee does not run there: {why}"), Some(hint.into())));
        };
        let text = format!("this rbee does not run there ({why}), so it is built from its source");
        self.scope.in_phase(Phase::Preflight).notice(Level::Info, text, None);
        Ok(InstallRequest { binaries: Vec::new(), worker: Some(Wanted::Recipe(recipe.clone())), ..own.clone() })
    }

    /// Keeps other runs away from this host's hive. Its jobs have the host's own lock, so this is another one.
    pub(super) async fn hold(&self) -> Result<(), Failure> {
        phase(self.scope, Phase::Preflight, Some(self.run.settings.limits.short), |scope| async move {
            daemon::register(&scope, self.target(), &self.places).await?;
            // The hive wants its folder for itself.
            let state = sh_quote(&self.places.state);
            let made = Command::own("state", format!("umask 077; mkdir -p -- {state} && chmod 700 {state}"));
            let mut said = Captured::default();
            if self.target().run(&scope, &made, &mut said).await?.status != 0 {
                return Err(Failure::new(format!("cannot make {}: {}", self.places.state, said.last_words())));
            }
            Ok(lock(&scope, self.target(), &self.places.state, &self.run.who).await?)
        })
        .await
    }

    /// Takes back what an earlier change left, and looks again.
    async fn settle(&self, ground: Ground) -> Result<Ground, Failure> {
        if ground.undone {
            phase(self.scope, Phase::Install, Some(self.run.settings.limits.short), |scope| async move {
                Ok(daemon::take_back(&scope, self.target(), &self.places).await?)
            })
            .await?;
            let text = "an earlier change did not come to its end; it was taken back";
            self.scope.in_phase(Phase::Install).notice(Level::Warning, text, None);
        }
        // Whoever held the lock before us may have changed it.
        self.survey().await
    }

    /// Does `step` wholly, or takes back what it did.
    async fn whole(
        &self,
        ground: &Ground,
        keeper: &Keeper,
        step: impl Future<Output = Result<Done, Failure>> + Send,
    ) -> Result<Done, Failure> {
        let (program, manifest, kept_by) = (self.program(), self.manifest()?, ground.kept_by());
        let before = Before {
            program: &program,
            manifest: &manifest,
            kept_by: kept_by.as_ref(),
            will_be: keeper,
            serving: ground.serving.as_ref().map(|process| (process.pid, process.start.as_str())),
        };
        let short = self.run.settings.limits.short;
        phase(self.scope, Phase::Preflight, Some(short), |scope| async move {
            Ok(daemon::begin(&scope, self.target(), &self.places, &before).await?)
        })
        .await?;
        match step.await {
            Ok(done) => {
                phase(self.scope, Phase::Install, Some(short), |scope| async move {
                    Ok(daemon::commit(&scope, self.target(), &self.places).await?)
                })
                .await?;
                Ok(done)
            }
            // The host takes it back when the target closes.
            Err(failure) if failure.outcome == Outcome::Cancelled => Err(failure),
            Err(failure) => Err(self.back(ground, failure).await),
        }
    }

    /// Takes a change back that failed.
    async fn back(&self, ground: &Ground, failure: Failure) -> Failure {
        let scope =
            self.scope.in_phase(Phase::Install).critical("taking the change back", self.run.settings.limits.short);
        if let Err(error) = daemon::take_back(&scope, self.target(), &self.places).await {
            let error = format!("{}; and it could not be taken back: {error}", failure.error);
            return Failure { error, ..failure };
        }
        let Some(old) = &ground.serving else { return failure };
        let words = match self.answers_again(&scope).await {
            Ok(pid) if pid == old.pid => format!("{} still runs", old.version),
            Ok(_) => format!("{} is back and answers", old.version),
            Err(error) => {
                let error =
                    format!("{}; {} was put back, and does not answer: {}", failure.error, old.version, error.error);
                return Failure { error, ..failure };
            }
        };
        let reason = Some(Reason::RolledBack).filter(|_| failure.phase == Some(Phase::Run));
        Failure { error: format!("{}; {words}", failure.error), ..failure.because(reason) }
    }

    /// rbee's own program, as any other: yields whether it changed.
    async fn bring_program(&self, request: InstallRequest) -> Result<Done, Failure> {
        let mut facts = (*self.facts).clone();
        if request.binaries.is_empty() {
            facts = needs::look(self.scope, self.run, self.host, self.target(), &request, facts).await?;
        }
        let bench = Arc::new(Bench::live(self.host, Arc::new(facts), self.target.clone()));
        let inside = self.run.sudo.inside();
        let mut findings = Vec::new();
        let (target, ticket) = (self.target(), self.ticket);
        let done =
            install::install(self.scope, self.run, &bench, target, &request, ticket, inside, &mut findings).await;
        bench.leave().await;
        Ok(Done { hint: None, ..done? })
    }

    fn launch(&self, ground: &Ground) -> String {
        let program = self.program();
        let mut search = self.facts.path.clone();
        search.extend(self.facts.extra_path().into_iter().map(str::to_owned));
        let port = self.request.port.or_else(|| ground.launch.as_deref().and_then(port_of));
        let launch = Launch {
            path: &program,
            home: &self.facts.home,
            search: &search,
            dirs: &self.facts.dirs,
            env: self.host.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            port: port.unwrap_or(PORT),
        };
        launch.text(&self.places)
    }

    /// Writes what starts it; false when that is there already.
    async fn set_up(&self, ground: &Ground, keeper: &Keeper, launch: &str) -> Result<bool, Failure> {
        let before = ground.kept_by();
        if ground.launch.as_deref() == Some(launch) && before.as_ref() == Some(keeper) {
            return Ok(false);
        }
        phase(self.scope, Phase::Install, Some(self.run.settings.limits.short), |scope| async move {
            Ok(daemon::set_up(&scope, self.target(), &self.places, keeper, launch, before.as_ref()).await?)
        })
        .await?;
        Ok(true)
    }

    async fn start_and_wait(&self, keeper: &Keeper) -> Result<Done, Failure> {
        let process = self.started(keeper).await?;
        let took = human_duration(process.took);
        let ground = self.survey().await?;
        self.say_lingering(&ground);
        let version = ground.serving.as_ref().map_or("?", |process| process.version.as_str());
        let port = ground.serving.as_ref().map_or(0, |process| process.port);
        Ok(Done::changed(format!(
            "{RBEE} {version} serves ({}, process {}, port {port}; it answered after {took})",
            keeper.as_str(),
            process.pid
        )))
    }

    async fn answers_again(&self, scope: &Scope) -> Result<u32, Failure> {
        self.until_healthy(scope, None, None).await
    }
}
