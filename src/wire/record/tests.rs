use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::{
    vocab::{
        CancelStage, ExitCode, Forecast, HostReport, HostSummary, Level, Outcome, Reason, Stream, Summary, Unit,
        WorkerId,
    },
    wire::Spelled,
};

const GOLDEN: &str = include_str!("../../../tests/golden/ndjson-v1.ndjson");

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn failed() -> HostReport {
    HostReport {
        outcome: Outcome::Failed,
        reason: Some(Reason::RolledBack),
        phase: Some(Phase::Verify),
        elapsed: Duration::from_millis(61_500),
        error: Some("the new version did not start".into()),
        hint: Some("see `rbee runs logs`".into()),
        done: vec!["put version 1.0.0 back".into()],
        moved: None,
    }
}

/// One event of each type, with hostile text where text comes from elsewhere.
fn one_of_each() -> Vec<Event> {
    let ms = Duration::from_millis;
    let changed = HostReport { done: vec!["installed w".into()], ..HostReport::of(Outcome::Changed) };
    let summary = Summary {
        exit: ExitCode::Failed,
        elapsed: ms(61_700),
        hosts: vec![
            HostSummary { host: host("gpu-box"), report: changed },
            HostSummary { host: host("mac.lan:2222"), report: failed() },
        ],
    };
    let build = Some(Phase::Build);
    let forecast = Forecast { worker: WorkerId::new("llama-server-cpu").unwrap(), expected: Some(ms(270_000)) };
    let units =
        EventKind::Progress { done: 143, total: Some(206), unit: Unit::Units, forecast: Some(forecast), source: None };
    let kinds = [
        (
            false,
            None,
            EventKind::RunStarted { verb: "fleet install".into(), hosts: vec![host("gpu-box"), host("mac.lan:2222")] },
        ),
        (true, None, EventKind::HostStarted),
        (true, build, EventKind::PhaseStarted { limit: Some(ms(900_000)) }),
        (true, build, EventKind::PhaseStarted { limit: None }),
        (
            true,
            build,
            EventKind::Line {
                stream: Stream::Stderr,
                text: "a\"\\\u{1b}[31m\tred\u{9b}\u{7f}\u{202e}\u{fffd}\r\n é".into(),
            },
        ),
        (true, build, EventKind::Progress { done: 7, total: None, unit: Unit::Items, forecast: None, source: None }),
        (
            true,
            build,
            EventKind::Progress { done: 7, total: Some(1 << 53), unit: Unit::Bytes, forecast: None, source: None },
        ),
        (true, build, EventKind::PhaseFinished { ok: true, elapsed: ms(1234) }),
        (
            false,
            None,
            EventKind::Notice { level: Level::Warning, text: "no inventory".into(), hint: Some("write one".into()) },
        ),
        (true, build, EventKind::Cancel { stage: CancelStage::Unconfirmed, group: Some(4711), survivors: 2 }),
        (true, build, EventKind::Gap { lines: 3 }),
        (true, Some(Phase::Verify), EventKind::HostFinished(failed())),
        (true, build, units),
        (false, None, EventKind::Summary(summary)),
    ];
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let event = |(seq, (on_host, phase, kind)): (usize, (bool, _, _))| Event {
        seq: seq as u64 + 1,
        at: at + ms(seq as u64 * 7),
        run: RunId::new("20260102-030405-abcdef").unwrap(),
        host: on_host.then(|| host("gpu-box")),
        phase,
        kind,
    };
    kinds.into_iter().enumerate().map(event).collect()
}

#[test]
fn version_1_stays_as_it_was_published() {
    let lines: String = one_of_each().iter().map(|event| line(event) + "\n").collect();
    assert_eq!(lines, GOLDEN, "\nwritten now:\n{lines}");
}

#[test]
fn what_was_published_is_still_read() {
    let events: Vec<Event> = GOLDEN.lines().map(|line| parse(line).unwrap()).collect();
    assert_eq!(events, one_of_each());
}

#[test]
fn a_field_more_is_no_obstacle_and_a_job_is_kept() {
    let text = GOLDEN.lines().nth(1).unwrap().replace("\"run\"", "\"job\":\"j1\",\"news\":[1],\"run\"");
    assert_eq!(parse(&text).unwrap(), one_of_each()[1]);
    let record: Record = serde_json::from_str(&text).unwrap();
    assert!(record.to_line().contains(r#""job":"j1""#), "{record:?}");
}

#[test]
fn what_is_not_an_event_gets_a_sentence() {
    let said = |text: &str| parse(text).unwrap_err().to_string();
    let good = GOLDEN.lines().nth(1).unwrap();
    assert_eq!(said(r#"{"v":2,"shape":"new"}"#), "version 2 of the event stream is not known here, only version 1");
    assert!(said("[DONE]").starts_with("not a line of the event stream: "));
    assert!(said(&good.replace("gpu-box", "-oProxyCommand=x")).contains("must not start with '-'"));
    assert!(said(&good.replace("host_started", "party")).contains("party"));
    assert!(said(&good.replace("2026-01-02T", "1926-01-02T")).contains("is not a time"));
    assert!(said(&GOLDEN.lines().nth(2).unwrap().replace("\"build\"", "\"cook\"")).contains("unknown phase \"cook\""));
    assert!(said(&GOLDEN.lines().last().unwrap().replace("\"exit\":1", "\"exit\":9")).contains("exit status 9"));
}

#[test]
fn words_are_spelled_once() {
    fn unique<T: Spelled>() {
        let words: std::collections::BTreeSet<_> = T::ALL.iter().map(|word| word.spelling()).collect();
        assert_eq!(words.len(), T::ALL.len(), "{}", T::WHAT);
    }
    unique::<Phase>();
    unique::<Outcome>();
    unique::<Reason>();
    unique::<CancelStage>();
}

proptest! {
    #[test]
    fn any_text_comes_back_and_nothing_reaches_the_terminal(text in any::<String>()) {
        let kind = EventKind::Line { stream: Stream::Stdout, text };
        let event = Event { kind, ..one_of_each().remove(4) };
        let line = line(&event);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        prop_assert_eq!(parse(&line).unwrap(), event);
    }
}
