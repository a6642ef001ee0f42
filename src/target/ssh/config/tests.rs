use std::{fs, path::Path, process::Command, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::vocab::{Host, HostName, Route, host::SshRoute};

fn defaults() -> Defaults {
    Defaults { user: "me".into(), connect_timeout: Duration::from_secs(10), agent: Some("/run/agent".into()) }
}

fn host(name: &str) -> Host {
    Host::named(HostName::new(name).unwrap(), Route::Ssh(SshRoute::default()), "inventory.toml:3")
}

/// A home with `.ssh/config` of this text.
fn home(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), text).unwrap();
    home
}

fn load(home: &Path) -> Result<SshConfig, ConfigError> {
    SshConfig::load(Some(&home.join(".ssh/config")), home)
}

fn resolve(text: &str, name: &str) -> Result<Resolved, ConfigError> {
    let home = home(text);
    load(home.path())?.resolve(&host(name), &defaults())
}

#[test]
fn the_first_value_wins_and_identities_add_up() {
    let home = home(
        "User first\nHost gpu*\n  User second\n  HostName %h.lan\n  IdentityFile ~/.ssh/a\n\
         Host *\n HostName other\n Port 2222\n IdentityFile %d/%u/%h/%r/b\n IdentitiesOnly yes\n",
    );
    let found = load(home.path()).unwrap().resolve(&host("gpu1"), &defaults()).unwrap();
    assert_eq!(found.user, "first");
    assert_eq!(found.host_name, "gpu1.lan");
    assert_eq!(found.port, 2222);
    assert!(found.identities_only && !found.identities_are_default);
    let h = home.path();
    assert_eq!(found.identities, [h.join(".ssh/a"), h.join("me/gpu1.lan/first/b")]);
}

#[test]
fn the_inventory_wins() {
    let home = home("Host box\n HostName x\n User y\n Port 1\n IdentityFile z\n ConnectTimeout 3\n");
    let config = load(home.path()).unwrap();
    let mut host = host("box");
    host.route = Route::Ssh(SshRoute {
        address: Some("192.0.2.1".into()),
        port: Some(2),
        user: Some("inv".into()),
        identity: vec!["~/k".into()],
        jump: None,
    });
    let found = config.resolve(&host, &defaults()).unwrap();
    assert_eq!((found.host_name.as_str(), found.port, found.user.as_str()), ("192.0.2.1", 2, "inv"));
    assert_eq!(found.identities, [home.path().join("k")]);
    assert_eq!(found.connect_timeout, Duration::from_secs(3));
    host.connect_timeout = Some(Duration::from_secs(1));
    assert_eq!(config.resolve(&host, &defaults()).unwrap().connect_timeout, Duration::from_secs(1));
    host.route = Route::Ssh(SshRoute { jump: Some("bastion".into()), ..SshRoute::default() });
    let error = config.resolve(&host, &defaults()).unwrap_err().to_string();
    assert!(error.starts_with("inventory.toml:3: host box is reached through bastion"), "{error}");
}

#[test]
fn nothing_said_means_the_standard() {
    let found = resolve("", "Box").unwrap();
    assert_eq!((found.host_name.as_str(), found.port, found.user.as_str()), ("box", 22, "me"));
    assert_eq!(found.strict, Strict::Ask);
    assert!(found.identities_are_default && found.identities[0].ends_with(".ssh/id_ed25519"));
    assert_eq!(found.agent.as_deref(), Some(Path::new("/run/agent")));
    assert_eq!(resolve("IdentityAgent none", "x").unwrap().agent, None);
    assert_eq!(resolve("IdentityFile none", "x").unwrap().identities, [] as [PathBuf; 0]);
}

#[test]
fn what_applies_and_is_not_supported_is_refused_with_its_place() {
    let text = "Host far\n  ProxyJump bastion\nHost near\n  ProxyJump none\n  Tunnel no\n";
    assert!(resolve(text, "near").is_ok());
    assert!(resolve(text, "elsewhere").is_ok());
    let error = resolve(text, "far").unwrap_err().to_string();
    assert!(error.contains(".ssh/config:2: proxyjump applies to far"), "{error}");
    for line in ["HostKeyAlgorithms ssh-rsa", "CertificateFile c", "BindAddress ::1", "KnownHostsCommand /bin/x"] {
        assert!(resolve(&format!("Host *\n{line}\n"), "x").is_err(), "{line}");
    }
    assert!(resolve("IdentityFile ${HOME}/k", "x").unwrap_err().to_string().contains("config:1"));
    assert!(resolve("IdentityFile %C", "x").is_err());
    assert!(resolve("IdentityFile ~other/k", "x").is_err());
}

#[test]
fn a_match_is_decided_or_refused_but_never_guessed() {
    let text = "Match originalhost a,b user me\n  Port 1\nMatch host c*\n  Port 2\nMatch !user me\n  Port 3\n\
                Match all\n  Port 4\n";
    for (name, port) in [("a", 1), ("b", 1), ("cc", 2), ("d", 4)] {
        assert_eq!(resolve(text, name).unwrap().port, port, "{name}");
    }
    let undecided = "Match host a exec \"test -e /x y\"\n  ForwardAgent yes\n  Port 9\n";
    assert_eq!(resolve(undecided, "b").unwrap().port, 22);
    let error = resolve(undecided, "a").unwrap_err().to_string();
    assert!(error.contains("config:3: this line stands below \"Match exec\""), "{error}");
    assert!(resolve("Match final\n  ForwardAgent yes\n", "a").is_ok());
}

#[test]
fn an_include_stands_under_its_condition() {
    let home = home("Host inner\n  Include conf.d/*.conf\nHost *\n  Port 3\nInclude missing\n");
    let dir = home.path().join(".ssh/conf.d");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("1.conf"), "User one\nHost *\n  Port 1\n").unwrap();
    fs::write(dir.join("2.conf"), "User two\nHost literal\n").unwrap();
    fs::write(dir.join(".hidden.conf"), "nonsense\n").unwrap();
    let config = load(home.path()).unwrap();
    let inner = config.resolve(&host("inner"), &defaults()).unwrap();
    assert_eq!((inner.user.as_str(), inner.port), ("one", 1));
    let outer = config.resolve(&host("outer"), &defaults()).unwrap();
    assert_eq!((outer.user.as_str(), outer.port), ("me", 3));
    assert!(config.is_concrete_host("literal") && config.is_concrete_host("inner"));
    assert!(!config.is_concrete_host("*") && !config.is_concrete_host("outer"));
    // A file that includes itself ends with a sentence.
    fs::write(dir.join("1.conf"), "Include conf.d/1.conf\n").unwrap();
    assert!(load(home.path()).unwrap_err().to_string().contains("too deeply"));
}

#[test]
fn mistakes_have_a_place() {
    for (text, expected) in [
        ("\nFrobnicate yes", "config:2: bad configuration option \"frobnicate\""),
        ("Port", "config:1: no argument after keyword"),
        ("Host x\nPort 99999", "config:2: bad port"),
    ] {
        let error = resolve(text, "y").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(resolve("IgnoreUnknown Frob*,x\nFrobnicate yes", "y").is_ok());
    let missing = SshConfig::load(Some(Path::new("/nonexistent/config")), Path::new("/nonexistent"));
    assert!(missing.unwrap_err().to_string().contains("no such file"));
    assert!(SshConfig::load(Some(Path::new("none")), Path::new("/nonexistent")).is_ok());
}

#[test]
fn a_sites_own_defaults_do_not_lock_everybody_out() {
    let dir = tempfile::tempdir().unwrap();
    let system = dir.path().join("ssh_config");
    fs::write(
        &system,
        "Host *\n  SendEnv LANG LC_*\n  HashKnownHosts yes\n  GSSAPIAuthentication yes\n\
         Match final all\n  Ciphers aes256-ctr\n  ForwardX11Trusted yes\n",
    )
    .unwrap();
    let config = SshConfig::read(&[(&system, true, true)], dir.path()).unwrap();
    assert!(config.resolve(&host("x"), &defaults()).unwrap().hash_known_hosts);
}

/// Everyday files, each with the hosts that are asked for.
const EVERYDAY: &[(&str, &[&str])] = &[
    ("", &["plain"]),
    ("Host gpu\n HostName 192.0.2.7\n User root\n Port 2200\n IdentityFile ~/.ssh/gpu\n", &["gpu", "other"]),
    ("Host *.lan !bad.lan\n User lan\nHost *\n User any\n", &["a.lan", "bad.lan", "c"]),
    ("User=x\nPort = 5\nHost a\nUser y\n", &["a"]),
    ("Host a b\n  HostName %h.example.com\n  IdentityFile \"~/with space\"\n  IdentityFile /k2\n", &["a", "b"]),
    ("Host g?u\n ConnectTimeout 7\n StrictHostKeyChecking accept-new\n", &["gpu", "gu"]),
    ("Match host a\n User m\nHost a\n User h\n", &["a", "b"]),
    ("Host a\n HostName b\nMatch host b\n Port 9\nMatch originalhost a\n User o\n", &["a", "b"]),
    ("Match !originalhost a\n Port 8\nMatch all\n Port 9\n", &["a", "b"]),
    ("Host a\n IdentitiesOnly yes\n IdentitiesOnly no\n UserKnownHostsFile /x /y\n HostKeyAlias z\n", &["a"]),
    ("host A\n USER up\nHost a\n user low\n", &["a", "A"]),
    ("Host \"a\" b # trailing\n Port 77 # why\nHost c\n User 'q u'\n", &["a", "b", "c"]),
    ("StrictHostKeyChecking off\nHashKnownHosts yes\nUserKnownHostsFile /dev/null\nConnectTimeout 1m5s\n", &["a"]),
    ("Host a\n IdentityFile %d/k-%h-%r-%p\n User u\n Port 10\n", &["a"]),
];

/// OpenSSH's own answer must be ours.
#[test]
fn ssh_itself_agrees() {
    let Ok(version) = Command::new("ssh").arg("-V").output() else { return };
    assert!(version.status.success());
    let mut compared = 0;
    for (text, names) in EVERYDAY {
        let home = home(text);
        let file = home.path().join(".ssh/config");
        let config = load(home.path()).unwrap();
        for name in *names {
            let out = Command::new("ssh").arg("-F").arg(&file).arg("-G").arg(name).output().unwrap();
            let answer = String::from_utf8_lossy(&out.stdout).into_owned();
            let theirs = |key: &str| -> Vec<String> {
                let prefix = format!("{key} ");
                answer.lines().filter_map(|l| l.strip_prefix(&prefix)).map(str::to_owned).collect()
            };
            let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap();
            let ours = config.resolve(&host(name), &Defaults { user: me.name.clone(), ..defaults() }).unwrap();
            let context = format!("{name} of\n{text}\nssh says\n{answer}");
            assert_eq!(theirs("hostname"), [ours.host_name.as_str()], "{context}");
            assert_eq!(theirs("user"), [ours.user.as_str()], "{context}");
            assert_eq!(theirs("port"), [ours.port.to_string()], "{context}");
            assert_eq!(theirs("identitiesonly"), [if ours.identities_only { "yes" } else { "no" }], "{context}");
            let strict = match ours.strict {
                Strict::Yes => "true",
                Strict::Ask => "ask",
                Strict::AcceptNew => "accept-new",
                Strict::No => "false",
            };
            assert_eq!(theirs("stricthostkeychecking"), [strict], "{context}");
            assert_eq!(theirs("hostkeyalias").first(), ours.host_key_alias.as_ref(), "{context}");
            let timeout = theirs("connecttimeout");
            if timeout != ["none"] {
                assert_eq!(timeout, [ours.connect_timeout.as_secs().to_string()], "{context}");
            }
            if text.contains("UserKnownHostsFile") && name == &"a" {
                let files: Vec<_> = ours.user_known_hosts.iter().map(|f| f.display().to_string()).collect();
                assert_eq!(theirs("userknownhostsfile"), [files.join(" ")], "{context}");
            }
            if !ours.identities_are_default {
                // ssh prints them before tokens and ~ are expanded, so only plain file names can be compared.
                let theirs = theirs("identityfile");
                assert_eq!(theirs.len(), ours.identities.len(), "{context}");
                for (theirs, ours) in theirs.iter().zip(&ours.identities).filter(|(t, _)| !t.contains('%')) {
                    assert_eq!(Path::new(theirs).file_name(), ours.file_name(), "{context}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 20);
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let home = home("");
        fs::write(home.path().join(".ssh/config"), bytes).unwrap();
        if let Ok(config) = load(home.path()) {
            let _ = config.resolve(&host("x"), &defaults());
        }
    }

    #[test]
    fn no_line_of_known_words_makes_it_panic(
        lines in proptest::collection::vec(
            "(Host|Match|Include|HostName|Port|IdentityFile|ConnectTimeout|UserKnownHostsFile|IdentityAgent)\
             [ =]{1,2}[a-z0-9*?!%~$\\\\\"'{}/,#. é]{0,20}", 0..8),
    ) {
        let _ = resolve(&lines.join("\n"), "x");
    }
}
