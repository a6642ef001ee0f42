//! Whole inventories from files: what they become, and every sentence about what is wrong in them.

mod any_text;
mod patterns;

use std::{fs, path::Path, path::PathBuf, time::Duration};

use super::*;
use crate::vocab::host::SshRoute;

/// Writes files into a folder and loads it; its own path is cut from messages.
fn load_files(files: &[(&str, &str)]) -> Result<Inventory, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let prefix = format!("{}/", dir.path().display());
    load(&Source::Named(dir.path().to_owned()), Path::new("/home/me")).map_err(|e| e.to_string().replace(&prefix, ""))
}

fn load_text(text: &str) -> Result<Inventory, String> {
    load_files(&[("hosts.toml", text)])
}

#[track_caller]
fn fails(text: &str, message: &str) {
    assert_eq!(load_text(text).unwrap_err(), format!("hosts.toml:{message}"), "{text}");
}

fn ssh(host: &Host) -> &SshRoute {
    match &host.route {
        Route::Ssh(route) => route,
        Route::Local => panic!("{} is local", host.name),
    }
}

#[test]
fn hosts_take_what_they_do_not_say_from_groups_and_defaults() {
    let inventory = load_text(
        r#"
        [defaults]
        user = "base"
        identity = "~/.ssh/base"
        connect_timeout = "7s"
        grace = "0s"
        forks = 8
        [hosts.b]
        groups = ["one", "two", "bare"]
        port = 2200
        optional = false
        env = { C = "host" }
        [hosts.a]
        address = "192.0.2.1"
        user = "own"
        identity = ["/k/1", "k/2"]
        workers = []
        groups = ["one"]
        [groups.one]
        user = "one"
        port = 1
        optional = true
        workers = ["w-one"]
        env = { A = "one", B = "one", C = "one" }
        [groups.two]
        user = "two"
        connect_timeout = "2s"
        workers = ["w-two"]
        jump = "me@bastion"
        env = { B = "two" }
        "#,
    )
    .unwrap();
    let names: Vec<&str> = inventory.hosts().iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["b", "a"], "the order of the file");
    let b = inventory.get("b").unwrap();
    assert_eq!(
        *ssh(b),
        SshRoute {
            address: None,
            port: Some(2200),
            user: Some("two".into()),
            identity: vec!["/home/me/.ssh/base".into()],
            jump: Some("me@bastion".into()),
        }
    );
    assert!(!b.optional);
    assert_eq!(b.workers, [crate::vocab::WorkerId::new("w-two").unwrap()]);
    assert_eq!(b.connect_timeout, Some(Duration::from_secs(2)));
    let env: Vec<(&str, &str)> = b.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(env, [("A", "one"), ("B", "two"), ("C", "host")]);
    assert!(b.origin.ends_with("hosts.toml:8"), "{}", b.origin);
    let a = inventory.get("a").unwrap();
    assert_eq!(ssh(a).user.as_deref(), Some("own"));
    assert_eq!(ssh(a).address.as_deref(), Some("192.0.2.1"));
    assert_eq!(ssh(a).identity[0], PathBuf::from("/k/1"));
    assert!(ssh(a).identity[1].is_absolute() && ssh(a).identity[1].ends_with("k/2"));
    assert!(a.optional && a.workers.is_empty(), "an empty list of its own replaces the group's");
    assert_eq!(a.connect_timeout, None, "the default is for the front door to merge under the flag");
    let defaults = inventory.defaults();
    assert_eq!(defaults.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!((defaults.grace, defaults.forks), (Some(Duration::ZERO), Some(8)));
    assert_eq!(inventory.groups().collect::<Vec<_>>(), ["bare", "one", "two"]);
}

#[test]
fn ranges_pair_names_with_addresses() {
    let inventory = load_text(
        "[hosts.\"node[008-010]\"]\naddress = \"10.0.[1-3].1\"\n[hosts.\"x[1-2]\"]\nport = 1\n[hosts.v6]\naddress = \"::1\"",
    )
    .unwrap();
    let shown = |host: &Host| format!("{} {:?}", host.name, ssh(host).address);
    assert_eq!(
        inventory.hosts().iter().map(shown).collect::<Vec<_>>(),
        [
            "node008 Some(\"10.0.1.1\")",
            "node009 Some(\"10.0.2.1\")",
            "node010 Some(\"10.0.3.1\")",
            "x1 None",
            "x2 None",
            "v6 Some(\"::1\")",
        ]
    );
}

#[test]
fn the_controller_is_local() {
    for text in ["[hosts.local]\ngroups = [\"g\"]", "[hosts.local]\nlocal = true", "[hosts.me]\nlocal = true"] {
        let inventory = load_text(text).unwrap();
        assert_eq!(inventory.hosts()[0].route, Route::Local);
        assert_eq!(inventory.get("local"), inventory.hosts().first(), "{text}");
    }
    fails(
        "[hosts.local]\nlocal = false",
        "1: the name local is kept for the controller itself; give this host another one",
    );
    fails(
        "[hosts.local]\naddress = \"192.0.2.1\"",
        "2: address in host local has no meaning: it is the controller itself",
    );
    fails("[hosts.me]\nlocal = true\nuser = \"x\"", "3: user in host me has no meaning: it is the controller itself");
    fails("[hosts.\"me[1-2]\"]\nlocal = true", "1: host me[1-2] is a range; the controller is one");
    let two = load_text("[hosts.me]\nlocal = true\n[hosts.local]").unwrap_err();
    assert!(two.starts_with("hosts.toml:3: host local is the controller, which me at "), "{two}");
    assert!(two.ends_with("hosts.toml:1 is already"), "{two}");
}

#[test]
fn every_mistake_has_its_line_and_its_sentence() {
    let long = "x".repeat(5000);
    let many = vec!["\"g\""; 65].join(",");
    for (text, message) in [
        // Keys and types.
        ("[hosts.gpu-box]\n\nadress = \"x\"", "3: unknown key \"adress\" in host gpu-box; did you mean \"address\"?"),
        ("[groups.lab]\nworker = []", "2: unknown key \"worker\" in group lab; did you mean \"workers\"?"),
        ("[groups.lab]\naddress = \"x\"", "2: unknown key \"address\" in group lab"),
        ("[default]\nforks = 1", "1: unknown key \"default\" in the inventory; did you mean \"defaults\"?"),
        ("[defaults]\nfork = 1", "2: unknown key \"fork\" in defaults; did you mean \"forks\"?"),
        ("[defaults]\nzzz = 1", "2: unknown key \"zzz\" in defaults"),
        ("x = 1", "1: unknown key \"x\" in the inventory"),
        (
            "[hosts.192.0.2.1]\nport = 1",
            "1: unknown key \"0\" in host 192; a name with a dot needs quotes: [hosts.\"gpu.example\"]",
        ),
        ("hosts = [\"a\"]", "1: hosts in the inventory must be a table, not a list"),
        ("[hosts]\na = \"192.0.2.1\"", "2: host a must be a table, not a string"),
        ("[hosts.a]\nport = \"22\"", "2: port in host a must be a number without quotes, not a string"),
        ("[hosts.a]\noptional = \"yes\"", "2: optional in host a must be true or false, not a string"),
        ("[hosts.a]\ngroups = \"lab\"", "2: groups in host a must be a list of strings, not a string"),
        ("[hosts.a]\ngroups = [\n  \"lab\",\n  3]", "4: groups in host a must be a list of strings, not an integer"),
        ("[hosts.a]\nidentity = 3", "2: identity in host a must be a string or a list of strings, not an integer"),
        ("[hosts.a]\nconnect_timeout = 10", "2: connect_timeout in host a must be a string, not an integer"),
        ("[hosts.a]\nenv = { A = 1 }", "2: env A in host a must be a string, not an integer"),
        ("[hosts.a]\nenv = \"A=1\"", "2: env in host a must be a table, not a string"),
        // Values.
        ("[hosts.a]\nport = 70000", "2: port 70000 in host a is not between 1 and 65535"),
        ("[hosts.a]\nport = 0x0", "2: port 0x0 in host a is not between 1 and 65535"),
        ("[hosts.a]\nport = -1", "2: port -1 in host a is not between 1 and 65535"),
        ("[defaults]\nforks = 0", "2: forks 0 in defaults is not between 1 and 10000"),
        ("[hosts.a]\naddress = \"192.0.2.300\"", "2: address \"192.0.2.300\" in host a is not an IPv4 address"),
        (
            "[hosts.a]\naddress = \"gpu:22\"",
            "2: address \"gpu:22\" in host a has a port in it; that goes into the key \"port\"",
        ),
        (
            "[hosts.a]\naddress = \"me@gpu\"",
            "2: address \"me@gpu\" in host a has a user in it; that goes into the key \"user\"",
        ),
        (
            "[hosts.a]\naddress = \"[::1]\"",
            "2: address \"[::1]\" in host a is in brackets; an IPv6 address is written without them",
        ),
        ("[hosts.a]\nuser = \"\"", "2: user \"\" in host a is empty"),
        ("[hosts.a]\nuser = \"-l\"", "2: user \"-l\" in host a must not start with '-'"),
        ("[hosts.a]\njump = \"\"", "2: jump \"\" in host a is no jump host (it is empty)"),
        (
            "[hosts.a]\nidentity = [\"/k\", \"~bob/k\"]",
            "2: identity \"~bob/k\" in host a names another user's home; only ~/ is understood",
        ),
        ("[hosts.a]\nworkers = [\"A\"]", "2: worker \"A\" in host a may only have lower-case letters, digits and +._-"),
        (
            "[hosts.a]\ngroups = [\"@lab\"]",
            "2: group \"@lab\" in host a starts with '@', which belongs into patterns only",
        ),
        (
            "[hosts.a]\nenv = { \"A B\" = \"\" }",
            "2: env \"A B\" in host a is no variable name: it needs letters, digits and '_', and no digit first",
        ),
        ("[hosts.a]\nenv = { A = \"\\u0000\" }", "2: env A in host a has a NUL in its value"),
        (
            "[hosts.a]\nconnect_timeout = \"10\"",
            "2: connect_timeout \"10\" in host a needs a unit, as in 10s, 5m, 1h30m or 500ms",
        ),
        ("[hosts.a]\nconnect_timeout = \"0s\"", "2: connect_timeout \"0s\" in host a must be longer than nothing"),
        (
            "[defaults]\ntimeout = \"soon\"",
            "2: timeout \"soon\" in defaults must be written like 10s, 5m, 1h30m or 500ms",
        ),
        (
            "[defaults]\nhosts = \"a,,b\"",
            "2: hosts \"a,,b\" in defaults has an empty term; terms are joined by one ',' or '&'",
        ),
        (
            "[defaults]\nhosts = \"@lba\"\n[hosts.a]\ngroups = [\"lab\"]",
            "2: unknown group \"lba\" in hosts of defaults; did you mean \"lab\"?",
        ),
        // Names.
        ("[hosts.\"a b\"]", "1: host name \"a b\" may only have letters, digits and -._+:%="),
        ("[hosts.\"\"]", "1: host name \"\" is empty"),
        ("[hosts.all]", "1: host name \"all\" is taken: the pattern all means every host"),
        ("[hosts.\"-o\\u001b\"]", "1: host name \"-o\\u{1b}\" must not start with '-' or '.'"),
        ("[groups.all]", "1: group \"all\" is taken: the pattern all means every host"),
        ("[groups.\"a b\"]", "1: group \"a b\" may only have letters, digits and -._"),
        // Ranges.
        ("[hosts.\"n[3-1]\"]", "1: host name \"n[3-1]\" has [3-1], whose end is below its start"),
        ("[hosts.\"n[1-10001]\"]", "1: host name \"n[1-10001]\" stands for more than 10000 hosts"),
        ("[hosts.\"n[1-9000]\"]\n[hosts.\"m[1-1001]\"]", "2: the inventory has more than 10000 hosts"),
        (
            "[hosts.\"n[a-c]\"]",
            "1: host name \"n[a-c]\" has [a-c], which is no range; ranges are written [1-8], [001-064] or [1,3,5-7]",
        ),
        (
            "[hosts.\"n[1-3]\"]\naddress = \"192.0.2.1\"",
            "2: address \"192.0.2.1\" in host n[1-3] is one for 3 hosts; give it a range of the same size, or leave it out",
        ),
        (
            "[hosts.\"n[1-3]\"]\naddress = \"192.0.2.[1-4]\"",
            "2: address \"192.0.2.[1-4]\" in host n[1-3] stands for 4 addresses, but the name for 3",
        ),
        (
            "[hosts.n]\naddress = \"192.0.2.[1-4]\"",
            "2: address \"192.0.2.[1-4]\" in host n stands for 4 addresses, but the name for 1",
        ),
        (
            "[hosts.\"n[1-2]\"]\naddress = \"192.0.2.[255-256]\"",
            "2: address \"192.0.2.[255-256]\" in host n[1-2] is not an IPv4 address",
        ),
        // TOML itself.
        ("[hosts.a]\nport = 1\nport = 2", "3: duplicate key \"port\""),
        ("[hosts.a]\nuser = bob", "2: not valid TOML: string values must be quoted, expected literal string"),
        ("[hosts.a\nport = 1", "1: not valid TOML: unclosed table, expected `]`"),
        // Bounds.
        (&format!("[hosts.a]\ngroups = [{many}]"), "2: groups in host a has more than 64 entries"),
        (
            &format!("[hosts.a]\nuser = \"{long}\""),
            &format!("2: user \"{}…\" in host a is longer than 4096 characters", "x".repeat(100)),
        ),
        (
            &format!("[hosts.a.env]\nA = \"{0}\"\nB = \"{0}\"\nC = \"{0}\"\nD = \"{0}\"", "x".repeat(4096)),
            "5: env in host a holds more than 16 KiB",
        ),
        // Lines are counted with a byte order mark and with CRLF too.
        ("\u{feff}[hosts.a]\r\n\r\nprot = 1\r\n", "3: unknown key \"prot\" in host a; did you mean \"port\"?"),
    ] {
        fails(text, message);
    }
}

#[test]
fn the_first_mistake_in_the_file_is_told_and_the_others_are_kept() {
    let text = "[hosts.a]\nport = 0\nadress = 1\n[defaults]\nhosts = \"@x\"\n[hosts.b]\nprot = 1\n";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.toml");
    fs::write(&file, text).unwrap();
    let error = load(&Source::Named(file), Path::new("/")).unwrap_err();
    assert!(error.to_string().ends_with("hosts.toml:2: port 0 in host a is not between 1 and 65535"));
    let lines: Vec<usize> = error.problems().iter().map(|problem| problem.place.line).collect();
    assert_eq!(lines, [2, 3, 5, 7]);
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn duplicates_name_both_places() {
    let two = |first: &str, second: &str| load_files(&[("a.toml", first), ("b.toml", second)]).unwrap_err();
    // The place inside of a sentence has the folder too; only its end is compared.
    for (first, second, start, end) in [
        ("\n[hosts.a]", "[hosts.a]", "b.toml:1: duplicate host a; ", "a.toml:2 has it already"),
        ("[hosts.\"n[1-9]\"]", "\n[hosts.n7]", "b.toml:2: duplicate host n7; ", "a.toml:1 has it already"),
        ("[hosts.n7]", "[hosts.\"n[1-9]\"]", "b.toml:1: duplicate host n7; ", "a.toml:1 has it already"),
        ("[groups.g]", "[groups.g]", "b.toml:1: duplicate group g; ", "a.toml:1 has it already"),
        (
            "[defaults]\nforks = 1",
            "[defaults]\nlease = \"1s\"\nforks = 1",
            "b.toml:3: duplicate key \"forks\" in defaults; ",
            "a.toml:2 has it already",
        ),
    ] {
        let error = two(first, second);
        assert!(error.starts_with(start) && error.ends_with(end), "{error}");
    }
    for (text, start, end) in [
        ("[hosts.a]\n[hosts.b]\n[hosts.a]", "hosts.toml:3: duplicate host a; ", "hosts.toml:1 has it already"),
        ("[hosts.a.env]\n[hosts.a]\n[hosts.a]", "hosts.toml:3: duplicate host a; ", "hosts.toml:2 has it already"),
        ("[groups.a]\n[groups.a]", "hosts.toml:2: duplicate group a; ", "hosts.toml:1 has it already"),
        ("[hosts.\"n[1,1]\"]", "hosts.toml:1: duplicate host n1; ", "hosts.toml:1 has it already"),
    ] {
        let error = load_text(text).unwrap_err();
        assert!(error.starts_with(start) && error.ends_with(end), "{error}");
    }
}

#[test]
fn a_folder_is_merged_in_name_order() {
    let inventory = load_files(&[
        ("20-b.toml", "[hosts.b]\n[groups.lab]\nuser = \"x\""),
        ("10-a.toml", "[defaults]\nforks = 3\n[hosts.a]\ngroups = [\"lab\"]"),
        ("30.toml", "[defaults]\nlease = \"1s\""),
        (".hidden.toml", "nonsense"),
        ("README.md", "nonsense"),
    ])
    .unwrap();
    let names: Vec<&str> = inventory.hosts().iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(ssh(&inventory.hosts()[0]).user.as_deref(), Some("x"), "groups reach over files");
    assert_eq!((inventory.defaults().forks, inventory.defaults().lease), (Some(3), Some(Duration::from_secs(1))));
    assert!(inventory.defaults().hosts.is_none());
}

#[test]
fn a_named_place_must_be_there_and_a_usual_one_need_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let home = Path::new("/");
    let named = |path: PathBuf| load(&Source::Named(path), home).unwrap_err();
    assert!(matches!(named(at("none")), InventoryError::Missing { .. }));
    fs::create_dir(at("inventory")).unwrap();
    fs::write(at("inventory/hosts.ini"), "[lab]").unwrap();
    assert!(matches!(named(at("inventory")), InventoryError::NoFiles { .. }));
    let usual = Source::Usual(vec![at("none"), at("inventory"), at("own.toml")]);
    assert_eq!(load(&usual, home), Ok(Inventory::default()));
    fs::write(at("own.toml"), "[hosts.a]").unwrap();
    assert_eq!(load(&usual, home).unwrap().hosts().len(), 1);
    fs::write(at("inventory/hosts.toml"), "[hosts.b]\n[hosts.c]").unwrap();
    assert_eq!(load(&usual, home).unwrap().hosts().len(), 2, "the first place that has files wins");
}

#[test]
fn files_that_are_no_text_are_refused_in_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.toml");
    let message = || load(&Source::Named(file.clone()), Path::new("/")).unwrap_err().to_string();
    fs::write(&file, b"[hosts.a]\nuser = \"\xff\"\n").unwrap();
    assert!(message().ends_with("hosts.toml:2: the file is not UTF-8 text"), "{}", message());
    fs::write(&file, "#".repeat((4 << 20) + 1)).unwrap();
    assert!(message().ends_with("an inventory of more than 4 MiB is refused"), "{}", message());
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(message().ends_with("it is not a regular file"), "{}", message());
}

#[test]
fn the_example_loads_as_it_is_and_with_every_example_taken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory");
    let home = Path::new("/home/me");
    let inventory = load(&Source::Named(folder.clone()), home).unwrap();
    assert_eq!(inventory.hosts().len(), 1);
    assert_eq!(inventory.hosts()[0].route, Route::Local);

    let text = fs::read_to_string(folder.join("hosts.toml")).unwrap();
    let example = |line: &str| {
        line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).map(str::to_owned)
    };
    let taken: Vec<String> = text.lines().map(|line| example(line).unwrap_or(line.to_owned())).collect();
    let inventory = load_text(&taken.join("\n")).unwrap();
    assert_eq!(inventory.hosts().len(), 1 + 2 + 64 + 5);
    let has = |key: &str| taken.iter().any(|line| line.starts_with(&format!("{key} = ")));
    let others = ["address", "port", "jump", "groups", "workers", "optional", "env", "local"];
    for key in Defaults::KEYS.iter().chain(&others) {
        assert!(has(key), "the example does not show {key}");
    }
}
