//! Hosts of `scripts/rig`, for tests that run as root: each with an address, users, a home and a process list of its own.
//!
//! ```text
//! let rig = Rig::up("2 --user dev + old --sshd dropbear");
//! rig.rbee("fleet -H h1 exec -- true")
//! ```
//!
//! The thread that makes a rig moves into the network of its hosts, with every thread and program that it starts from
//! then on. So a test makes one rig, before anything else, and its async runtime is one thread's. A test that needs
//! this has `#[ignore = "needs root"]` and `rooted_` in its name; `scripts/test` runs those when it is root.
#![allow(dead_code, reason = "each test program uses its own part of the rig")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rig");

/// A running rig; its hosts end with it, or with the test's process.
pub struct Rig {
    dir: PathBuf,
    _parent: tempfile::TempDir,
}

/// What a host's files were.
pub struct Snapshot(PathBuf);

impl Rig {
    /// Makes the hosts that the words say, as `rig up` takes them; taken apart at blanks.
    pub fn up(hosts: &str) -> Self {
        Self::with(&hosts.split_whitespace().collect::<Vec<_>>())
    }

    /// As [`Rig::up`], for words with blanks.
    pub fn with(hosts: &[&str]) -> Self {
        let parent = tempfile::Builder::new().prefix("rig").tempdir().unwrap();
        let rig = Self { dir: parent.path().join("rig"), _parent: parent };
        let until = std::process::id().to_string();
        let made = rig.program("up").args(["--until", &until]).args(hosts).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let state = std::fs::read_to_string(rig.dir.join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let network = File::open(format!("/proc/{}/ns/net", state["keeper"])).unwrap();
        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        rig
    }

    fn program(&self, verb: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--dir").arg(&self.dir).arg(verb).stdin(Stdio::null());
        command
    }

    /// The folder of all of it; what a test adds there goes with it.
    pub fn dir(&self) -> &Path {
        self._parent.path()
    }

    /// The controller's `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// For `-F`, with a `Host` for each host.
    pub fn ssh_config(&self) -> PathBuf {
        self.home().join(".ssh/config")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.home().join(".ssh/known_hosts")
    }

    pub fn identity(&self) -> PathBuf {
        self.home().join(".ssh/id_ed25519")
    }

    /// For `-i`, with all hosts.
    pub fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.toml")
    }

    /// A path of a host, as this machine sees it now; links in it lead nowhere from here.
    pub fn path(&self, host: &str, path: &str) -> PathBuf {
        PathBuf::from(format!("{}/hosts/{host}/upper{path}", self.dir.display()))
    }

    /// What the host's server has said so far.
    pub fn log(&self, host: &str) -> String {
        std::fs::read_to_string(self.dir.join("hosts").join(host).join("log")).unwrap_or_default()
    }

    /// `rbee … AFTER` with the rig's inventory and ssh_config and nothing of this environment; taken apart at blanks.
    pub fn rbee(&self, after: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbee"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.home());
        // This machine's own toolchain, which lies in the home of whoever runs the tests.
        let toolchain = rbee::sandbox::Toolchain::find(|name| std::env::var_os(name));
        for (name, folder) in [("RUSTUP_HOME", toolchain.rustup_home), ("CARGO_HOME", toolchain.cargo_home)] {
            command.envs(folder.map(|folder| (name, folder)));
        }
        command.env("TMPDIR", std::env::temp_dir()).current_dir(self.dir());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.arg("-i").arg(self.inventory()).arg("-F").arg(self.ssh_config()).args(after.split_whitespace());
        command
    }

    /// OpenSSH's own client, as the controller.
    pub fn ssh(&self, host: &str, command: &str) -> Output {
        let mut ssh = Command::new("timeout");
        ssh.args(["60", "ssh", "-F"]).arg(self.ssh_config()).args([host, command]).stdin(Stdio::null());
        ssh.output().unwrap()
    }

    /// What a command says that runs on the host as root, without SSH. It must succeed.
    #[track_caller]
    pub fn exec(&self, host: &str, command: &str) -> String {
        let done = self.program("exec").args([host, command]).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{host}: {command}: {} {stdout}{stderr}", done.status);
        stdout.into_owned()
    }

    #[track_caller]
    fn verb(&self, verb: &str, words: &[&str]) -> String {
        let done = self.program(verb).args(words).output().unwrap();
        assert!(done.status.success(), "{verb} {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Takes the host's link down: nothing arrives any more, and nobody is told.
    pub fn cut(&self, host: &str) {
        self.verb("cut", &[host]);
    }

    pub fn mend(&self, host: &str) {
        self.verb("mend", &[host]);
    }

    /// Limits the host's link in both directions: `8mbit`, or `none`.
    pub fn rate(&self, host: &str, rate: &str) {
        self.verb("rate", &[host, rate]);
    }

    /// Notes every file that is the host's own.
    pub fn snapshot(&self, host: &str) -> Snapshot {
        let path = self.dir().join(format!("snapshot-{host}-{}", rand::random::<u32>()));
        self.verb("snapshot", &[host, path.to_str().unwrap()]);
        Snapshot(path)
    }

    /// What changed since, a line a file: `+ PATH`, `- PATH`, `~ PATH ASPECTS`.
    #[track_caller]
    pub fn changes(&self, host: &str, since: &Snapshot) -> Vec<String> {
        let done = self.program("diff").arg(host).arg(&since.0).output().unwrap();
        assert!(matches!(done.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&done.stderr));
        let lines: Vec<_> = String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect();
        assert_eq!(done.status.success(), lines.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
        lines
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let ended = self.program("down").output();
        if !std::thread::panicking() {
            let ended = ended.unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}
