//! Scripted runs for the tests of readers.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use crate::vocab::{
    CancelStage, Event, EventKind, ExitCode, Forecast, HostName, HostReport, HostSummary, Level, Origin, Outcome,
    Phase, Reason, RunId, Stream, Summary, Unit, WorkerId,
};

/// Seconds after the begin of every scripted run.
pub(super) fn at(secs: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045) + Duration::from_secs_f64(secs)
}

pub(super) fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

/// Writes events one after the other.
#[derive(Default)]
pub(super) struct Script(pub(super) Vec<Event>);

impl Script {
    pub(super) fn say(&mut self, secs: f64, who: &str, phase: impl Into<Option<Phase>>, kind: EventKind) -> &mut Self {
        self.0.push(Event {
            seq: self.0.len() as u64 + 1,
            at: at(secs),
            run: RunId::new("20260102-030405-abcdef").unwrap(),
            host: (!who.is_empty()).then(|| host(who)),
            phase: phase.into(),
            kind,
        });
        self
    }

    pub(super) fn started(&mut self, verb: &str, hosts: &[&str]) -> &mut Self {
        let hosts = hosts.iter().map(|name| host(name)).collect();
        self.say(0.0, "", None, EventKind::RunStarted { verb: verb.into(), hosts })
    }

    pub(super) fn phase(&mut self, secs: f64, who: &str, phase: Phase, limit: Option<u64>) -> &mut Self {
        let limit = limit.map(Duration::from_secs);
        self.say(secs, who, None, EventKind::HostStarted).say(secs, who, phase, EventKind::PhaseStarted { limit })
    }

    pub(super) fn line(&mut self, secs: f64, who: &str, stream: Stream, text: &str) -> &mut Self {
        self.say(secs, who, Phase::Build, EventKind::Line { stream, text: text.into() })
    }

    pub(super) fn steps(&mut self, secs: f64, who: &str, done: u64, total: u64, expected: u64) -> &mut Self {
        let worker = WorkerId::new("llama-server-cpu").unwrap();
        let forecast = Some(Forecast { worker, expected: Some(Duration::from_secs(expected)) });
        let kind = EventKind::Progress { done, total: Some(total), unit: Unit::Units, forecast, source: None };
        self.say(secs, who, Phase::Build, kind)
    }

    pub(super) fn model(&mut self, secs: f64, who: &str, done: u64, total: u64) -> &mut Self {
        let (unit, source) = (Unit::Bytes, Some(Origin::Hub));
        let kind = EventKind::Progress { done, total: Some(total), unit, forecast: None, source };
        self.say(secs, who, Phase::Model, kind)
    }

    pub(super) fn finished(&mut self, secs: f64, who: &str, report: HostReport) -> &mut Self {
        self.say(secs, who, Phase::Model, EventKind::HostFinished(report))
    }

    pub(super) fn bytes(&mut self, secs: f64, who: &str, done: u64, total: u64) -> &mut Self {
        self.say(
            secs,
            who,
            Phase::Transfer,
            EventKind::Progress { done, total: Some(total), unit: Unit::Bytes, forecast: None, source: None },
        )
    }
}

/// One host is changed, one fails and says so in colours, one is not there; a warning and a cancel on the way.
pub(super) fn story() -> Vec<Event> {
    let (out, err) = (Stream::Stdout, Stream::Stderr);
    let secs = Duration::from_secs;
    let done = vec!["installed echo-worker 0.1.0 to /usr/local/bin".to_owned()];
    let changed = HostReport { elapsed: secs(40), done, ..HostReport::of(Outcome::Changed) };
    let failed = HostReport {
        reason: Some(Reason::Build),
        phase: Some(Phase::Build),
        elapsed: secs(21),
        error: Some("build: make: exit status 2\n\u{1b}[31merror:\u{1b}[0m no such file".into()),
        hint: Some("install cmake, then run it again".into()),
        ..HostReport::of(Outcome::Failed)
    };
    let gone = HostReport { reason: Some(Reason::Optional), ..HostReport::of(Outcome::Skipped) };
    let hint = Some("see `df -h`".to_owned());
    let mut script = Script::default();
    script
        .started("fleet install", &["gpu-box", "mac-mini", "nas"])
        .phase(0.1, "gpu-box", Phase::Connect, Some(10))
        .phase(0.1, "mac-mini", Phase::Build, Some(900))
        .say(1.0, "nas", None, EventKind::HostFinished(gone.clone()))
        .say(1.5, "", None, EventKind::Notice { level: Level::Info, text: "one recipe for both".into(), hint: None })
        .say(
            2.0,
            "gpu-box",
            Phase::Connect,
            EventKind::PhaseFinished { ok: true, elapsed: Duration::from_millis(1900) },
        )
        .line(2.0, "mac-mini", out, "cc -c a.c\t100%")
        .line(2.5, "mac-mini", err, "\u{1b}[1;31ma.c:1: error\u{1b}[0m\r")
        .line(2.5, "mac-mini", out, "")
        .say(3.0, "gpu-box", Phase::Transfer, EventKind::PhaseStarted { limit: None })
        .bytes(3.0, "gpu-box", 0, 2_400_000_000)
        .bytes(9.0, "gpu-box", 600_000_000, 2_400_000_000)
        .bytes(14.0, "gpu-box", 1_200_000_000, 2_400_000_000)
        .bytes(15.0, "gpu-box", 1_300_000_000, 2_400_000_000)
        .say(
            16.0,
            "gpu-box",
            Phase::Transfer,
            EventKind::Notice { level: Level::Warning, text: "disk is nearly full".into(), hint },
        )
        .say(20.0, "mac-mini", Phase::Build, EventKind::PhaseFinished { ok: false, elapsed: secs(20) })
        .say(20.0, "mac-mini", Phase::Build, EventKind::Gap { lines: 12 })
        .say(
            20.5,
            "mac-mini",
            Phase::Build,
            EventKind::Cancel { stage: CancelStage::Confirmed, group: Some(9), survivors: 0 },
        )
        .say(21.0, "mac-mini", Phase::Build, EventKind::HostFinished(failed.clone()))
        .say(40.0, "gpu-box", None, EventKind::HostFinished(changed.clone()));
    let hosts = [("gpu-box", changed), ("mac-mini", failed), ("nas", gone)];
    let hosts = hosts.map(|(name, report)| HostSummary { host: host(name), report }).into();
    let summary = Summary { exit: ExitCode::Failed, elapsed: secs(40), hosts };
    script.say(40.0, "", None, EventKind::Summary(summary));
    script.0
}

/// Events in any order, with any text in them, of hosts that were announced and of some that were not.
pub(super) fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let text =
        || prop_oneof![any::<String>(), "[a-z |:\n\r\u{1b}\\[\\]0-9;mJK]{0,80}", Just("gpu-box | changed".to_owned())];
    let report = (text(), proptest::option::of(text())).prop_map(|(text, hint)| HostReport {
        reason: Some(Reason::Status),
        error: Some(text.clone()),
        hint,
        done: vec![text],
        ..HostReport::of(Outcome::Failed)
    });
    let summary = report.clone().prop_map(|report| {
        let hosts = vec![HostSummary { host: host("gpu-box"), report }];
        EventKind::Summary(Summary { exit: ExitCode::Failed, elapsed: Duration::ZERO, hosts })
    });
    let kind = prop_oneof![
        4 => text().prop_map(|text| EventKind::Line { stream: Stream::Stdout, text }),
        1 => Just(EventKind::HostStarted),
        1 => Just(EventKind::PhaseStarted { limit: None }),
        1 => Just(EventKind::PhaseFinished { ok: false, elapsed: Duration::from_secs(1) }),
        1 => (any::<u64>(), any::<Option<u64>>())
            .prop_map(|(done, total)| EventKind::Progress { done, total, unit: Unit::Bytes, forecast: None, source: None }),
        2 => (text(), proptest::option::of(text()))
            .prop_map(|(text, hint)| EventKind::Notice { level: Level::Error, text, hint }),
        1 => Just(EventKind::Gap { lines: 7 }),
        1 => report.prop_map(EventKind::HostFinished),
        1 => summary,
    ];
    let who = prop_oneof![Just("gpu-box"), Just("mac"), Just("not-announced")];
    let event = (0f64..500.0, who, kind);
    proptest::collection::vec(event, 0..40).prop_map(|events| {
        let mut script = Script::default();
        script.started("fleet install", &["gpu-box", "mac", "waits"]);
        for (secs, who, kind) in events {
            let who = if matches!(kind, EventKind::Summary(_)) { "" } else { who };
            script.say(secs, who, Phase::Build, kind);
        }
        script.0
    })
}

/// What was written, to be looked at afterwards.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(super) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(self.clone())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
