//! The files that are read without `-F`: the user's, the system's, and what both include.
//!
//! ssh knows the user's home from the list of users and not from `HOME`, so it is asked in a mount namespace of its own,
//! where folders of the test lie over that home and over `/etc/ssh`. That needs root; without it there is nothing to compare.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use rbee::target::ssh::config::{SshConfig, Surroundings};

use crate::oracle::{Answer, Compared, answer, me, ours, ssh, surroundings};

/// Files below home (`~/`) and below `/etc/ssh` (`/`), with the modes that are not 0644.
type Files<'a> = &'a [(&'a str, &'a str, u32)];

const CASES: &[(&str, Files<'_>, &[&str])] = &[
    ("nothing is there", &[], &["a"]),
    (
        "the user's file stands over the system's",
        &[
            ("~/config", "Host a\n Port 5\nIdentityFile k\n", 0o644),
            ("/ssh_config", "Port 6\nHashKnownHosts yes\nIdentityFile k\nSendEnv LANG\n", 0o644),
        ],
        &["a", "b"],
    ),
    (
        "each includes from its own folder",
        &[
            ("~/config", "Include d/*.conf ~/.ssh/e x\n", 0o644),
            ("~/d/1.conf", "User one\n", 0o644),
            ("~/d/2.conf", "User two\nPort 2\n", 0o644),
            ("~/d/.3.conf", "nonsense\n", 0o644),
            ("~/e", "ConnectTimeout 3\n", 0o644),
            ("/ssh_config", "Include ssh_config.d/*.conf x\n", 0o644),
            ("/ssh_config.d/1.conf", "Match final all\n BatchMode yes\n", 0o644),
            ("/x", "Compression yes\n", 0o644),
        ],
        &["a"],
    ),
    ("a file that others may write", &[("~/config", "Port 5\n", 0o666)], &["a"]),
    ("a file that its group may write", &[("~/config", "Port 5\n", 0o664)], &["a"]),
    ("an include that others may write", &[("~/config", "Include d\n", 0o644), ("~/d", "Port 5\n", 0o646)], &["a"]),
    ("a system's file that others may write", &[("/ssh_config", "Port 5\n", 0o666)], &["a"]),
    (
        "a system's include that others may write",
        &[("/ssh_config", "Include d\n", 0o644), ("/d", "Port 5\n", 0o666)],
        &["a"],
    ),
    ("a system's file names nobody's home", &[("/ssh_config", "Include ~/x\n", 0o644)], &["a"]),
    (
        "IgnoreUnknown of the user holds for the system",
        &[("~/config", "IgnoreUnknown frob*\n", 0o644), ("/ssh_config", "Frobnicate yes\n", 0o644)],
        &["a"],
    ),
    ("a mistake of the system", &[("/ssh_config", "Host b\nPort x\n", 0o644)], &["a"]),
];

#[test]
fn the_standard_files_mean_the_same_to_ssh() {
    if !nix::unistd::geteuid().is_root()
        || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success())
    {
        eprintln!("skipped: a mount namespace needs root");
        return;
    }
    let mut wrong = String::new();
    for (title, files, names) in CASES {
        let dir = tempfile::tempdir().expect("a folder");
        let (home, system) = (dir.path().join("home"), dir.path().join("etc"));
        fs::create_dir_all(home.join(".ssh")).expect("a home");
        fs::create_dir_all(&system).expect("a folder");
        for (name, text, mode) in *files {
            let file = match name.strip_prefix("~/") {
                Some(name) => home.join(".ssh").join(name),
                None => system.join(name.trim_start_matches('/')),
            };
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, text).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).expect("its mode");
        }
        let around = Surroundings { system: system.clone(), ..surroundings(&home) };
        let config = SshConfig::load_in(None, around).map_err(|error| error.to_string());
        let mut compared = Compared::default();
        for name in *names {
            let theirs = ssh(&mut inside(&home, &system, name)).map(|out| answer(&out));
            let ours = config.as_ref().map_err(String::clone).and_then(|config| ours(config, name));
            compared.add(name, &theirs, &ours.map(|answer| moved(answer, &home)));
        }
        if !compared.difference.is_empty() {
            wrong += &format!("=== {title}\n{}", compared.difference);
        }
    }
    assert!(wrong.is_empty(), "ssh and rbee differ:\n{wrong}");
}

/// `ssh -G` where these folders are the user's home and `/etc/ssh`.
fn inside(home: &Path, system: &Path, name: &str) -> Command {
    let script = "mount --bind \"$1\" \"$2\" && mount --bind \"$3\" /etc/ssh && exec ssh -G -- \"$4\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).args([home, me().home.as_path(), system]).arg(name);
    command
}

/// An answer as it is where the home is the user's own.
fn moved(answer: Answer, home: &Path) -> Answer {
    let (from, to) = (home.to_string_lossy(), me().home.to_string_lossy());
    let lines = |lines: Vec<String>| lines.into_iter().map(|line| line.replace(&*from, &to)).collect();
    answer.into_iter().map(|(keyword, values)| (keyword, lines(values))).collect()
}
