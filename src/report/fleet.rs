//! What all hosts of a model's download have together.

use std::collections::HashMap;

use super::gauge::Gauge;
use crate::vocab::{Event, EventKind, HostName, Phase, Unit};

/// The bytes of all hosts that download.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// Done and total.
    hosts: HashMap<HostName, (u64, u64)>,
    sum: Option<Gauge>,
}

impl Fleet {
    pub(super) fn hear(&mut self, event: &Event) {
        let Some(host) = &event.host else { return };
        let known = self.hosts.get(host).copied();
        let now = match (&event.kind, known) {
            (EventKind::Progress { done, total: Some(total), unit: Unit::Bytes, .. }, _)
                if event.phase == Some(Phase::Model) =>
            {
                (*done, *total)
            }
            // Nothing more is to be expected of one that is done, whatever it has.
            (EventKind::HostFinished(_), Some((done, _))) => (done, done),
            _ => return,
        };
        self.hosts.insert(host.clone(), now);
        let sum = self.sum.get_or_insert_with(|| Gauge::new(event.at, 0, Some(0), Unit::Bytes));
        match known {
            None => sum.join(now.0, now.1),
            Some(_) => {
                let add = |(done, total): (u64, u64), host: &(u64, u64)| {
                    (done.saturating_add(host.0), total.saturating_add(host.1))
                };
                let (done, total) = self.hosts.values().fold((0, 0), add);
                sum.update(event.at, done, Some(total), Unit::Bytes);
            }
        }
    }

    /// Of one host there is nothing to sum.
    pub(super) fn gauge(&self) -> Option<&Gauge> {
        self.sum.as_ref().filter(|_| self.hosts.len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        report::{fleet::Fleet, script::Script},
        vocab::{HostReport, Outcome},
    };

    #[test]
    fn hosts_are_summed_and_what_was_there_is_no_speed() {
        let mut fleet = Fleet::default();
        let mut script = Script::default();
        let mb = 1_000_000;
        script.model(0.0, "a", 0, 100 * mb).model(10.0, "b", 50 * mb, 100 * mb).model(10.0, "a", 100 * mb, 100 * mb);
        script.0.drain(..).for_each(|event| fleet.hear(&event));
        let words = || fleet.gauge().map(|gauge| gauge.words());
        assert_eq!(words().as_deref(), Some("150 MB of 200 MB (75%), 10.0 MB/s, 5s left"));
        script.finished(11.0, "b", HostReport::of(Outcome::Failed));
        script.0.drain(..).for_each(|event| fleet.hear(&event));
        let words = fleet.gauge().map(|gauge| gauge.words()).unwrap_or_default();
        assert!(words.starts_with("150 MB of 150 MB (100%)"), "{words}");
    }

    #[test]
    fn one_host_is_no_fleet() {
        let mut fleet = Fleet::default();
        let mut script = Script::default();
        script.model(0.0, "a", 0, 100).bytes(1.0, "b", 1, 2);
        script.0.iter().for_each(|event| fleet.hear(event));
        assert!(fleet.gauge().is_none());
    }
}
