//! What patterns select, and every sentence about one that selects nothing.

use super::*;
use crate::vocab::host::SshRoute;

const LAB: &str = r#"
    [hosts.gpu-box]
    groups = ["lab", "cuda"]
    port = 2200
    [hosts.mac-mini]
    groups = ["lab"]
    [hosts."node[001-004]"]
    groups = ["rack"]
    [hosts.gpu-old]
    groups = ["cuda"]
    [groups.empty]
"#;

pub(super) fn lab() -> Inventory {
    load_text(LAB).unwrap()
}

pub(super) fn select(inventory: &Inventory, pattern: &str) -> Result<Vec<Host>, SelectError> {
    inventory.select(Some(pattern), Intent::Change, &|name| matches!(name, "jumpy" | "gpu-box" | "local"))
}

fn names(hosts: &[Host]) -> String {
    hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn patterns_select_what_they_say() {
    let lab = lab();
    for (pattern, expected) in [
        ("gpu-box", "gpu-box"),
        ("all", "gpu-box mac-mini node001 node002 node003 node004 gpu-old"),
        ("mac-mini,gpu-box", "gpu-box mac-mini"),
        (" mac-mini , gpu-box ", "gpu-box mac-mini"),
        ("gpu-box,gpu-box,@cuda", "gpu-box gpu-old"),
        ("@cuda,mac-mini", "gpu-box mac-mini gpu-old"),
        ("@lab&@cuda", "gpu-box"),
        ("@lab&!gpu-*", "mac-mini"),
        ("@lab,!gpu-*", "mac-mini"),
        ("all,!node003", "gpu-box mac-mini node001 node002 node004 gpu-old"),
        ("!node003", "gpu-box mac-mini node001 node002 node004 gpu-old"),
        ("!@rack,node002", "gpu-box mac-mini node002 gpu-old"),
        ("@lab,@cuda&gpu-*", "gpu-box gpu-old"),
        ("node[002-003]", "node002 node003"),
        ("node[001-003]&node00[2,4],node004", "node002 node004"),
        ("node00?", "node001 node002 node003 node004"),
        ("*[!0-9]", "gpu-box mac-mini gpu-old"),
        ("n*[13]", "node001 node003"),
        ("**", "gpu-box mac-mini node001 node002 node003 node004 gpu-old"),
        ("local", "local"),
        ("jumpy,local,gpu-box", "gpu-box jumpy local"),
        ("all,!local", "gpu-box mac-mini node001 node002 node003 node004 gpu-old"),
        ("root@x,mac-mini,me@y:22", "mac-mini x y:22"),
        ("me@127.0.0.1:[2201-2203]", "127.0.0.1:2201 127.0.0.1:2202 127.0.0.1:2203"),
        ("me@::1,me@[::1]:22", "::1 ::1:22"),
    ] {
        assert_eq!(names(&select(&lab, pattern).unwrap()), expected, "{pattern}");
    }
}

#[test]
fn hosts_beside_the_inventory_keep_what_was_typed() {
    let lab = lab();
    let route = |pattern: &str| match select(&lab, pattern).unwrap().remove(0) {
        Host { route: Route::Ssh(route), origin, .. } => (route, origin),
        host => panic!("{host:?}"),
    };
    let typed = |address: Option<&str>, port| SshRoute {
        address: address.map(Into::into),
        port,
        user: Some("me".into()),
        ..SshRoute::default()
    };
    assert_eq!(route("jumpy"), (SshRoute::default(), "ssh_config".into()));
    assert_eq!(route("me@jumpy"), (typed(None, None), "--hosts".into()));
    assert_eq!(route("jumpy,me@jumpy").0, typed(None, None));
    assert_eq!(route("me@x:2222").0, typed(Some("x"), Some(2222)));
    assert_eq!(route("me@[::1]:2222").0, typed(Some("::1"), Some(2222)));
    let (listed, origin) = route("@lab,me@gpu-box");
    assert_eq!((listed.user.as_deref(), listed.port), (Some("me"), Some(2200)), "the inventory's host, another user");
    assert!(origin.ends_with("hosts.toml:2"), "{origin}");
    assert_eq!(select(&lab, "local").unwrap(), [Host::local()]);
}

#[test]
fn what_matches_nothing_is_never_passed_over() {
    let lab = lab();
    for (pattern, message) in [
        ("gpu-bx", "\"gpu-bx\" is neither in the inventory nor a Host of ssh_config; did you mean \"gpu-box\"?"),
        ("all,!nod003", "\"nod003\" is neither in the inventory nor a Host of ssh_config; did you mean \"node003\"?"),
        (
            "node[001-005]",
            "\"node005\" of \"node[001-005]\" is neither in the inventory nor a Host of ssh_config; did you mean \"node001\"?",
        ),
        ("gpu-box,cpu-*", "no host of the inventory matches \"cpu-*\""),
        ("@cudda", "there is no group \"cudda\"; did you mean \"cuda\"?"),
        ("all,!@zzz", "there is no group \"zzz\""),
        ("gpu-box,@empty", "group \"empty\" has no hosts"),
        ("@lab&@rack", "no host is left of the pattern \"@lab&@rack\""),
        ("!*", "no host is left of the pattern \"!*\""),
    ] {
        let error = select(&lab, pattern).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (message, ExitCode::NoHosts), "{pattern}");
    }
    let hint = select(&lab, "box9").unwrap_err();
    assert_eq!(hint.hint(), Some("a host that no file knows is written with its user: user@box9"));
    let none = select(&Inventory::default(), "all").unwrap_err();
    assert_eq!(none.to_string(), "all matches nothing: the inventory has no hosts");
}

#[test]
fn what_breaks_the_grammar_is_a_usage_error() {
    let lab = lab();
    for (pattern, message) in [
        ("", "the pattern \"\" is empty; all means every host"),
        ("a,,b", "the pattern \"a,,b\" has an empty term; terms are joined by one ',' or '&'"),
        ("a,", "the pattern \"a,\" has an empty term; terms are joined by one ',' or '&'"),
        ("!", "the pattern \"!\" has an empty term; terms are joined by one ',' or '&'"),
        ("n[1", "the pattern \"n[1\" has a '[' without its ']', or the other way round"),
        ("a b", "the pattern \"a b\" has the term \"a b\", which may only have letters, digits and -._+:%="),
        (
            "@a b",
            "the pattern \"@a b\" has the term \"@a b\", which names a group that may only have letters, digits and -._",
        ),
        ("@all", "the pattern \"@all\" has the term \"@all\", which is no group; every host is all, without the '@'"),
        (
            "n[13]",
            "the pattern \"n[13]\" has the term \"n[13]\", which has [13]; write 13 for the number, or a list like [1,3]",
        ),
        (
            "n[01-20]*",
            "the pattern \"n[01-20]*\" has the term \"n[01-20]*\", which has the range [01-20] beside a wildcard; one term has either",
        ),
        (
            "n[1-20000]",
            "the pattern \"n[1-20000]\" has the term \"n[1-20000]\", which stands for more than 10000 hosts",
        ),
        ("a{b,c}*", "the pattern \"a{b,c}*\" has the term \"a{b\", which may only have letters, digits and -._+:%="),
        ("{a}*", "the pattern \"{a}*\" has the term \"{a}*\", which has a character that no host name has"),
        ("a*!b", "the pattern \"a*!b\" has the term \"a*!b\", which has a '!' or '^' that is not the start of a set"),
        ("me@", "the pattern \"me@\" has the term \"me@\", which has a host that is empty"),
        (
            "me@x:0",
            "the pattern \"me@x:0\" has the term \"me@x:0\", which has a host that has a port that is not between 1 and 65535",
        ),
        ("-l@x", "the pattern \"-l@x\" has the term \"-l@x\", which has a user that must not start with '-'"),
        (
            "me@gpu-*",
            "the pattern \"me@gpu-*\" has the term \"me@gpu-*\", which has a wildcard after its '@'; there is nothing to compare it with",
        ),
        (
            "me@local",
            "the pattern \"me@local\" has the term \"me@local\", which gives a user to local, which is the controller itself",
        ),
        (
            "all,!me@gpu-box",
            "the pattern \"all,!me@gpu-box\" has the term \"!me@gpu-box\", which excludes by user; exclude the host by its name",
        ),
        ("me@x,you@x", "x is selected twice, as me@x and as you@x"),
        ("me@gpu-box,you@gpu-box", "gpu-box is selected twice, as me@gpu-box and as you@gpu-box"),
        (
            "me@[::1]:22,me@[::1:22]",
            "::1:22 is selected twice, as another address that is written the same and as me@::1:22",
        ),
    ] {
        let error = select(&lab, pattern).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.exit_code()), (message, ExitCode::Usage), "{pattern}");
    }
}

#[test]
fn no_pattern_means_the_default_or_depends_on_the_intent() {
    let none = |inventory: &Inventory, intent| inventory.select(None, intent, &|_| false);
    let lab = lab();
    assert_eq!(none(&lab, Intent::Read).unwrap(), lab.hosts());
    let error = none(&lab, Intent::Change).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no hosts were selected; name them with --hosts, all for all of them: \
         gpu-box, mac-mini, node001, node002, node003, node004, gpu-old"
    );
    assert_eq!(error.exit_code(), ExitCode::Usage);
    let with_default = |hosts: &str| load_text(&format!("[defaults]\nhosts = \"{hosts}\"\n{LAB}")).unwrap();
    assert_eq!(names(&none(&with_default("@cuda"), Intent::Change).unwrap()), "gpu-box gpu-old");
    let error = none(&with_default("gone"), Intent::Read).unwrap_err();
    assert!(error.to_string().contains("hosts.toml:2: \"gone\" is neither"), "{error}");
    let brought = none(&with_default("me@x"), Intent::Change).unwrap();
    assert!(brought[0].origin.ends_with("hosts.toml:2"), "{}", brought[0].origin);
    for (intent, code) in [(Intent::Read, ExitCode::NoHosts), (Intent::Change, ExitCode::Usage)] {
        let error = none(&Inventory::default(), intent).unwrap_err();
        assert!(error.to_string().starts_with("there are no hosts yet: write inventory/hosts.toml"), "{error}");
        assert_eq!(error.exit_code(), code);
    }
}

#[test]
fn a_listed_controller_is_found_as_local() {
    let inventory = load_text("[hosts.me]\nlocal = true\n[hosts.a]").unwrap();
    assert_eq!(names(&select(&inventory, "local,me").unwrap()), "me");
    assert_eq!(names(&select(&inventory, "all,!local").unwrap()), "a");
    assert_eq!(select(&inventory, "root@me").unwrap_err().exit_code(), ExitCode::Usage);
}
