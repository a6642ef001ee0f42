use std::sync::atomic::AtomicBool;

use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::{
    job::{Batch, Cursor},
    vocab::{CancelStage, EventKind, Stream},
    wire::job::{Owner, StreamLine},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn order<F: Future<Output = Ended> + Send + 'static>(work: impl FnOnce(Scope) -> F + Send + 'static) -> Order {
    let work: Work = Box::new(|scope| Box::pin(work(scope)));
    Order { verb: "exec".into(), submission: json!({ "operation": "ping" }), hosts: Vec::new(), limit: None, work }
}

fn done(exit: ExitCode) -> Ended {
    Ended { exit, error: None, result: None }
}

fn one_at_a_time() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path().join("jobs"), Limits { running: 1, ..Limits::default() }).unwrap();
    (dir, registry)
}

/// The stream as a client reads it.
async fn stream(job: &Job) -> Vec<StreamLine> {
    let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
    while let Some(batch) = job.log().next(&mut cursor).await {
        let Batch::Lines { text, .. } = batch else { panic!("{batch:?}") };
        for line in std::str::from_utf8(&text).unwrap().lines() {
            seen.push(StreamLine::parse(line).unwrap());
            assert_eq!(seen.last().unwrap().seq(), seen.len() as u64);
        }
    }
    seen
}

fn words(lines: &[StreamLine]) -> Vec<String> {
    let word = |line: &StreamLine| {
        let value: Value = serde_json::from_str(&line.to_line()).unwrap();
        value["type"].as_str().unwrap().to_owned()
    };
    lines.iter().map(word).collect()
}

async fn until<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

#[tokio::test]
async fn work_starts_when_nobody_listens_and_all_of_it_is_told_later() {
    let (_dir, registry) = one_at_a_time();
    let job = registry
        .submit(order(async |scope: Scope| {
            scope.events().line(Stream::Stdout, "[DONE]".into()).await;
            Ended { result: Some(json!({ "answer": 42 })), ..done(ExitCode::Ok) }
        }))
        .unwrap();
    assert_eq!(until(job.ended()).await, JobState::Completed);
    let lines = stream(&job).await;
    assert_eq!(words(&lines), ["job_queued", "job_started", "line", "job_finished"]);
    assert_eq!(stream(&job).await, lines);
    let form = job.form();
    assert_eq!((form.exit, form.last_event, form.result), (Some(0), 4, Some(json!({ "answer": 42 }))));
    assert!(form.created_at <= form.started_at.unwrap() && form.started_at <= form.ended_at);
    assert!(form.remains.unwrap().confirmed);
}

#[tokio::test]
async fn what_is_cancelled_in_the_queue_never_runs() {
    let (_dir, registry) = one_at_a_time();
    let (go, ran) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let first = registry.submit(order({
        let go = go.clone();
        async move |_| {
            go.notified().await;
            done(ExitCode::Ok)
        }
    }));
    let second = registry.submit(order({
        let ran = ran.clone();
        async move |_| {
            ran.store(true, Ordering::SeqCst);
            done(ExitCode::Ok)
        }
    }));
    let (first, second) = (first.unwrap(), second.unwrap());
    let form = until(registry.cancel(second.id().as_str(), "a test")).await.unwrap();
    assert_eq!((form.state.0, form.reason.as_deref()), (JobState::Cancelled, Some("cancelled before start")));
    assert_eq!((form.started_at, form.cancelled_by.as_deref()), (None, Some("a test")));
    assert_eq!(words(&stream(&second).await), ["job_queued", "job_cancel", "job_finished"]);
    // Once more, and after its end: the same answer.
    assert_eq!(until(registry.cancel(second.id().as_str(), "another")).await.unwrap(), form);
    go.notify_one();
    assert_eq!(until(first.ended()).await, JobState::Completed);
    assert!(!ran.load(Ordering::SeqCst));
    assert_eq!(until(registry.cancel("absent", "a test")).await, None);
}

#[tokio::test]
async fn a_cancel_waits_for_what_was_confirmed() {
    let (_dir, registry) = one_at_a_time();
    let job = registry
        .submit(order(async |scope: Scope| {
            scope.cancel().cancelled().await;
            for stage in [CancelStage::Asked, CancelStage::Kill, CancelStage::Confirmed] {
                scope.events().emit(EventKind::Cancel { stage, group: Some(4711), survivors: 0 });
            }
            done(ExitCode::Interrupted)
        }))
        .unwrap();
    until(job.state.subscribe().wait_for(|state| *state == JobState::Running)).await.unwrap();
    let form = until(registry.cancel(job.id().as_str(), "somebody")).await.unwrap();
    assert_eq!((form.state.0, form.reason.as_deref()), (JobState::Cancelled, Some("cancelled by somebody")));
    let remains = form.remains.unwrap();
    assert!(remains.confirmed && remains.dead[0].killed && remains.dead[0].group == 4711, "{remains:?}");
}

#[tokio::test]
async fn a_deadline_ends_a_job_as_a_cancel_does() {
    let (_dir, registry) = one_at_a_time();
    let limit = Some(Duration::from_millis(20));
    let job = registry
        .submit(Order {
            limit,
            ..order(async |scope: Scope| {
                assert_eq!(scope.cancel().cancelled().await, CancelReason::Deadline);
                done(ExitCode::Deadline)
            })
        })
        .unwrap();
    assert_eq!(until(job.ended()).await, JobState::Failed);
    assert_eq!(job.form().reason.as_deref(), Some("the deadline of the run has passed"));
}

#[tokio::test]
async fn a_bug_ends_its_job_and_no_other() {
    let (_dir, registry) = one_at_a_time();
    let bad = registry.submit(order(async |_| panic!("a bug for a test"))).unwrap();
    let good = registry.submit(order(async |_| done(ExitCode::Ok))).unwrap();
    assert_eq!(until(bad.ended()).await, JobState::Failed);
    assert_eq!(until(good.ended()).await, JobState::Completed);
    assert_eq!(words(&stream(&bad).await).last().map(String::as_str), Some("job_finished"));
}

#[tokio::test]
async fn side_by_side_nothing_leaks() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), Limits::default()).unwrap();
    let talk = |word: &'static str| {
        registry.submit(order(async move |scope: Scope| {
            for _ in 0..2000 {
                scope.events().line(Stream::Stdout, word.into()).await;
            }
            done(ExitCode::Ok)
        }))
    };
    let (one, two) = (talk("one").unwrap(), talk("two").unwrap());
    for (job, word) in [(one, "one"), (two, "two")] {
        until(job.ended()).await;
        let lines = stream(&job).await;
        assert_eq!(lines.len(), 2003);
        for line in lines {
            let value: Value = serde_json::from_str(&line.to_line()).unwrap();
            assert_eq!(
                (value["run"].as_str(), value["job"].as_str()),
                (Some(job.id().as_str()), Some(job.id().as_str()))
            );
            assert!(value["type"] != "line" || value["text"] == word, "{value}");
        }
    }
}

#[tokio::test]
async fn after_a_crash_jobs_are_ended_reported_and_listed() {
    let (dir, registry) = one_at_a_time();
    let jobs: Vec<_> =
        (0..2).map(|_| registry.submit(order(async |_| std::future::pending().await)).unwrap()).collect();
    until(jobs[0].state.subscribe().wait_for(|state| *state == JobState::Running)).await.unwrap();
    // The record of a process that is gone.
    for job in &jobs {
        lock(&job.form).owner = Owner { pid: u32::MAX >> 1, started: 1 };
        let state = job.state();
        job.enter(state, |_| {});
    }
    let again = Registry::open(dir.path().join("jobs"), Limits::default()).unwrap();
    let [ran, waited] = [0, 1].map(|nth| again.get(jobs[nth].id().as_str()).unwrap());
    assert_eq!((ran.state(), waited.state()), (JobState::Failed, JobState::Cancelled));
    assert!(ran.form().reason.unwrap().contains("is gone"), "{:?}", ran.form());
    assert!(!ran.form().remains.unwrap().confirmed);
    assert!(waited.form().reason.unwrap().starts_with("cancelled before start"), "{:?}", waited.form());
    assert_eq!(words(&stream(&ran).await), ["job_queued", "job_started", "job_finished"]);
    // And a third one reads what the second wrote.
    let third = Registry::open(dir.path().join("jobs"), Limits::default()).unwrap();
    let read = third.get(ran.id().as_str()).unwrap().form();
    assert_eq!((read.state, read.reason, read.last_event), (ran.form().state, ran.form().reason, 3));
    assert_eq!(third.list().len(), 2);
}

#[tokio::test]
async fn ended_jobs_are_forgotten_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), Limits { kept: 2, ..Limits::default() }).unwrap();
    for _ in 0..5 {
        let job = registry.submit(order(async |_| done(ExitCode::Ok))).unwrap();
        until(job.ended()).await;
    }
    registry.expire();
    assert_eq!(registry.list().len(), 2);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    let registry = Registry::open(dir.path(), Limits { kept_for: Duration::ZERO, ..Limits::default() }).unwrap();
    assert_eq!(registry.list().len(), 0);
}

#[tokio::test]
async fn a_registry_that_closes_takes_nothing_and_waits_for_all() {
    let (_dir, registry) = one_at_a_time();
    let job = registry
        .submit(order(async |scope: Scope| {
            scope.cancel().cancelled().await;
            done(ExitCode::Unconfirmed)
        }))
        .unwrap();
    until(job.state.subscribe().wait_for(|state| *state == JobState::Running)).await.unwrap();
    registry.stop_taking();
    assert!(matches!(registry.submit(order(async |_| done(ExitCode::Ok))), Err(JobError::Ending)));
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.all_ended().await }
    });
    registry.cancel_all("the end", CancelReason::Terminate);
    assert_eq!(until(waiting).await.unwrap(), Closed::Unconfirmed(1));
    assert_eq!(job.state(), JobState::Cancelled);
}

#[tokio::test]
async fn a_run_is_a_job_while_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let registry = Registry::empty(place.clone(), Limits::default());
    let (emitter, receiver) = crate::scope::events(RunId::new("20260102-030405-abcdef").unwrap());
    let scope = Scope::new(Cancel::new(), emitter);
    let id = scope.events().run().clone();
    let (running, journal) = registry.adopt(id, "exec", json!({}), &[HostName::local()], &scope).unwrap();
    let reader = crate::report::spawn(receiver, vec![Box::new(journal)]).unwrap();
    scope.events().line(Stream::Stderr, "hello".into()).await;
    let job = registry.list().remove(0);
    job.ask("another terminal", CancelReason::Client);
    assert_eq!(scope.cancel().reason(), Some(CancelReason::Client));
    drop(scope);
    reader.join().unwrap();
    running.finish(done(ExitCode::Interrupted));
    assert_eq!(until(job.ended()).await, JobState::Cancelled);
    let seen = words(&stream(&job).await);
    assert_eq!((seen[0].as_str(), seen.last().unwrap().as_str(), seen.len()), ("job_started", "job_finished", 4));
    drop(running);
    assert!(!place.exists());
}
