use std::{
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    super::read::{Batch, Cursor},
    *,
};

/// Lines as a reader sees them: their numbers, and "gap" with how many were lost.
#[derive(Debug, PartialEq, Clone)]
enum Seen {
    Line(u64),
    Gap(u64),
}

async fn read_to_end(log: &Arc<Log>, mut cursor: Cursor) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(batch) = log.next(&mut cursor).await {
        match batch {
            Batch::Gap { last, lost } => {
                assert_eq!(cursor.seen, last);
                seen.push(Seen::Gap(lost));
            }
            Batch::Lines { first, text } => {
                for (number, line) in (first..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
                    let line = std::str::from_utf8(line).unwrap();
                    assert!(line.starts_with(&format!("{number} ")) && line.ends_with('\n'), "{number}: {line:?}");
                    seen.push(Seen::Line(number));
                }
            }
        }
    }
    seen
}

fn text(number: u64) -> String {
    format!("{number} {}", "x".repeat((number % 90) as usize))
}

fn fill(log: &Log, count: u64) {
    for _ in 0..count {
        log.push(true, text);
    }
}

const SMALL: Bounds = Bounds { total: 8000, piece: 1000 };

#[tokio::test]
async fn every_reader_sees_every_line_whenever_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new(dir.path(), Bounds::default()));
    let early = tokio::spawn({
        let log = log.clone();
        async move { read_to_end(&log, Cursor::default()).await }
    });
    fill(&log, 3000);
    let middle = tokio::spawn({
        let log = log.clone();
        async move { read_to_end(&log, Cursor::after(2990)).await }
    });
    log.end(text);
    let all: Vec<_> = (1..=3001).map(Seen::Line).collect();
    assert_eq!(early.await.unwrap(), all);
    assert_eq!(middle.await.unwrap(), all[2990..]);
    assert_eq!(read_to_end(&log, Cursor::default()).await, all);
    for beyond in [3001, 3002, u64::MAX - 1] {
        assert_eq!(read_to_end(&log, Cursor::after(beyond)).await, []);
    }
}

#[tokio::test]
async fn the_bound_cuts_the_middle_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new(dir.path(), SMALL));
    for _ in 0..5000 {
        log.push(false, text);
    }
    log.end(text);
    let on_disk: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= SMALL.total + SMALL.piece, "{on_disk}");
    for entry in fs::read_dir(dir.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let seen = read_to_end(&log, Cursor::default()).await;
    let gaps: Vec<_> = seen.iter().enumerate().filter(|(_, seen)| matches!(seen, Seen::Gap(_))).collect();
    let [(at, Seen::Gap(lost))] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(seen[at - 1], Seen::Line(at as u64));
    assert_eq!(seen[at + 1], Seen::Line(at as u64 + lost + 1));
    assert_eq!(seen.last(), Some(&Seen::Line(5001)));
    // Whoever comes back into the gap sees what is left of it, and the same lines.
    let back = read_to_end(&log, Cursor::after(at as u64 + 10)).await;
    assert_eq!(back[0], Seen::Gap(lost - 10));
    assert_eq!(back[1..], seen[at + 1..]);
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_misses_what_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new(dir.path(), SMALL));
    log.push(false, text);
    let mut slow = Cursor::default();
    assert!(matches!(log.next(&mut slow).await, Some(Batch::Lines { first: 1, .. })));
    // Nobody reads, and the writer comes to its end all the same.
    for _ in 0..5000 {
        log.push(false, text);
    }
    log.end(text);
    let seen = read_to_end(&log, slow).await;
    assert_eq!(seen.last(), Some(&Seen::Line(5002)));
    let total: u64 = seen.iter().map(|seen| if let Seen::Gap(lost) = seen { *lost } else { 1 }).sum();
    assert_eq!(total, 5001);
}

#[tokio::test]
async fn another_process_reads_on_and_a_torn_line_is_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), SMALL);
    for _ in 0..40 {
        log.push(false, text);
    }
    drop(log);
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut last = OpenOptions::new().append(true).open(names.last().unwrap()).unwrap();
    last.write_all(b"41 torn").unwrap();
    let log = Arc::new(Log::open(dir.path(), SMALL, false).unwrap());
    assert_eq!(log.last(), 40);
    log.end(text);
    assert_eq!(read_to_end(&log, Cursor::default()).await, (1..=41).map(Seen::Line).collect::<Vec<_>>());
    let again = Arc::new(Log::open(dir.path(), SMALL, true).unwrap());
    assert_eq!(read_to_end(&again, Cursor::after(39)).await, [Seen::Line(40), Seen::Line(41)]);
}

#[tokio::test]
async fn without_a_disk_the_end_is_still_told() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let log = Arc::new(Log::new(&gone, Bounds::default()));
    log.push(false, text);
    fs::remove_dir_all(&gone).unwrap();
    // The open piece still takes lines; the next one cannot be made.
    lock(&log.writer).file = None;
    fill(&log, 10_000);
    log.push(false, text);
    log.end(text);
    assert!(log.error().is_some());
    let seen = read_to_end(&log, Cursor::default()).await;
    assert_eq!(seen, [Seen::Gap(10_001), Seen::Line(10_002), Seen::Line(10_003)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_see_one_order() {
    let (readers, count) = match std::env::var("RBEE_SOAK") {
        Ok(_) => (500, 1_000_000),
        Err(_) => (50, 20_000),
    };
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new(dir.path(), Bounds { total: 1 << 20, piece: 1 << 17 }));
    let ended = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..readers)
        .map(|nth| {
            let (log, ended) = (log.clone(), ended.clone());
            tokio::spawn(async move {
                let mut cursor = Cursor::default();
                let mut total = 0;
                while let Some(batch) = log.next(&mut cursor).await {
                    match batch {
                        Batch::Gap { lost, .. } => total += lost,
                        Batch::Lines { first, text } => {
                            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                                total += 1;
                                assert!(line.starts_with(format!("{total} ").as_bytes()), "{first}");
                            }
                        }
                    }
                    if nth % 10 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                ended.fetch_add(1, Ordering::Relaxed);
                total
            })
        })
        .collect();
    let writing = log.clone();
    tokio::task::spawn_blocking(move || {
        fill(&writing, count);
        writing.end(text);
    })
    .await
    .unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), count + 1);
    }
}
