//! How far a build is, as the common builders say it, and when it may be done.

use std::{borrow::Cow, time::Duration};

use crate::vocab::{Unit, text::plain_line};

/// How much the newest measurement weighs in the estimate.
const WEIGHT: f64 = 0.3;
/// Measurements nearer to each other than this say more about how jobs end together than about the speed.
const SAMPLE: Duration = Duration::from_secs(1);
/// Steps that took less than this together say nothing about those to come.
const SETTLED: Duration = Duration::from_secs(3);
/// Longer is "not soon"; more says nothing.
const FAR: f64 = 7.0 * 86_400.0;

/// Steps that are done, of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    pub done: u64,
    pub total: u64,
    /// [`Unit::Units`], or [`Unit::Percent`] of a builder that tells nothing else.
    pub unit: Unit,
}

/// Reads the progress in a line: `[12/206]` as ninja begins it, `[ 12%]` as make by cmake does, cargo's bar.
///
/// For the eye only: a build may print what it likes.
pub fn steps_of(line: &str) -> Option<Steps> {
    let line = plain(line)?;
    let line = line.trim_start();
    let (done, total, unit) = if let Some(tail) = line.strip_prefix("Building ").and_then(after_bar) {
        let words = tail.split([':', ' ']).next()?;
        let (done, total) = words.split_once('/')?;
        (number(done)?, number(total)?, Unit::Units)
    } else {
        let (inside, _) = line.strip_prefix('[')?.split_once(']')?;
        match inside.split_once('/') {
            Some((done, total)) => (number(done)?, number(total)?, Unit::Units),
            None => (number(inside.strip_suffix('%')?)?, 100, Unit::Percent),
        }
    };
    (total > 0 && done <= total).then_some(Steps { done, total, unit })
}

/// Whether a line is one of cargo's moving bars, which say nothing to who reads it later.
pub fn is_bar(line: &str) -> bool {
    let Some(line) = plain(line).filter(|line| line.len() < 400) else { return false };
    let line = line.trim_start();
    let Some((word, rest)) = line.split_once(' ') else { return false };
    let starts = ["Building", "Fetch", "Fetching", "Updating", "Downloading", "Unpacking", "Cleaning"];
    starts.contains(&word) && (after_bar(rest).is_some() || rest.contains(", remaining bytes: "))
}

/// The text without colours; `None` for most lines, which have neither bar nor count.
fn plain(line: &str) -> Option<Cow<'_, str>> {
    let begin = &line.as_bytes()[..line.len().min(200)];
    match (begin.contains(&b'['), begin.contains(&0x1b)) {
        (false, _) => begin.starts_with(b" Downloading ").then_some(Cow::Borrowed(line)),
        (true, false) => Some(Cow::Borrowed(line)),
        (true, true) => Some(Cow::Owned(plain_line(line))),
    }
}

/// What stands behind `[===>   ] `.
fn after_bar(text: &str) -> Option<&str> {
    let (bar, tail) = text.strip_prefix('[')?.split_once(']')?;
    let bar = bar.trim_start_matches('=');
    bar.strip_prefix('>').unwrap_or(bar).bytes().all(|byte| byte == b' ').then(|| tail.trim_start())
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = (1..=7).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Follows a build: its lines go in, and how far it is comes out.
///
/// # Theory of operation
/// A build is one or several builders one after the other, each counting its own steps: when the count falls back, a new
/// leg begins. What the steps of a leg took so far gives, smoothed, the end of it. The time that the last build took
/// here is trusted at first, and the less the further the steps are.
#[derive(Debug, Default)]
pub struct Meter {
    usual: Option<Duration>,
    steps: Option<Steps>,
    /// When the leg's first step was seen, and which that was.
    leg: (Duration, u64),
    /// Seconds from the begin of the build to the end of the leg, and when that was reckoned.
    estimate: Option<(f64, Duration)>,
}

impl Meter {
    /// `usual` is how long it took the last time.
    pub fn new(usual: Option<Duration>) -> Self {
        Self { usual, ..Self::default() }
    }

    /// Takes a line that came `elapsed` after the begin of the build.
    pub fn line(&mut self, line: &str, elapsed: Duration) {
        let Some(steps) = steps_of(line) else { return };
        if self.steps.is_none_or(|old| old.unit != steps.unit || steps.done < old.done) {
            self.leg = (elapsed, steps.done);
            self.estimate = None;
        }
        self.steps = Some(steps);
        let (begun, first) = self.leg;
        let (took, made) = (elapsed.saturating_sub(begun), steps.done - first);
        if made == 0 || took < SETTLED {
            return;
        }
        let rest = took.as_secs_f64() * (steps.total - steps.done) as f64 / made as f64;
        let now = elapsed.as_secs_f64() + rest;
        match &mut self.estimate {
            Some((_, at)) if elapsed.saturating_sub(*at) < SAMPLE => {}
            Some((estimate, at)) => (*estimate, *at) = (*estimate + WEIGHT * (now - *estimate), elapsed),
            none => *none = Some((now, elapsed)),
        }
    }

    pub fn steps(&self) -> Option<Steps> {
        self.steps
    }

    /// How long the build may take from its begin to its end, as seen when `elapsed` of it are over.
    pub fn expected(&self, elapsed: Duration) -> Option<Duration> {
        let usual = self.usual.filter(|usual| *usual > elapsed).map(|usual| usual.as_secs_f64());
        let share = self.steps.map_or(0.0, |steps| steps.done as f64 / steps.total as f64);
        let secs = match (self.estimate, usual) {
            (Some((estimate, _)), Some(usual)) => share * estimate + (1.0 - share) * usual,
            (Some((estimate, _)), None) => estimate,
            (None, usual) => usual?,
        };
        (secs < FAR).then(|| Duration::from_secs_f64(secs.max(0.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(done: u64, total: u64) -> Option<Steps> {
        Some(Steps { done, total, unit: Unit::Units })
    }

    fn percent(done: u64) -> Option<Steps> {
        Some(Steps { done, total: 100, unit: Unit::Percent })
    }

    #[test]
    fn ninja_make_and_cargo_are_understood() {
        assert_eq!(steps_of("[12/206] Building CXX object x.o"), units(12, 206));
        assert_eq!(steps_of("\u{1b}[32m[3/4]\u{1b}[0m Linking"), units(3, 4));
        assert_eq!(steps_of("[  3%] Building"), percent(3));
        assert_eq!(steps_of("[100%] \u{1b}[32m\u{1b}[1mLinking CXX executable x\u{1b}[0m"), percent(100));
        let bar = "    Building [===>                         ] 1/7: l4, l2                              ";
        assert_eq!(steps_of(bar), units(1, 7));
        let coloured = "\u{1b}[1m\u{1b}[96m    Building\u{1b}[0m [=======>     ] 2/7: l3, l1(build)  ";
        assert_eq!(steps_of(coloured), units(2, 7));
        assert_eq!(steps_of("\u{1b}[K    Building [============] 7/7"), units(7, 7));
    }

    #[test]
    fn whatever_else_a_build_prints_is_no_progress() {
        for line in [
            "",
            "[DONE]",
            "[",
            "[]",
            "[/]",
            "[%]",
            "[1/0] x",
            "[0/0]",
            "[7/3] x",
            "[-1/3]",
            "[101%]",
            "[1/99999999999999999999]",
            "[1/2/3]",
            "x [1/2]",
            "[é%]",
            "[+1/2]",
            "Building [1/2]",
            "Building [==> ] é/2",
            "Building [==> ] 3/2",
            "Building [==> 1/2",
            "\u{1b}[",
            "\u{1b}[31m",
        ] {
            assert_eq!(steps_of(line), None, "{line:?}");
        }
    }

    #[test]
    fn only_moving_bars_are_kept_out_of_the_log() {
        for bar in [
            "    Building [===>                         ] 1/7: l4, l2             ",
            "\u{1b}[1m\u{1b}[96m       Fetch\u{1b}[0m [====>      ] 45.01%, 1.2MiB/s",
            "    Updating [=>        ] 3.10%",
            " Downloading 12 crates, remaining bytes: 4.2MB",
        ] {
            assert!(is_bar(bar), "{bar}");
        }
        for line in [
            "[12/206] Building CXX object x.o",
            "   Compiling x v0.1.0 (/src/[x])",
            " Downloading crates ...",
            "Building [CXX] object",
            "Building target [x]",
            "    Updating crates.io index",
        ] {
            assert!(!is_bar(line), "{line}");
        }
    }

    #[test]
    fn the_end_is_foreseen_from_steps_and_from_the_last_time() {
        let secs = Duration::from_secs;
        let mut fresh = Meter::new(None);
        assert_eq!(fresh.expected(secs(1)), None);
        let mut known = Meter::new(Some(secs(400)));
        assert_eq!(known.expected(secs(1)), Some(secs(400)));
        // Ten seconds of configuring, then a step a second.
        for step in 0..=100 {
            for meter in [&mut fresh, &mut known] {
                meter.line(&format!("[{step}/200] x"), secs(10 + step));
            }
        }
        assert_eq!(fresh.steps(), units(100, 200));
        assert_eq!(fresh.expected(secs(110)), Some(secs(210)));
        assert_eq!(known.expected(secs(110)), Some(secs(305)), "halfway, both count the same");
        for step in 101..=200 {
            known.line(&format!("[{step}/200] x"), secs(10 + step));
        }
        assert_eq!(known.expected(secs(210)), Some(secs(210)));
        // What took longer than the last time is no longer measured by it.
        assert_eq!(Meter::new(Some(secs(5))).expected(secs(6)), None);
    }

    #[test]
    fn a_second_builder_counts_anew_and_odd_numbers_do_no_harm() {
        let secs = Duration::from_secs;
        let mut meter = Meter::new(None);
        meter.line("[1/2]", secs(1));
        meter.line("[2/2]", secs(60));
        meter.line("[  1%]", secs(61));
        assert_eq!((meter.steps(), meter.expected(secs(61))), (percent(1), None));
        meter.line("[2/3]", secs(0));
        meter.line("[3/2]", secs(0));
        meter.line("[1/9999999]", secs(1));
        meter.line("[2/9999999]", secs(90_000));
        assert_eq!(meter.expected(secs(90_000)), None, "some thousand years");
        meter.line("[9999999/9999999]", Duration::MAX);
        meter.expected(Duration::ZERO);
        assert_eq!(Meter::new(Some(Duration::MAX)).expected(Duration::ZERO), None);
    }
}
