use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::{
    report::script::{Script, at, host, story},
    vocab::Stream,
};

#[test]
fn each_host_has_its_log_and_the_run_its_events() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("runs/1");
    let mut log = Log::new(&run);
    assert!(!run.exists());
    let story = story();
    story.iter().for_each(|event| log.event(event));
    log.finish().unwrap();
    insta::assert_snapshot!(fs::read_to_string(run.join("mac-mini.log")).unwrap());
    let events = fs::read_to_string(run.join("events.ndjson")).unwrap();
    let events: Vec<Event> = events.lines().map(|line| wire::parse(line).unwrap()).collect();
    assert_eq!(events.len(), story.len());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|file| mode(file) == 0o600));
    assert_eq!(mode(&run), 0o700);
}

#[test]
fn the_end_of_a_phase_and_a_tick_write_what_was_held() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::new(dir.path());
    let mut script = Script::default();
    script.line(1.0, "a", Stream::Stdout, "one");
    log.event(&script.0[0]);
    let text = || fs::read_to_string(dir.path().join("a.log")).unwrap_or_default();
    assert_eq!(text(), "");
    log.tick(at(2.0));
    assert_eq!(text(), "2026-01-02T03:04:06.000Z | one\n");
    script.say(3.0, "a", None, EventKind::PhaseFinished { ok: true, elapsed: std::time::Duration::ZERO });
    log.event(&script.0[1]);
    assert_eq!(text().lines().count(), 2);
}

#[test]
fn endless_output_is_cut_and_the_rest_is_kept() {
    let mut file = File::new("x".into(), 10);
    file.push("12345", true);
    file.push("123456", true);
    file.push("1", true);
    file.push("phase", false);
    assert_eq!((file.buffer.as_slice(), file.left_out), (&b"12345\nphase\n"[..], 2));
}

#[test]
fn a_folder_that_takes_nothing_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("file");
    fs::write(&taken, "").unwrap();
    let mut log = Log::new(&taken);
    story().iter().for_each(|event| log.event(event));
    let error = log.finish().unwrap_err().to_string();
    assert!(error.starts_with("log ") && error.contains("file/"), "{error}");
    assert!(log.finish().is_ok());
}

#[test]
fn every_name_is_a_file_name() {
    let dir = Path::new("/runs/1");
    assert_eq!(path(dir, &host("gpu-box.lan:2222")), dir.join("gpu-box.lan:2222.log"));
    let long = |end: &str| path(dir, &host(&("x".repeat(254) + end)));
    assert!(long("a").file_name().unwrap().len() <= 255);
    assert_ne!(long("a"), long("b"));
}
