//! A run that is ended at any moment leaves nothing, wherever it was.
//!
//! What must not be left is told by a word in its arguments, which the program itself knows nothing of.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Live, Ran, Stage},
    support::{processes_with, token, until_seen},
};

/// What a cancel may take after the grace, and room for a machine that has more to do.
pub const AFTER_GRACE: Duration = Duration::from_secs(2 + 3);
pub const GRACE: Duration = Duration::from_millis(500);
/// Zeros after the program, so that its transfer takes a moment.
const BALLAST: u64 = 16 << 20;
/// Places at a time.
const LANES: usize = 6;

/// How often each moment is tried.
pub fn rounds() -> usize {
    std::env::var("RBEE_SOAK").map_or(10, |text| text.parse().expect("RBEE_SOAK is a number"))
}

/// Each of its phases takes some 400 ms, ignores TERM and leaves children: one that forked twice into a session of its
/// own, and one without any environment. So does the program that it makes, when it is asked for its version.
pub fn recipe(stage: &Stage, token: &str) -> String {
    let plague = format!(
        "setsid sh -c 'setsid sleep {token} </dev/null >/dev/null 2>&1 & exit 0' &\n  \
         env -i setsid sleep {token} </dev/null >/dev/null 2>&1 &\n"
    );
    let functions = format!(
        r#"plague() {{
  {plague}  trap '' TERM
  sleep {token} &
  for i in 1 2 3 4; do sleep 0.1; done
}}
plague
build() {{ plague; }}
package() {{
  plague
  mkdir -p "$pkgdir/usr/local/bin"
  cat >"$pkgdir/usr/local/bin/stubborn" <<'EOF'
#!/bin/sh
trap '' TERM
{plague}sleep 0.4
echo stubborn 1.0
exit
EOF
  head -c {BALLAST} /dev/zero >>"$pkgdir/usr/local/bin/stubborn"
  chmod 755 "$pkgdir/usr/local/bin/stubborn"
}}
"#
    );
    stage.recipe("stubborn", &functions)
}

/// One round, told when it goes wrong.
struct Round<'a> {
    stage: &'a Stage,
    host: &'a str,
    token: String,
}

impl Round<'_> {
    fn start(&self, flags: &str) -> Live {
        let recipe = recipe(self.stage, &self.token);
        self.stage.start(&format!("fleet install {recipe} -H {} --build host --reinstall {flags}", self.host))
    }

    fn check(&self, ran: &Ran, code: i32, took: Duration, limit: Duration, moment: &str) {
        let installed = self.stage.bin(self.host).join("stubborn");
        // It may have been too late: then all of it was done.
        if ran.code == Some(0) {
            assert!(installed.exists(), "{moment}{ran}");
        } else {
            assert_eq!(ran.code, Some(code), "{moment}{ran}");
            assert!(took < limit, "took {took:?} after {moment}{ran}");
        }
        let left = processes_with(&self.token);
        let names: Vec<_> = left.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat"))).collect();
        for pid in left {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        assert!(names.is_empty(), "alive: {names:?} after {moment}{ran}");
        self.stage.is_clean(self.host, ran);
        if let Ok(data) = fs::metadata(&installed) {
            assert!(data.len() > BALLAST && data.mode() & 0o7777 == 0o755, "half installed: {data:?} {moment}{ran}");
        }
    }
}

/// Divides `rounds` among several places, and does `one` with each.
fn in_lanes(over_ssh: bool, rounds: usize, one: impl Fn(&Round<'_>, usize) + Sync) {
    thread::scope(|scope| {
        let one = &one;
        for lane in 0..LANES {
            scope.spawn(move || {
                let (stage, host) = if over_ssh { (Stage::new(&["one"]), "one") } else { (Stage::new(&[]), "local") };
                for nth in (lane..rounds).step_by(LANES) {
                    one(&Round { stage: &stage, host, token: token() }, nth);
                }
            });
        }
    });
}

pub const MOMENTS: [(&str, u64); 6] =
    [("fetch", 700), ("build", 700), ("package", 700), ("transfer", 60), ("verify", 400), ("install", 30)];

fn signals(over_ssh: bool) {
    in_lanes(over_ssh, MOMENTS.len() * rounds(), |round, nth| {
        let (phase, within) = MOMENTS[nth % MOMENTS.len()];
        let (signal, code) = if rand::random() { (Signal::SIGINT, 130) } else { (Signal::SIGTERM, 143) };
        let wait = Duration::from_millis(rand::random_range(0..within));
        let mut live = round.start("");
        assert!(live.until_phase(phase), "no {phase} {}", live.end());
        thread::sleep(wait);
        let asked = Instant::now();
        live.signal(signal);
        let ran = live.end();
        let moment = format!("{signal} {wait:?} into {phase}");
        round.check(&ran, code, asked.elapsed(), GRACE + AFTER_GRACE, &moment);
    });
}

fn deadline(over_ssh: bool) {
    in_lanes(over_ssh, rounds(), |round, _| {
        let limit = Duration::from_millis(rand::random_range(50..3500));
        let ran = round.start(&format!("--timeout {}ms", limit.as_millis())).end();
        round.check(&ran, 124, ran.took, limit + GRACE + AFTER_GRACE, &format!("a deadline of {limit:?}"));
    });
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_on_a_host() {
    signals(true);
}

#[test]
fn a_signal_at_any_moment_leaves_nothing_here() {
    signals(false);
}

#[test]
fn a_deadline_at_any_moment_leaves_nothing_on_a_host() {
    deadline(true);
}

#[test]
fn a_deadline_at_any_moment_leaves_nothing_here() {
    deadline(false);
}

/// Ignores TERM in its build, and says when it is there.
fn second_signal(stage: &Stage, host: &str) {
    let sleep = token();
    let recipe = stage.recipe(
        "deaf",
        &format!(
            "build() {{ trap '' TERM; env -i setsid sleep {sleep} & echo deaf; sleep {sleep}; }}\npackage() {{ :; }}\n"
        ),
    );
    let mut live = stage.start(&format!("fleet install {recipe} -H {host} --build host --grace 60s"));
    live.until_line("deaf");
    until_seen(&sleep, 2);
    live.signal(Signal::SIGINT);
    assert!(live.until(|event| event["type"] == "cancel" && event["stage"] == "asked").is_some());
    // The grace is what it waits for now.
    thread::sleep(Duration::from_secs(1));
    assert!(live.running(), "the grace was not waited for {}", live.end());
    let asked = Instant::now();
    live.signal(Signal::SIGINT);
    let ran = live.end().exits(130);
    assert!(asked.elapsed() < AFTER_GRACE, "{ran}");
    assert_eq!(processes_with(&sleep), [] as [u32; 0], "{ran}");
    stage.is_clean(host, &ran);
}

#[test]
fn a_second_signal_skips_the_grace() {
    let stage = Stage::new(&["one"]);
    second_signal(&stage, "one");
    second_signal(&stage, "local");
}
