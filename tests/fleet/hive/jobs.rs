//! Jobs from their submission to long after their end.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{Way, lines, types};
use crate::{
    stage::Stage,
    support::{processes_with, token, until_seen},
};

#[test]
fn a_job_runs_when_nobody_listens_and_many_see_the_same_of_it() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let mark = stage.lab.dir().join("mark");
    let id = hive.exec(&format!("echo one; echo '[DONE]'; echo 'data: x'; touch {}; echo two >&2", mark.display()));
    let job = hive.until_state(&id, "completed");
    assert!(mark.exists());
    assert_eq!((&job["exit"], &job["remains"]["confirmed"]), (&0.into(), &true.into()));
    let all = hive.events(&id, None);
    let kinds = types(&all);
    assert_eq!((kinds[0], *kinds.last().unwrap()), ("job_queued", "job_finished"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "job_finished").count(), 1);
    let mut said = lines(&all);
    said.sort_unstable();
    assert_eq!(said, ["[DONE]", "data: x", "one", "two"]);
    for (nth, event) in all.iter().enumerate() {
        assert_eq!((event["seq"].as_u64(), &event["job"]), (Some(nth as u64 + 1), &id.as_str().into()), "{event}");
    }
    // Any number of readers, later too, from anywhere.
    assert_eq!(hive.events(&id, None), all);
    assert_eq!(hive.events(&id, Some(3)), all[3..]);
    let last = all.len().to_string();
    let behind = |seen: &str| {
        let mut stream = hive.stream();
        write!(stream, "GET /v1/jobs/{id}/stream HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {seen}\r\n\r\n")
            .unwrap();
        super::answer(&mut stream)
    };
    assert_eq!((behind(&last).status, behind("9007199254740991").status), (204, 204));
    behind("x").is(400);
    let listed = hive.ask("GET", "/v1/jobs", None).is(200).json();
    assert_eq!(listed["jobs"][0]["job_id"], id.as_str());
    hive.end().exits(0);
}

#[test]
fn questions_leave_their_answer_with_the_job() {
    let stage = Stage::new(&["one"]);
    let hive = stage.hive("");
    let id = hive.submit(&json!({ "operation": "ping", "hosts": "one" }));
    let job = hive.until_state(&id, "completed");
    assert!(job["result"]["hosts"][0]["ping"]["round_trip_ms"].is_number(), "{job:#}");
    let id = hive.submit(&json!({ "operation": "worker_list_installed" }));
    let job = hive.until_state(&id, "completed");
    assert_eq!(job["result"]["hosts"][0]["host"], "local", "{job:#}");
    // What cannot be carried out is refused before it is a job.
    for (submission, status, says) in [
        (json!({ "operation": "worker_install", "worker_id": "absent" }), 409, "absent"),
        (json!({ "operation": "ping", "hosts": "nobody" }), 409, "nobody"),
        (json!({ "operation": "worker_fly" }), 422, "worker_fly"),
    ] {
        let refused = hive.ask("POST", "/v1/jobs", Some(&submission)).is(status);
        assert!(refused.body.contains(says), "{refused:?}");
    }
    assert_eq!(hive.ask("GET", "/v1/jobs", None).json()["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn side_by_side_an_event_belongs_to_one_job() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let talk = |word: &str| hive.exec(&format!("i=0; while [ $i -lt 300 ]; do echo {word}; i=$((i+1)); done"));
    let jobs: Vec<_> = ["left", "right"].iter().map(|word| (talk(word), *word)).collect();
    for (id, word) in &jobs {
        let events = hive.events(id, None);
        assert_eq!(lines(&events), vec![*word; 300]);
        for event in &events {
            assert_eq!((&event["job"], &event["run"]), (&id.as_str().into(), &id.as_str().into()), "{event}");
        }
    }
}

#[test]
fn a_client_that_goes_away_cancels_nothing() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let gate = stage.lab.dir().join("gate");
    let id = hive.exec(&format!("echo here; until [ -e {} ]; do sleep 0.1; done; echo end", gate.display()));
    // It reads until the job has begun, and is gone.
    hive.until_line(&id, "here");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(hive.job(&id)["state"], "running");
    std::fs::write(gate, "").unwrap();
    hive.until_state(&id, "completed");
    assert_eq!(lines(&hive.events(&id, None)), ["here", "end"]);
}

#[test]
fn a_cancel_counts_even_if_nobody_waits_for_its_answer() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    for nth in 0..5 {
        let word = token();
        let id = hive.exec(&format!("trap '' TERM; env -i setsid sleep {word} & sleep {word}"));
        until_seen(&word, 2);
        let mut stream = hive.stream();
        write!(stream, "DELETE /v1/jobs/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        drop(stream);
        let job = hive.until_state(&id, "cancelled");
        assert_eq!(job["remains"]["confirmed"], true, "{nth}: {job:#}");
        assert_eq!(processes_with(&word), [] as [u32; 0]);
    }
}

#[test]
fn a_deadline_cleans_as_a_cancel_does() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let word = token();
    let script = format!("trap '' TERM; env -i setsid sleep {word} & sleep {word}");
    let id = hive.submit(&json!({ "operation": "exec", "command": [script], "timeout": "700ms" }));
    let job = hive.until_state(&id, "failed");
    assert_eq!((&job["exit"], &job["remains"]["confirmed"]), (&124.into(), &true.into()), "{job:#}");
    assert!(job["reason"].as_str().unwrap().contains("deadline"), "{job:#}");
    assert_eq!(processes_with(&word), [] as [u32; 0]);
}

#[test]
fn a_place_in_the_queue_is_given_up() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("--jobs 1");
    let (word, mark) = (token(), stage.lab.dir().join("mark"));
    let first = hive.exec(&format!("sleep {word}"));
    until_seen(&word, 1);
    let second = hive.exec(&format!("touch {}", mark.display()));
    assert_eq!(hive.job(&second)["state"], "queued");
    let answer = hive.cancel(&second);
    assert_eq!(
        (&answer["status"], &answer["reason"]),
        (&"cancelled".into(), &"cancelled before start".into()),
        "{answer:#}"
    );
    assert_eq!(types(&hive.events(&second, None)), ["job_queued", "job_cancel", "job_finished"]);
    let answer = hive.cancel(&first);
    assert_eq!((&answer["status"], &answer["confirmed"]), (&"cancelled".into(), &true.into()), "{answer:#}");
    // Once more after the end, and by the other name of it.
    assert_eq!(hive.cancel(&first), answer);
    assert_eq!(hive.ask("POST", &format!("/v1/jobs/{first}/cancel"), None).is(200).json(), answer);
    hive.ask("DELETE", "/v1/jobs/absent", None).is(404);
    hive.ask("POST", "/v1/jobs/absent/cancel", None).is(404);
    assert!(!mark.exists());
    let job = hive.job(&first);
    assert!(job["cancelled_by"].as_str().unwrap().starts_with("uid "), "{job:#}");
    assert!(job["cancel_asked_at"].is_string(), "{job:#}");
    // Who and when is in the hive's own log, too.
    let said = hive.end().exits(0).stderr;
    assert!(
        said.lines().any(|line| line.contains("cancel") && line.contains(&first) && line.contains("uid ")),
        "{said}"
    );
}

#[test]
fn a_hive_that_was_killed_leaves_nothing_and_the_next_one_says_so() {
    let stage = Stage::new(&[]);
    let word = token();
    let text = crate::cancel::recipe(&stage, &word);
    let catalog = std::path::Path::new(&text).parent().unwrap().to_str().unwrap().to_owned();
    let hive = stage.hive(&format!("--jobs 1 --catalog {catalog}"));
    let install = json!({ "operation": "worker_install", "worker_id": "stubborn", "build": "host" });
    let (first, second) = (hive.submit(&install), hive.submit(&install));
    until_seen(&word, 3);
    hive.live.signal(Signal::SIGKILL);
    let ran = hive.live.end();
    // What ran notices by itself: its processes end, its folder goes, and then its lock.
    let end = Instant::now() + Duration::from_secs(20);
    let lock = stage.lab.home().join(".local/state/rbee/lock");
    while !processes_with(&word).is_empty() || lock.exists() {
        assert!(Instant::now() < end, "alive: {:?}, {}", processes_with(&word), lock.exists());
        std::thread::sleep(Duration::from_millis(20));
    }
    let hive = stage.hive("");
    let (ran_then, waited) = (hive.job(&first), hive.job(&second));
    assert_eq!((&ran_then["state"], &waited["state"]), (&"failed".into(), &"cancelled".into()), "{ran_then:#}");
    assert!(ran_then["reason"].as_str().unwrap().contains("is gone"), "{ran_then:#}");
    assert_eq!(types(&hive.events(&first, None)).last(), Some(&"job_finished"));
    assert_eq!(hive.ask("GET", "/v1/jobs", None).json()["jobs"].as_array().unwrap().len(), 2);
    // The answer to a cancel is the same as of any job that has ended.
    assert_eq!(hive.cancel(&first)["status"], "failed");
    stage.is_clean("local", &ran);
}

#[test]
fn a_hive_ends_when_its_jobs_have() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let gate = stage.lab.dir().join("gate");
    let id = hive.exec(&format!("until [ -e {} ]; do sleep 0.1; done", gate.display()));
    hive.until_state(&id, "running");
    // Not with a job, if it was to be without; then it goes on as before.
    let idle = json!({ "idle": true });
    hive.ask("POST", "/v1/shutdown", Some(&idle)).is(409);
    let other = hive.exec("true");
    hive.until_state(&other, "completed");
    let answer = hive.ask("POST", "/v1/shutdown", None).is(202).json();
    assert_eq!(answer["jobs_left"], 1, "{answer}");
    hive.ask("POST", "/v1/jobs", Some(&json!({ "operation": "ping" }))).is(503);
    std::fs::write(gate, "").unwrap();
    let socket = hive.socket.clone();
    hive.live.end().exits(0);
    assert!(!socket.exists());
    // And at once, with what runs.
    let hive = stage.hive("");
    assert_eq!(hive.job(&id)["state"], "completed");
    hive.ask("POST", "/v1/shutdown", Some(&idle)).is(202);
    hive.live.end().exits(0);
    let hive = stage.hive("");
    let word = token();
    let id = hive.exec(&format!("trap '' TERM; sleep {word}; sleep {word}"));
    until_seen(&word, 1);
    hive.ask("POST", "/v1/shutdown", Some(&json!({ "now": true }))).is(202);
    hive.live.end().exits(0);
    assert_eq!(processes_with(&word), [] as [u32; 0]);
    let hive = stage.hive("");
    assert_eq!(hive.job(&id)["state"], "cancelled");
}

#[test]
fn one_hive_has_the_state_and_stale_sockets_give_way() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    stage.rbee("hive serve --port 0").exits(2).says("already");
    let mut other = stage.command("hive serve");
    other.env("HOME", stage.lab.dir().join("elsewhere")).args(["--port", &hive.port.to_string()]);
    crate::stage::run(other).exits(2).says("--port 0");
    hive.live.signal(Signal::SIGKILL);
    let socket = hive.socket.clone();
    hive.live.end();
    assert!(socket.exists());
    assert_eq!(stage.rbee("job list").exits(0).stdout, "");
    assert!(!socket.exists());
    stage.rbee("hive status").exits(4).says("rbee hive serve");
    stage.hive("").end().exits(0);
}

/// Readers and lines: in a soak as many as it is meant for, or what RBEE_READERS and RBEE_LINES say.
fn crowd() -> (usize, u64) {
    let said = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (readers, lines) = if std::env::var("RBEE_SOAK").is_ok() { (500, 1_000_000) } else { (50, 20_000) };
    let readers = said("RBEE_READERS").unwrap_or(readers);
    (usize::try_from(readers).unwrap(), said("RBEE_LINES").unwrap_or(lines))
}

#[test]
fn many_readers_cost_little_and_see_one_order() {
    let (readers, count) = crowd();
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let gate = stage.lab.dir().join("gate");
    let id = hive.exec(&format!("until [ -e {} ]; do sleep 0.1; done; seq 1 {count}", gate.display()));
    let before = hive.live.peak().unwrap();
    let (start, gaps) = (Instant::now(), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        for nth in 0..readers {
            let (hive, id, gaps) = (&hive.way, &id, &gaps);
            let read = move || {
                let lost = check_sequence(hive.follow(id), count, nth);
                gaps.fetch_add(lost, std::sync::atomic::Ordering::Relaxed);
            };
            std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, read).unwrap();
        }
        std::fs::write(&gate, "").unwrap();
    });
    let (took, peak) = (start.elapsed(), hive.live.peak().unwrap());
    let (mib, lost) = (|bytes: u64| bytes >> 20, gaps.into_inner());
    println!(
        "{readers} readers, {count} lines: {took:?}, {} MiB, then {} MiB, {lost} lines in gaps",
        mib(before),
        mib(peak)
    );
    assert!(peak < 300 << 20, "{} MiB", mib(peak));
}

/// Whoever does not read holds up neither the job nor the others, and finds everything there when it does.
#[test]
fn readers_that_do_not_read_slow_nobody() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let gate = stage.lab.dir().join("gate");
    let count = 20_000;
    let id = hive.exec(&format!("until [ -e {} ]; do sleep 0.1; done; seq 1 {count}", gate.display()));
    hive.until_state(&id, "running");
    let idle: Vec<_> = (0..50).map(|_| hive.follow(&id)).collect();
    std::fs::write(&gate, "").unwrap();
    // Not one of them has taken more than a socket holds by now.
    let job = hive.until_state(&id, "completed");
    assert_eq!(job["exit"], 0, "{job:#}");
    assert_eq!(lines(&hive.events(&id, None)).len(), 20_000);
    for (nth, stream) in idle.into_iter().enumerate() {
        assert_eq!(check_sequence(stream, count, nth), 0);
    }
}

impl Way {
    /// A stream of a job's events, of which nothing was read yet.
    fn follow(&self, id: &str) -> std::io::BufReader<std::os::unix::net::UnixStream> {
        let mut stream = std::io::BufReader::with_capacity(64 << 10, self.stream());
        write!(stream.get_mut(), "GET /v1/jobs/{id}/stream HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    }
}

/// Reads a stream as it comes; what a bound dropped is counted as it says, and yielded.
fn check_sequence(mut stream: impl std::io::BufRead, count: u64, nth: usize) -> u64 {
    let (mut line, mut seen, mut spoken, mut gaps) = (String::new(), 0, 0, 0);
    while stream.read_line(&mut line).unwrap() > 0 {
        if let Some(data) = line.strip_prefix("data: ") {
            // A million of them are more than a parser of JSON should be asked for.
            let number = |key: &str| -> Option<u64> {
                let rest = data.split_once(key)?.1;
                rest.split_once(|c: char| !c.is_ascii_digit())?.0.parse().ok()
            };
            let seq = number("\"seq\":").unwrap();
            let step = if data.contains("\"type\":\"gap\"") { number("\"lines\":").unwrap() } else { 1 };
            gaps += step - 1;
            seen += step;
            assert_eq!(seq, seen, "reader {nth}: {data}");
            if data.contains("\"type\":\"line\"") {
                let number = number("\"text\":\"").unwrap();
                assert!(number > spoken, "reader {nth}: {data}");
                spoken = number;
            }
            if data.contains("\"type\":\"job_finished\"") {
                break;
            }
        }
        line.clear();
    }
    assert_eq!(spoken, count, "reader {nth}, {gaps} in gaps");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.trim(), "");
    gaps
}
