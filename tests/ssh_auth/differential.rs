//! The same configuration for `ssh` and for us: the same end, by the same offers in the same order.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rbee::target::ssh::People;

use super::{
    agents::{Agent, Token},
    keys::Keys,
    login, ssh,
    sshd::Lab,
    tried,
};

/// One row of the table.
struct Row<'a> {
    name: &'a str,
    config: String,
    /// Lines of authorized_keys.
    authorized: String,
    /// What both must come to.
    succeeds: bool,
}

/// Runs all rows, and says all that differ.
async fn compare(lab: &Lab, rows: Vec<Row<'_>>) {
    let mut wrong = String::new();
    for row in rows {
        lab.write_config(&row.config);
        fs::write(lab.sshd("one").authorized_keys(), &row.authorized).unwrap();
        let start = lab.sshd("one").log().len();
        let theirs = ssh(&lab.ssh_config(), "one");
        let their_tries = tried(lab, "one", start);
        let start = lab.sshd("one").log().len();
        let ours = login(lab, "one", People::default()).await;
        let our_tries = tried(lab, "one", start);
        if theirs.is_ok() != row.succeeds || ours.is_ok() != row.succeeds || their_tries != our_tries {
            wrong += &format!(
                "\n{} (shall succeed: {})\n  ssh: {theirs:?}\n    {}\n  we:  {ours:?}\n    {}\n",
                row.name,
                row.succeeds,
                their_tries.join("\n    "),
                our_tries.join("\n    ")
            );
        }
        if row.succeeds && their_tries.is_empty() {
            wrong += &format!("\n{}: the log says nothing:\n{}\n", row.name, lab.sshd("one").log());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn identities<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> String {
    paths.into_iter().map(|path| format!("IdentityFile {}\n", path.display())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_agents() {
    let keys = Keys::new();
    let (a, b) = (keys.make("a", "ed25519", &[]), keys.make("b", "ecdsa", &["-b", "384"]));
    let (c, d) = (keys.make("c", "rsa", &["-b", "2048"]), keys.make("d", "ecdsa", &["-b", "521"]));
    let locked = keys.make("locked", "ed25519", &["-N", "open sesame"]);
    let wide = keys.make("wide", "ed25519", &[]);
    fs::set_permissions(&wide, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let swapped = keys.make("swapped", "ed25519", &[]);
    fs::write(keys.path("swapped.pub"), keys.public("a")).unwrap();
    let lab = Lab::new(&["one"]);
    let all = Agent::start(lab.dir(), &[a.clone(), b.clone(), c.clone()]);
    let agent = format!("IdentityAgent {}\n", all.socket.display());
    let none = "IdentityAgent none\n";
    let row = |name, config: String, authorized: &[&str], succeeds| Row {
        name,
        config,
        authorized: authorized.iter().map(|name| keys.public(name)).collect(),
        succeeds,
    };
    let rows = vec![
        row("one file", format!("{none}{}", identities([&a])), &["a"], true),
        row("files in order", format!("{none}{}", identities([&d, &c, &a])), &["a"], true),
        row("an rsa key", format!("{none}{}", identities([&c])), &["c"], true),
        row("nobody's key", format!("{none}{}", identities([&d, &a])), &["b"], false),
        row("a missing file", format!("{none}{}", identities([&keys.path("none"), &a])), &["a"], true),
        row("the agent before files", format!("{agent}{}", identities([&d])), &["d"], true),
        row("named keys of the agent first", format!("{agent}{}", identities([&c, &d])), &["d"], true),
        row("in the agent's order", format!("{agent}{}", identities([&c, &b])), &["d"], false),
        row(
            "only what is named",
            format!("IdentitiesOnly yes\n{agent}{}", identities([&keys.public_only("b")])),
            &["b"],
            true,
        ),
        row(
            "only what is named, not the rest",
            format!("IdentitiesOnly yes\n{agent}{}", identities([&d])),
            &["a"],
            false,
        ),
        row(
            "only a file, with an agent of strangers",
            format!("IdentitiesOnly yes\n{agent}{}", identities([&d])),
            &["d"],
            true,
        ),
        row("half a key", format!("{none}{}", identities([&keys.public_only("c"), &a])), &["c", "a"], true),
        row(
            "half a key that is not taken",
            format!("{none}{}", identities([&keys.public_only("c"), &a])),
            &["a"],
            true,
        ),
        row("a locked key and another", format!("{none}{}", identities([&locked, &a])), &["locked", "a"], true),
        row("a locked key that is not taken", format!("{none}{}", identities([&locked, &a])), &["a"], true),
        row("a locked key alone", format!("{none}{}", identities([&locked])), &["locked"], false),
        row("a key that others may read", format!("{none}{}", identities([&wide, &a])), &["wide", "a"], true),
        row("a public half of another key", format!("{none}{}", identities([&swapped, &d])), &["a", "d"], true),
        row(
            "algorithms that are accepted",
            format!("{none}PubkeyAcceptedAlgorithms rsa-sha2-256\n{}", identities([&a, &c])),
            &["a", "c"],
            true,
        ),
        row(
            "algorithms that are not",
            format!("{none}PubkeyAcceptedAlgorithms -ssh-ed25519,ecdsa-*\n{}", identities([&a, &b])),
            &["a", "b"],
            false,
        ),
        row("too short a key", format!("{none}RequiredRSASize 3072\n{}", identities([&c, &a])), &["c", "a"], true),
        row("too short a key in the agent", format!("{agent}RequiredRSASize 3072\nIdentityFile none\n"), &["c"], false),
        row("no keys wanted", format!("{none}PubkeyAuthentication no\n{}", identities([&a])), &["a"], false),
        row(
            "another method preferred",
            format!("{none}PreferredAuthentications password,publickey\n{}", identities([&a])),
            &["a"],
            true,
        ),
        row(
            "only another method",
            format!("{none}PreferredAuthentications password\n{}", identities([&a])),
            &["a"],
            false,
        ),
        row(
            "an agent that is not there",
            format!("IdentityAgent {}/gone\n{}", keys.dir().display(), identities([&a])),
            &["a"],
            true,
        ),
    ];
    compare(&lab, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_files() {
    let keys = Keys::new();
    let lab = Lab::new(&["one"]);
    let mut rows = Vec::new();
    for (name, kind, more) in [
        ("openssh-ed25519", "ed25519", &["-N", ""][..]),
        ("openssh-rsa", "rsa", &["-b", "3072", "-N", ""]),
        ("pem-rsa", "rsa", &["-b", "2048", "-m", "PEM"]),
        ("pem-ecdsa", "ecdsa", &["-m", "PEM"]),
        ("pkcs8-rsa", "rsa", &["-b", "2048", "-m", "PKCS8"]),
        ("pkcs8-ecdsa", "ecdsa", &["-b", "384", "-m", "PKCS8"]),
        ("short-rsa", "rsa", &["-b", "1024", "-N", ""]),
        ("long-rsa", "rsa", &["-b", "8192", "-N", ""]),
    ] {
        keys.make(name, kind, more);
        for path in [keys.path(name), keys.private_only(name)] {
            rows.push(Row {
                name,
                config: format!("IdentityAgent none\n{}", identities([&path])),
                authorized: keys.public(name),
                succeeds: true,
            });
        }
    }
    compare(&lab, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates() {
    let keys = Keys::new();
    for (name, kind) in [("a", "ed25519"), ("b", "rsa"), ("c", "ecdsa"), ("plain", "ed25519"), ("old", "ed25519")] {
        keys.make(name, kind, &[]);
    }
    keys.make("locked", "ed25519", &["-N", "open sesame"]);
    for name in ["a", "b", "c", "locked"] {
        keys.certify(name, &[]);
    }
    keys.certify("old", &["-V", "20200101:20200201"]);
    keys.make("stranger", "ed25519", &[]);
    keys.certify("stranger", &["-n", "somebody-else"]);
    keys.make("machine", "ed25519", &[]);
    keys.certify("machine", &["-h"]);
    let lab = Lab::with(&["one"], &[&format!("TrustedUserCAKeys {}", keys.path("ca.pub").display())]);
    let agent = Agent::start(lab.dir(), &[keys.path("plain"), keys.path("b")]);
    // The key of this certificate is in the agent, the certificate is not.
    let bare = Agent::start(lab.dir(), &[keys.private_only("c")]);
    let with = |agent: &Agent| format!("IdentityAgent {}\n", agent.socket.display());
    let none = "IdentityAgent none\n".to_owned();
    let certificate = |name: &str| format!("CertificateFile {}\n", keys.path(&format!("{name}-cert.pub")).display());
    let file = |name: &str| identities([&keys.path(name)]);
    let row = |name, config: String, authorized: &[&str], succeeds| Row {
        name,
        config,
        authorized: authorized.iter().map(|name| keys.public(name)).collect(),
        succeeds,
    };
    let rows = vec![
        row("beside the identity", none.clone() + &file("a"), &[], true),
        row("of an rsa key", none.clone() + &file("b"), &[], true),
        row("the plain key first", none.clone() + &file("a"), &["a"], true),
        row("named by itself", none.clone() + &certificate("a") + &file("a"), &[], true),
        row(
            "named, and its key among others",
            none.clone() + &certificate("c") + &file("plain") + &file("c"),
            &["plain"],
            true,
        ),
        row("named without its key", none.clone() + &certificate("a") + &file("plain"), &["plain"], true),
        row(
            "two that are named",
            none.clone() + &certificate("stranger") + &certificate("b") + &file("stranger") + &file("b"),
            &[],
            true,
        ),
        row("expired", none.clone() + &file("old"), &[], false),
        row("expired, and the plain key", none.clone() + &file("old"), &["old"], true),
        row("for somebody else", none.clone() + &file("stranger"), &[], false),
        row("of a host", none.clone() + &file("machine"), &[], false),
        row("of a locked key", none.clone() + &file("locked"), &[], false),
        row("in the agent", with(&agent) + "IdentityFile none\n", &[], true),
        row("in the agent, named", "IdentitiesOnly yes\n".to_owned() + &with(&agent) + &file("b"), &[], true),
        row("its key in the agent", with(&bare) + &certificate("c") + &identities([&keys.public_only("c")]), &[], true),
        row(
            "not accepted by us",
            none.clone() + "PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512\n" + &file("a") + &file("b"),
            &["b"],
            true,
        ),
        row(
            "signed with the shorter hash",
            none.clone() + "PubkeyAcceptedAlgorithms rsa-sha2-256-cert-v01@openssh.com\n" + &file("b"),
            &[],
            true,
        ),
    ];
    compare(&lab, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_the_shorter_hash() {
    let keys = Keys::new();
    keys.make("rsa", "rsa", &["-b", "2048"]);
    let lab = Lab::with(&["one"], &["PubkeyAcceptedAlgorithms rsa-sha2-256"]);
    let agent = Agent::start(lab.dir(), &[keys.path("rsa")]);
    let ways = [
        format!("IdentityAgent none\n{}", identities([&keys.path("rsa")])),
        format!("IdentityAgent {}\nIdentityFile none\n", agent.socket.display()),
    ];
    // The server does not say what it wants, so both have to be told.
    let told = |succeeds: bool| {
        let first = if succeeds { "PubkeyAcceptedAlgorithms ^rsa-sha2-256\n" } else { "" };
        ways.clone().map(|way| Row {
            name: "rsa-sha2-256 only",
            config: format!("{first}{way}"),
            authorized: keys.public("rsa"),
            succeeds,
        })
    };
    compare(&lab, [told(false), told(true)].into_iter().flatten().collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_key() {
    let keys = Keys::new();
    for name in ["a", "b", "c"] {
        keys.make(name, "ed25519", &[]);
    }
    let lab = Lab::with(&["one"], &["AuthenticationMethods publickey,publickey"]);
    let agent = Agent::start(lab.dir(), &[keys.path("b"), keys.path("c")]);
    let row = |name, config: String, authorized: &[&str], succeeds| Row {
        name,
        config,
        authorized: authorized.iter().map(|name| keys.public(name)).collect(),
        succeeds,
    };
    let files = |names: &[&str]| identities(&names.iter().map(|name| keys.path(name)).collect::<Vec<_>>());
    let rows = vec![
        row("two", format!("IdentityAgent none\n{}", files(&["a", "b"])), &["a", "b"], true),
        row("one between", format!("IdentityAgent none\n{}", files(&["a", "c", "b"])), &["a", "b"], true),
        row("one before", format!("IdentityAgent none\n{}", files(&["c", "a", "b"])), &["a", "b"], true),
        row("one only", format!("IdentityAgent none\n{}", files(&["a"])), &["a"], false),
        row(
            "from the agent and a file",
            format!("IdentityAgent {}\n{}", agent.socket.display(), files(&["a"])),
            &["a", "b"],
            true,
        ),
    ];
    compare(&lab, rows).await;
    // What the server took and still wants is said.
    lab.write_config(&format!("IdentityAgent none\n{}", files(&["a"])));
    fs::write(lab.sshd("one").authorized_keys(), keys.public("a")).unwrap();
    let said = login(&lab, "one", People::default()).await.unwrap_err();
    assert!(said.contains("asks for more than ED25519 key SHA256:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_seen_enough() {
    let keys = Keys::new();
    let names = ["a", "b", "c", "d", "e"];
    names.iter().for_each(|name| drop(keys.make(name, "ed25519", &[])));
    let lab = Lab::with(&["one"], &["MaxAuthTries 3"]);
    let all: Vec<PathBuf> = names.iter().map(|name| keys.path(name)).collect();
    let agent = Agent::start(lab.dir(), &all);
    let agent = format!("IdentityAgent {}\n", agent.socket.display());
    let row = |name, config: String, authorized: &str, succeeds| Row {
        name,
        config,
        authorized: keys.public(authorized),
        succeeds,
    };
    let rows = vec![
        row("the third", format!("{agent}IdentityFile none\n"), "c", true),
        row("the fourth is too late", format!("{agent}IdentityFile none\n"), "d", false),
        row("the fifth, named", format!("{agent}{}", identities([&keys.path("e")])), "e", true),
        row("the fifth, alone", format!("IdentitiesOnly yes\n{agent}{}", identities([&keys.path("e")])), "e", true),
        row("files, too", format!("IdentityAgent none\n{}", identities(&all)), "e", false),
    ];
    compare(&lab, rows).await;
    lab.write_config(&format!("{agent}IdentityFile none\n"));
    fs::write(lab.sshd("one").authorized_keys(), keys.public("e")).unwrap();
    let start = lab.sshd("one").log().len();
    let said = login(&lab, "one", People::default()).await.unwrap_err();
    assert!(said.contains("seen too many failures") && said.contains("before 2 more"), "{said}");
    assert!(said.contains("IdentitiesOnly yes"), "{said}");
    tried(&lab, "one", start);
    let connections = lab.sshd("one").log()[start..].matches("Connection from").count();
    assert_eq!(connections, 1, "it is not tried again: {}", &lab.sshd("one").log()[start..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_key_signs_through_the_agent() {
    let keys = Keys::new();
    let certificate = Arc::new(Mutex::new(None));
    let lab = Lab::with(&["one"], &[&format!("TrustedUserCAKeys {}", keys.path("ca.pub").display())]);
    let token = Token::start(lab.dir(), certificate.clone());
    fs::write(keys.path("token.pub"), &token.public_line).unwrap();
    let config = format!("IdentityAgent {}\nIdentityFile none\n", token.socket.display());
    let named = format!(
        "IdentitiesOnly yes\nIdentityAgent {}\nIdentityFile {}\n",
        token.socket.display(),
        keys.path("token.pub").display()
    );
    let rows = vec![
        Row { name: "a token", config: config.clone(), authorized: token.public_line.clone(), succeeds: true },
        Row { name: "a token, named", config: named, authorized: token.public_line.clone(), succeeds: true },
    ];
    compare(&lab, rows).await;
    *certificate.lock().unwrap() = Some(fs::read_to_string(keys.certify("token", &[])).unwrap());
    let row = Row { name: "a certificate of a token", config, authorized: String::new(), succeeds: true };
    compare(&lab, vec![row]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_key_that_is_bound_to_hosts() {
    let keys = Keys::new();
    keys.make("bound", "ed25519", &[]);
    let lab = Lab::new(&["one", "two"]);
    let agent = Agent::start(lab.dir(), &[]);
    let known = lab.known_hosts().display().to_string();
    let one = format!("[127.0.0.1]:{}", lab.sshd("one").port);
    agent.add(&keys.path("bound"), &["-H", &known, "-h", &one]);
    let config = format!("IdentityAgent {}\nIdentityFile none\n", agent.socket.display());
    let row =
        Row { name: "bound to this host", config: config.clone(), authorized: keys.public("bound"), succeeds: true };
    compare(&lab, vec![row]).await;
    fs::write(lab.sshd("two").authorized_keys(), keys.public("bound")).unwrap();
    assert!(ssh(&lab.ssh_config(), "two").is_err());
    login(&lab, "two", People::default()).await.unwrap_err();
}
