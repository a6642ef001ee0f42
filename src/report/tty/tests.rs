use indicatif::InMemoryTerm;
use proptest::prelude::*;

use super::*;
use crate::{
    report::script::{Script, any_events, at, story},
    vocab::{HostReport, Outcome, Phase, Stream},
};

fn fleet(names: &[String], active: usize) -> Script {
    let mut script = Script::default();
    script.started("fleet install", &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, name) in names.iter().take(active).enumerate() {
        let phase = if n % 3 == 0 { Phase::Connect } else { Phase::Build };
        script.phase(n as f64 / 10.0, name, phase, None);
        script.line(n as f64 / 10.0, name, Stream::Stdout, "compiling \u{1b}[32mggml.c\u{1b}[0m of many files\rx");
    }
    script
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("node{n:03}")).collect()
}

#[test]
fn a_row_a_host_and_the_finished_above() {
    let term = InMemoryTerm::new(14, 78);
    let mut tty = Tty::on(term.clone(), Options::default());
    let story = story();
    let (before, after) = story.split_at(18);
    before.iter().for_each(|event| tty.event(event));
    tty.tick(at(17.0));
    insta::assert_snapshot!("running", term.contents());
    after.iter().take(3).for_each(|event| tty.event(event));
    tty.tick(at(22.0));
    insta::assert_snapshot!("one_failed", term.contents());
}

#[test]
fn the_end_leaves_the_recap_and_no_rows() {
    let term = InMemoryTerm::new(30, 100);
    let mut tty = Tty::on(term.clone(), Options::default());
    for event in story() {
        tty.event(&event);
        tty.tick(event.at);
    }
    tty.finish().unwrap();
    insta::assert_snapshot!(term.contents());
}

#[test]
fn a_build_says_how_far_it_is() {
    let term = InMemoryTerm::new(14, 90);
    let mut tty = Tty::on(term.clone(), Options::default());
    let mut script = Script::default();
    script.started("fleet install", &["gpu-box", "mac"]).phase(0.0, "gpu-box", Phase::Build, None);
    script.phase(0.0, "mac", Phase::Build, None).steps(100.0, "gpu-box", 143, 206, 270);
    script.line(101.0, "gpu-box", Stream::Stdout, "[143/206] Building CXX object ggml.o");
    script.0.iter().for_each(|event| tty.event(event));
    tty.tick(at(190.0));
    assert_eq!(
        term.contents(),
        "gpu-box building llama-server-cpu 143/206 3m10s/~4m30s  [143/206] Building CXX object gg…\n\
         mac     building      3m10s\n\
         0 of 2 done, 3m10s"
    );
}

#[test]
fn many_hosts_fit_a_small_terminal() {
    let term = InMemoryTerm::new(24, 60);
    let mut tty = Tty::on(term.clone(), Options::default());
    fleet(&names(64), 35).0.iter().for_each(|event| tty.event(event));
    tty.tick(at(75.0));
    insta::assert_snapshot!(term.contents());
}

#[test]
fn next_to_no_room_says_who_is_waited_for() {
    let term = InMemoryTerm::new(3, 44);
    let mut tty = Tty::on(term.clone(), Options::default());
    fleet(&names(64), 35).0.iter().for_each(|event| tty.event(event));
    tty.tick(at(75.0));
    assert_eq!(term.contents(), "waiting on node001 (connect 1m15s) and 63 …");
}

#[test]
fn rows_come_and_go_without_debris() {
    let term = InMemoryTerm::new(24, 60);
    let mut tty = Tty::on(term.clone(), Options::default());
    let names = names(10);
    let mut script = fleet(&names, 10);
    for (n, name) in names.iter().enumerate().skip(1) {
        script.say(20.0 + n as f64, name, None, EventKind::HostFinished(HostReport::of(Outcome::Unchanged)));
    }
    for event in &script.0 {
        tty.event(event);
        tty.tick(event.at);
    }
    let contents = term.contents();
    assert_eq!(contents.lines().filter(|line| line.contains("unchanged in")).count(), 9, "{contents}");
    assert_eq!(contents.lines().count(), 11, "{contents}");
    assert!(contents.ends_with("\n9 of 10 done, 29s"), "{contents}");
}

#[test]
fn data_is_printed_above_the_rows() {
    let term = InMemoryTerm::new(8, 50);
    let mut tty = Tty::on(term.clone(), Options { lines: Lines::Data, ..Options::default() });
    let mut script = Script::default();
    script.started("fleet exec", &["a"]).phase(0.0, "a", Phase::Run, None);
    script.line(1.0, "a", Stream::Stdout, "Linux 6.1").line(1.0, "a", Stream::Stderr, "warn");
    script.0.iter().for_each(|event| tty.event(event));
    tty.tick(at(2.0));
    assert_eq!(term.contents(), "a | Linux 6.1\na | warn\na running        2.0s  warn\n0 of 1 done, 2.0s");
    let seen = tty.screen().suspend(|| term.contents());
    assert_eq!(seen, "a | Linux 6.1\na | warn");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    // The emulator itself breaks below two rows and two columns.
    #[test]
    fn no_terminal_is_too_small(
        events in any_events(), rows in 2u16..6, columns in 2u16..30, color in any::<bool>(),
    ) {
        let term = InMemoryTerm::new(rows, columns);
        let mut tty = Tty::on(term.clone(), Options { color, ..Options::default() });
        for event in &events {
            tty.event(event);
            tty.tick(event.at);
            let canvas = Canvas { width: columns.into(), height: rows.into(), color };
            let drawn = live::rows(&tty.board, event.at, canvas);
            prop_assert!(drawn.len() < usize::from(rows).max(2));
            for row in drawn {
                prop_assert!(console::measure_text_width(&row) < usize::from(columns), "{row:?}");
                prop_assert!(!console::strip_ansi_codes(&row).chars().any(char::is_control), "{row:?}");
            }
        }
        tty.finish().unwrap();
    }
}

#[test]
fn a_query_shows_who_is_waited_for_and_leaves_nothing() {
    let term = InMemoryTerm::new(14, 78);
    let mut tty = Tty::on(term.clone(), Options { lines: Lines::Answer, ..Options::default() });
    for event in story() {
        tty.event(&event);
        tty.tick(event.at);
        if matches!(event.kind, EventKind::PhaseStarted { .. }) {
            assert!(term.contents().contains("of 3 done"), "{}", term.contents());
        }
    }
    tty.finish().unwrap();
    assert!(!term.contents().contains("done"), "{}", term.contents());
}
