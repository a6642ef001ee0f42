use proptest::prelude::*;

use super::*;
use crate::{
    report::script::{Page, Script, any_events, at, story},
    vocab::{Phase, Unit},
};

/// What goes to data and what goes to talk.
fn read(events: &[Event], options: Options) -> (String, String) {
    let (data, talk) = (Page::default(), Page::default());
    let mut plain = Plain::new(data.writer(), talk.writer(), options);
    events.iter().for_each(|event| plain.event(event));
    plain.finish().unwrap();
    (data.text(), talk.text())
}

#[test]
fn a_run_reads_line_by_line() {
    let (data, talk) = read(&story(), Options { logs: Some("/runs/1".into()), ..Options::default() });
    assert_eq!(data, "");
    insta::assert_snapshot!(talk);
}

#[test]
fn verbose_tells_the_ends_of_phases_too() {
    let (_, normal) = read(&story(), Options::default());
    let (_, verbose) = read(&story(), Options { verbosity: Verbosity::Verbose, ..Options::default() });
    let more: Vec<&str> = verbose.lines().filter(|line| !normal.lines().any(|other| other == *line)).collect();
    assert_eq!(
        more,
        [
            "gpu-box  | started",
            "mac-mini | started",
            "gpu-box  | connect: done in 1.9s",
            "mac-mini | build: failed after 20s"
        ]
    );
}

#[test]
fn quiet_tells_failures_and_the_recap() {
    let (_, talk) = read(&story(), Options { verbosity: Verbosity::Quiet, ..Options::default() });
    let before: Vec<&str> = talk.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(
        before,
        [
            "mac-mini | failed (build) in 21s: build: make: exit status 2",
            "mac-mini |   error: no such file",
            "mac-mini |   hint: install cmake, then run it again"
        ]
    );
    assert!(talk.contains("1 changed, 1 failed, 1 skipped in 40s"), "{talk}");
}

#[test]
fn data_is_never_left_out_and_apart_from_talk() {
    let options = Options { verbosity: Verbosity::Quiet, lines: Lines::Data, ..Options::default() };
    let (data, talk) = read(&story(), options);
    assert_eq!(data, "mac-mini | cc -c a.c 100%\nmac-mini |\n");
    assert!(talk.starts_with("mac-mini | a.c:1: error\n"), "{talk}");
    let (_, talk) = read(&story(), Options { lines: Lines::Data, ..Options::default() });
    assert!(!talk.contains(": started") && !talk.contains("| changed"), "{talk}");
    assert!(talk.contains("mac-mini | failed (build) in 21s"), "{talk}");
}

#[test]
fn silence_has_a_heartbeat_once_a_minute() {
    let page = Page::default();
    let mut plain = Plain::new(Page::default().writer(), page.writer(), Options::default());
    let mut script = Script::default();
    let names: Vec<String> = (1..=12).map(|n| format!("n{n}")).collect();
    script.started("fleet install", &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, name) in names.iter().take(10).enumerate() {
        script.phase(n as f64, name, Phase::Build, None);
    }
    script.0.iter().for_each(|event| plain.event(event));
    let before = page.text().len();
    for secs in 0..200 {
        plain.tick(at(f64::from(secs)));
    }
    let heartbeats = "\
        still running: n1 (build 1m09s), n2 (build 1m08s), n3 (build 1m07s), n4 (build 1m06s), n5 (build 1m05s), \
        n6 (build 1m04s), n7 (build 1m03s), n8 (build 1m02s), and 4 more: 2 building, 2 waiting; 1m09s so far\n\
        still running: n1 (build 2m09s), n2 (build 2m08s), n3 (build 2m07s), n4 (build 2m06s), n5 (build 2m05s), \
        n6 (build 2m04s), n7 (build 2m03s), n8 (build 2m02s), and 4 more: 2 building, 2 waiting; 2m09s so far\n\
        still running: n1 (build 3m09s), n2 (build 3m08s), n3 (build 3m07s), n4 (build 3m06s), n5 (build 3m05s), \
        n6 (build 3m04s), n7 (build 3m03s), n8 (build 3m02s), and 4 more: 2 building, 2 waiting; 3m09s so far\n";
    assert_eq!(&page.text()[before..], heartbeats);
}

#[test]
fn a_heartbeat_needs_someone_at_work() {
    let page = Page::default();
    let mut plain = Plain::new(Page::default().writer(), page.writer(), Options::default());
    plain.tick(at(1000.0));
    story().iter().for_each(|event| plain.event(event));
    let before = page.text();
    plain.tick(at(1000.0));
    assert_eq!(page.text(), before);
}

#[test]
fn a_line_has_an_end() {
    let mut script = Script::default();
    script.started("x", &["gpu-box"]).line(1.0, "gpu-box", Stream::Stdout, &"x".repeat(16 << 10));
    let (_, talk) = read(&script.0, Options::default());
    let line = talk.lines().last().unwrap();
    assert!(line.ends_with("x…") && line.len() < 4200, "{}", line.len());
}

#[test]
fn progress_is_told_every_ten_seconds_of_its_phase() {
    let mut script = Script::default();
    script.started("x", &["gpu-box"]).phase(0.0, "gpu-box", Phase::Model, None);
    for n in 0..250u32 {
        let progress =
            EventKind::Progress { done: u64::from(n), total: None, unit: Unit::Items, forecast: None, source: None };
        script.say(f64::from(n) / 10.0, "gpu-box", Phase::Model, progress);
    }
    let (_, talk) = read(&script.0, Options::default());
    let told: Vec<&str> = talk.lines().skip(2).collect();
    assert_eq!(told, ["gpu-box | model: 100, 10/s", "gpu-box | model: 200, 10/s"]);
}

#[test]
fn a_model_is_told_each_tenth_and_all_hosts_together() {
    let mut script = Script::default();
    script.started("x", &["a", "b"]).phase(0.0, "a", Phase::Model, None).phase(0.0, "b", Phase::Model, None);
    let gb = 1_000_000_000;
    for n in 0..5u32 {
        for who in ["a", "b"] {
            script.model(f64::from(n) * 2.0, who, u64::from(n) * gb / 20, gb);
        }
    }
    let (_, talk) = read(&script.0, Options::default());
    let told: Vec<&str> = talk.lines().skip(3).map(|line| line.split_inclusive(')').next().unwrap()).collect();
    assert_eq!(
        told,
        [
            "a | model: 100 MB of 1.0 GB (10%)",
            "b | model: 100 MB of 1.0 GB (10%)",
            "all hosts: 200 MB of 2.0 GB (10%)",
            "a | model: 200 MB of 1.0 GB (20%)",
            "b | model: 200 MB of 1.0 GB (20%)",
            "all hosts: 400 MB of 2.0 GB (20%)",
        ]
    );
    assert!(talk.contains("25.0 MB/s, 32s left, from the hub"), "{talk}");
}

#[test]
fn how_far_a_build_is_stands_in_the_heartbeats() {
    let mut script = Script::default();
    script.started("x", &["gpu-box"]).phase(0.0, "gpu-box", Phase::Build, None);
    script.steps(1.0, "gpu-box", 1, 206, 300).steps(100.0, "gpu-box", 143, 206, 270);
    let page = Page::default();
    let mut plain = Plain::new(Page::default().writer(), page.writer(), Options::default());
    script.0.iter().for_each(|event| plain.event(event));
    plain.tick(at(190.0));
    let told = page.text();
    let told: Vec<&str> = told.lines().skip(2).collect();
    assert_eq!(
        told,
        ["still running: gpu-box (build llama-server-cpu 143/206 3m10s/~4m30s); 3m10s so far"],
        "the lines of a build are told already"
    );
}

proptest! {
    #[test]
    fn whatever_is_said_stays_in_its_lane(events in any_events(), data in any::<bool>()) {
        let lines = if data { Lines::Data } else { Lines::Talk };
        let (data, talk) = read(&events, Options { lines, verbosity: Verbosity::Verbose, ..Options::default() });
        let is_wild = |c: char| c.is_control() && c != '\n';
        prop_assert!(!data.contains(is_wild) && !talk.contains(is_wild), "{:?}{:?}", data, talk);
        // What stands before the first bar is a host, a line of the run itself, or part of the recap.
        let recap = |line: &str| !line.contains(" | ");
        let hosts = ["gpu-box", "mac", "not-announced"];
        for line in data.lines().chain(talk.split("\n\nhost ").next().unwrap_or_default().lines().skip(1)) {
            let lane = line.split_once(" |").map(|(head, _)| head.trim_end());
            prop_assert!(lane.is_some_and(|head| hosts.contains(&head)) || recap(line), "{:?}", line);
        }
    }

    #[test]
    fn ticks_never_harm(events in any_events(), secs in proptest::collection::vec(0f64..1000.0, 0..40)) {
        let mut plain = Plain::new(Page::default().writer(), Page::default().writer(), Options::default());
        for (event, secs) in events.iter().zip(secs.iter().cycle()) {
            plain.event(event);
            plain.tick(at(*secs));
        }
        prop_assert!(plain.finish().is_ok());
    }
}

#[test]
fn an_answer_is_waited_for_in_silence() {
    let mut script = Script::default();
    script.started("fleet check", &["one"]);
    script.phase(0.0, "one", Phase::Connect, None);
    let (data, talk) = read(&script.0, Options { lines: Lines::Answer, ..Options::default() });
    assert_eq!((data.as_str(), talk.as_str()), ("", ""));
    let (_, talk) = read(&story(), Options { lines: Lines::Answer, ..Options::default() });
    assert!(!talk.contains("changed"), "the answer is not the reader's to give: {talk}");
}
