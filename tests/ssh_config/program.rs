//! What `rbee inventory` says of ssh_config, through the program.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::oracle::{ENV, answer, ssh};

const CONFIG: &str = "Host bastion\n  HostName 10.0.0.1\nHost gpu box \"we ird\"\n  HostName 192.0.2.7\n  User root\n  \
    Port 2200\n  ProxyJump bastion\n  IdentityFile ~/.ssh/gpu\n  IdentityFile ~/.ssh/b\n  SendEnv LANG\n  \
    ServerAliveInterval 15\nHost *\n  Tunnel no\n";

/// Runs rbee in a folder that is its home, too.
fn rbee(dir: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbee"));
    let out = command.args(words).current_dir(dir).env_clear().envs(ENV.iter().copied()).env("HOME", dir).output();
    let out = out.expect("rbee can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn explaining_a_host_names_file_and_line_of_what_ssh_prints() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("config"), CONFIG).expect("a file");
    let (exit, text, errors) = rbee(dir.path(), &["inventory", "check", "--explain", "gpu", "-F", "config"]);
    assert_eq!(exit, Some(0), "{text}{errors}");
    let line = text.lines().find(|line| line.starts_with("port ")).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["port", "2200", "config:6"]);

    let (exit, text, errors) =
        rbee(dir.path(), &["inventory", "check", "--explain", "gpu", "-F", "config", "--output", "json"]);
    assert_eq!(exit, Some(0), "{errors}");
    let document: Value = serde_json::from_str(&text).expect("one document");
    let settings = document["settings"].as_object().expect("settings");
    assert_eq!((&settings["port"]["value"], &settings["port"]["line"]), (&"2200".into(), &6.into()));
    assert_eq!(settings["identityfile"][1]["from"], "config:9");
    assert_eq!(settings["batchmode"]["from"], "default");
    let theirs = ssh(Command::new("ssh").args(["-G", "-F"]).arg(dir.path().join("config")).arg("gpu")).expect("ssh -G");
    // Standard lists of algorithms, and what a distribution sets, are each program's own.
    let own = ["algorithms", "ciphers", "macs", "xauthlocation"];
    for keyword in answer(&theirs).keys().filter(|keyword| !own.iter().any(|end| keyword.ends_with(end))) {
        assert!(settings.contains_key(keyword), "{keyword} is missing");
    }

    let (exit, _, errors) = rbee(dir.path(), &["inventory", "check", "--explain", "gpu", "-F", "missing"]);
    assert!(exit == Some(2) && errors.contains("no such file"), "{errors}");
}

#[test]
fn an_imported_inventory_is_one() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join(".ssh")).expect("a folder");
    fs::write(dir.path().join(".ssh/config"), CONFIG).expect("a file");
    for (words, expected) in [
        (&["inventory", "import", "ssh-config"][..], "[hosts.box]\n"),
        (
            &["inventory", "import", "ssh-config", ".ssh/config"][..],
            "[hosts.box]\naddress = \"192.0.2.7\"\nport = 2200\n",
        ),
    ] {
        let (exit, text, errors) = rbee(dir.path(), words);
        assert!(exit == Some(0) && text.contains(expected), "{text}{errors}");
        assert!(errors.contains("we ird"), "{errors}");
        fs::write(dir.path().join("inventory.toml"), &text).expect("a file");
        let (exit, text, errors) = rbee(dir.path(), &["inventory", "check", "-i", "inventory.toml"]);
        assert!(exit == Some(0) && text.starts_with("3 hosts"), "{text}{errors}");
    }
}
