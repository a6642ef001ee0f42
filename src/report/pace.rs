//! How far a build is, and how long it may take.

use std::time::Duration;

use super::sentence::span;
use crate::vocab::{Forecast, Unit, text::human_duration};

/// What a build last said of itself.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    pub(super) unit: Unit,
    pub(super) forecast: Forecast,
}

impl Pace {
    /// `llama-server-cpu 143/206 3m10s/~4m30s`, `echo-worker 33% 12s`; an estimate that has passed says nothing more.
    pub(super) fn words(&self, elapsed: Duration) -> String {
        let Forecast { worker, expected } = &self.forecast;
        let share = match (self.unit, self.total) {
            (Unit::Percent, _) => format!(" {}%", self.done),
            (_, Some(total)) => format!(" {}/{total}", self.done),
            (_, None) => String::new(),
        };
        let end = expected.filter(|expected| *expected > elapsed);
        let end = end.map(|end| format!("/~{}", span(end))).unwrap_or_default();
        format!("{worker}{share} {}{end}", human_duration(elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::WorkerId;

    #[test]
    fn only_what_is_known_is_said() {
        let secs = Duration::from_secs;
        let said = |done, total, unit, expected: Option<u64>| {
            let forecast =
                Forecast { worker: WorkerId::new("llama-server-cpu").unwrap(), expected: expected.map(secs) };
            Pace { done, total, unit, forecast }.words(secs(190))
        };
        assert_eq!(said(143, Some(206), Unit::Units, Some(270)), "llama-server-cpu 143/206 3m10s/~4m30s");
        assert_eq!(said(69, Some(100), Unit::Percent, None), "llama-server-cpu 69% 3m10s");
        assert_eq!(said(0, None, Unit::Units, Some(600)), "llama-server-cpu 3m10s/~10m");
        assert_eq!(said(206, Some(206), Unit::Units, Some(100)), "llama-server-cpu 206/206 3m10s");
    }
}
