//! The ceremony that makes hosts known, against real sshds with several keys, as a person at a terminal and as CI.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    sshd::{Lab, free_port, keygen},
    stage::{Ran, Stage},
};

/// Two hosts with three keys each; nobody is known.
fn stage() -> (Stage, tempfile::TempDir) {
    let keys = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        keygen(&keys.path().join(kind), kind, "");
        lines.push(format!("HostKey {}", keys.path().join(kind).display()));
    }
    let lab = Lab::with_host_keys(&["one", "two"], &lines.iter().map(String::as_str).collect::<Vec<_>>());
    fs::write(lab.known_hosts(), "").unwrap();
    let stage = Stage { lab };
    stage.inventory("[hosts.one]\n[hosts.two]\n");
    (stage, keys)
}

fn known(stage: &Stage) -> String {
    fs::read_to_string(stage.lab.known_hosts()).unwrap()
}

/// The states of a host's keys, by their types.
#[track_caller]
fn states(ran: &Ran, host: &str) -> Vec<(String, String)> {
    let document = ran.document();
    let host = document["hosts"].as_array().unwrap().iter().find(|h| h["host"] == host).unwrap().clone();
    let of = |server: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        server["keys"].as_array().unwrap().iter().map(|key| (text(&key["type"]), text(&key["state"]))).collect()
    };
    of(host["servers"].as_array().unwrap().last().unwrap())
}

fn all(state: &str) -> Vec<(String, String)> {
    ["ED25519", "ECDSA", "RSA"].map(|kind| (kind.to_owned(), state.to_owned())).to_vec()
}

/// An answer that is a signal, as a second terminal would send it.
const INTERRUPT: &str = "^C";

/// `rbee` at a terminal of its own, where `answer` is typed as soon as it asks.
fn at_a_terminal(rbee: Command, answer: &str) -> (Option<i32>, String, String) {
    // Questions are put to the controlling terminal.
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(rbee.get_program()).args(rbee.get_args()).env_clear();
    command.envs(rbee.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(rbee.get_current_dir().unwrap());
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut screen, slave) = (File::from(pty.master), File::from(pty.slave));
    command.stdin(slave.try_clone().unwrap()).stderr(slave).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let (sender, receiver) = mpsc::channel();
    let mut reader = screen.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let _ = sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
    });
    let (mut said, end) = (String::new(), Instant::now() + Duration::from_secs(60));
    let mut answered = false;
    while let Ok(text) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
        said += &text;
        if !answered && said.contains("[y/N] ") {
            answered = true;
            match answer {
                INTERRUPT => kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap(),
                typed => screen.write_all(typed.as_bytes()).unwrap(),
            }
        }
    }
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    (child.wait().unwrap().code(), said, stdout)
}

#[test]
fn in_ci_new_keys_fail_until_they_are_accepted_by_a_flag() {
    let (stage, _keys) = stage();
    fs::set_permissions(stage.lab.known_hosts(), fs::Permissions::from_mode(0o640)).unwrap();
    let ran = stage.rbee("fleet trust -H all --output json").exits(1);
    assert_eq!(states(&ran, "one"), all("new"), "{ran}");
    assert_eq!(ran.document()["hosts"][0]["reason"], "host_key");
    assert!(ran.document()["hosts"][0]["hint"].as_str().unwrap().contains("--accept-new"), "{ran}");
    assert_eq!(known(&stage), "");

    let ran = stage.rbee("fleet trust -H all").exits(1).says("--accept-new");
    assert_eq!(ran.stdout.lines().filter(|line| line.contains("SHA256:") && line.ends_with("new")).count(), 6, "{ran}");

    let ran = stage.rbee("fleet trust -H all --accept-new --output json").exits(0);
    assert_eq!(ran.document()["hosts"][1]["outcome"], "changed", "{ran}");
    let text = known(&stage);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert_eq!(fs::metadata(stage.lab.known_hosts()).unwrap().permissions().mode() & 0o777, 0o640);

    // All is known now: to us, and to everybody else.
    let ran = stage.rbee("fleet trust -H all --output json").exits(0);
    assert_eq!((states(&ran, "one"), states(&ran, "two")), (all("known"), all("known")), "{ran}");
    assert_eq!(known(&stage), text);
    stage.rbee("fleet ping -H all").exits(0);
    let mut ssh = Command::new("ssh");
    ssh.args(["-o", "BatchMode=yes", "-F"]).arg(stage.lab.ssh_config()).arg("-i").arg(stage.lab.identity());
    let ssh = ssh.args(["two", "true"]).stdin(Stdio::null()).output().unwrap();
    assert!(ssh.status.success(), "{}", String::from_utf8_lossy(&ssh.stderr));
}

#[test]
fn names_are_hashed_where_that_is_wished() {
    let (stage, _keys) = stage();
    stage.lab.write_config("HashKnownHosts yes");
    stage.rbee("fleet trust -H all --accept-new").exits(0);
    let text = known(&stage);
    assert!(text.lines().count() == 6 && text.lines().all(|line| line.starts_with("|1|")), "{text}");
    stage.rbee("fleet trust -H all").exits(0);
}

#[test]
fn a_person_is_shown_one_table_and_asked_once() {
    let (stage, _keys) = stage();
    let (code, said, stdout) = at_a_terminal(stage.command("fleet trust -H all"), "n\n");
    assert_eq!(code, Some(1), "{said}\n{stdout}");
    assert!(said.contains("write 6 new keys of 2 hosts to ~/.ssh/known_hosts? [y/N]"), "{said}");
    assert!(said.contains("SHA256:") && said.contains("ED25519"), "{said}");
    assert_eq!(known(&stage), "");

    let (code, said, stdout) = at_a_terminal(stage.command("fleet trust -H all"), "y\n");
    assert_eq!(code, Some(0), "{said}\n{stdout}");
    assert_eq!((said.matches("[y/N]").count(), said.matches("FINGERPRINT").count()), (1, 1), "{said}");
    assert!(said.contains("wrote 6 new keys of 2 hosts"), "{said}");
    assert_eq!(known(&stage).lines().count(), 6);

    // Nothing is new: nothing is asked, the table is the answer.
    let (code, said, stdout) = at_a_terminal(stage.command("fleet trust -H all"), "");
    assert_eq!(
        (code, said.matches("[y/N]").count(), stdout.matches(" known\n").count()),
        (Some(0), 0, 6),
        "{said}\n{stdout}"
    );

    // The end of the input, and the end of patience, are no yes.
    fs::write(stage.lab.known_hosts(), "").unwrap();
    for (typed, expected) in [("\u{4}", 1), (INTERRUPT, 130)] {
        let (code, said, _) = at_a_terminal(stage.command("fleet trust -H one"), typed);
        assert_eq!(code, Some(expected), "{said}");
        assert_eq!(known(&stage), "");
    }
}

#[test]
fn a_changed_key_is_written_by_no_flag_and_no_yes() {
    let (stage, keys) = stage();
    keygen(&keys.path().join("old"), "ed25519", "");
    let old = fs::read_to_string(keys.path().join("old.pub")).unwrap();
    let line = format!("[127.0.0.1]:{} {old}", stage.lab.sshd("one").port);
    fs::write(stage.lab.known_hosts(), &line).unwrap();

    let ran = stage.rbee("fleet trust -H all --accept-new").exits(1);
    let remove =
        format!("ssh-keygen -R '[127.0.0.1]:{}' -f {}", stage.lab.sshd("one").port, stage.lab.known_hosts().display());
    let ran = ran.says("CHANGED").says("has changed").says(&remove);
    // The other host is made known all the same, and of this one nothing is.
    let text = known(&stage);
    assert_eq!((text.lines().count(), text.starts_with(&line)), (4, true), "{text}\n{ran}");
    assert_eq!(text.matches(&format!(":{} ", stage.lab.sshd("one").port)).count(), 1, "{text}");

    let (code, said, _) = at_a_terminal(stage.command("fleet trust -H one"), "y\n");
    assert_eq!((code, said.matches("[y/N]").count()), (Some(1), 0), "{said}");
    assert_eq!(known(&stage), text);

    // What is said to be done helps.
    let done = Command::new("/bin/sh").arg("-c").arg(&remove).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    stage.rbee("fleet trust -H all --accept-new").exits(0);
    stage.rbee("fleet ping -H one").exits(0);
}

#[test]
fn a_new_kind_of_a_known_host_is_new_and_a_revoked_one_is_refused() {
    let (stage, keys) = stage();
    let port = stage.lab.sshd("one").port;
    let public = |kind: &str| fs::read_to_string(keys.path().join(format!("{kind}.pub"))).unwrap();
    fs::write(stage.lab.known_hosts(), format!("[127.0.0.1]:{port} {}", public("rsa"))).unwrap();
    let ran = stage.rbee("fleet trust -H one --output json").exits(1);
    let expected = [("ED25519", "new"), ("ECDSA", "new"), ("RSA", "known")].map(|(k, s)| (k.to_owned(), s.to_owned()));
    assert_eq!(states(&ran, "one"), expected, "{ran}");

    fs::write(stage.lab.known_hosts(), format!("@revoked * {}", public("ecdsa"))).unwrap();
    let ran = stage.rbee("fleet trust -H one --accept-new --output json").exits(1);
    assert_eq!(states(&ran, "one")[1], ("ECDSA".to_owned(), "revoked".to_owned()), "{ran}");
    assert_eq!(known(&stage).lines().count(), 1);
}

#[test]
fn who_is_not_there_fails_as_always() {
    let (stage, _keys) = stage();
    let dead = free_port();
    stage.inventory(&format!(
        "[hosts.one]\n[hosts.two]\n[hosts.gone]\naddress = \"127.0.0.1\"\nport = {dead}\n\
         [hosts.off]\naddress = \"127.0.0.1\"\nport = {dead}\noptional = true\n[hosts.local]\n"
    ));
    let ran = stage.rbee("fleet trust -H one,two,gone,off --accept-new").exits(4).says("unreachable").says("skipped");
    assert_eq!(known(&stage).lines().count(), 6, "{ran}");
    stage.rbee("fleet trust -H one,off").exits(0);
    stage.rbee("fleet trust -H one,off,local").exits(0).says("this machine");
}

#[test]
fn a_host_that_an_authority_vouches_for_has_nothing_new() {
    let keys = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { keys.path().join(name) };
    for name in ["ed25519", "rsa"] {
        keygen(&path(name), name, "");
    }
    keygen(&path("ca"), "ed25519", "");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-h", "-I", "x", "-n", "127.0.0.1", "-s"])
        .args([path("ca"), path("ed25519.pub")])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let lines = [
        format!("HostKey {}", path("ed25519").display()),
        format!("HostKey {}", path("rsa").display()),
        format!("HostCertificate {}", path("ed25519-cert.pub").display()),
    ];
    let lab = Lab::with_host_keys(&["one"], &lines.each_ref().map(String::as_str));
    fs::write(lab.known_hosts(), format!("@cert-authority * {}", fs::read_to_string(path("ca.pub")).unwrap())).unwrap();
    let stage = Stage { lab };
    stage.inventory("[hosts.one]\n");
    let ran = stage.rbee("fleet trust -H one --output json").exits(0);
    assert_eq!(states(&ran, "one"), [("ED25519-CERT".to_owned(), "known".to_owned())], "{ran}");
    stage.rbee("fleet ping -H one").exits(0);
}

#[test]
fn a_bastion_that_nobody_knows_is_part_of_the_ceremony() {
    let (stage, _keys) = stage();
    stage.lab.write_config("Host two\n  ProxyJump one\nHost *");
    // Without anybody to agree, nobody logs in to it.
    let ran = stage.rbee("fleet trust -H two --output json").exits(1);
    let servers = ran.document()["hosts"][0]["servers"].clone();
    assert_eq!((servers.as_array().unwrap().len(), &servers[0]["server"]), (1, &"one".into()), "{ran}");
    assert!(!stage.lab.sshd("one").log().contains("Accepted publickey"), "{}", stage.lab.sshd("one").log());

    let (code, said, _) = at_a_terminal(stage.command("fleet trust -H two"), "y\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("write 6 new keys of 2 hosts"), "{said}");
    let first = |name: &str| said.find(&format!("\n{name} ")).unwrap_or(usize::MAX);
    assert!(first("one") < first("two"), "{said}");
    assert_eq!(known(&stage).lines().count(), 6);
    stage.rbee("fleet ping -H two").exits(0);
}
