use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::vocab::{Host, HostName, Route as HostRoute, host::SshRoute};

fn defaults() -> Defaults {
    Defaults { user: "me".into(), connect_timeout: Duration::from_secs(10), agent: Some("/run/agent".into()) }
}

fn host(name: &str) -> Host {
    Host::named(HostName::new(name).unwrap(), HostRoute::Ssh(SshRoute::default()), "inventory.toml:3")
}

/// A home with `.ssh/config` of this text.
fn home(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/config"), text).unwrap();
    home
}

/// A machine without an ssh_config of its own.
fn around(home: &Path) -> Surroundings {
    let env = [("AGENT", "/run/other"), ("LANG", "de"), ("LC_TIME", "C"), ("SHELL", "/bin/sh")];
    let env = env.map(|(name, value)| (name.into(), value.into()));
    Surroundings { system: home.join("etc"), machine: "desk.lan".into(), ..Surroundings::new(home).with_env(env) }
}

fn load(home: &Path) -> Result<SshConfig, ConfigError> {
    SshConfig::load_in(None, around(home))
}

fn resolve(text: &str, name: &str) -> Result<Resolved, ConfigError> {
    let home = home(text);
    load(home.path())?.resolve(&host(name), &defaults())
}

fn refused(text: &str, name: &str) -> String {
    resolve(text, name).unwrap_err().to_string()
}

#[test]
fn the_first_value_wins_and_identities_add_up() {
    let home = home(
        "User first\nHost gpu*\n  User second\n  HostName %h.lan\n  IdentityFile ~/.ssh/a\n\
         Host *\n HostName other\n Port 2222\n IdentityFile %d/%u/%h/%r/b\n IdentityFile ~/.ssh/a\n IdentitiesOnly yes\n",
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
fn the_inventory_stands_where_a_command_line_would() {
    let home = home("Host box\n HostName x\n User y\n Port 1\n IdentityFile z\n ConnectTimeout 3\n ProxyCommand nc\n");
    let config = load(home.path()).unwrap();
    let mut host = host("box");
    host.route = HostRoute::Ssh(SshRoute {
        address: Some("fe80::1%eth0".into()),
        port: Some(2),
        user: Some("inv".into()),
        identity: vec!["~/k%".into()],
        jump: Some("me@bastion:23,::1".into()),
    });
    let found = config.resolve(&host, &defaults()).unwrap();
    assert_eq!((found.host_name.as_str(), found.port, found.user.as_str()), ("fe80::1%eth0", 2, "inv"));
    assert_eq!(found.identities, [home.path().join("k%"), "z".into()]);
    assert_eq!(found.connect_timeout, Duration::from_secs(3));
    let Route::Jump(hops) = &found.route else { panic!("{:?}", found.route) };
    assert_eq!(hops.iter().map(ToString::to_string).collect::<Vec<_>>(), ["me@bastion:23", "[::1]"]);
    let settings = config.explain(&host, &defaults()).unwrap();
    assert_eq!(settings.get(Key::Port)[0].origin.to_string(), "inventory inventory.toml:3");
    host.connect_timeout = Some(Duration::from_secs(1));
    assert_eq!(config.resolve(&host, &defaults()).unwrap().connect_timeout, Duration::from_secs(1));
}

#[test]
fn nothing_said_means_the_standard() {
    let found = resolve("", "Box").unwrap();
    assert_eq!((found.host_name.as_str(), found.port, found.user.as_str()), ("box", 22, "me"));
    assert_eq!((found.strict, found.connection_attempts, found.password_prompts), (Strict::Ask, 1, 3));
    assert!(found.identities_are_default && found.identities[0].ends_with(".ssh/id_rsa"));
    assert_eq!(found.identities.len(), 5);
    assert_eq!(found.route, Route::Direct(BindSource::default()));
    assert_eq!(found.methods, [Method::PublicKey, Method::KeyboardInteractive, Method::Password]);
    assert_eq!(found.algorithms, Algorithms { rsa_bits: 1024, ..Algorithms::default() });
    assert!(found.user_known_hosts[0].ends_with(".ssh/known_hosts"));
    assert_eq!((found.alive, found.env), (None, Vec::new()));
}

#[test]
fn what_has_effect_is_typed() {
    let found = resolve(
        "ServerAliveInterval 15\nCiphers ^aes256-ctr\nMACs -hmac-sha1*\nSetEnv A=1 LANG=fr\nSendEnv LANG LC_*\n\
         PreferredAuthentications password,publickey,hostbased\nAddressFamily inet6\nBindAddress ::1\nCompression yes\n\
         CertificateFile ~/c\nRevokedHostKeys %d/r\nHostKeyAlias ALIAS\nUserKnownHostsFile none\nBatchMode no\n\
         GlobalKnownHostsFile ~/g /g2\nNumberOfPasswordPrompts 1\nConnectionAttempts 4\n",
        "x",
    )
    .unwrap();
    assert_eq!(found.alive, Some(Alive { interval: Duration::from_secs(15), count_max: 3 }));
    assert_eq!(found.algorithms.ciphers, Some(AlgorithmList::First(vec!["aes256-ctr".into()])));
    assert_eq!(found.algorithms.macs, Some(AlgorithmList::Remove(vec!["hmac-sha1*".into()])));
    let env = [("A", "1"), ("LANG", "fr"), ("LC_TIME", "C")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(found.env, env);
    assert_eq!(found.methods, [Method::Password, Method::PublicKey]);
    let source = BindSource { address: Some("::1".into()), interface: None, family: Family::Inet6 };
    assert_eq!(found.route, Route::Direct(source));
    assert!(found.compression && found.certificates[0].ends_with("c"));
    assert!(found.revoked_host_keys.is_some_and(|file| file.is_absolute()));
    assert_eq!(found.host_key_alias.as_deref(), Some("alias"));
    assert!(found.user_known_hosts.is_empty() && found.global_known_hosts[1] == Path::new("/g2"));
    assert_eq!((found.password_prompts, found.connection_attempts), (1, 4));
    assert_eq!(resolve("BatchMode yes", "x").unwrap().methods, [Method::PublicKey]);
    assert_eq!(resolve("BatchMode yes", "x").unwrap().alive.map(|a| a.interval), Some(Duration::from_secs(300)));
}

#[test]
fn an_agent_is_named_in_four_ways() {
    let agent = |text| resolve(text, "x").unwrap().agent;
    assert_eq!(agent("").as_deref(), Some(Path::new("/run/agent")));
    assert_eq!(agent("IdentityAgent SSH_AUTH_SOCK").as_deref(), Some(Path::new("/run/agent")));
    assert_eq!(agent("IdentityAgent $AGENT").as_deref(), Some(Path::new("/run/other")));
    assert_eq!(agent("IdentityAgent ${AGENT}.%r").as_deref(), Some(Path::new("/run/other.me")));
    assert_eq!(agent("IdentityAgent none"), None);
    assert_eq!(agent("IdentityAgent $NOBODY"), None);
}

#[test]
fn of_command_and_jump_the_first_counts() {
    let command = |text: &str| Route::Command(text.to_owned());
    let jump = |host: &str| Route::Jump(vec![Hop { host: host.into(), user: None, port: None }]);
    for (text, route) in [
        ("ProxyCommand nc %h %p\nProxyJump b\n", command("nc x 22")),
        ("ProxyJump b\nProxyCommand nc %h %p\n", jump("b")),
        ("ProxyJump none\nProxyCommand nc\n", command("nc")),
        ("ProxyJump none\nProxyJump b\n", Route::Direct(BindSource::default())),
        ("ProxyCommand none\nProxyJump b\n", Route::Direct(BindSource::default())),
        ("ProxyJump jump-%h\n", jump("jump-x")),
    ] {
        assert_eq!(resolve(text, "x").unwrap().route, route, "{text}");
    }
    assert!(refused("ProxyJump b\n", "b").contains("config:1: b is reached through itself"));
    // The second bastion is reached through the first, whatever the files say of it.
    let home = home("ProxyJump a,b\n");
    let config = load(home.path()).unwrap();
    let hop = |host: &str| Hop { host: host.into(), user: None, port: None };
    assert_eq!(config.resolve_hop(&hop("b"), &[hop("a")], &defaults()).unwrap().route, jump("a"));
}

#[test]
fn what_applies_and_cannot_be_done_is_refused_with_its_place() {
    let text = "Host far\n  KnownHostsCommand /bin/x\nHost near\n  KnownHostsCommand none\n  Tunnel no\n";
    assert!(resolve(text, "near").is_ok() && resolve(text, "elsewhere").is_ok());
    let error = refused(text, "far");
    assert!(error.contains(".ssh/config:2: knownhostscommand applies to far"), "{error}");
    for line in [
        "Tunnel yes",
        "PreferredAuthentications gssapi-with-mic,hostbased",
        "ProxyUseFdpass yes\nProxyCommand x",
        "ProxyCommand -",
        "RefuseConnection not today",
        "IdentityFile %Z",
        "IdentityFile ${NOBODY}/k",
        "IdentityFile ~nobody-of-that-name/k",
        "ProxyJump \"b\"",
        "PKCS11Provider /x\nIdentityAgent none",
    ] {
        assert!(resolve(&format!("Host *\n{line}\n"), "x").is_err(), "{line}");
    }
    for line in ["ProxyUseFdpass yes", "PKCS11Provider /x", "Tunnel yes\nClearAllForwardings yes", "ControlMaster auto"]
    {
        assert!(resolve(line, "x").is_ok(), "{line}");
    }
}

#[test]
fn a_match_is_decided() {
    let text = "Match originalhost a,b user me\n  Port 1\nMatch host c*\n  Port 2\nMatch !user me\n  Port 3\n\
                Match exec \"test %n = e\"\n  Port 5\nMatch localuser me exec \"exit 1\"\n  Port 6\n\
                Match tagged t\n  Port 7\nMatch localnetwork 127.0.0.0/8 host lo\n  Port 8\nMatch all\n  Port 4\n";
    for (name, port) in [("a", 1), ("b", 1), ("cc", 2), ("d", 4), ("e", 5), ("lo", 8)] {
        assert_eq!(resolve(text, name).unwrap().port, port, "{name}");
    }
    assert_eq!(resolve(&format!("Tag t\n{text}"), "d").unwrap().port, 7);
    assert!(refused("Match host a version OpenSSH_9*\n Port 1\n", "a").contains("config:1: whether \"Match version\""));
    assert!(resolve("Match host a version OpenSSH_9*\n Port 1\n", "b").is_ok());
}

#[test]
fn the_second_pass_knows_the_final_name() {
    let text = "HostName real\nMatch final host real\n Port 5\nHost real\n User late\nHost x\n User early\n";
    let found = resolve(text, "x").unwrap();
    assert_eq!((found.port, found.user.as_str()), (5, "early"));
    assert_eq!(resolve(text, "y").unwrap().user, "late");
    assert_eq!(resolve("Match canonical\n Port 5\n", "x").unwrap().port, 22);
    assert_eq!(resolve("Match canonical\n Port 5\nMatch final\n User f\n", "x").unwrap().port, 5);
}

#[test]
fn names_are_made_canonical() {
    let home = home(
        "Match host *.b\n Port 7\nMatch host www.c\n Port 8\nMatch host alone\n CanonicalizeFallbackLocal no\n\
         Host proxied\n ProxyCommand nc\nHost *\nCanonicalizeHostname yes\nCanonicalDomains a b\n\
         CanonicalizePermittedCNAMEs *.b:*.c\n",
    );
    let mut around = around(home.path());
    around.look_up = Arc::new(|name, _| match name {
        "box.b." => Some(None),
        "web.b." => Some(Some("WWW.c.".to_owned())),
        "db.b." => Some(Some("db.elsewhere".to_owned())),
        "full.b" | "full.b." => Some(None),
        _ => None,
    });
    let config = SshConfig::load_in(None, around).unwrap();
    let resolve = |name: &str| config.resolve(&host(name), &defaults());
    for (name, host_name, port) in [
        ("box", "box.b", 7),
        ("web", "www.c", 8),
        ("db", "db.b", 7),
        ("unknown", "unknown", 22),
        ("proxied", "proxied", 22),
        ("full.b.", "full.b", 7),
        ("x.y.z", "x.y.z", 22),
        ("127.1", "127.0.0.1", 22),
    ] {
        let found = resolve(name).unwrap();
        assert_eq!((found.host_name.as_str(), found.port), (host_name, port), "{name}");
    }
    assert!(resolve("alone").unwrap_err().to_string().contains("in none of the domains"));
}

#[test]
fn an_include_stands_under_its_condition() {
    let home =
        home("Host inner\n  Include conf.d/[0-8].conf\nHost *\n  Port 3\nInclude missing ~nobody-of-that-name/x\n");
    let dir = home.path().join(".ssh/conf.d");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("1.conf"), "User one\nHost *\n  Port 1\n").unwrap();
    fs::write(dir.join("2.conf"), "User two\nHost literal\n").unwrap();
    fs::write(dir.join("9.conf"), "nonsense\n").unwrap();
    let config = load(home.path()).unwrap();
    let inner = config.resolve(&host("inner"), &defaults()).unwrap();
    assert_eq!((inner.user.as_str(), inner.port), ("one", 1));
    let outer = config.resolve(&host("outer"), &defaults()).unwrap();
    assert_eq!((outer.user.as_str(), outer.port), ("me", 3));
    assert!(config.is_concrete_host("literal") && config.is_concrete_host("inner"));
    assert!(!config.is_concrete_host("*") && !config.is_concrete_host("outer"));
    // A file that includes itself ends with a sentence.
    fs::write(dir.join("1.conf"), "Include conf.d/1.conf\n").unwrap();
    assert!(load(home.path()).unwrap_err().to_string().contains("deeply nested"));
    // What others may write is not believed, and a mistake counts even where it does not apply.
    fs::write(dir.join("1.conf"), "Port x\n").unwrap();
    assert!(load(home.path()).unwrap_err().to_string().contains("1.conf:1: port: bad port"));
    fs::write(dir.join("1.conf"), "Port 1\n").unwrap();
    fs::set_permissions(dir.join("1.conf"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load(home.path()).unwrap_err().to_string().contains("bad owner or permissions"));
}

#[test]
fn an_include_may_depend_on_host_and_environment() {
    let home = home("Include ${AGENT}/none %n.conf ~/.ssh/b\n");
    fs::write(home.path().join(".ssh/x.conf"), "Port 5\n").unwrap();
    fs::write(home.path().join(".ssh/b"), "User b\n").unwrap();
    let config = load(home.path()).unwrap();
    let port = |name: &str| config.resolve(&host(name), &defaults()).map(|found| (found.port, found.user));
    assert_eq!((port("x"), port("y")), (Ok((5, "b".into())), Ok((22, "b".into()))));
}

#[test]
fn mistakes_have_a_place() {
    for (text, expected) in [
        ("\nFrobnicate yes", "config:2: bad configuration option \"frobnicate\""),
        ("Port", "config:1: no argument after keyword"),
        ("Host x\nPort 99999", "config:2: port: bad port"),
        ("Frobnicate yes\nIgnoreUnknown frob*", "config:1: bad configuration option"),
        ("Host x\nIgnoreUnknown frob*\nHost *\nFrobnicate yes", "config:4: bad configuration option"),
    ] {
        let error = refused(text, "y");
        assert!(error.contains(expected), "{error}");
    }
    assert!(resolve("IgnoreUnknown Frob*,x\nFrobnicate yes", "y").is_ok());
    let missing = SshConfig::load(Some(Path::new("/nonexistent/config")), Path::new("/nonexistent"));
    assert!(missing.unwrap_err().to_string().contains("no such file"));
    assert!(SshConfig::load(Some(Path::new("none")), Path::new("/nonexistent")).is_ok());
}

#[test]
fn the_users_file_stands_over_the_systems() {
    let home = home("Host x\n Port 5\n IdentityFile k\n");
    let system = home.path().join("etc");
    fs::create_dir_all(system.join("d")).unwrap();
    fs::write(system.join("ssh_config"), "Include d/*.conf\nHost *\n  Port 6\n HashKnownHosts yes\n").unwrap();
    fs::write(system.join("d/1.conf"), "Match final all\n  Ciphers aes256-ctr\n  IdentityFile s\n").unwrap();
    let found = load(home.path()).unwrap().resolve(&host("x"), &defaults()).unwrap();
    assert!(found.hash_known_hosts && found.algorithms.ciphers.is_some());
    assert_eq!((found.port, found.identities), (5, vec!["k".into(), "s".into()]));
    fs::write(system.join("ssh_config"), "Include ~/x\n").unwrap();
    assert!(load(home.path()).unwrap_err().to_string().contains("names nobody's home"));
}

#[test]
fn a_thousand_hosts_are_looked_up_in_no_time() {
    let mut text = String::new();
    for index in 0..500 {
        text += &format!(
            "Host node{index} *.rack{index}.example\n  HostName 10.0.0.{}\n  Port 2222\n  User u{index}\n",
            index % 250
        );
    }
    let home = home(&text);
    let config = load(home.path()).unwrap();
    let start = std::time::Instant::now();
    for index in 0..1000 {
        assert_eq!(config.resolve(&host(&format!("node{index}")), &defaults()).unwrap().port == 2222, index < 500);
    }
    // A process for each would take longer than this even without our own debug build.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
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
        lines in proptest::collection::vec((0..KEYWORDS.len(), "[ =\"]{1,2}[a-z0-9*?!%~$\\\\\"'{}/,#. :@\\[\\]+^é=-]{0,24}"), 0..8),
    ) {
        for (keyword, rest) in &lines {
            // Nothing is run.
            let text = format!("{}{}\n", KEYWORDS[*keyword].name, rest.replace("exec", ""));
            if let Ok(found) = resolve(&text, "x") {
                assert!(!found.host_name.is_empty());
            }
        }
    }
}
