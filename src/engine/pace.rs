//! Tells how far a build is while it runs, and remembers on the host how long it took.
//!
//! What a build takes hangs on the machine, so it is the builder that keeps it: `build-times` in its cache has a line for
//! each worker, `ID SECONDS`, which the next run's probe reads on its way.

use std::time::{Duration, Instant};

use crate::{
    build::{Meter, Steps, is_bar},
    recipe::Environment,
    scope::{Emitter, Scope},
    target::{Captured, Command, Target, output::LineObserver},
    vocab::{EventKind, Facts, Forecast, Unit, WorkerId, text::sh_quote},
};

/// Workers whose times a host keeps.
const KEPT: u32 = 100;

/// Turns a build's lines into events, each time that they say something new.
#[derive(Debug)]
pub struct BuildProgress {
    emitter: Emitter,
    worker: WorkerId,
    started: Instant,
    meter: Meter,
    told: Option<Steps>,
}

impl BuildProgress {
    /// Says at once what is built, and how long it took the last time.
    pub fn begin(scope: &Scope, facts: &Facts, worker: &WorkerId) -> Self {
        let usual = facts.build_times.get(worker).copied();
        let progress = Self {
            emitter: scope.events().clone(),
            worker: worker.clone(),
            started: Instant::now(),
            meter: Meter::new(usual),
            told: None,
        };
        progress.tell(None);
        progress
    }

    fn tell(&self, steps: Option<Steps>) {
        let expected = self.meter.expected(self.started.elapsed());
        self.emitter.emit(EventKind::Progress {
            done: steps.map_or(0, |steps| steps.done),
            total: steps.map(|steps| steps.total),
            unit: steps.map_or(Unit::Units, |steps| steps.unit),
            forecast: Some(Forecast { worker: self.worker.clone(), expected }),
            source: None,
        });
    }
}

impl LineObserver for BuildProgress {
    fn line(&mut self, line: &str) -> bool {
        self.meter.line(line, self.started.elapsed());
        !is_bar(line)
    }

    // Once a chunk, so that a build that counts a million steps makes no more events than it makes output.
    fn pause(&mut self) {
        let steps = self.meter.steps();
        if steps != self.told {
            self.told = steps;
            self.tell(steps);
        }
    }
}

/// Makes cargo show its bar without a terminal, where the inventory does not say otherwise: nothing else tells how many
/// units there are.
pub fn ask_cargo(environment: &mut Environment) {
    for (name, value) in [("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "80")] {
        environment.variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
}

/// Keeps on the host how long a build took there; that it cannot is no failure.
pub async fn remember(
    scope: &Scope,
    target: &dyn Target,
    facts: &Facts,
    work: &str,
    worker: &WorkerId,
    took: Duration,
) {
    let script = script(&facts.dirs.cache, work, worker, took);
    let limited = scope.within("build times", Duration::from_secs(10));
    let _ = target.run(&limited, &Command::own("build times", script), &mut Captured::default()).await;
}

/// Written beside, in the work folder that is removed in any case, and renamed.
fn script(cache: &str, work: &str, worker: &WorkerId, took: Duration) -> String {
    format!(
        "f={}/build-times; n={}/build-times\n\
         {{ echo '{worker} {}'\n\
         [ ! -f \"$f\" ] || grep -v '^{} ' <\"$f\" | head -n {KEPT}; }} >\"$n\" && mv -f \"$n\" \"$f\"\n",
        sh_quote(cache),
        sh_quote(work),
        took.as_secs().max(1),
        worker.as_str().replace('.', "[.]"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_time_of_each_worker_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, work) = (dir.path().join("it's a cache"), dir.path().join("work"));
        for folder in [&cache, &work] {
            std::fs::create_dir(folder).unwrap();
        }
        for (worker, secs) in [("a.b+c", 5), ("axb+c", 7), ("a", 9), ("a.b+c", 12), ("z", 0)] {
            let worker = WorkerId::new(worker).unwrap();
            let took = Duration::from_secs(secs);
            let script = script(cache.to_str().unwrap(), work.to_str().unwrap(), &worker, took);
            assert!(std::process::Command::new("/bin/sh").arg("-c").arg(&script).status().unwrap().success());
        }
        let kept = std::fs::read_to_string(cache.join("build-times")).unwrap();
        assert_eq!(kept, "z 1\na.b+c 12\na 9\naxb+c 7\n");
        assert_eq!(std::fs::read_dir(work).unwrap().count(), 0);
    }
}
