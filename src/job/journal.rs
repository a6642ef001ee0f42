//! Puts a run's events into its job's log, and keeps count of what was confirmed dead.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::log::Log;
use crate::{
    report::Reader,
    vocab::{CancelStage, Event, EventKind, Outcome},
    wire::{
        Body, Record, VERSION, Word,
        job::{DeadGroup, HostEnd, JobBody, JobRecord, Remains},
    },
};

/// How soon a line of output can be read by others.
const SOON: Duration = Duration::from_millis(100);
/// Groups and hosts that are listed by name.
const LISTED: usize = 1000;

/// One job's voice in its log.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    pub id: Arc<str>,
    pub log: Arc<Log>,
}

impl Voice {
    /// Says something about the job itself.
    pub(super) fn say(&self, body: JobBody) {
        let ends = matches!(body, JobBody::JobFinished { .. });
        let make = |seq| {
            let (run, job) = (self.id.to_string(), self.id.to_string());
            JobRecord { v: VERSION, seq, at: SystemTime::now(), run, job, body }.to_line()
        };
        if ends { self.log.end(make) } else { self.log.push(false, make) }
    }
}

/// The line that stands for lines which a bound dropped.
pub fn gap_line(id: &str, last: u64, lost: u64) -> String {
    Record {
        v: VERSION,
        seq: last,
        at: SystemTime::now(),
        run: id.to_owned(),
        host: None,
        job: Some(id.to_owned()),
        phase: None,
        body: Body::Gap { lines: lost },
    }
    .to_line()
}

/// A reader of a run's events that keeps them for others.
pub struct Journal {
    voice: Voice,
    tally: Arc<Mutex<Tally>>,
}

impl Journal {
    pub(super) fn new(voice: Voice, tally: Arc<Mutex<Tally>>) -> Self {
        Self { voice, tally }
    }
}

impl Reader for Journal {
    fn event(&mut self, event: &Event) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).count(event);
        let is_output = matches!(event.kind, EventKind::Line { .. });
        self.voice.log.push(is_output, |seq| {
            Record { seq, job: Some(self.voice.id.to_string()), ..Record::new(event) }.to_line()
        });
    }

    fn tick(&mut self, _now: SystemTime) {
        self.voice.log.flush();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.voice.log.flush();
        Ok(())
    }

    fn period(&self) -> Duration {
        SOON
    }
}

/// What the events said so far about ends.
#[derive(Debug, Default)]
pub(super) struct Tally {
    remains: Remains,
    /// Groups that KILL was needed for.
    killed: Vec<(Option<String>, u32)>,
}

impl Tally {
    fn count(&mut self, event: &Event) {
        let host = || event.host.as_ref().map(ToString::to_string);
        match &event.kind {
            EventKind::Cancel { stage: CancelStage::Kill, group: Some(group), .. } if self.killed.len() < LISTED => {
                self.killed.push((host(), *group));
            }
            EventKind::Cancel { stage: CancelStage::Confirmed, group: Some(group), .. } => {
                if self.remains.dead.len() < LISTED {
                    let (host, group) = (host(), *group);
                    let killed = self.killed.iter().any(|(h, g)| *h == host && *g == group);
                    self.remains.dead.push(DeadGroup { host, group, killed });
                } else {
                    self.remains.dead_unlisted += 1;
                }
            }
            EventKind::Cancel { stage: CancelStage::Unconfirmed, survivors, .. } => {
                self.remains.survivors = self.remains.survivors.saturating_add(*survivors);
            }
            EventKind::HostFinished(report)
                if report.outcome != Outcome::Changed && report.outcome != Outcome::Unchanged =>
            {
                if self.remains.hosts.len() < LISTED
                    && let Some(host) = host()
                {
                    let (outcome, reason) = (Word(report.outcome), report.reason.map(Word));
                    self.remains.hosts.push(HostEnd { host, outcome, reason, error: report.error.clone() });
                }
            }
            _ => {}
        }
    }

    pub(super) fn remains(&self, confirmed: bool) -> Remains {
        Remains { confirmed, ..self.remains.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{HostName, HostReport, Reason, RunId};

    #[test]
    fn what_was_confirmed_is_counted() {
        let mut tally = Tally::default();
        let mut say = |host: &str, kind| {
            let (run, host) = (RunId::new("r").unwrap(), Some(HostName::new(host).unwrap()));
            tally.count(&Event { seq: 1, at: SystemTime::UNIX_EPOCH, run, host, phase: None, kind });
        };
        let cancel = |stage, group, survivors| EventKind::Cancel { stage, group, survivors };
        say("a", cancel(CancelStage::Asked, Some(7), 0));
        say("a", cancel(CancelStage::Kill, Some(7), 0));
        say("b", cancel(CancelStage::Term, Some(7), 0));
        say("b", cancel(CancelStage::Confirmed, Some(7), 0));
        say("a", cancel(CancelStage::Confirmed, Some(7), 0));
        say("c", cancel(CancelStage::Unconfirmed, None, 2));
        let report = HostReport { reason: Some(Reason::Asked), ..HostReport::of(Outcome::Cancelled) };
        say("a", EventKind::HostFinished(report));
        say("b", EventKind::HostFinished(HostReport::of(Outcome::Changed)));
        let remains = tally.remains(false);
        let dead: Vec<_> = remains.dead.iter().map(|d| (d.host.as_deref(), d.group, d.killed)).collect();
        assert_eq!(dead, [(Some("b"), 7, false), (Some("a"), 7, true)]);
        assert_eq!((remains.survivors, remains.hosts.len(), remains.hosts[0].host.as_str()), (2, 1, "a"));
    }
}
