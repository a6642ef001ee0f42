//! Questions, as a person sees them: on a real terminal, through the program.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    libc,
    pty::openpty,
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use super::{
    sshd::{Lab, keygen},
    until,
};

/// The program on a terminal of its own.
struct Typist {
    master: File,
    /// Held, so that the terminal outlives the program.
    slave: File,
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Typist {
    fn start(lab: &Lab, arguments: &[&str]) -> Self {
        let pty = openpty(None, None).unwrap();
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbee"));
        command.arg("-F").arg(lab.ssh_config()).args(arguments);
        command.env("HOME", lab.home()).env_remove("SSH_AUTH_SOCK").env("TERM", "xterm").current_dir(lab.dir());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0)).map(drop).map_err(Into::into)
            });
        }
        let child = command.spawn().unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut reader, heard) = (master.try_clone().unwrap(), seen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { master, slave, child, seen }
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the question is on the terminal and the terminal has stopped to show what is typed.
    fn wait_for(&self, words: &str) {
        until(words, || {
            assert!(self.slave.metadata().is_ok());
            self.seen().contains(words) && !self.shows()
        });
    }

    fn shows(&self) -> bool {
        tcgetattr(self.slave.as_fd()).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    fn types(&mut self, text: &[u8]) {
        self.master.write_all(text).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the program's end, and holds that the terminal is as it was.
    fn ends(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > Duration::from_secs(60) {
                let _ = self.child.kill();
                panic!("it does not end; seen:\n{}", self.seen());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(self.shows(), "the terminal is left without echo");
        let flags = tcgetattr(self.slave.as_fd()).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ISIG), "{flags:?}");
        let mut waiting: libc::c_int = 0;
        // SAFETY: FIONREAD writes one int.
        unsafe { libc::ioctl(self.slave.as_raw_fd(), libc::FIONREAD, &mut waiting) };
        assert_eq!(waiting, 0, "what was typed for a question is left for the shell");
        (status, self.seen())
    }
}

/// A lab whose hosts take a key that only a passphrase opens.
fn locked(names: &[&str]) -> Lab {
    let lab = Lab::new(names);
    let key = lab.dir().join("locked");
    keygen(&key, "ed25519", "open sesame");
    for name in names {
        fs::copy(key.with_extension("pub"), lab.sshd(name).authorized_keys()).unwrap();
    }
    lab.write_config(&format!("IdentityAgent none\nIdentityFile {}", key.display()));
    lab
}

#[test]
fn a_passphrase_is_typed_once_and_not_shown() {
    let lab = locked(&["one", "two"]);
    let mut typist = Typist::start(&lab, &["fleet", "-H", "one,two", "ping"]);
    typist.wait_for("passphrase for ");
    typist.types(b"open barley\n");
    typist.wait_for("that was wrong; passphrase for ");
    typist.types(b"open sesame\n");
    let (status, seen) = typist.ends();
    assert_eq!(status.code(), Some(0), "{seen}");
    assert_eq!(seen.matches("passphrase for ").count(), 2, "{seen}");
    assert!(!seen.contains("open "), "{seen}");
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let lab = locked(&["one"]);
    for (how, code) in [(None, 130), (Some(Signal::SIGINT), 130), (Some(Signal::SIGTERM), 143)] {
        let mut typist = Typist::start(&lab, &["fleet", "-H", "one", "ping"]);
        typist.wait_for("passphrase for ");
        typist.types(b"half a pass");
        match how {
            None => typist.types(b"\x03"),
            Some(signal) => typist.signal(signal),
        }
        let (status, seen) = typist.ends();
        assert_eq!(status.code(), Some(code), "{how:?}: {seen}");
        assert!(!seen.contains("half"), "{seen}");
    }
}

#[test]
fn a_deadline_does_not_wait_for_an_answer() {
    let lab = locked(&["one"]);
    let typist = Typist::start(&lab, &["--timeout", "3s", "fleet", "-H", "one", "ping"]);
    typist.wait_for("passphrase for ");
    let (status, seen) = typist.ends();
    assert_eq!(status.code(), Some(124), "{seen}");
}

#[test]
fn the_connect_timeout_waits_for_a_person() {
    let lab = locked(&["one"]);
    let mut typist = Typist::start(&lab, &["fleet", "-H", "one", "ping", "--connect-timeout", "2s"]);
    typist.wait_for("passphrase for ");
    std::thread::sleep(Duration::from_secs(4));
    typist.types(b"open sesame\n");
    let (status, seen) = typist.ends();
    assert_eq!(status.code(), Some(0), "{seen}");
}

#[test]
fn the_question_up_front_can_be_interrupted() {
    let lab = Lab::new(&["one"]);
    let mut typist = Typist::start(&lab, &["fleet", "-H", "one", "ping", "--ask-pass"]);
    typist.wait_for("password (used for all hosts that ask): ");
    typist.types(b"secret\x03");
    let (status, seen) = typist.ends();
    assert_eq!(status.code(), Some(130), "{seen}");
    // A host that takes a key asks for no password, and gets none.
    let mut typist = Typist::start(&lab, &["fleet", "-H", "one", "ping", "--ask-pass"]);
    typist.wait_for("password (used for all hosts that ask): ");
    typist.types(b"secret\n");
    let (_, seen) = typist.ends();
    assert!(!seen.contains("secret"), "{seen}");
}

#[test]
fn a_password_file_is_looked_at_before_any_host() {
    let lab = Lab::new(&["one"]);
    let path = lab.dir().join("password");
    fs::write(&path, "open sesame\n").unwrap();
    let run = |password: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_rbee"))
            .arg("-F")
            .arg(lab.ssh_config())
            .args(["fleet", "-H", "one", "ping", "--password-file", password])
            .env("HOME", lab.home())
            .current_dir(lab.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&path.display().to_string());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("others may read") && said.contains("chmod 600"), "{said}");
    let (code, said) = run("-");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no password in stdin"), "{said}");
    assert!(!lab.sshd("one").log().contains("publickey"), "{}", lab.sshd("one").log());
}

#[test]
fn a_banner_is_for_those_who_want_to_hear_more() {
    let banner = tempfile::NamedTempFile::new().unwrap();
    fs::write(banner.path(), "welcome\u{1b}[31m all\n\u{1b}]0;title\u{7}of you\r\n").unwrap();
    let lab = Lab::with(&["one"], &[&format!("Banner {}", banner.path().display())]);
    let run = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rbee"))
            .args(more)
            .arg("-F")
            .arg(lab.ssh_config())
            .args(["fleet", "-H", "one", "exec", "true", "--output", "plain"])
            .env("HOME", lab.home())
            .env_remove("SSH_AUTH_SOCK")
            .current_dir(lab.dir())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&said));
        String::from_utf8(said).unwrap()
    };
    // The lab's key is in its home, which is not the account's.
    lab.write_config(&format!("IdentityFile {}", lab.identity().display()));
    let said = run(&["-v"]);
    assert!(said.contains("the server says: welcome all") && said.contains("the server says: of you"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
    let said = run(&[]);
    assert!(!said.contains("welcome"), "{said}");
}
