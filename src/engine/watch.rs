//! Decides when a build has taken too long: a limit that yields to progress, and one for standing still.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::{
    scope::{Alarm, Scope, Stop},
    target::{Captured, Command, Target, output::Activity},
    vocab::{Level, text::human_duration},
};

/// Output within this time is progress.
const FRESH: Duration = Duration::from_secs(60);
/// So many times its limit a build that progresses may take.
const STRETCH: u32 = 4;

/// What is known of a build at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    elapsed: Duration,
    /// Without output.
    quiet: Duration,
    /// Without output and without CPU time.
    idle: Duration,
    stretched: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    /// Over the limit, but it moves.
    Stretch,
    TooLong,
    Idle,
}

fn judge(look: Look, limit: Duration, idle_limit: Duration) -> Verdict {
    if look.idle >= idle_limit {
        Verdict::Idle
    } else if look.elapsed >= limit * STRETCH || (look.elapsed >= limit && look.quiet >= FRESH) {
        Verdict::TooLong
    } else if look.elapsed >= limit && !look.stretched {
        Verdict::Stretch
    } else {
        Verdict::GoOn
    }
}

/// What a watched build may take.
pub struct Watch<'a> {
    pub operation: String,
    pub started: Instant,
    pub limit: Duration,
    pub idle_limit: Duration,
    /// Where the build's driver wrote its session.
    pub work: &'a str,
}

/// Rings the alarm when the build has taken too long; ends soon after `done`, never in the middle of a look.
pub async fn watch(
    scope: &Scope,
    target: &dyn Target,
    activity: Activity,
    alarm: &Alarm,
    watch: &Watch<'_>,
    done: &CancellationToken,
) {
    let mut stretched = false;
    let mut cpu = (String::new(), Instant::now());
    let mut sampled = Instant::now();
    // While the host is out of reach nothing is known of the build, and its clock stands still.
    let (mut absent, mut last) = (Duration::ZERO, Instant::now());
    loop {
        if tokio::time::timeout(Duration::from_millis(250), done.cancelled()).await.is_ok() {
            return;
        }
        let turn = std::mem::replace(&mut last, Instant::now()).elapsed();
        if target.away() {
            absent += turn;
            activity.touch();
            continue;
        }
        let quiet = activity.idle();
        let pause = (watch.idle_limit / 10).clamp(Duration::from_millis(200), Duration::from_secs(20));
        if quiet >= pause && sampled.elapsed() >= pause {
            sampled = Instant::now();
            if let Some(now) = cpu_time(scope, target, watch.work).await
                && now != cpu.0
            {
                cpu = (now, Instant::now());
            }
        }
        let look = Look {
            elapsed: watch.started.elapsed().saturating_sub(absent),
            quiet,
            idle: quiet.min(cpu.1.elapsed()),
            stretched,
        };
        let stop = |limit| Stop::TimedOut { operation: watch.operation.clone(), limit };
        match judge(look, watch.limit, watch.idle_limit) {
            Verdict::GoOn => {}
            Verdict::Stretch => {
                stretched = true;
                scope.notice(
                    Level::Warning,
                    format!(
                        "{} is over its limit of {} but still progresses; it may go on until {}",
                        watch.operation,
                        human_duration(watch.limit),
                        human_duration(watch.limit * STRETCH)
                    ),
                    None,
                );
            }
            Verdict::TooLong => alarm.ring(stop(watch.limit)),
            Verdict::Idle => {
                let operation = format!("{} without output or CPU time", watch.operation);
                alarm.ring(Stop::TimedOut { operation, limit: watch.idle_limit });
            }
        }
    }
}

/// Ticks that the build's session has used so far, as text that is only compared.
async fn cpu_time(scope: &Scope, target: &dyn Target, work: &str) -> Option<String> {
    let script = format!(
        "read -r w <{}/session || exit 1\n\
         if [ -r /proc/self/stat ]; then\n\
         for d in /proc/[0-9]*/stat; do\n\
         {{ read -r s <\"$d\"; }} 2>/dev/null || continue\n\
         set -- ${{s##*) }}; [ \"$4\" = \"$w\" ] && echo \"$d ${{12}} ${{13}} ${{14}} ${{15}}\"\n\
         done\n\
         else ps -A -o sess= -o pid= -o time= | while read -r s p; do [ \"$s\" = \"$w\" ] && echo \"$p\"; done; fi; :\n",
        crate::vocab::text::sh_quote(work)
    );
    let limited = scope.within("cpu time", Duration::from_secs(10));
    let mut said = Captured::default();
    let exit = target.run(&limited, &Command::own("cpu time", script), &mut said).await.ok()?;
    (exit.status == 0).then(|| said.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_that_moves_is_given_time_and_one_that_stands_is_not() {
        let secs = Duration::from_secs;
        let look = |elapsed, quiet, idle, stretched| Look {
            elapsed: secs(elapsed),
            quiet: secs(quiet),
            idle: secs(idle),
            stretched,
        };
        let judged = |l| judge(l, secs(600), secs(300));
        assert_eq!(judged(look(500, 400, 10, false)), Verdict::GoOn, "a long link step uses the CPU");
        assert_eq!(judged(look(500, 300, 300, false)), Verdict::Idle);
        assert_eq!(judged(look(600, 5, 5, false)), Verdict::Stretch);
        assert_eq!(judged(look(700, 5, 5, true)), Verdict::GoOn);
        assert_eq!(judged(look(700, 60, 5, true)), Verdict::TooLong);
        assert_eq!(judged(look(2400, 0, 0, true)), Verdict::TooLong);
    }
}
