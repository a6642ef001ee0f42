//! Passwords, with users that exist only in a mount namespace. These need root: `cargo nextest run --run-ignored all`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::unistd::Pid;
use rbee::{
    scope::Prompt,
    target::ssh::{Connector, Password, People, config::SshConfig},
    vocab::{Host, HostName, Reason, Route, Secret, Settings, host::SshRoute},
};

use super::{
    NO_ERRORS, scope,
    sshd::{Lab, descendants, free_port, keygen},
    until,
};

const PASSWORD: &str = "open sesame";

/// One sshd at several ports, each a host to the client; its user `bob` has a password.
struct Town {
    dir: tempfile::TempDir,
    ports: Vec<u16>,
    sshd: Child,
    settings: Settings,
}

impl Town {
    fn new(hosts: usize, sshd_config: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test needs root");
        // Only for the settings and the key of a controller.
        let lab = Lab::new(&[]);
        let settings = lab.settings();
        let dir = tempfile::Builder::new().prefix("town").tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let hash =
            Command::new("perl").args(["-e", "print crypt($ARGV[0], q($6$abcdefgh$))", PASSWORD]).output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        assert!(hash.starts_with("$6$"), "{hash}");
        let append = |to: &str, line: &str| {
            let text = fs::read_to_string(Path::new("/etc").join(to)).unwrap();
            fs::write(at(to), format!("{text}{line}\n")).unwrap();
        };
        append("passwd", "bob:x:61999:61999::/:/bin/sh");
        append("shadow", &format!("bob:{hash}:19000:0:99999:7:::"));
        let pam = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n";
        fs::write(at("pam"), pam).unwrap();
        keygen(&at("host_key"), "ed25519", "");
        keygen(&at("id"), "ed25519", "");
        fs::create_dir_all("/run/sshd").unwrap();
        let ports: Vec<u16> = (0..hosts).map(|_| free_port()).collect();
        let listen: String = ports.iter().map(|port| format!("ListenAddress 127.0.0.1:{port}\n")).collect();
        fs::write(
            at("sshd_config"),
            format!(
                "{sshd_config}\n{listen}HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUseDNS no\n\
                 LogLevel VERBOSE\nUsePAM yes\nMaxStartups 100\n",
                at("host_key").display(),
                at("id.pub").display()
            ),
        )
        .unwrap();
        let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/shadow\" /etc/shadow && \
                      mount --bind \"$1/pam\" /etc/pam.d/sshd && exec /usr/sbin/sshd -D -f \"$1/sshd_config\" -E \"$1/log\"";
        let sshd = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let town = Self { dir, ports, sshd, settings };
        until("sshd listens", || {
            town.ports.iter().all(|&port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        });
        let key = fs::read_to_string(town.at("host_key.pub")).unwrap();
        let known: String = town.ports.iter().map(|port| format!("[127.0.0.1]:{port} {key}")).collect();
        fs::write(town.at("known_hosts"), known).unwrap();
        town.configure("IdentityFile none");
        town
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, first: &str) {
        let mut text = format!("{first}\nUser bob\nIdentityAgent none\n");
        for (nth, port) in self.ports.iter().enumerate() {
            text += &format!("Host h{nth}\n  HostName 127.0.0.1\n  Port {port}\n");
        }
        text += &format!(
            "Host *\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n",
            self.at("known_hosts").display()
        );
        fs::write(self.at("config"), text).unwrap();
    }

    /// Logs in to all of them at once; the errors of those that failed.
    async fn all(&self, people: People) -> Vec<String> {
        let config = SshConfig::load(Some(&self.at("config")), &self.settings.home).unwrap();
        let connector = Arc::new(Connector::with_people(&self.settings, config, people));
        let logins: Vec<_> = (0..self.ports.len())
            .map(|nth| {
                let connector = connector.clone();
                let host =
                    Host::named(HostName::new(&format!("h{nth}")).unwrap(), Route::Ssh(SshRoute::default()), "town");
                tokio::spawn(async move { connector.connect(&scope(), &host).await.map(drop) })
            })
            .collect();
        let mut errors = Vec::new();
        for login in logins {
            if let Err(error) = login.await.unwrap() {
                assert_eq!(error.reason(), Some(Reason::Auth), "{error}");
                errors.push(format!("{error}\n{}", error.hint().unwrap_or_default()));
            }
        }
        errors
    }

    /// What `ssh` comes to with the same password.
    fn ssh(&self, password: &str) -> bool {
        let ask = self.at("ask");
        fs::write(&ask, format!("#!/bin/sh\necho '{password}'\n")).unwrap();
        fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let output = Command::new("timeout")
            .args(["60", "ssh", "-F"])
            .arg(self.at("config"))
            .args(["h0", "true"])
            .env("SSH_ASKPASS", ask)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    }

    /// What sshd wrote; a session writes some of it after it has answered, so the sessions have ended.
    fn log(&self) -> String {
        until("the sessions end", || descendants(Pid::from_raw(self.sshd.id().cast_signed())).is_empty());
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// A person who gives these answers, and how often they were asked.
fn person(answers: &'static [&'static str], pause: Duration) -> (People, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let prompt = Prompt::new(move |question| {
        assert!(question.secret && question.text.contains("bob@h"), "{question:?}");
        std::thread::sleep(pause);
        Ok(answers.get(count.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or_default().to_owned())
    });
    (People { prompt: Some(prompt), ..People::default() }, asked)
}

fn given(password: &str) -> People {
    People { password: Some(Password { secret: Secret::new(password), typed: false }), ..People::default() }
}

/// The two ways in which a server asks for a password.
const WAYS: [&str; 2] = [
    "PasswordAuthentication yes\nKbdInteractiveAuthentication no",
    "PasswordAuthentication no\nKbdInteractiveAuthentication yes",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn rooted_one_password_serves_all_hosts() {
    for way in WAYS {
        let town = Town::new(8, way);
        assert!(town.ssh(PASSWORD), "{way}: {}", town.log());
        assert!(!town.ssh("open barley"), "{way}");
        let (people, asked) = person(&[PASSWORD], Duration::ZERO);
        assert_eq!(town.all(people).await, NO_ERRORS, "{way}: {}", town.log());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{way}");
        assert_eq!(town.all(given(PASSWORD)).await, NO_ERRORS, "{way}: {}", town.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn rooted_a_wrong_password_is_tried_on_one_host() {
    for way in WAYS {
        let town = Town::new(5, way);
        let start = town.log().len();
        let errors = town.all(given("open barley")).await;
        assert_eq!(errors.len(), 5, "{way}: {errors:?}");
        let untried =
            errors.iter().filter(|error| error.contains("refused the password, so it is not tried on other hosts"));
        assert_eq!(untried.count(), 5, "{way}: {errors:#?}");
        assert_eq!(failures(&town.log()[start..]), 1, "{way}: {}", &town.log()[start..]);

        let start = town.log().len();
        let (people, asked) = person(&["a", PASSWORD], Duration::ZERO);
        assert_eq!(town.all(people).await, NO_ERRORS, "{way}: {}", town.log());
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{way}");
        assert_eq!(failures(&town.log()[start..]), 1, "{way}: {}", &town.log()[start..]);

        let start = town.log().len();
        let (people, asked) = person(&["a", "b", "c", "d"], Duration::ZERO);
        assert_eq!(town.all(people).await.len(), 5, "{way}");
        assert_eq!(asked.load(Ordering::SeqCst), 3, "{way}");
        assert_eq!(failures(&town.log()[start..]), 3, "{way}: {}", &town.log()[start..]);
    }
}

fn failures(log: &str) -> usize {
    let failed = |line: &&str| line.contains("Failed password") || line.contains("Failed keyboard-interactive");
    log.lines().filter(failed).count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn rooted_a_key_and_a_password_are_both_wanted() {
    for (methods, way) in [("publickey,password", WAYS[0]), ("publickey,keyboard-interactive", WAYS[1])] {
        let town = Town::new(3, &format!("{way}\nAuthenticationMethods {methods}"));
        town.configure(&format!("IdentityFile {}", town.at("id").display()));
        assert!(town.ssh(PASSWORD), "{methods}: {}", town.log());
        let (people, asked) = person(&[PASSWORD], Duration::ZERO);
        assert_eq!(town.all(people).await, NO_ERRORS, "{methods}: {}", town.log());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{methods}");
        let errors = town.all(People::default()).await;
        assert_eq!(errors.len(), 3);
        assert!(
            errors[0].contains("asks for more than ED25519 key") && errors[0].contains("--password-file"),
            "{errors:?}"
        );
        // With a password and without the key it is no login, either.
        town.configure("IdentityFile none");
        assert_eq!(town.all(given(PASSWORD)).await.len(), 3, "{methods}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn rooted_who_types_slower_than_the_server_waits_is_asked_once() {
    for way in WAYS {
        let town = Town::new(3, &format!("{way}\nLoginGraceTime 3"));
        let (people, asked) = person(&[PASSWORD], Duration::from_secs(6));
        assert_eq!(town.all(people).await, NO_ERRORS, "{way}: {}", town.log());
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{way}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn rooted_what_is_switched_off_is_not_tried() {
    let town = Town::new(1, "PasswordAuthentication yes\nKbdInteractiveAuthentication yes");
    town.configure("IdentityFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no");
    let start = town.log().len();
    let (people, asked) = person(&[PASSWORD], Duration::ZERO);
    let errors = town.all(people).await;
    assert_eq!((errors.len(), asked.load(Ordering::SeqCst), failures(&town.log()[start..])), (1, 0, 0), "{errors:?}");
    // Nobody to ask: said, with what to do.
    town.configure("IdentityFile none");
    let errors = town.all(People::default()).await;
    assert!(errors[0].contains("--password-file"), "{errors:?}");
    // One method stands in for the other; which comes first is the configuration's word.
    town.configure("IdentityFile none\nPreferredAuthentications password");
    assert_eq!(town.all(given(PASSWORD)).await, NO_ERRORS, "{}", town.log());
    assert!(town.log().contains("Accepted password for bob"), "{}", town.log());
}
