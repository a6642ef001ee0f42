//! What each host is doing at the moment, as far as the events tell.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use super::{fleet::Fleet, gauge::Gauge, pace::Pace, sentence};
use crate::vocab::{Event, EventKind, HostName, Outcome, Phase, text::human_duration};

/// Bytes that are kept of a host's last line.
const LAST_LINE: usize = 300;

/// All hosts of a run, in the order of the selection.
#[derive(Debug, Default)]
pub(super) struct Board {
    hosts: Vec<Seat>,
    index: HashMap<HostName, usize>,
    started: Option<SystemTime>,
    pub(super) fleet: Fleet,
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) name: HostName,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Waiting,
    Active(Work),
    Done(Outcome),
}

/// What an active host is at.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) started: SystemTime,
    pub(super) phase: Option<Phase>,
    /// The begin of the phase.
    pub(super) since: SystemTime,
    pub(super) last_line: String,
    pub(super) gauge: Option<Gauge>,
    /// Instead of a gauge, for a build.
    pub(super) pace: Option<Pace>,
}

impl Work {
    fn new(at: SystemTime) -> Self {
        Self { started: at, phase: None, since: at, last_line: String::new(), gauge: None, pace: None }
    }

    /// `preflight 1.2s`, `build llama-server-cpu 143/206 3m10s/~4m30s`.
    pub(super) fn words(&self, now: SystemTime) -> String {
        let elapsed = passed(self.since, now);
        let so_far = self.pace.as_ref().map_or_else(|| human_duration(elapsed), |pace| pace.words(elapsed));
        format!("{} {so_far}", self.phase.map_or("start", Phase::as_str))
    }
}

/// From `then` to `now`; nothing when the clock was set back.
pub(super) fn passed(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

impl Board {
    /// Takes an event into account.
    pub(super) fn apply(&mut self, event: &Event) {
        self.started.get_or_insert(event.at);
        if let EventKind::RunStarted { hosts, .. } = &event.kind {
            for host in hosts {
                self.seat(host);
            }
            return;
        }
        self.fleet.hear(event);
        let Some(host) = &event.host else { return };
        let state = self.seat(host);
        if let EventKind::HostFinished(report) = &event.kind {
            *state = State::Done(report.outcome);
            return;
        }
        if matches!(state, State::Waiting) {
            *state = State::Active(Work::new(event.at));
        }
        let State::Active(work) = state else { return };
        match &event.kind {
            EventKind::PhaseStarted { .. } => {
                (work.phase, work.since) = (event.phase, event.at);
                (work.gauge, work.pace) = (None, None);
                work.last_line.clear();
            }
            EventKind::PhaseFinished { .. } => (work.gauge, work.pace) = (None, None),
            EventKind::Line { text, .. } if !text.trim().is_empty() => {
                work.last_line = sentence::cut(sentence::clean(text), LAST_LINE);
            }
            EventKind::Progress { done, total, unit, forecast: Some(forecast), .. } => {
                work.pace = Some(Pace { done: *done, total: *total, unit: *unit, forecast: forecast.clone() });
            }
            EventKind::Progress { done, total, unit, forecast: None, source } => match &mut work.gauge {
                Some(gauge) => gauge.update(event.at, *done, *total, *unit),
                None => work.gauge = Some(Gauge::new(event.at, *done, *total, *unit).out_of(*source)),
            },
            _ => {}
        }
    }

    fn seat(&mut self, host: &HostName) -> &mut State {
        let at = *self.index.entry(host.clone()).or_insert_with(|| {
            self.hosts.push(Seat { name: host.clone(), state: State::Waiting });
            self.hosts.len() - 1
        });
        &mut self.hosts[at].state
    }

    pub(super) fn work(&self, host: &HostName) -> Option<&Work> {
        match &self.hosts[*self.index.get(host)?].state {
            State::Active(work) => Some(work),
            _ => None,
        }
    }

    /// The hosts that are at work, longest first.
    pub(super) fn active(&self) -> Vec<(&HostName, &Work)> {
        let at_work = self.hosts.iter().filter_map(|seat| match &seat.state {
            State::Active(work) => Some((&seat.name, work)),
            _ => None,
        });
        let mut active: Vec<_> = at_work.collect();
        active.sort_by_key(|(_, work)| work.started);
        active
    }

    /// The hosts whose turn has not come.
    pub(super) fn waiting(&self) -> Vec<&HostName> {
        let waits = |seat: &&Seat| matches!(seat.state, State::Waiting);
        self.hosts.iter().filter(waits).map(|seat| &seat.name).collect()
    }

    pub(super) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.hosts.iter().filter_map(|seat| match seat.state {
            State::Done(outcome) => Some(outcome),
            _ => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Since the first event.
    pub(super) fn elapsed(&self, now: SystemTime) -> Duration {
        self.started.map_or(Duration::ZERO, |started| passed(started, now))
    }

    /// The width of the longest name, within `most`.
    pub(super) fn name_width(&self, most: usize) -> usize {
        self.hosts.iter().map(|seat| seat.name.as_str().len()).max().unwrap_or_default().min(most)
    }
}
