//! Hosts that go on while their controller is away: over a network that can be cut at any byte.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/lanes.rs"]
mod lanes;
#[path = "roam/net.rs"]
mod net;
#[path = "roam/ssh.rs"]
mod ssh;
#[path = "support/sshd.rs"]
mod sshd;
#[path = "fleet/stage.rs"]
#[allow(dead_code, reason = "another program uses the rest")]
mod stage;
mod support;
#[path = "roam/wire.rs"]
mod wire;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use lanes::{SHELLS, matrix, output};
use net::{Cut, Net};
use rbee::{
    scope::{CancelReason, EventReceiver},
    target::{
        Captured, Closed, Command, Output, Source, Target, TargetError,
        roam::{Dial, Roaming},
        supervisor::{Supervised, Supervision},
    },
    vocab::{EventKind, Stream},
};
use support::{eventually, processes_with, scope, shell, token};

const ROOM: Duration = Duration::from_secs(12);

/// A host with a home of its own, and the way to it.
struct Host {
    net: Arc<Net>,
    home: tempfile::TempDir,
    events: EventReceiver,
    target: Arc<Supervised<Roaming>>,
    what: String,
}

impl Host {
    async fn new(sh: &str, levels: &'static str, lease: Duration) -> Self {
        let home = tempfile::tempdir().unwrap();
        let net = Arc::new(Net::new(home.path()));
        let shell = shell(sh).to_str().unwrap().to_owned();
        let (scope, events) = scope();
        let first = net.dial().await.unwrap();
        let opener = Roaming::new(first, net.clone(), lease, shell.clone(), scope);
        let target = Supervised::new(opener, Supervision { levels, shell, lease, ..Supervision::default() });
        Self { net, home, events, target: Arc::new(target), what: format!("{sh} {levels}") }
    }

    fn lanes(&self) -> Vec<PathBuf> {
        let roam = self.home.path().join(".cache/rbee/roam");
        std::fs::read_dir(roam).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    /// Nothing is left of it: no folder, and no process that stands in it.
    async fn is_gone(&self) {
        let home = self.home.path().to_str().unwrap();
        let start = Instant::now();
        while !self.lanes().is_empty() || !living_in(home).is_empty() {
            assert!(start.elapsed() < ROOM, "{}: left: {:?} {:?}", self.what, self.lanes(), living_in(home));
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    fn notices(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(event) = self.events.try_recv() {
            if let EventKind::Notice { text, .. } = event.kind {
                found.push(text);
            }
        }
        found
    }
}

/// Processes whose home or folder is there.
fn living_in(home: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let dead = std::fs::read_to_string(entry.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')));
        if !dead && String::from_utf8_lossy(&environ).contains(home) {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&words).replace('\0', " ")));
        }
    }
    found
}

#[tokio::test]
async fn a_lane_that_can_roam_is_a_lane() {
    for (sh, level, containment) in matrix() {
        let host = Host::new(sh, level, Duration::from_secs(60)).await;
        let (scope, _events) = scope();
        let mut kept = Captured::default();
        let script = "printf 'no newline'; echo err >&2; cat; exit 3";
        let exit = host.target.run(&scope, &Command::foreign("test", script), &mut kept).await.unwrap();
        assert_eq!((exit.status, exit.containment), (3, containment), "{sh} {level}");
        assert_eq!((kept.text().as_str(), kept.stderr.as_slice()), ("no newline", &b"err\n"[..]), "{sh} {level}");
        let start = Instant::now();
        for i in 0..20 {
            let (status, out, _) = output(&*host.target, Command::own("two", format!("echo 'it is {i}'"))).await;
            assert_eq!((status, out), (0, format!("it is {i}\n")), "{sh} {level}");
        }
        eprintln!("{sh} {level}: {:?} a command", start.elapsed() / 20);
        let file = host.home.path().join("scratch");
        host.target.scratch(&scope, file.to_str().unwrap()).await.unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(host.lanes().len(), 1);
        assert_eq!(host.target.close().await, Closed::Clean, "{sh} {level}");
        assert!(!file.exists(), "{sh} {level}");
        assert_eq!(host.lanes(), [] as [PathBuf; 0], "{sh} {level}: closed, and the folder is still there");
        host.is_gone().await;
    }
}

/// Counts lines of both streams that are numbers in a row.
#[derive(Default)]
struct Numbers([(u64, Vec<u8>); 2]);

#[async_trait]
impl Output for Numbers {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        let (next, rest) = &mut self.0[usize::from(stream == Stream::Stderr)];
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            *next += 1;
            assert_eq!(String::from_utf8_lossy(&line).trim_end(), next.to_string(), "a line is lost or doubled");
        }
    }
}

#[tokio::test]
async fn every_line_arrives_once_whatever_is_cut() {
    let mut tasks = tokio::task::JoinSet::new();
    for (index, (sh, level, _)) in matrix().enumerate() {
        let cut = [Cut::Silent, Cut::Reset, Cut::Held][index % 3];
        tasks.spawn(cut_in_the_middle(sh, level, cut));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

async fn cut_in_the_middle(sh: &'static str, level: &'static str, cut: Cut) {
    let mut host = Host::new(sh, level, Duration::from_secs(60)).await;
    let (scope, _events) = scope();
    let script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.05; done; exit 7";
    let command = Command::foreign("numbers", script);
    let mut numbers = Numbers::default();
    let net = host.net.clone();
    let cuts = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            net.cut(cut);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            net.mend();
            if cut != Cut::Reset {
                // It takes some seconds to notice.
                tokio::time::sleep(Duration::from_secs(9)).await;
                net.release();
            }
        }
    };
    let (exit, ()) = tokio::join!(host.target.run(&scope, &command, &mut numbers), cuts);
    let what = host.what.clone();
    assert_eq!(exit.unwrap().status, 7, "{what}");
    assert_eq!((numbers.0[0].0, numbers.0[1].0), (400, 400), "{what}");
    let (status, out, _) = output(&*host.target, Command::own("after", "echo still here")).await;
    assert_eq!((status, out.as_str()), (0, "still here\n"), "{what}");
    assert_eq!(host.target.close().await, Closed::Clean, "{what}");
    let notices = host.notices();
    assert!(notices.iter().any(|n| n.starts_with("connection lost (")), "{what}: {notices:?}");
    assert!(notices.iter().any(|n| n.starts_with("back after ")), "{what}: {notices:?}");
    host.is_gone().await;
}

/// The network breaks off after some bytes, again and again, with requests and answers on their way.
#[tokio::test]
async fn requests_are_neither_lost_nor_doubled() {
    let mut tasks = tokio::task::JoinSet::new();
    for sh in SHELLS {
        tasks.spawn(async move {
            let host = Host::new(sh, "subreaper group", Duration::from_secs(60)).await;
            let log = host.home.path().join("log");
            let net = host.net.clone();
            let breaking = async {
                loop {
                    net.break_after(rand::random_range(200..12_000));
                    tokio::time::sleep(Duration::from_millis(rand::random_range(200..900))).await;
                }
            };
            let work = async {
                for i in 0..40 {
                    let padding = "x".repeat(rand::random_range(0..5000));
                    let script = format!(": {padding}\necho {i} >>{}\necho {i}", log.display());
                    let (status, out, _) = output(&*host.target, Command::own("count", script)).await;
                    assert_eq!((status, out), (0, format!("{i}\n")), "{sh}");
                }
            };
            tokio::select! {
                () = work => {}
                () = breaking => {}
            }
            let expected: String = (0..40).map(|i| format!("{i}\n")).collect();
            assert_eq!(std::fs::read_to_string(&log).unwrap(), expected, "{sh}");
            host.net.break_never();
            assert_eq!(host.target.close().await, Closed::Clean, "{sh}");
            assert!(host.net.dials() > 3, "{sh}: the network held");
            host.is_gone().await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_is_over_ends_it_on_the_host() {
    let mut tasks = tokio::task::JoinSet::new();
    for (index, (sh, level, _)) in matrix().enumerate() {
        let cut = [Cut::Silent, Cut::Reset][index % 2];
        tasks.spawn(async move {
            let lease = Duration::from_secs(33);
            let host = Host::new(sh, level, lease).await;
            let token = token();
            let (scope, _events) = scope();
            let file = host.home.path().join("scratch");
            host.target.scratch(&scope, file.to_str().unwrap()).await.unwrap();
            std::fs::write(&file, "").unwrap();
            let command = Command::foreign("test", format!("trap '' TERM; setsid sleep {token} & sleep {token}"));
            let cut = async {
                eventually("started", ROOM, || processes_with(&token).len() >= 2).await;
                host.net.cut(cut);
                let took = eventually("ended", lease + ROOM * 2, || processes_with(&token).is_empty()).await;
                assert!(took > lease - Duration::from_secs(5), "{}: too early, after {took:?}", host.what);
            };
            let mut kept = Captured::default();
            let (ended, ()) = tokio::join!(host.target.run(&scope, &command, &mut kept), cut);
            assert!(matches!(ended, Err(TargetError::Lost(_))), "{}: {ended:?}", host.what);
            assert!(matches!(host.target.close().await, Closed::Unconfirmed(_)), "{}", host.what);
            eventually(&host.what, ROOM, || !file.exists()).await;
            eventually(&host.what, Duration::from_secs(45), || host.lanes().is_empty()).await;
            host.is_gone().await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_cancel_while_away_reaches_the_host_or_says_so() {
    for back in [true, false] {
        let host = Host::new("dash", "subreaper group", Duration::from_secs(60)).await;
        // From now on it is known by its process.
        assert_eq!(output(&*host.target, Command::own("one", "true")).await.0, 0);
        let token = token();
        let (scope, _events) = scope();
        let command = Command::foreign("test", format!("sleep {token}"));
        let net = host.net.clone();
        let cancel = async {
            eventually("started", ROOM, || !processes_with(&token).is_empty()).await;
            net.cut(Cut::Reset);
            eventually("the cut is noticed", ROOM, || host.target.away()).await;
            if back {
                net.mend();
            }
            scope.cancel().ask(CancelReason::Interrupt);
            Instant::now()
        };
        let mut kept = Captured::default();
        let (ended, asked) = tokio::join!(host.target.run(&scope, &command, &mut kept), cancel);
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        if back {
            assert!(matches!(ended, Err(TargetError::Stopped(_))), "{ended:?}");
            assert_eq!(processes_with(&token), [] as [u32; 0]);
            assert_eq!(host.target.close().await, Closed::Clean);
            host.is_gone().await;
        } else {
            assert!(matches!(ended, Err(TargetError::Unconfirmed { .. })), "{ended:?}");
            assert!(!processes_with(&token).is_empty(), "it goes on until its lease is over");
            let Closed::Unconfirmed(what) = host.target.close().await else { panic!("it is not confirmed") };
            // What is said to end it by hand does.
            let pid: i32 = what
                .split("kill ")
                .nth(1)
                .unwrap()
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap()
                .parse()
                .unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
            eventually("by hand", ROOM, || processes_with(&token).is_empty()).await;
            eventually("its folder", Duration::from_secs(45), || host.lanes().is_empty()).await;
        }
    }
}

/// What a program prints while nobody listens is kept up to a bound; then it waits, and nothing of it is lost.
#[tokio::test]
async fn a_flood_is_carried_and_bounded() {
    struct Sum(u64, u64);
    #[async_trait]
    impl Output for Sum {
        async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
            if stream == Stream::Stdout {
                self.0 += bytes.len() as u64;
                self.1 = bytes.iter().fold(self.1, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(*b)));
            }
        }
    }
    let host = Host::new("dash", "subreaper group", Duration::from_secs(120)).await;
    let (scope, _events) = scope();
    let mut sum = Sum(0, 0);
    let net = host.net.clone();
    let start = Instant::now();
    let command = Command::foreign("flood", "seq 1 8000000");
    let most = std::sync::atomic::AtomicU64::new(0);
    let cut = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        net.cut(Cut::Silent);
        tokio::time::sleep(Duration::from_secs(3)).await;
        most.store(folder_size(&host.lanes()[0]), std::sync::atomic::Ordering::Relaxed);
        net.mend();
    };
    let (exit, ()) = tokio::join!(host.target.run(&scope, &command, &mut sum), cut);
    assert_eq!(exit.unwrap().status, 0);
    let mut expected = Sum(0, 0);
    for i in 1..=8_000_000u64 {
        expected.chunk(Stream::Stdout, format!("{i}\n").as_bytes()).await;
    }
    assert_eq!((sum.0, sum.1), (expected.0, expected.1));
    eprintln!("{} bytes in {:?}; {:?} waited on disk", sum.0, start.elapsed(), most);
    // What was delivered is not kept.
    assert!(folder_size(&host.lanes()[0]) < 60 << 20);
    assert_eq!(host.target.close().await, Closed::Clean);
}

fn folder_size(folder: &PathBuf) -> u64 {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.metadata().map_or(0, |m| m.len())).sum()
}

/// Bytes that can be read again.
struct Zeros(u64);

#[async_trait]
impl Source for Zeros {
    fn size(&self) -> u64 {
        self.0
    }
    async fn next(&mut self) -> std::io::Result<bytes::Bytes> {
        let n = self.0.min(64 << 10);
        self.0 -= n;
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(bytes::Bytes::from(vec![0; n as usize]))
    }
    fn part(&self, _: u64, _: u64) -> Option<Box<dyn Source>> {
        Some(Box::new(Self(40 << 20)))
    }
}

#[tokio::test]
async fn an_upload_that_was_cut_begins_again() {
    for cut in [Cut::Reset, Cut::Held] {
        let host = Host::new("dash", "subreaper group", Duration::from_secs(60)).await;
        let (scope, _events) = scope();
        let path = host.home.path().join("it's a part");
        let net = host.net.clone();
        let cutting = async {
            eventually("the upload", ROOM, || std::fs::metadata(&path).is_ok_and(|m| m.len() > 1 << 20)).await;
            net.cut(cut);
            tokio::time::sleep(Duration::from_secs(1)).await;
            net.mend();
        };
        let mut source = Zeros(40 << 20);
        let (put, ()) = tokio::join!(host.target.put(&scope, path.to_str().unwrap(), &mut source), cutting);
        put.unwrap();
        net.release();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 40 << 20, "{cut:?}");
        assert_eq!(host.target.close().await, Closed::Clean, "{cut:?}");
        assert!(!path.exists());
        host.is_gone().await;
    }
}

#[tokio::test]
async fn a_target_that_is_dropped_leaves_nothing() {
    for sh in SHELLS {
        let host = Host::new(sh, "subreaper group", Duration::from_secs(60)).await;
        let token = token();
        let task = {
            let (target, token) = (host.target.clone(), token.clone());
            tokio::spawn(async move { output(&*target, Command::foreign("test", format!("sleep {token}"))).await })
        };
        eventually("started", ROOM, || !processes_with(&token).is_empty()).await;
        task.abort();
        let _ = task.await;
        eventually(sh, ROOM, || processes_with(&token).is_empty()).await;
        host.is_gone().await;
    }
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_said() {
    let host = Host::new("dash", "group", Duration::from_secs(60)).await;
    std::fs::write(host.home.path().join(".cache"), "a file").unwrap();
    let (scope, _events) = scope();
    let ran = host.target.run(&scope, &Command::own("one", "true"), &mut Captured::default()).await;
    let error = ran.unwrap_err().to_string();
    assert!(error.contains("no command can be kept alive there"), "{error}");
}

/// What it costs, beside a lane that hangs on its channel; prints numbers, and is run by hand.
#[tokio::test]
#[ignore = "prints numbers"]
async fn what_roaming_costs() {
    let host = Host::new("dash", "subreaper group", Duration::from_secs(60)).await;
    let plain = rbee::target::local::local(Supervision { levels: "subreaper group", ..Supervision::default() });
    for (name, target) in [("plain", &plain as &dyn Target), ("roaming", &*host.target)] {
        output(target, Command::own("first", "true")).await;
        let start = Instant::now();
        for _ in 0..200 {
            output(target, Command::own("next", "true")).await;
        }
        let each = start.elapsed() / 200;
        // The file of a cgroup that counts nanoseconds, where there is one (cpuacct.usage).
        let cpu = || std::fs::read_to_string(std::env::var_os("RBEE_CPU")?).ok()?.trim().parse::<u64>().ok();
        let before = cpu();
        let script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i; sleep 0.05; done";
        output(target, Command::foreign("chatty", script)).await;
        let used = cpu().zip(before).map(|(after, before)| Duration::from_nanos(after - before));
        let start = Instant::now();
        output(target, Command::foreign("flood", "head -c 50000000 /dev/zero")).await;
        let speed = 50.0 / start.elapsed().as_secs_f64();
        println!("{name}: {each:?} a command; {used:?} of CPU for 200 lines in 10 s; {speed:.0} MB/s of output");
    }
    assert_eq!(plain.close().await, Closed::Clean);
    assert_eq!(host.target.close().await, Closed::Clean);
}
