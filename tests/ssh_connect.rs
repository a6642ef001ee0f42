//! Connections against a real sshd.
#![allow(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

#[path = "support/sshd.rs"]
mod sshd;

use std::{
    fs,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rbee::{
    scope::{Cancel, CancelReason, Prompt, Scope, events},
    target::{
        TargetError,
        conduit::{Conduit, Opener},
        ssh::{Connector, SshConnection},
    },
    vocab::{Reason, RunId},
};
use sshd::{Lab, free_port, keygen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn scope() -> Scope {
    let (emitter, _receiver) = events(RunId::new("test").unwrap());
    Scope::new(Cancel::new(), emitter)
}

async fn connect(lab: &Lab, name: &str) -> Result<SshConnection, TargetError> {
    Connector::new(&lab.settings(), lab.config()).connect(&scope(), &lab.host(name)).await
}

async fn refused(lab: &Lab, name: &str) -> (Reason, String, String) {
    match connect(lab, name).await {
        Ok(_) => panic!("{name} was connected to; sshd says\n{}", lab.sshd(name).log()),
        Err(error) => {
            (error.reason().expect("a reason"), error.to_string(), error.hint().unwrap_or_default().to_owned())
        }
    }
}

async fn output(connection: &SshConnection, command: &str) -> String {
    let mut conduit = connection.open(command).await.unwrap();
    drop(conduit.stdin);
    let (mut out, mut err) = (String::new(), String::new());
    let (a, b) = tokio::join!(conduit.stdout.read_to_string(&mut out), conduit.stderr.read_to_string(&mut err));
    a.unwrap();
    b.unwrap();
    format!("{out}|{err}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_with_its_streams_apart() {
    let lab = Lab::new(&["one", "two"]);
    for name in ["one", "two"] {
        let connection = connect(&lab, name).await.unwrap();
        assert_eq!(output(&connection, "echo out; echo err >&2; exit 3").await, "out\n|err\n");
        let home = lab.sshd(name).home.display().to_string();
        assert_eq!(output(&connection, "printf %s \"$HOME\"").await, format!("{home}|"));
        assert_eq!(output(&connection, "cat").await, "|", "dropping stdin is its end");
        connection.ping().await.unwrap();
        connection.close().await;
        assert!(matches!(connection.ping().await, Err(TargetError::Lost(_))));
        assert!(matches!(connection.open("true").await, Err(TargetError::Lost(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_megabytes_there_and_back_unharmed() {
    let lab = Lab::new(&["one"]);
    let connection = connect(&lab, "one").await.unwrap();
    let sent: Vec<u8> = (0..20_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let Conduit { mut stdin, mut stdout, .. } = connection.open("cat").await.unwrap();
    let body = sent.clone();
    let writing = tokio::spawn(async move {
        stdin.write_all(&body).await.unwrap();
        stdin.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    stdout.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    assert!(received == sent, "{} of {} bytes, or others", received.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_channel_does_not_stop_its_neighbours() {
    let lab = Lab::new(&["one"]);
    let connection = connect(&lab, "one").await.unwrap();
    // Far more than the library's own queue of a channel holds.
    let mut unread = connection.open("head -c 25000000 /dev/zero; echo done >&2").await.unwrap();
    let mut word = String::new();
    unread.stderr.read_to_string(&mut word).await.unwrap();
    assert_eq!(word, "done\n");
    assert_eq!(output(&connection, "echo alive").await, "alive\n|");
    connection.ping().await.unwrap();
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match unread.stdout.read(&mut buffer).await.unwrap() {
            0 => break,
            n => count += n,
        }
    }
    assert_eq!(count, 25_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_channels_than_the_server_has_sessions() {
    let lab = Lab::with(&["one"], &["MaxSessions 5"]);
    let connection = connect(&lab, "one").await.unwrap();
    let all: Vec<_> = (0..40)
        .map(|i| {
            let connection = connection.clone();
            tokio::spawn(async move { output(&connection, &format!("echo {i}")).await })
        })
        .collect();
    for (i, one) in all.into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), format!("{i}\n|"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_frees_its_session() {
    let lab = Lab::new(&["one"]);
    let connection = connect(&lab, "one").await.unwrap();
    for _ in 0..12 {
        drop(connection.open("cat").await.unwrap());
    }
    // A child that keeps the output open does not keep the channel.
    let child = output(&connection, "sleep 600 & printf %s $!").await;
    let child = nix::unistd::Pid::from_raw(child.trim_end_matches('|').parse().unwrap());
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("it was still there");
    // A writer is not left waiting for the window of a program that has ended.
    let mut gone = connection.open("exit 0").await.unwrap();
    let chunk = vec![0; 1 << 20];
    while gone.stdin.write_all(&chunk).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_says_so() {
    let lab = Lab::new(&["one"]);
    let connection = connect(&lab, "one").await.unwrap();
    let mut conduit = connection.open("echo here; sleep 600").await.unwrap();
    let mut word = [0; 5];
    conduit.stdout.read_exact(&mut word).await.unwrap();
    lab.sshd("one").cut();
    let mut rest = Vec::new();
    let error = conduit.stdout.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(matches!(connection.open("true").await, Err(TargetError::Lost(_))));
    assert!(matches!(connection.lost().await, TargetError::Lost(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_noticed_within_the_lease_and_a_beat() {
    let lab = Lab::new(&["one"]);
    let mut settings = lab.settings();
    settings.limits.lease = Duration::from_secs(2);
    let connector = Connector::new(&settings, lab.config());
    let connection = connector.connect(&scope(), &lab.host("one")).await.unwrap();
    lab.sshd("one").freeze();
    let error = tokio::time::timeout(Duration::from_secs(30), connection.lost()).await.unwrap();
    assert_eq!(error.to_string(), "connection lost: the host does not answer any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_at_once_all_get_in() {
    let lab = Lab::new(&["one"]);
    let connector = Arc::new(Connector::new(&lab.settings(), lab.config()));
    let all: Vec<_> = (0..30)
        .map(|_| {
            let (connector, host) = (connector.clone(), lab.host("one"));
            tokio::spawn(async move { connector.connect(&scope(), &host).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap_or_else(|error| panic!("{error}; sshd says\n{}", lab.sshd("one").log()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_handshakes_are_tried_again() {
    // Above one connection on its way, this server drops all others.
    let lab = Lab::with(&["one"], &["MaxStartups 1:100:1"]);
    let all: Vec<_> = (0..4)
        .map(|_| {
            let connector = Connector::new(&lab.settings(), lab.config());
            let host = lab.host("one");
            tokio::spawn(async move { connector.connect(&scope(), &host).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap_or_else(|error| panic!("{error}; sshd says\n{}", lab.sshd("one").log()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_is_refused_unless_the_user_wants_no_check_at_all() {
    let lab = Lab::new(&["one", "two"]);
    let others = lab.sshd("two").known_hosts_line();
    let (_, key) = others.split_once(' ').unwrap();
    fs::write(lab.known_hosts(), format!("# first\n[127.0.0.1]:{} {key}", lab.sshd("one").port)).unwrap();
    for policy in ["yes", "ask", "accept-new"] {
        lab.write_config(&format!("StrictHostKeyChecking {policy}"));
        let (reason, text, hint) = refused(&lab, "one").await;
        assert_eq!(reason, Reason::HostKey, "{text}");
        assert!(text.contains(&format!("{}:2 has another", lab.known_hosts().display())), "{text}");
        assert!(text.contains("ED25519 key SHA256:"), "{text}");
        assert!(hint.contains("ssh-keygen -R") && hint.contains("rbee fleet trust -H one"), "{hint}");
    }
    lab.write_config("StrictHostKeyChecking no");
    let connection = connect(&lab, "one").await.unwrap();
    assert!(connection.warnings()[0].contains("has changed"), "{:?}", connection.warnings());
    assert!(connection.warnings()[0].contains("without passwords"), "{:?}", connection.warnings());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_or_written_down() {
    let lab = Lab::new(&["one"]);
    fs::remove_file(lab.known_hosts()).unwrap();
    for policy in ["yes", "ask"] {
        lab.write_config(&format!("StrictHostKeyChecking {policy}"));
        let (reason, text, hint) = refused(&lab, "one").await;
        assert_eq!(reason, Reason::HostKey, "{text}");
        assert!(text.contains("is not known: it shows the ED25519 key SHA256:"), "{text}");
        assert!(hint.contains("rbee fleet trust -H one"), "{hint}");
    }
    assert!(!lab.known_hosts().exists());
    lab.write_config("StrictHostKeyChecking accept-new\nHashKnownHosts yes");
    connect(&lab, "one").await.unwrap();
    let written = fs::read_to_string(lab.known_hosts()).unwrap();
    assert!(written.starts_with("|1|") && written.lines().count() == 1, "{written}");
    // The written line is a line that counts, for us and for ssh.
    lab.write_config("");
    connect(&lab, "one").await.unwrap();
    let ssh = Command::new("ssh")
        .args(["-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-F"])
        .arg(lab.ssh_config())
        .arg("-i")
        .arg(lab.identity())
        .args(["one", "echo in"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ssh.stdout), "in\n", "{}", String::from_utf8_lossy(&ssh.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hashed_known_hosts_is_read_and_a_revoked_key_refused() {
    let lab = Lab::new(&["one"]);
    let hashed = Command::new("ssh-keygen").arg("-H").arg("-f").arg(lab.known_hosts()).output().unwrap();
    assert!(hashed.status.success());
    assert!(fs::read_to_string(lab.known_hosts()).unwrap().starts_with("|1|"));
    connect(&lab, "one").await.unwrap();
    let line = lab.sshd("one").known_hosts_line();
    fs::write(lab.known_hosts(), format!("{line}@revoked {line}")).unwrap();
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::HostKey);
    assert!(text.contains("revoked"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_that_is_taken_the_refusal_tells_all() {
    let lab = Lab::new(&["one"]);
    // A stranger's key.
    fs::write(lab.sshd("one").authorized_keys(), "").unwrap();
    let (reason, text, hint) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Auth, "{text}");
    assert!(
        text.contains("ED25519 key SHA256:") && text.contains("/id_ed25519)") && text.contains("accepts publickey"),
        "{text}"
    );
    assert!(hint.contains("ssh-copy-id -p"), "{hint}");
    // No key at all.
    fs::remove_file(lab.identity()).unwrap();
    fs::remove_file(lab.identity().with_extension("pub")).unwrap();
    let (reason, text, hint) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Auth, "{text}");
    assert!(text.contains("there was no key to offer"), "{text}");
    assert!(hint.contains("ssh-keygen -t ed25519"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_key_is_asked_for_once_or_passed_over() {
    let lab = Lab::new(&["one", "two"]);
    let locked = lab.dir().join("locked");
    keygen(&locked, "rsa", "open sesame");
    for name in ["one", "two"] {
        fs::copy(locked.with_extension("pub"), lab.sshd(name).authorized_keys()).unwrap();
    }
    lab.write_config(&format!("IdentityFile {}", locked.display()));
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Auth, "{text}");
    assert!(
        text.contains("/locked), which the server would take (it is encrypted") && text.contains("ssh-add"),
        "{text}"
    );

    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let prompt = Prompt::new(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok("open sesame".to_owned())
    });
    let connector = Connector::with_prompt(&lab.settings(), lab.config(), Some(prompt));
    let scope = scope();
    let (one, two) = (lab.host("one"), lab.host("two"));
    let (one, two) = tokio::join!(connector.connect(&scope, &one), connector.connect(&scope, &two));
    one.unwrap();
    two.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// An ssh-agent of our own.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_keys_are_used() {
    let lab = Lab::new(&["one"]);
    let socket = lab.dir().join("agent");
    let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
    let _agent = Agent(agent.unwrap());
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (stranger, held) = (lab.dir().join("stranger"), lab.dir().join("held"));
    keygen(&stranger, "ecdsa", "");
    keygen(&held, "rsa", "");
    for key in [&stranger, &held] {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).output().unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    fs::copy(held.with_extension("pub"), lab.sshd("one").authorized_keys()).unwrap();
    fs::remove_file(&held).unwrap();
    lab.write_config(&format!("IdentityAgent {}", socket.display()));
    connect(&lab, "one").await.unwrap();
    // Only what is named: the one the server does not know, then the one it does, by its public half.
    lab.write_config(&format!(
        "IdentityAgent {}\nIdentitiesOnly yes\nIdentityFile {}\n",
        socket.display(),
        stranger.display()
    ));
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Auth);
    assert!(text.contains("by the agent") && !text.contains("RSA"), "{text}");
    lab.write_config(&format!(
        "IdentityAgent {}\nIdentitiesOnly yes\nIdentityFile {}\n",
        socket.display(),
        held.with_extension("pub").display()
    ));
    connect(&lab, "one").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_named_with_the_reason() {
    let mut lab = Lab::new(&["one"]);
    let port = lab.sshd("one").port;
    lab.sshd_mut("one").stop();
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Connect);
    assert_eq!(text, format!("127.0.0.1:{port} refused the connection; is an SSH server running there?"));

    lab.write_config("HostName no-such-host.invalid");
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("no-such-host.invalid cannot be looked up"), "{text}");

    // A listener that takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    lab.write_config(&format!("Port {}\nConnectTimeout 1", silent.local_addr().unwrap().port()));
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Timeout, "{text}");
    assert!(text.contains("no answer from 127.0.0.1:") && text.contains("within 1.0s"), "{text}");

    // One that is no SSH server.
    let talker = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    lab.write_config(&format!("Port {}", talker.local_addr().unwrap().port()));
    let talking = tokio::spawn(async move {
        let (mut stream, _) = talker.accept().await.unwrap();
        let _ = stream.write_all("HTTP/1.1 400 Bad Request\r\n".repeat(40).as_bytes()).await;
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    });
    let (reason, text, _) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("not an SSH 2 server"), "{text}");
    talking.abort();

    lab.write_config(&format!("Port {}\nHost one\nKnownHostsCommand /bin/true", free_port()));
    let (_, text, _) = refused(&lab, "one").await;
    assert!(text.contains("config:3: knownhostscommand applies to one"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_other_algorithms_only_is_explained() {
    let lab = Lab::with(&["one"], &["KexAlgorithms sntrup761x25519-sha512@openssh.com"]);
    let (reason, text, hint) = refused(&lab, "one").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("key exchange algorithms this program does not have: sntrup761"), "{text}");
    assert!(hint.contains("curve25519-sha256"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait() {
    let lab = Lab::new(&["one"]);
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    lab.write_config(&format!("Port {}", silent.local_addr().unwrap().port()));
    let (connector, scope) = (Connector::new(&lab.settings(), lab.config()), scope());
    let host = lab.host("one");
    let cancel = async {
        let _connection = silent.accept().await.unwrap();
        scope.cancel().ask(CancelReason::Interrupt);
    };
    let (connected, ()) = tokio::join!(connector.connect(&scope, &host), cancel);
    assert!(matches!(connected, Err(TargetError::Stopped(_))));
}
