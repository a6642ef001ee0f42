//! Readers of one job for scripts: `crowd SOCKET JOB READERS PACE`, all of them at once, each on a connection of its own.
//!
//! PACE is bytes a second for each reader until stdin ends, `0` for as many as there are, or `stalled` for none at all.
//! It says `there` when all streams are open. At the end it prints one line of JSON: what all readers saw.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, reason = "a program for scripts")]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Events of the longest job that is compared.
const EVENTS: usize = 4_000_000;
/// How far ahead of its pace a reader may be, and how long it then waits.
const STEP: Duration = Duration::from_millis(250);

/// What one reader saw.
#[derive(Debug, Default)]
struct Seen {
    /// Number of the last event, and how many came.
    last: u64,
    events: u64,
    bytes: u64,
    /// First and last number that each `gap` stood for.
    gaps: Vec<(u64, u64)>,
    ended: bool,
}

/// The digest of each event by its number, of whoever saw it first.
struct Agreed(Vec<AtomicU64>);

impl Agreed {
    fn check(&self, number: u64, data: &[u8]) {
        let digest = digest(data) | 1;
        let place = &self.0[usize::try_from(number).unwrap()];
        if let Err(other) = place.compare_exchange(0, digest, Ordering::Relaxed, Ordering::Relaxed) {
            assert_eq!(other, digest, "event {number} was told in two ways: {}", String::from_utf8_lossy(data));
        }
    }
}

fn digest(data: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = data.as_chunks::<8>();
    let hash = words.iter().fold(data.len() as u64, |hash, word| step(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| step(hash, u64::from(*byte)))
}

fn number(data: &[u8], key: &[u8]) -> Option<u64> {
    let at = data.windows(key.len()).position(|window| window == key)? + key.len();
    let digits = data[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn read(stream: UnixStream, pace: u64, over: &AtomicBool, agreed: &Agreed) -> Seen {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let (mut line, mut seen, start) = (Vec::new(), Seen::default(), Instant::now());
    loop {
        line.clear();
        let count = stream.read_until(b'\n', &mut line).unwrap();
        if count == 0 {
            return seen;
        }
        seen.bytes += count as u64;
        // In steps: to wake up for every line would be the work of a greedy one.
        while pace > 0 && !over.load(Ordering::Relaxed) {
            let due = Duration::from_secs_f64(seen.bytes as f64 / pace as f64);
            if due < start.elapsed() + STEP {
                break;
            }
            thread::sleep(STEP);
        }
        let Some(data) = line.strip_prefix(b"data: ") else { continue };
        assert!(!seen.ended, "an event behind the last one");
        let seq = number(data, b"\"seq\":").unwrap();
        // The beginning of a line is enough to tell an event by: what a program said stands at its end.
        if data.windows(12).any(|window| window == b"\"type\":\"gap\"") {
            let lost = number(data, b"\"lines\":").unwrap();
            assert_eq!(seq, seen.last + lost, "a gap of another length");
            seen.gaps.push((seen.last + 1, seq));
        } else {
            assert_eq!(seq, seen.last + 1, "out of order");
            agreed.check(seq, data);
            seen.ended = data.windows(21).any(|window| window == b"\"type\":\"job_finished\"");
        }
        seen.last = seq;
        seen.events += 1;
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, socket, job, readers, pace] = words.as_slice() else {
        eprintln!("usage: crowd SOCKET JOB READERS PACE");
        std::process::exit(2);
    };
    let readers: usize = readers.parse().unwrap();
    let agreed = Agreed((0..EVENTS).map(|_| AtomicU64::new(0)).collect());
    let all_there = Barrier::new(readers + 1);
    let go = Barrier::new(readers + 1);
    let over = AtomicBool::new(false);
    let stalled = pace == "stalled";
    let pace: u64 = if stalled { 0 } else { pace.parse().unwrap() };
    let seen: Vec<Seen> = thread::scope(|scope| {
        let threads: Vec<_> = (0..readers)
            .map(|_| {
                let open = || {
                    let mut stream = UnixStream::connect(socket).unwrap();
                    write!(stream, "GET /v1/jobs/{job}/stream HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
                    all_there.wait();
                    go.wait();
                    read(stream, pace, &over, &agreed)
                };
                thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, open).unwrap()
            })
            .collect();
        all_there.wait();
        println!("there");
        let wait = || std::io::stdin().read_to_end(&mut Vec::new());
        if stalled {
            let _ = wait();
            go.wait();
        } else {
            go.wait();
            let _ = wait();
            over.store(true, Ordering::Relaxed);
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let last: Vec<u64> = seen.iter().map(|one| one.last).collect::<BTreeSet<_>>().into_iter().collect();
    let gaps: BTreeSet<&Vec<(u64, u64)>> = seen.iter().map(|one| &one.gaps).collect();
    println!(
        "{{\"ended\":{},\"last\":{last:?},\"events\":{},\"bytes\":{},\"ways\":{},\"gaps\":{:?}}}",
        seen.iter().filter(|one| one.ended).count(),
        seen.iter().map(|one| one.events).sum::<u64>(),
        seen.iter().map(|one| one.bytes).sum::<u64>(),
        gaps.len(),
        // The shape of the first few is told; it is their number that says whether all were told the same.
        gaps.iter().take(1).map(|gaps| gaps.iter().map(|(a, b)| [*a, *b]).collect::<Vec<_>>()).next().unwrap_or_default(),
    );
}
