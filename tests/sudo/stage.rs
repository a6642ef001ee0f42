//! A host with a user, sudoers to be set, and programs to be installed.

use std::{
    fmt,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::rig::Rig;

pub const PASSWORD: &str = "Tr0ub4dor & 3: $HOME `x` 'y' \\n";
pub const BIN: &str = "/usr/local/bin/echo-worker";

pub struct Stage {
    pub rig: Rig,
}

/// What a run came to, all of which a failed assertion shows.
pub struct Ran {
    argv: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// Hosts h1, h2 … with the user ada, who has a password.
    pub fn new(count: usize, sudoers: &str) -> Self {
        let rig = Rig::with(&[&count.to_string(), "--user", "ada"]);
        let stage = Self { rig };
        // Nobody's arguments have the password in them.
        let mut hash = Command::new("openssl")
            .args(["passwd", "-6", "-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(hash.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        let hash = String::from_utf8(hash.wait_with_output().unwrap().stdout).unwrap();
        for n in 1..=count {
            let host = format!("h{n}");
            stage.rig.exec(&host, &format!("usermod -p '{}' ada", hash.trim()));
            stage.sudoers(&host, sudoers);
        }
        stage
    }

    /// What the host's sudoers says beside the machine's own defaults; checked as `visudo` does.
    pub fn sudoers(&self, host: &str, text: &str) {
        let file = "/etc/sudoers.d/rbee";
        let quoted = text.replace('\'', "'\\''");
        self.rig.exec(host, &format!("printf '%s\\n' '{quoted}' >{file}; chmod 0440 {file}; visudo -cq"));
    }

    /// A program that says its version; `more` is run first.
    pub fn program(&self, name: &str, version: &str, more: &str) -> String {
        let path = self.rig.dir().join(format!("{name}-{version}")).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{more}\necho {name} {version}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `rbee --output json fleet AFTER`.
    pub fn fleet(&self, after: &str) -> Ran {
        self.start(after, None).end()
    }

    /// The same with a line on stdin.
    pub fn fleet_with(&self, after: &str, line: &str) -> Ran {
        self.start(after, Some(line)).end()
    }

    pub fn start(&self, after: &str, line: Option<&str>) -> Live {
        let mut command = self.rig.rbee(&format!("--output json fleet {after}"));
        command.stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let Some(line) = line {
            writeln!(stdin, "{line}").unwrap();
        }
        Live { argv: after.to_owned(), child }
    }

    /// Installs `version` of echo-worker to every host.
    pub fn install(&self, version: &str) -> Ran {
        let program = self.program("echo-worker", version, "");
        self.fleet(&format!("install echo-worker --system --binary {program} -H all"))
    }

    /// As root on h1, without blanks around.
    pub fn on_host(&self, command: &str) -> String {
        self.rig.exec("h1", command).trim().to_owned()
    }

    /// Nothing half-done: no part of root's, no scratch of the user's.
    #[track_caller]
    pub fn is_clean(&self, host: &str) {
        let find = "find /usr/local -name '.*.rbee'; find /home/ada/.cache/rbee/scratch -mindepth 1 2>/dev/null; \
                    find /home/ada/.local/state/rbee -name 'lock*' 2>/dev/null; :";
        assert_eq!(self.rig.exec(host, find), "", "left behind on {host}");
    }
}

/// A run in progress.
pub struct Live {
    argv: String,
    pub child: Child,
}

impl Live {
    pub fn end(self) -> Ran {
        let done = self.child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { argv: self.argv, code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// How it ended for a host: `host_finished` of its events.
    #[track_caller]
    pub fn host(&self, name: &str) -> Value {
        let lines = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.into_iter().find(|line| line["type"] == "host_finished" && line["host"] == name);
        found.unwrap_or_else(|| panic!("{name} did not end\n{self}"))
    }

    #[track_caller]
    pub fn error(&self, host: &str) -> String {
        self.host(host)["error"].as_str().unwrap_or_else(|| panic!("no error\n{self}")).to_owned()
    }

    /// The sudoers lines in the hint for a host.
    #[track_caller]
    pub fn lines(&self, host: &str) -> String {
        let end = self.host(host);
        let hint = end["hint"].as_str().unwrap_or_else(|| panic!("no hint\n{self}"));
        let of = |line: &&str| line.contains("NOPASSWD:") || line.starts_with("Defaults");
        hint.lines().filter(of).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fleet {}\n-> {:?}\n{}\n{}", self.argv, self.code, self.stdout, self.stderr)
    }
}

/// Waits until `done` says so.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
