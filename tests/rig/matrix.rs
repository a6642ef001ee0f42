//! Servers × shells × what a fleet command does there: exec, install, cancel, check. One run does a step on all hosts of
//! a kind, so each host also stands beside others that are not like it.

use std::{collections::BTreeSet, fs, time::Duration};

use nix::sys::signal::Signal;

use crate::{
    rig::Rig,
    stage::{Live, Ran, run},
    support::{processes_with, token},
};

/// What a cancel may take: the grace, 2 s, and room for a machine that does the same on many hosts at once.
const CANCELLED: Duration = Duration::from_millis(500 + 2_000 + 8_000);

/// Where the program comes from.
#[derive(Clone, Copy)]
pub enum Build {
    /// A recipe is built there, which needs bash.
    There,
    /// A program comes from here.
    Here,
}

/// Hosts, all of which are to pass the same.
pub struct Matrix {
    pub rig: Rig,
    pub hosts: Vec<String>,
    /// What a preflight says of them.
    pub system: &'static str,
}

impl Matrix {
    pub fn up(hosts: &[&str]) -> Self {
        let rig = Rig::with(hosts);
        let inventory = fs::read_to_string(rig.inventory()).unwrap();
        let hosts = inventory.lines().map(|line| line.trim_matches(['[', ']']).replace("hosts.", "")).collect();
        Self { rig, hosts, system: "linux" }
    }

    /// A host for each server and login shell.
    fn of(servers: &[&str], shells: &[&str], further: &[&str]) -> Self {
        let mut words = Vec::new();
        for server in servers {
            for shell in shells {
                words.extend(["+".to_owned(), format!("{server}-{shell}")]);
                words.extend(["--sshd", server, "--login-shell", shell].map(str::to_owned));
                words.extend(further.iter().map(|word| (*word).to_owned()));
            }
        }
        Self::up(&words[1..].iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn events(&self, after: &str) -> Ran {
        run(self.rig.rbee(&format!("--output json --no-input {after}")))
    }

    fn all(&self, ran: &Ran, outcome: &str) {
        for host in &self.hosts {
            ran.outcome(host, outcome);
        }
    }

    /// Everything, on every host at once.
    pub fn passes(&self, build: Build) {
        self.checks();
        self.executes();
        self.installs(build);
        self.cancels_a_command();
        if matches!(build, Build::There) {
            self.cancels_a_build();
        }
        self.is_clean();
    }

    fn checks(&self) {
        let ran = run(self.rig.rbee("fleet -H all check --output json")).exits(0);
        let hosts = ran.document()["hosts"].as_array().unwrap().clone();
        assert_eq!(hosts.len(), self.hosts.len(), "{ran}");
        for host in hosts {
            assert_eq!(host["check"]["facts"]["os"], self.system, "{host}\n{ran}");
        }
    }

    /// Status, both streams and nothing but what the command says; words with blanks and quotes.
    fn executes(&self) {
        let mut command = self.rig.rbee("--output json fleet -H all exec --");
        command.arg("echo \"out 'it''s' $((1 + 1)) !x\"; echo err >&2; test \"$(id -u)\" -ge 0; cat; exit 3");
        let ran = run(command).exits(1);
        for host in &self.hosts {
            let lines: BTreeSet<(String, String)> = ran
                .lines()
                .iter()
                .filter(|event| event["type"] == "line" && event["host"] == host.as_str())
                .map(|event| (event["stream"].as_str().unwrap().to_owned(), event["text"].as_str().unwrap().to_owned()))
                .collect();
            let wanted = [("stdout", "out 'it''s' 2 !x"), ("stderr", "err")].map(|(s, t)| (s.to_owned(), t.to_owned()));
            assert_eq!(lines, BTreeSet::from(wanted), "{host}\n{ran}");
            assert_eq!(ran.host(host)["outcome"], "failed", "{ran}");
        }
    }

    fn recipe(&self, id: &str, functions: &str) -> String {
        let folder = self.rig.dir().join("recipes").join(id);
        fs::create_dir_all(&folder).unwrap();
        let head = format!("pkgname={id}\npkgver=1.0\npkgrel=1\narch=('x86_64' 'aarch64')\nlicense=('MIT')\n");
        fs::write(folder.join("PKGBUILD"), head + functions).unwrap();
        let worker = format!(
            "name = \"{id}\"\ndescription = \"a test\"\naccelerator = \"cpu\"\nplatforms = [\"linux\", \"macos\"]\n\
             architectures = [\"x86_64\", \"aarch64\"]\nlicense = \"MIT\"\n"
        );
        fs::write(folder.join("worker.toml"), worker).unwrap();
        folder.to_str().unwrap().to_owned()
    }

    fn program(&self, version: &str) -> String {
        let path = self.rig.dir().join(format!("tool-{version}"));
        fs::write(&path, format!("#!/bin/sh\necho tool {version}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Twice, another version, back, status, and away with it.
    fn installs(&self, build: Build) {
        let install = match build {
            Build::There => {
                let package = "package() { mkdir -p \"$pkgdir/usr/local/bin\"; \
                               printf '#!/bin/sh\\necho tool 1.0\\n' >\"$pkgdir/usr/local/bin/tool\"; \
                               chmod 755 \"$pkgdir/usr/local/bin/tool\"; }\n";
                format!("install {} --build each", self.recipe("tool", package))
            }
            Build::Here => format!("install tool --binary {}", self.program("1.0")),
        };
        self.all(&self.events(&format!("fleet -H all {install}")).exits(0), "changed");
        self.all(&self.events(&format!("fleet -H all {install}")).exits(0), "unchanged");
        let newer = self.program("2.0");
        self.all(&self.events(&format!("fleet -H all install tool --binary {newer}")).exits(0), "changed");
        self.all(&self.events("fleet -H all rollback tool").exits(0), "changed");
        let ran = run(self.rig.rbee("fleet -H all status --output json")).exits(0);
        assert_eq!(ran.stdout.matches("\"intact\"").count(), self.hosts.len(), "{ran}");
        self.all(&self.events("fleet -H all remove tool").exits(0), "changed");
        self.all(&self.events("fleet -H all remove tool").exits(0), "unchanged");
    }

    /// Ignores TERM and detaches what it starts; a cancel finds all of it, and says so.
    fn cancels_a_command(&self) {
        let token = token();
        let mut command = self.rig.rbee("--output json fleet -H all exec --");
        command.arg(format!(
            "trap '' TERM; ( (setsid sleep {token} || perl -e 'use POSIX; POSIX::setsid(); exec @ARGV' sleep {token}) & ) \
             2>/dev/null; sleep {token} & echo ready; while :; do sleep {token}; done"
        ));
        self.cancelled(Live::start(command), "ready", &token);
    }

    fn cancels_a_build(&self) {
        let token = token();
        let functions = format!(
            "build() {{ trap '' TERM; (setsid sleep {token} &); sleep {token} & echo ready; sleep {token}; }}\n\
             package() {{ :; }}\n"
        );
        let recipe = self.recipe("stubborn", &functions);
        let live = Live::start(self.rig.rbee(&format!("--output json fleet -H all install {recipe} --build each")));
        self.cancelled(live, "ready", &token);
    }

    fn cancelled(&self, mut live: Live, word: &str, token: &str) {
        for _ in &self.hosts {
            live.until_line(word);
        }
        // Two on each host at least.
        crate::support::until_seen(token, 2 * self.hosts.len());
        let asked = std::time::Instant::now();
        live.signal(Signal::SIGINT);
        let ran = live.end();
        let took = asked.elapsed();
        let left = processes_with(token);
        assert_eq!(ran.code, Some(130), "left: {left:?}\n{ran}");
        assert_eq!(left, [] as [u32; 0], "{ran}");
        assert!(took < CANCELLED, "took {took:?}\n{ran}");
        self.all(&ran, "cancelled");
    }

    /// Nothing runs there but the server, and no scratch and no lock is left.
    fn is_clean(&self) {
        for host in &self.hosts {
            let left = "find / -xdev \\( -path '*/rbee/scratch/*' -o -path '*/rbee/lock' -o -name '.*.part' \\) \
                        \\( -path '/root/*' -o -path '/home/*' -o -path '/srv/*' -o -path '/usr/local/*' \\) 2>/dev/null";
            assert_eq!(self.rig.exec(host, &format!("{left} || :")), "", "{host}");
        }
    }
}

const SHELLS: [&str; 9] = ["bash", "zsh", "fish", "tcsh", "busybox", "sh", "csh", "mksh", "ksh"];

#[test]
#[ignore = "needs root"]
fn rooted_openssh_and_every_login_shell() {
    Matrix::of(&["openssh"], &SHELLS, &["--user", "dev"]).passes(Build::There);
}

#[test]
#[ignore = "needs root"]
fn rooted_dropbear_and_every_login_shell() {
    Matrix::of(&["dropbear"], &SHELLS, &["--user", "dev"]).passes(Build::There);
}

/// Without perl and python3 there is no subreaper: the weakest level, where a server gives no session of its own.
#[test]
#[ignore = "needs root"]
fn rooted_every_login_shell_at_the_weakest_level() {
    let further = ["--without", "perl,shasum,python3,curl,wget,sha256sum", "--user", "dev"];
    Matrix::of(&["openssh", "dropbear"], &["bash", "zsh", "fish", "tcsh", "busybox"], &further).passes(Build::There);
}

#[test]
#[ignore = "needs root"]
fn rooted_every_bin_sh() {
    let mut words = Vec::new();
    for server in ["openssh", "dropbear"] {
        for sh in ["dash", "bash", "busybox", "mksh"] {
            for (level, without) in [("strong", "curl"), ("weak", "perl,shasum,python3")] {
                words.extend(["+".to_owned(), format!("{server}-{sh}-{level}"), "--sshd".into(), server.into()]);
                words.extend(["--sh", sh, "--without", without, "--user", "dev"].map(str::to_owned));
            }
        }
    }
    Matrix::up(&words[1..].iter().map(String::as_str).collect::<Vec<_>>()).passes(Build::There);
}

/// As on macOS, nothing but perl makes a session; the others have nothing but BusyBox.
#[test]
#[ignore = "needs root"]
fn rooted_hosts_with_few_tools() {
    let few = "curl,wget,python3,setsid,sha256sum,openssl,git,make,cc";
    let words: [&[&str]; 5] = [
        &["mac", "--without", few, "--user", "dev"],
        &["mac-dropbear", "--without", few, "--sshd", "dropbear", "--sh", "bash", "--login-shell", "zsh"],
        &["busy", "--busybox", "--login-shell", "busybox", "--user", "dev"],
        &["busy-dropbear", "--busybox", "--login-shell", "busybox", "--sshd", "dropbear"],
        &["busy-tcsh", "--busybox", "--login-shell", "tcsh", "--sshd", "dropbear", "--user", "dev"],
    ];
    Matrix::up(&words.join(&"+")).passes(Build::Here);
}

/// Blanks, quotes and links in homes and names, bytes that are not UTF-8, and a locale that is not.
#[test]
#[ignore = "needs root"]
fn rooted_homes_and_names_that_are_not_plain() {
    let latin = "SetEnv LANG=de_DE.ISO-8859-1 LC_ALL=de_DE.ISO-8859-1";
    let words: [&[&str]; 6] = [
        &["quotes", "--user", "o'dev", "--home", "/home/it's \"a\" $home"],
        &["quotes-tcsh", "--user", "a dev", "--home", "/home/a !home", "--login-shell", "tcsh", "--sshd", "dropbear"],
        &["link", "--user", "dev", "--home-link", "--login-shell", "fish"],
        &["link-root", "--home-link", "--sshd", "dropbear"],
        &["latin", "--user", "dev", "--sshd-config", latin, "--login-shell", "zsh"],
        &["c", "--user", "dev", "--sshd-config", "SetEnv LANG=C LC_ALL=C", "--sh", "mksh"],
    ];
    Matrix::up(&words.join(&"+")).passes(Build::There);
}

/// What an rc file prints is not taken for anything, and its second is paid once for a connection, not for each command.
#[test]
#[ignore = "needs root"]
fn rooted_an_rc_that_talks_and_takes_its_time() {
    let matrix = Matrix::of(&["openssh", "dropbear"], &["bash", "zsh", "fish", "tcsh"], &[]);
    for host in &matrix.hosts {
        let rc = match host.split_once('-').unwrap().1 {
            "bash" => "/root/.bashrc",
            "zsh" => "/root/.zshenv",
            "fish" => "/root/.config/fish/config.fish",
            _ => "/root/.tcshrc",
        };
        // tcsh has no redirection of stderr alone.
        let noise = "echo noise; sh -c 'echo more noise >&2'; echo started >>/tmp/starts; sleep 1";
        matrix.rig.exec(host, &format!("mkdir -p /root/.config/fish; echo \"{noise}\" >{rc}"));
    }
    let starts = |host: &str| matrix.rig.exec(host, "grep -c . /tmp/starts; : >/tmp/starts").trim().parse().unwrap();
    matrix.executes();
    for host in &matrix.hosts {
        assert_eq!(starts(host), 1, "{host}: a login shell for each command");
    }
    // An install is some seven commands. The upload has a channel of its own, and what is looked up meanwhile another.
    let tool = matrix.program("1.0");
    let ran = matrix.events(&format!("fleet -H all install tool --binary {tool}")).exits(0);
    matrix.all(&ran, "changed");
    for host in &matrix.hosts {
        let starts: u32 = starts(host);
        assert!((1..=3).contains(&starts), "{host}: {starts} login shells\n{ran}");
    }
    matrix.cancels_a_command();
}
