//! How far something has come, how fast it moves, and when it will be there.

use std::time::{Duration, SystemTime};

use super::sentence::{amount, span};
use crate::vocab::{Origin, Unit};

/// How much the newest measurement weighs in the rate.
const WEIGHT: f64 = 0.3;
/// Measurements nearer to each other than this say more about the sender's buffers than about the speed.
const SAMPLE: Duration = Duration::from_millis(500);

/// Cells of a bar; with fewer it says less than the number beside it.
const LEAST_CELLS: usize = 5;
const MOST_CELLS: usize = 24;

/// The progress of one host in one phase.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    done: u64,
    total: Option<u64>,
    unit: Unit,
    /// The measurement that the rate was last taken from.
    sample: (SystemTime, u64),
    /// Per second.
    rate: Option<f64>,
    source: Option<Origin>,
}

impl Gauge {
    pub(super) fn new(at: SystemTime, done: u64, total: Option<u64>, unit: Unit) -> Self {
        Self { done, total, unit, sample: (at, done), rate: None, source: None }
    }

    /// The same, of bytes that come from there.
    pub(super) fn out_of(self, source: Option<Origin>) -> Self {
        Self { source, ..self }
    }

    /// So much more is to come, and so much of it is there, which says nothing about the rate.
    pub(super) fn join(&mut self, done: u64, total: u64) {
        self.done = self.done.saturating_add(done);
        self.sample.1 = self.sample.1.saturating_add(done);
        self.total = Some(self.total.unwrap_or_default().saturating_add(total));
    }

    pub(super) fn update(&mut self, at: SystemTime, done: u64, total: Option<u64>, unit: Unit) {
        if unit != self.unit || done < self.done {
            *self = Self::new(at, done, total, unit).out_of(self.source);
            return;
        }
        (self.done, self.total) = (done, total);
        let (then, before) = self.sample;
        let passed = at.duration_since(then).unwrap_or_default();
        if passed >= SAMPLE {
            let now = (done - before) as f64 / passed.as_secs_f64();
            self.rate = Some(self.rate.map_or(now, |rate| rate + WEIGHT * (now - rate)));
            self.sample = (at, done);
        }
    }

    /// Between 0 and 1, when there is a total.
    fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).min(1.0))
    }

    /// How many tenths of it there are.
    pub(super) fn tenths(&self) -> u8 {
        self.fraction().map_or(0, |fraction| (fraction * 10.0) as u8)
    }

    /// `1.2 GB of 2.4 GB (50%), 45 MB/s, 26s left, from the hub`.
    pub(super) fn words(&self) -> String {
        let done = amount(self.done, self.unit);
        match self.total_and_percent() {
            Some((total, percent)) => format!("{done} of {total} ({percent}%){}", self.pace()),
            None => done + &self.pace(),
        }
    }

    /// `[=====>    ] 50% of 2.4 GB, 45 MB/s, 26s left` in `width` columns, with as much of a bar as they allow; the words
    /// alone without a total.
    pub(super) fn bar(&self, width: usize) -> String {
        let (Some(fraction), Some((total, percent))) = (self.fraction(), self.total_and_percent()) else {
            return self.words();
        };
        let words = format!("{percent}% of {total}{}", self.pace());
        let cells = width.saturating_sub(words.len() + "[] ".len()).min(MOST_CELLS);
        if cells < LEAST_CELLS {
            return words;
        }
        let full = (fraction * cells as f64) as usize;
        let tip = if full < cells { ">" } else { "" };
        format!("[{:<cells$}] {words}", "=".repeat(full) + tip)
    }

    fn total_and_percent(&self) -> Option<(String, u8)> {
        Some((amount(self.total?, self.unit), (self.fraction()? * 100.0) as u8))
    }

    /// `, 45 MB/s, 26s left, from the hub`, as far as it is known.
    fn pace(&self) -> String {
        let rate = self.rate.map(|rate| format!(", {}/s", amount(rate.round() as u64, self.unit)));
        let left = self.left().map(|left| format!(", {} left", span(left)));
        let source = match self.source {
            Some(Origin::Hub) => ", from the hub",
            Some(Origin::Controller) => ", from this machine",
            None => "",
        };
        rate.unwrap_or_default() + &left.unwrap_or_default() + source
    }

    fn left(&self) -> Option<Duration> {
        let rest = self.total?.checked_sub(self.done).filter(|rest| *rest > 0)?;
        let secs = rest as f64 / self.rate.filter(|rate| *rate > 0.0)?;
        // A day is "not soon"; more says nothing.
        (secs < 86_400.0).then(|| Duration::from_secs(secs.ceil() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_end_are_told_when_they_are_known() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let mut gauge = Gauge::new(at(0), 0, Some(400_000_000), Unit::Bytes);
        assert_eq!(gauge.words(), "0 B of 400 MB (0%)");
        gauge.update(at(100), 1_000_000, Some(400_000_000), Unit::Bytes);
        assert_eq!(gauge.words(), "1.0 MB of 400 MB (0%)");
        gauge.update(at(2000), 100_000_000, Some(400_000_000), Unit::Bytes);
        assert_eq!(gauge.bar(44), "[==>     ] 25% of 400 MB, 50.0 MB/s, 6s left");
        gauge.update(at(8000), 400_000_000, Some(400_000_000), Unit::Bytes);
        assert_eq!(gauge.bar(60), "[========================] 100% of 400 MB, 50.0 MB/s");
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let mut gauge = Gauge::new(at(5000), 7, Some(0), Unit::Items);
        assert_eq!(gauge.bar(10), "7");
        gauge.update(at(0), u64::MAX, Some(1), Unit::Items);
        assert!(gauge.bar(10).starts_with("100% of 1"), "{}", gauge.bar(10));
        gauge.update(at(9000), 3, None, Unit::Items);
        assert_eq!(gauge.bar(10), "3");
    }
}
