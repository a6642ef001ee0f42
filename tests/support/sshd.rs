//! A lab of real sshds on loopback: each "host" has a port, a host key and a home of its own, under one temporary folder.
//!
//! ```text
//! let lab = Lab::new(&["one", "two"]);
//! let connector = Connector::new(&lab.settings(), lab.config());
//! connector.connect(&scope, &lab.host("one")).await
//! ```
//!
//! A missing sshd is a failure, never a skip. Everything is ended by pid when the lab is dropped.
#![allow(dead_code, reason = "each test program uses its own part of the lab")]

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rbee::{
    sandbox::Toolchain,
    target::ssh::config::SshConfig,
    vocab::{Host, HostName, Limits, Route, Settings, host::SshRoute},
};

const SSHD: &str = "/usr/sbin/sshd";
const PATIENCE: Duration = Duration::from_secs(20);

/// The controller's side, and the hosts.
pub struct Lab {
    hosts: Vec<Sshd>,
    dir: tempfile::TempDir,
}

/// One running sshd.
pub struct Sshd {
    pub name: String,
    pub port: u16,
    /// `$HOME` of what runs there; the working folder is still the account's own.
    pub home: PathBuf,
    /// `$RBEE_PREFIX` there: what stands for `/usr/local`, with an empty `bin`.
    pub prefix: PathBuf,
    dir: PathBuf,
    child: Child,
}

impl Lab {
    /// Starts a host for each name; a key that all of them accept is the controller's `id_ed25519`.
    pub fn new(names: &[&str]) -> Self {
        Self::with(names, &[])
    }

    /// As [`Lab::new`], with further lines of sshd_config.
    pub fn with(names: &[&str], sshd_config: &[&str]) -> Self {
        Self::start(names, sshd_config, true)
    }

    /// As [`Lab::with`], with lines that name the hosts' keys; they have no others.
    pub fn with_host_keys(names: &[&str], sshd_config: &[&str]) -> Self {
        Self::start(names, sshd_config, false)
    }

    fn start(names: &[&str], sshd_config: &[&str], own_key: bool) -> Self {
        assert!(
            Path::new(SSHD).exists(),
            "{SSHD} is missing; install the OpenSSH server (apt-get install openssh-server)"
        );
        let dir = tempfile::Builder::new().prefix("lab").tempdir().expect("a temporary folder");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.path().join("home/.ssh")).expect("the home");
        let mut lab = Self { hosts: Vec::new(), dir };
        keygen(&lab.identity(), "ed25519", "");
        lab.hosts = names.iter().map(|name| Sshd::start(lab.dir.path(), name, sshd_config, own_key)).collect();
        lab.write_known_hosts();
        lab.write_config("");
        lab
    }

    /// The controller's `$HOME`.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A folder for whatever a test needs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn identity(&self) -> PathBuf {
        self.home().join(".ssh/id_ed25519")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.home().join(".ssh/known_hosts")
    }

    /// For `-F`, with a `Host` for each host.
    pub fn ssh_config(&self) -> PathBuf {
        self.home().join(".ssh/config")
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.name.as_str())
    }

    pub fn sshd(&self, name: &str) -> &Sshd {
        self.hosts.iter().find(|host| host.name == name).expect("a host of this lab")
    }

    pub fn sshd_mut(&mut self, name: &str) -> &mut Sshd {
        self.hosts.iter_mut().find(|host| host.name == name).expect("a host of this lab")
    }

    /// Writes the ssh_config anew, with `first` before everything else.
    pub fn write_config(&self, first: &str) {
        let mut text = format!("{first}\n");
        for host in &self.hosts {
            text += &format!("Host {}\n  HostName 127.0.0.1\n  Port {}\n", host.name, host.port);
        }
        text += &format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n",
            self.known_hosts().display()
        );
        fs::write(self.ssh_config(), text).expect("the ssh_config");
    }

    /// Writes the right keys of all hosts.
    pub fn write_known_hosts(&self) {
        let lines: String = self.hosts.iter().map(Sshd::known_hosts_line).collect();
        fs::write(self.known_hosts(), lines).expect("the known_hosts");
    }

    pub fn config(&self) -> SshConfig {
        SshConfig::load(Some(&self.ssh_config()), &self.home()).expect("the lab's ssh_config")
    }

    pub fn host(&self, name: &str) -> Host {
        let name = HostName::new(name).expect("a host name");
        Host::named(name, Route::Ssh(SshRoute::default()), "lab")
    }

    /// The settings of a controller without an agent and without a terminal.
    pub fn settings(&self) -> Settings {
        let home = self.home();
        Settings {
            user: account(),
            config_dir: home.join(".config/rbee"),
            cache_dir: home.join(".cache/rbee"),
            state_dir: home.join(".local/state/rbee"),
            ssh_config: Some(self.ssh_config()),
            agent_socket: None,
            shell: None,
            interactive: false,
            // A busy machine is slow; what is tested here is not how fast it is.
            limits: Limits { connect: Duration::from_secs(60), ..Limits::default() },
            forks: 64,
            color: false,
            home,
        }
    }
}

impl Sshd {
    fn start(lab: &Path, name: &str, extra: &[&str], own_key: bool) -> Self {
        let dir = lab.join("hosts").join(name);
        let (home, prefix) = (dir.join("home"), dir.join("prefix"));
        fs::create_dir_all(&home).expect("the host's home");
        fs::create_dir_all(prefix.join("bin")).expect("the host's prefix");
        // Of several SetEnv lines sshd takes the first.
        let mut set = format!("HOME={} RBEE_PREFIX={}", home.display(), prefix.display());
        let toolchain = Toolchain::find(|name| std::env::var_os(name));
        for (name, folder) in [("RUSTUP_HOME", toolchain.rustup_home), ("CARGO_HOME", toolchain.cargo_home)] {
            set += &folder.map(|folder| format!(" {name}={}", folder.display())).unwrap_or_default();
        }
        // As root, sshd insists on this folder and its packages make it only when the service starts.
        if nix::unistd::geteuid().is_root() {
            let _ = fs::create_dir_all("/run/sshd");
        }
        let key = dir.join("host_key");
        keygen(&key, "ed25519", "");
        let host_key = if own_key { format!("HostKey {}\n", key.display()) } else { String::new() };
        let keys = dir.join("authorized_keys");
        fs::copy(lab.join("home/.ssh/id_ed25519.pub"), &keys).expect("the authorized_keys");
        // As distributions ship it; what is given instead adds to nothing.
        let let_in = if extra.iter().any(|line| line.starts_with("AcceptEnv")) { "" } else { "AcceptEnv LANG LC_*\n" };
        // The port may be taken by somebody else between looking and starting: then another one is tried.
        for _ in 0..10 {
            let port = free_port();
            let config = format!(
                "{}\nListenAddress 127.0.0.1\nPort {port}\n{host_key}AuthorizedKeysFile {}\nSetEnv {set}\n{let_in}UsePAM no\n\
                 StrictModes no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin prohibit-password\nPermitUserRC no\nUseDNS no\nLogLevel VERBOSE\n",
                // First, because sshd takes the first of several values.
                extra.join("\n"),
                keys.display()
            );
            fs::write(dir.join("sshd_config"), config).expect("the sshd_config");
            let child = Command::new(SSHD)
                .arg("-D")
                .arg("-f")
                .arg(dir.join("sshd_config"))
                .arg("-E")
                .arg(dir.join("log"))
                .stdin(Stdio::null())
                .spawn()
                .expect("sshd starts");
            let mut sshd = Self {
                name: name.to_owned(),
                port,
                home: home.clone(),
                prefix: prefix.clone(),
                dir: dir.clone(),
                child,
            };
            if sshd.answers() {
                return sshd;
            }
        }
        panic!("sshd did not start; it says:\n{}", fs::read_to_string(dir.join("log")).unwrap_or_default());
    }

    fn answers(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                let mut banner = [0; 4];
                let _ = stream.set_read_timeout(Some(PATIENCE));
                if stream.read_exact(&mut banner).is_ok() {
                    return banner == *b"SSH-";
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Whose keys may log in, replaceable.
    pub fn authorized_keys(&self) -> PathBuf {
        self.dir.join("authorized_keys")
    }

    /// The line that makes this host known.
    pub fn known_hosts_line(&self) -> String {
        let key = fs::read_to_string(self.dir.join("host_key.pub")).expect("the host key");
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// What sshd wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Every process below this sshd: its sessions and what they run. What left the tree is not among them.
    pub fn descendants(&self) -> Vec<Pid> {
        descendants(self.pid())
    }

    /// Ends the sessions at once, as a crash of the host would, and leaves the listener.
    pub fn cut(&self) {
        for pid in self.descendants() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// Stops the sessions where they stand, as a network that swallows everything would.
    pub fn freeze(&self) {
        for pid in self.descendants() {
            let _ = kill(pid, Signal::SIGSTOP);
        }
    }

    /// Ends every sshd of it, not what they run, and starts it again on the same port after a while.
    pub fn restart(&mut self, pause: Duration) {
        let sessions = self.descendants();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in sessions {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.starts_with("sshd") {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        std::thread::sleep(pause);
        let mut again = Command::new(SSHD);
        again.arg("-D").arg("-f").arg(self.dir.join("sshd_config")).arg("-E").arg(self.dir.join("log"));
        self.child = again.stdin(Stdio::null()).spawn().expect("sshd starts");
        assert!(self.answers(), "sshd did not start again; it says:\n{}", self.log());
    }

    /// Ends all of it; nobody answers on the port any more.
    pub fn stop(&mut self) {
        let sessions = self.descendants();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in sessions {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes a key pair.
pub fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "lab", "-f"])
        .arg(path)
        .output()
        .expect("ssh-keygen is there (apt-get install openssh-client)");
    assert!(made.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the mode of a key");
}

/// The name of the account that the tests run under.
pub fn account() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("the user database").expect("this user").name
}

/// A port nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

/// Every process below `root`, as [`Sshd::descendants`].
pub fn descendants(root: Pid) -> Vec<Pid> {
    let table = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("ps");
    let pairs: Vec<(i32, i32)> = String::from_utf8_lossy(&table.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::parse);
            Some((words.next()?.ok()?, words.next()?.ok()?))
        })
        .collect();
    let mut found = vec![root.as_raw()];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.into_iter().skip(1).map(Pid::from_raw).collect()
}
