//! A recipe that is built or read, and is ended in each of its phases and kinds of sources: nothing is left, and the next
//! run comes to its end.
//!
//! What must not be left is told by a word in its arguments, which the program itself knows nothing of.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    stage::{Live, Stage},
    support::{processes_with, token, until_seen},
};

/// What a cancel may take after the grace, and room for a machine that has more to do.
const LIMIT: Duration = Duration::from_millis(500 + 2000 + 3000);
/// Places at a time.
const LANES: usize = 3;

/// How often each moment is tried.
fn rounds() -> usize {
    std::env::var("RBEE_SOAK").map_or(5, |text| (text.parse::<usize>().expect("RBEE_SOAK is a number") / 4).max(5))
}

/// Where a run is ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    Reading,
    Download,
    Git,
    Extracting,
    Prepare,
    Build,
    Check,
    Package,
    Transfer,
}

const MOMENTS: [Moment; 8] = [
    Moment::Download,
    Moment::Git,
    Moment::Extracting,
    Moment::Prepare,
    Moment::Build,
    Moment::Check,
    Moment::Package,
    Moment::Transfer,
];

/// Servers that stop in the middle of what they send, until a file is there.
struct Servers {
    http: u16,
    git: u16,
    daemon: Child,
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Accepts connections for as long as the process lives.
fn serve(one: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let one = Arc::new(one);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let one = one.clone();
            thread::spawn(move || one(stream));
        }
    });
    port
}

/// Waits until the other side has gone, or the word is there.
fn stall(stream: &TcpStream, go: &Path) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let mut stream = stream;
    while !go.exists() {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                return;
            }
            _ => {}
        }
    }
}

const DOWNLOAD: usize = 200_000;

/// Sends half of a file, and the rest on a word; goes on where it is asked to.
fn http(mut stream: TcpStream, go: &Path) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let from = request.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse::<usize>().ok());
    let start = from.unwrap_or(0).min(DOWNLOAD);
    let status = match from {
        Some(_) if start == DOWNLOAD => "416 Range Not Satisfiable\r\nContent-Range: bytes */200000".to_owned(),
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{DOWNLOAD}", DOWNLOAD - 1),
        None => "200 OK".to_owned(),
    };
    let length = DOWNLOAD - start;
    let body = vec![b'x'; length];
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..length / 2]));
    stall(&stream, go);
    let _ = stream.write_all(&body[length / 2..]);
}

/// Passes bytes on, the most of them only on a word.
fn relay(mut stream: TcpStream, to: u16, go: &Path) {
    let Ok(mut there) = TcpStream::connect(("127.0.0.1", to)) else { return };
    let (Ok(mut from), Ok(mut back)) = (stream.try_clone(), there.try_clone()) else { return };
    let gone = Arc::new(AtomicBool::new(false));
    let closed = gone.clone();
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut there);
        closed.store(true, Ordering::Relaxed);
        let _ = there.shutdown(Shutdown::Both);
    });
    let (mut buffer, mut passed) = ([0; 4096], 0);
    while let Ok(n @ 1..) = back.read(&mut buffer) {
        passed += n;
        while passed > 20_000 && !go.exists() && !gone.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        if stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// A stage with what a recipe of slow phases needs.
struct Place {
    stage: Stage,
    host: &'static str,
    /// When it is there, nothing is slow.
    go: PathBuf,
    servers: Servers,
}

impl Place {
    fn new(host: &'static str) -> Self {
        let stage = if host == "local" { Stage::new(&[]) } else { Stage::new(&[host]) };
        let dir = stage.lab.dir().to_owned();
        let go = dir.join("go");
        let (slow, served) = (go.clone(), dir.join("served"));
        let script = "mkdir -p served && cd served && git init -q -b main up && cd up && git config user.name T && \
                      git config user.email t@example.org && head -c 300000 /dev/urandom >f && git add f && git commit -qm 1";
        let made = Process::new("sh").arg("-c").arg(script).current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        // A port that is free now; nobody else listens in a test's own range.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Itself, and not by `git`, which would leave it behind when it is killed.
        let place = Process::new("git").arg("--exec-path").output().unwrap();
        let daemon = Process::new(Path::new(String::from_utf8(place.stdout).unwrap().trim()).join("git-daemon"))
            .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr"])
            .arg(format!("--port={free}"))
            .arg(format!("--base-path={}", served.display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let http_go = slow.clone();
        let servers = Servers {
            http: serve(move |stream| http(stream, &http_go)),
            git: serve(move |stream| relay(stream, free, &slow)),
            daemon,
        };
        Self { stage, host, go, servers }
    }

    /// A recipe that is slow at one moment, and then has processes with the word in their arguments.
    fn recipe(&self, moment: Moment, word: &str) -> PathBuf {
        let folder = self.stage.lab.dir().join(format!("{moment:?}"));
        fs::create_dir_all(&folder).unwrap();
        let slow = |at: Moment| if at == moment { "_slow" } else { ":" };
        let source = match moment {
            Moment::Download => format!("source=(http://127.0.0.1:{}/x-{word}.bin)", self.servers.http),
            Moment::Git => {
                // A name of its own for the repository: the word is in the arguments of what fetches it.
                symlink("up", self.stage.lab.dir().join("served").join(word)).unwrap();
                format!("source=(x::git+git://127.0.0.1:{}/{word})", self.servers.git)
            }
            Moment::Extracting => {
                let archive = folder.join("x.tar.gz");
                if !archive.exists() {
                    let script = "head -c 400000000 /dev/zero >z && tar -cf - z | gzip -1 >x.tar.gz && rm z";
                    let made = Process::new("sh").arg("-c").arg(script).current_dir(&folder).status().unwrap();
                    assert!(made.success());
                }
                "source=(x.tar.gz)".to_owned()
            }
            _ => String::new(),
        };
        let sums = if source.is_empty() { "" } else { "sha256sums=(SKIP)" };
        let fill = if moment == Moment::Transfer { "head -c 150000000 /dev/urandom >\"$pkgdir/big\"" } else { ":" };
        let text = format!(
            "pkgname=probe\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\n{source}\n{sums}\n\
             _slow() {{\n  if [ -e {go} ]; then return 0; fi\n  trap '' TERM\n  \
             setsid sh -c 'setsid sleep {word} </dev/null >/dev/null 2>&1 & exit 0' &\n  \
             env -i setsid sleep {word} </dev/null >/dev/null 2>&1 &\n  sleep {word} &\n  wait\n}}\n\
             {}\nprepare() {{ {}; }}\nbuild() {{ {}; }}\ncheck() {{ {}; }}\n\
             package() {{ {}; echo x >\"$pkgdir/f\"; {fill}; }}\n",
            slow(Moment::Reading),
            slow(Moment::Prepare),
            slow(Moment::Build),
            slow(Moment::Check),
            slow(Moment::Package),
            go = self.go.display()
        );
        fs::write(folder.join("PKGBUILD"), text).unwrap();
        folder
    }

    fn command(&self, folder: &Path, out: &Path, moment: Moment) -> String {
        if moment == Moment::Reading {
            return format!("recipe print {}", folder.display());
        }
        let on = if self.host == "local" { String::new() } else { format!("--on {}", self.host) };
        format!("recipe build {} --check --pkg-out {} {on}", folder.display(), out.display())
    }

    fn round(&self, moment: Moment) {
        let word = token();
        let folder = self.recipe(moment, &word);
        // Not by the word: rbee has the folder in its own arguments, and is not whom the word tells apart.
        let out = self.stage.lab.dir().join(format!("out-{}", token()));
        let _ = fs::remove_file(&self.go);
        let command = self.command(&folder, &out, moment);
        let mut live: Live = match moment {
            Moment::Reading => Live::start(self.stage.command(&command)),
            _ => self.stage.start(&command),
        };
        match moment {
            Moment::Extracting => assert!(live.until_phase("fetch"), "{}", live.end()),
            Moment::Transfer => assert!(live.until_phase("transfer"), "{}", live.end()),
            Moment::Reading | Moment::Prepare | Moment::Build | Moment::Check | Moment::Package => until_seen(&word, 3),
            Moment::Download | Moment::Git => until_seen(&word, 1),
        }
        let (signal, code) = if rand::random() { (Signal::SIGINT, 130) } else { (Signal::SIGTERM, 143) };
        let within = if moment == Moment::Extracting { 1200 } else { 300 };
        let wait = Duration::from_millis(rand::random_range(0..within));
        thread::sleep(wait);
        let asked = Instant::now();
        live.signal(signal);
        let ran = live.end();
        let what = format!("{signal} {wait:?} into {moment:?} on {}{ran}", self.host);
        let late = matches!(moment, Moment::Extracting | Moment::Transfer) && ran.code == Some(0);
        assert!(late || ran.code == Some(code), "{what}");
        assert!(late || asked.elapsed() < LIMIT, "took {:?}: {what}", asked.elapsed());
        // The work folder is in the arguments of everything that reads or extracts.
        let scratch = format!("{}/.cache/rbee/scratch/", self.stage.home(self.host).display());
        let left = [processes_with(&word), processes_with(&scratch)].concat();
        let names: Vec<_> = left.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/stat"))).collect();
        for pid in left {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        assert!(names.is_empty(), "alive: {names:?}: {what}");
        self.stage.is_clean(self.host, &ran);
        self.stage.is_clean("local", &ran);
        let debris: Vec<_> = fs::read_dir(&out).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
        assert!(debris.is_empty() || late && debris == ["probe"], "{debris:?}: {what}");

        fs::write(&self.go, "").unwrap();
        let ran = self.stage.rbee(&command).exits(0);
        if moment != Moment::Reading {
            assert_eq!(fs::read_to_string(out.join("probe/f")).unwrap(), "x\n", "{ran}");
        }
        let _ = fs::remove_dir_all(&out);
    }
}

fn moments(host: &'static str, moments: &[Moment]) {
    let rounds = moments.len() * rounds();
    thread::scope(|scope| {
        for lane in 0..LANES {
            scope.spawn(move || {
                let place = Place::new(host);
                for nth in (lane..rounds).step_by(LANES) {
                    place.round(moments[nth % moments.len()]);
                }
            });
        }
    });
}

#[test]
fn a_signal_while_a_recipe_is_read_leaves_nothing() {
    moments("local", &[Moment::Reading]);
}

#[test]
fn a_signal_in_fetch_leaves_nothing_here() {
    moments("local", &MOMENTS[..3]);
}

#[test]
fn a_signal_in_fetch_leaves_nothing_on_a_host() {
    moments("one", &MOMENTS[..3]);
}

#[test]
fn a_signal_in_a_recipes_functions_leaves_nothing_here() {
    moments("local", &MOMENTS[3..]);
}

#[test]
fn a_signal_in_a_recipes_functions_leaves_nothing_on_a_host() {
    moments("one", &MOMENTS[3..]);
}
