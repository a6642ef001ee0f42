//! A controller with a home of its own, the hosts of a lab, and what became of a command.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rbee::sandbox::Toolchain;
use serde_json::Value;

use crate::sshd::Lab;

/// Nothing here takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(150);

pub struct Stage {
    pub lab: Lab,
}

impl Stage {
    /// A lab with these hosts, and an inventory that lists them.
    pub fn new(hosts: &[&str]) -> Self {
        let stage = Self { lab: Lab::new(hosts) };
        let text: String = hosts.iter().map(|name| format!("[hosts.{name}]\n")).collect();
        stage.inventory(&text);
        stage
    }

    pub fn inventory(&self, text: &str) {
        fs::write(self.inventory_path(), text).unwrap();
    }

    pub fn inventory_path(&self) -> PathBuf {
        self.lab.dir().join("inventory.toml")
    }

    /// A new file with this content, executable.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.lab.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A folder with a recipe for `id`; what `functions` says, after the usual head.
    pub fn recipe(&self, id: &str, functions: &str) -> String {
        let head = format!("pkgname={id}\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\nlicense=('MIT')\n");
        self.file(&format!("recipes/{id}/PKGBUILD"), head + functions);
        let worker = format!(
            "name = \"{id}\"\ndescription = \"a test\"\naccelerator = \"cpu\"\nplatforms = [\"linux\"]\n\
             architectures = [\"x86_64\", \"aarch64\"]\nlicense = \"MIT\"\n"
        );
        self.file(&format!("recipes/{id}/worker.toml"), worker);
        self.lab.dir().join("recipes").join(id).to_str().unwrap().to_owned()
    }

    /// `rbee` with an environment of its own and nothing of this one's.
    pub fn bare(&self) -> Command {
        let home = self.lab.home();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbee"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", &home);
        command.env("TMPDIR", std::env::temp_dir()).env("RBEE_PREFIX", home.join("prefix"));
        let toolchain = Toolchain::find(|name| std::env::var_os(name));
        for (name, folder) in [("RUSTUP_HOME", toolchain.rustup_home), ("CARGO_HOME", toolchain.cargo_home)] {
            command.envs(folder.map(|folder| (name, folder)));
        }
        command.current_dir(self.lab.dir()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// With the lab's inventory and ssh_config; `after` is taken apart at blanks.
    pub fn command(&self, after: &str) -> Command {
        let mut command = self.bare();
        command.arg("-i").arg(self.inventory_path()).arg("-F").arg(self.lab.ssh_config());
        command.args(after.split_whitespace());
        command
    }

    /// Runs `rbee … AFTER` to its end.
    pub fn rbee(&self, after: &str) -> Ran {
        run(self.command(after))
    }

    /// The same with events as NDJSON on stdout.
    pub fn events(&self, after: &str) -> Ran {
        self.rbee(&format!("--output json {after}"))
    }

    /// Starts `rbee … AFTER` with events as NDJSON, to be watched.
    pub fn start(&self, after: &str) -> Live {
        Live::start(self.command(&format!("--output json {after}")))
    }

    /// A host's home; `local` is the controller.
    pub fn home(&self, host: &str) -> PathBuf {
        if host == "local" { self.lab.home() } else { self.lab.sshd(host).home.clone() }
    }

    fn prefix(&self, host: &str) -> PathBuf {
        if host == "local" { self.lab.home().join("prefix") } else { self.lab.sshd(host).prefix.clone() }
    }

    /// Where a host's programs go.
    pub fn bin(&self, host: &str) -> PathBuf {
        self.prefix(host).join("bin")
    }

    /// Every file of a host, by what a write to it would change.
    pub fn files(&self, host: &str) -> BTreeMap<PathBuf, (u64, i64, u64)> {
        let mut found = BTreeMap::new();
        for root in [self.home(host), self.prefix(host)] {
            files_below(&root, &mut found);
        }
        found
    }

    /// What a run that was stopped must not leave: scratch, parts, a lock.
    #[track_caller]
    pub fn is_clean(&self, host: &str, ran: &Ran) {
        self.is_clean_now(host, ran);
    }

    /// As [`Stage::is_clean`]; `ran` says what was done.
    #[track_caller]
    pub fn is_clean_now(&self, host: &str, ran: &dyn std::fmt::Display) {
        let (home, found) = (self.home(host), self.files(host));
        let left: Vec<_> = found
            .keys()
            .filter(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                let text = path.to_str().unwrap();
                text.contains("/rbee/scratch/") || name.starts_with("lock") || hidden_part(path, name)
            })
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}\n{ran}");
        let scratch = home.join(".cache/rbee/scratch");
        let folders: Vec<_> = fs::read_dir(scratch).into_iter().flatten().flatten().map(|e| e.path()).collect();
        assert!(folders.is_empty(), "left behind: {folders:?}\n{ran}");
    }
}

fn hidden_part(path: &Path, name: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    name.starts_with('.') && (folder == "bin" || folder == "installed") || text_of(path).contains("/rbee/store/.")
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn files_below(root: &Path, found: &mut BTreeMap<PathBuf, (u64, i64, u64)>) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let (path, Ok(data)) = (entry.path(), entry.metadata()) else { continue };
        if data.is_dir() {
            files_below(&path, found);
        } else {
            found.insert(path, (data.ino(), data.mtime_nsec() + data.mtime() * 1_000_000_000, data.len()));
        }
    }
}

/// Runs a command to its end.
pub fn run(command: Command) -> Ran {
    Live::start(command).end()
}

/// What a command did, for assertions; every failed one shows all of it.
#[derive(Debug)]
pub struct Ran {
    argv: String,
    pub code: Option<i32>,
    signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Both streams have something to show a person; the text is in one of them.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "nobody says {text:?}\n{self}");
        self
    }

    /// The lines of NDJSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The one document of a query.
    #[track_caller]
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }

    /// A host of the summary.
    #[track_caller]
    pub fn host(&self, name: &str) -> Value {
        let lines = self.lines();
        let last = lines.last().unwrap_or_else(|| panic!("no events\n{self}"));
        assert_eq!(last["type"], "summary", "{self}");
        let hosts = last["hosts"].as_array().unwrap();
        hosts.iter().find(|host| host["host"] == name).unwrap_or_else(|| panic!("no {name}\n{self}")).clone()
    }

    #[track_caller]
    pub fn outcome(&self, host: &str, outcome: &str) -> Value {
        let found = self.host(host);
        assert_eq!(found["outcome"], outcome, "{host}\n{self}");
        found
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { argv, code, signal, stdout, stderr, took } = self;
        let cut = |text: &str| {
            let from = text.len().saturating_sub(12_000);
            text.char_indices().find(|(at, _)| *at >= from).map_or(String::new(), |(at, _)| text[at..].to_owned())
        };
        let (stdout, stderr) = (cut(stdout), cut(stderr));
        write!(
            f,
            "\nargv: {argv}\nexit: {code:?} signal {signal:?} after {took:?}\nstdout:\n{stdout}\nstderr:\n{stderr}\n"
        )
    }
}

/// A command that runs.
pub struct Live {
    argv: String,
    child: Child,
    started: Instant,
    lines: mpsc::Receiver<String>,
    seen: String,
    stderr: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Live {
    pub fn start(mut command: Command) -> Self {
        let argv = format!("{command:?}");
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                line.clear();
            }
        });
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = said.clone();
        let reader = std::thread::spawn(move || {
            let mut part = [0; 8192];
            while let Ok(n @ 1..) = stderr.read(&mut part) {
                kept.lock().unwrap().extend_from_slice(&part[..n]);
            }
        });
        Self { argv, child, started, lines, seen: String::new(), stderr: said, reader: Some(reader) }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Reads events until one is as `wanted`; `None` when the program ended without it.
    pub fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
                    // Of a flood, only the beginning is kept.
                    if event["type"] != "line" || self.seen.len() < 1 << 20 {
                        self.seen.push_str(&line);
                    }
                    if wanted(&event) {
                        return Some(event);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("{}: no such event; so far\n{}", self.argv, self.seen),
            }
        }
    }

    /// A phase has started on a host.
    pub fn until_phase(&mut self, phase: &str) -> bool {
        self.until(|event| event["type"] == "phase_started" && event["phase"] == phase).is_some()
    }

    /// A program on a host has said this.
    #[track_caller]
    pub fn until_line(&mut self, text: &str) {
        let found = self.until(|event| event["type"] == "line" && event["text"].as_str().unwrap().contains(text));
        assert!(found.is_some(), "{}: no line {text:?}\n{}", self.argv, self.seen);
    }

    /// What it has said on stderr so far.
    fn talk(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until it has said this on stderr.
    pub fn until_said(&self, text: &str) {
        crate::support::eventually_sync(text, || self.talk().contains(text));
    }

    /// The most memory that it had so far, in bytes.
    pub fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
    }

    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        let end = Instant::now() + PATIENCE;
        let mut late = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end && !late {
                late = true;
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        let mut stdout = std::mem::take(&mut self.seen);
        stdout.extend(self.lines.iter());
        self.reader.take().unwrap().join().unwrap();
        let stderr = self.talk();
        let ran = Ran { argv: self.argv.clone(), code: status.code(), signal: status.signal(), stdout, stderr, took };
        assert!(!late, "did not end\n{ran}");
        ran
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
