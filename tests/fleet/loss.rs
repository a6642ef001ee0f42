//! The controller dies, or the network goes away: the host cleans itself. A slow network is neither.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::Stage,
    support::{processes_with, token, until_seen},
};

/// Room for a machine that has more to do.
const ROOM: Duration = Duration::from_secs(3);

/// A build that takes `seconds`, and whatever it starts cannot be told to go.
fn build(sleep: &str, seconds: u32) -> String {
    format!(
        "build() {{\n  trap '' TERM\n  env -i setsid sleep {sleep} </dev/null >/dev/null 2>&1 &\n  sleep {sleep} &\n\
         \x20 echo building\n  for i in $(seq {seconds}); do sleep 1; done\n}}\n\
         package() {{ mkdir -p \"$pkgdir/bin\"; printf '#!/bin/sh\\necho 1\\n' >\"$pkgdir/bin/slow\"; chmod 755 \"$pkgdir/bin/slow\"; }}\n"
    )
}

/// Waits until the host has nothing of the run any more; tells how long that took.
fn clean_within(stage: &Stage, sleep: &str, limit: Duration) -> Duration {
    let scratch = stage.lab.sshd("one").home.join(".cache/rbee/scratch");
    let lock = stage.lab.sshd("one").home.join(".local/state/rbee/lock");
    let start = Instant::now();
    loop {
        let processes = processes_with(sleep);
        let folders: Vec<_> = fs::read_dir(&scratch).into_iter().flatten().flatten().map(|e| e.path()).collect();
        if processes.is_empty() && folders.is_empty() && !lock.exists() {
            return start.elapsed();
        }
        let lock = lock.exists();
        assert!(start.elapsed() < limit, "not clean after {limit:?}: {processes:?} {folders:?} lock: {lock}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_host_cleans_itself_when_the_controller_is_killed() {
    let (stage, sleep) = (Stage::new(&["one"]), token());
    let recipe = stage.recipe("slow", &build(&sleep, 600));
    let mut live = stage.start(&format!("fleet install {recipe} -H one --build host"));
    live.until_line("building");
    until_seen(&sleep, 2);
    live.signal(Signal::SIGKILL);
    clean_within(&stage, &sleep, Duration::from_secs(5) + ROOM);
    assert_eq!(live.end().code, None);
    // And the next run has nothing to take over.
    let tool = stage.file("tool", "#!/bin/sh\nexit 0\n");
    stage.events(&format!("fleet install tool --binary {tool} -H one")).exits(0).outcome("one", "changed");
}

/// Bytes that may pass at a time, shared by all connections of one link.
struct Link {
    swallows: AtomicBool,
    /// Bytes each second, and when the next may go.
    speed: Option<(u64, Mutex<Instant>)>,
}

impl Link {
    fn new(speed: Option<u64>) -> Arc<Self> {
        let speed = speed.map(|speed| (speed, Mutex::new(Instant::now())));
        Arc::new(Self { swallows: AtomicBool::new(false), speed })
    }

    fn wait(&self, bytes: usize) {
        let Some((speed, next)) = &self.speed else { return };
        let pause = {
            let mut next = next.lock().unwrap();
            let turn = (*next).max(Instant::now());
            *next = turn + Duration::from_nanos(bytes as u64 * 1_000_000_000 / speed);
            turn.saturating_duration_since(Instant::now())
        };
        thread::sleep(pause);
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 4096];
        loop {
            let Ok(n) = from.read(&mut buffer) else { return };
            if self.swallows.load(Ordering::SeqCst) {
                // Nothing is said to either side, not even that the other one is gone.
                if n == 0 {
                    loop {
                        thread::park();
                    }
                }
                continue;
            }
            if n == 0 {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            self.wait(n);
            if to.write_all(&buffer[..n]).is_err() {
                return;
            }
        }
    }

    /// A port that leads to another one over this link.
    fn to(self: &Arc<Self>, port: u16) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mine = listener.local_addr().unwrap().port();
        let link = self.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let _ = from.set_nodelay(true);
                    let (link, from, to) = (link.clone(), from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || link.pass(from, to));
                }
            }
        });
        mine
    }
}

/// The inventory's hosts, each behind the link.
fn behind(link: &Arc<Link>, stage: &Stage, hosts: &[&str]) {
    let (mut inventory, mut known) = (String::new(), String::new());
    for host in hosts {
        let sshd = stage.lab.sshd(host);
        let port = link.to(sshd.port);
        inventory += &format!("[hosts.{host}]\nport = {port}\n");
        known += &sshd.known_hosts_line().replace(&format!(":{}", sshd.port), &format!(":{port}"));
    }
    stage.inventory(&inventory);
    fs::write(stage.lab.known_hosts(), known).unwrap();
}

#[test]
fn a_host_cleans_itself_when_the_network_swallows_everything() {
    let (stage, sleep, link) = (Stage::new(&["one"]), token(), Link::new(None));
    behind(&link, &stage, &["one"]);
    let recipe = stage.recipe("slow", &build(&sleep, 600));
    let mut live = stage.start(&format!("fleet install {recipe} -H one --build host"));
    live.until_line("building");
    until_seen(&sleep, 2);
    link.swallows.store(true, Ordering::SeqCst);
    let took = clean_within(&stage, &sleep, Duration::from_secs(10) + ROOM);
    assert!(took > Duration::from_secs(3), "a short silence is no loss: {took:?}");
    let ran = live.end().exits(6);
    let host = ran.outcome("one", "failed");
    assert!(["lost", "unconfirmed"].contains(&host["reason"].as_str().unwrap()), "{ran}");
    assert!(ran.took < Duration::from_secs(45), "it waited for too long\n{ran}");
}

#[test]
fn a_slow_upload_beside_a_long_build_is_not_taken_for_a_loss() {
    let (stage, sleep, link) = (Stage::new(&["one", "two"]), token(), Link::new(Some(1_000_000)));
    behind(&link, &stage, &["one", "two"]);
    let mut bytes = b"#!/bin/sh\nexit 0\n".to_vec();
    bytes.extend((0..8_000_000).map(|_| rand::random::<u8>()));
    let tool = stage.file("tool", &bytes);
    let recipe = stage.recipe("slow", &build(&sleep, 12));
    let mut building = stage.start(&format!("fleet install {recipe} -H one --build host"));
    building.until_line("building");
    let sending = stage.events(&format!("fleet install tool --binary {tool} -H two")).exits(0);
    sending.outcome("two", "changed");
    assert!(sending.took > Duration::from_secs(7), "the link is not slow\n{sending}");
    assert_eq!(fs::read(stage.bin("two").join("tool")).unwrap(), bytes);
    building.end().exits(0).outcome("one", "changed");
    assert_eq!(processes_with(&sleep), [] as [u32; 0]);
}
