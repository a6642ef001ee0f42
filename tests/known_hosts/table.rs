//! Situations that were thought of.

use crate::{servers::Servers, trial::Situation};

/// Who is known, as text; each is tried under every policy.
const FILES: &[(&str, &str, &str)] = &[
    ("nobody is known", "plain", ""),
    ("its first key", "plain", "{host} {ed}"),
    ("its last key only", "plain", "{host} {rsa}"),
    ("its middle key only", "plain", "# a comment\n\n{host} {ecdsa}\n"),
    ("all its keys", "plain", "{host} {ed}\n{host} {ecdsa}\n{host} {rsa}"),
    ("another key of each kind", "plain", "{host} {no_ed}\n{host} {no_ecdsa}\n{host} {no_rsa}"),
    ("another key of its first kind", "plain", "{host} {no_ed}"),
    ("another key of a kind in the middle", "plain", "{host} {no_ecdsa}"),
    ("another and its own of one kind", "plain", "{host} {no_ed}\n{host} {ed}"),
    ("another of the first, its own of the last kind", "plain", "{host} {no_ed}\n{host} {rsa}"),
    ("a key of a kind it does not have", "rsa", "{host} {no_ed}"),
    ("a key of a kind it does not have, and its own", "rsa", "{host} {no_ed}\n{host} {rsa}"),
    ("a kind that is not even offered", "plain", "{host} {no_384}"),
    ("the bare name", "plain", "127.0.0.1 {ed}"),
    ("the bare name, of another", "plain", "127.0.0.1 {no_ed}"),
    ("the bare name is right, the whole one wrong", "plain", "127.0.0.1 {ed}\n{host} {no_ed}"),
    ("the bare name knows a kind that is not asked for first", "plain", "127.0.0.1 {rsa}"),
    ("another port", "plain", "[127.0.0.1]:1 {ed}"),
    ("stars and question marks", "plain", "[127.0.?.*]:{port} {ed}"),
    ("a star alone", "plain", "* {ed}"),
    ("a star, of another", "plain", "* {no_ed}"),
    ("an exclusion", "plain", "*,!{host} {ed}"),
    ("an exclusion before", "plain", "!{host},* {no_ed}\n"),
    ("an exclusion of somebody else", "plain", "*,!elsewhere {ed}"),
    ("tabs and blanks", "plain", "\t {host},x \t{ed}\t a comment"),
    ("the end of a line from elsewhere", "plain", "{host} {ed}\r\n"),
    ("a list with holes", "plain", ",,{host},, {ed}"),
    ("an unknown marker", "plain", "@mine {host} {ed}"),
    ("a key of a wrong type", "plain", "{host} ssh-rsa {ed}"),
    ("a broken key", "plain", "{host} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n{host} {ed}\n"),
    ("no key", "plain", "{host}\n{host} \n{host} ssh-ed25519\n"),
    ("a very long line", "plain", "{host} {ed} {long}"),
    ("a revoked key", "plain", "@revoked {host} {ed}"),
    ("a revoked key that is known", "plain", "{host} {ed}\n@revoked * {ed}"),
    ("a revoked key of another kind", "plain", "{host} {ed}\n@revoked * {rsa}"),
    ("the first of two known kinds is revoked", "plain", "{host} {ed}\n{host} {rsa}\n@revoked * {ed}"),
    ("revoked under the bare name", "plain", "@revoked 127.0.0.1 {ed}"),
    ("a marker and a tab", "plain", "@revoked\t{host} {ed}\n"),
    ("a certificate in the file", "plain", "{host} {ed_cert}"),
    ("a revoked certificate", "plain", "{host} {ed}\n@revoked {host} {ed_cert}"),
    ("an authority", "certified", "@cert-authority {host} {ca}"),
    ("an authority of all", "certified", "@cert-authority * {ca}"),
    ("an authority of the bare name", "certified", "@cert-authority 127.0.0.1 {ca}"),
    ("an authority of others", "certified", "@cert-authority *.lan {ca}"),
    ("an authority that is another", "certified", "@cert-authority * {no_ed}"),
    ("an authority beside a plain key", "certified", "@cert-authority * {no_ed}\n{host} {ed}"),
    ("an authority beside a wrong key", "certified", "@cert-authority * {ca}\n{host} {no_ed}"),
    ("a revoked authority", "certified", "@cert-authority * {ca}\n@revoked * {ca}"),
    ("a revoked authority and a known key", "certified", "{host} {ed}\n@revoked * {ca}"),
    ("a revoked key with a certificate", "certified", "@cert-authority * {ca}\n@revoked * {ed}"),
    ("a certificate, but only a key is known", "certified", "{host} {ed}"),
    ("a certificate, but only another kind is known", "certified", "{host} {rsa}"),
    ("a certificate of another kind than the known one", "half", "{host} {ed}"),
    ("a certificate of a kind before the known one", "head", "{host} {rsa}"),
    ("a certificate of a kind that comes last", "half", "@cert-authority * {ca}"),
    ("an authority as if it were the host", "certified", "{host} {ca}"),
    ("an authority in a certificate's clothes", "certified", "@cert-authority * {ed_cert}"),
    ("a certificate for everybody", "odd", "@cert-authority * {ca_ecdsa}"),
    ("a certificate for users", "strange", "@cert-authority * {ca}"),
    ("a certificate for users, and its key", "strange", "@cert-authority * {ca}\n{host} {ed}"),
];

const POLICIES: [&str; 4] = ["yes", "accept-new", "no", "ask"];
/// To ask is the same as to refuse where nobody can be asked: that is tried for some only.
const ASKED: usize = 16;

pub fn situations(servers: &Servers) -> Vec<Situation> {
    let mut all = Vec::new();
    for (index, (what, server, text)) in FILES.iter().enumerate() {
        let text = text.replace("{long}", &"x".repeat(100_000));
        // What is not at the end of a line would be glued to what is written after it; that is not what is tried here.
        let text = if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
        for policy in &POLICIES[..if index < ASKED { 4 } else { 3 }] {
            let situation = Situation::new(format!("{what} ({policy})"), server, text.clone());
            all.push(situation.option(format!("StrictHostKeyChecking {policy}")));
        }
    }
    all.extend(special(servers));
    all
}

/// Situations that need more than a file.
fn special(servers: &Servers) -> Vec<Situation> {
    let new = |what: &str, server: &str, text: &str| Situation::new(what, server, text);
    let strict =
        |what: &str, server: &str, text: &str| Situation::new(what, server, text).option("StrictHostKeyChecking yes");
    let accept = |what: &str, server: &str, text: &str| {
        Situation::new(what, server, text).option("StrictHostKeyChecking accept-new")
    };
    let keys = servers.keys();
    let key = |name: &str| keys[name].as_str();
    let only = |algorithms: &str| format!("HostKeyAlgorithms {algorithms}");
    let cert = "-cert-v01@openssh.com";
    let ca = "@cert-authority * {ca}\n";
    let list = servers.file("revoked", &format!("# keys\n{}\n\n  {} comment\n", key("ed"), key("no_rsa")));
    let ca_list = servers.file("revoked_ca", &format!("{}\n", key("ca")));
    let broken = servers.file("broken", "{host} ssh-ed25519 AAAA\n");
    let krl_key = servers.krl("key", None, &format!("key: {}\n", key("ed")));
    let krl_sha1 = servers.krl("sha1", None, &format!("sha1: {}\n", key("ed")));
    let krl_sha256 = servers.krl("sha256", None, &format!("sha256: {}\n", key("ed")));
    let krl_other = servers.krl("other", None, &format!("key: {}\nsha256: {}\n", key("no_ed"), key("no_rsa")));
    let krl_serial = servers.krl("serial", Some("ca"), "serial: 1\nserial: 5-9\nserial: 1000\n");
    let krl_bitmap = servers.krl("bitmap", Some("ca"), "serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 11\n");
    let krl_others = servers.krl("others", Some("ca_rsa"), "serial: 1-100\nid: good\n");
    let krl_id = servers.krl("id", Some("ca"), "id: good\nid: elsewhere\n");
    let krl_ca = servers.krl("ca", None, &format!("key: {}\n", key("ca")));
    let cut = {
        let whole = std::fs::read(&krl_key).unwrap();
        let path = format!("{krl_key}.cut");
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        path
    };
    let mut all = vec![
        accept("hashed when it is written", "plain", "").option("HashKnownHosts yes"),
        accept("hashed beside another", "plain", "elsewhere {ed}\n").option("HashKnownHosts yes"),
        strict("the system's file", "plain", "").global("{host} {ed}\n"),
        strict("the system's file is right, the user's wrong", "plain", "{host} {no_ed}\n").global("{host} {ed}\n"),
        strict("the system's file revokes", "plain", "{host} {ed}\n").global("@revoked * {ed}\n"),
        accept("the system's file is wrong", "plain", "").global("{host} {no_ed}\n"),
        strict("several files", "plain", "")
            .option("UserKnownHostsFile {dir}/none {dir} {dir}/global")
            .global("{host} {ed}\n"),
        accept("a first file that is not there", "plain", "").option("UserKnownHostsFile {dir}/x/y/z {dir}/known"),
        accept("a first file that is a folder", "plain", "").option("UserKnownHostsFile {dir} {dir}/known"),
        accept("nothing is kept", "plain", "{host} {no_ed}\n").option("UserKnownHostsFile /dev/null"),
        strict("an alias", "plain", "alias {ed}\n").option("HostKeyAlias Alias"),
        strict("an alias leaves the name alone", "plain", "{host} {ed}\n").option("HostKeyAlias alias"),
        accept("an alias is written", "plain", "{host} {no_ed}\n").option("HostKeyAlias NewAlias"),
        strict("an alias is a principal", "certified", "@cert-authority alias {ca}\n").option("HostKeyAlias alias"),
        strict("an alias is no principal", "certified", "@cert-authority foreign {ca}\n")
            .option("HostKeyAlias foreign"),
        strict("a name that is not in the certificate", "certified", ca).option("HostName localhost"),
        strict("a name in capitals", "plain", "[localhost]:{port} {ed}\n").option("HostName LocalHost"),
        strict("a pattern in capitals", "plain", "[LOCAL*]:{port} {ed}\n").option("HostName localhost"),
        accept("a name in capitals is written small", "plain", "").option("HostName LocalHost"),
        new("no policy at all", "plain", ""),
        new("no policy, and known", "plain", "{host} {ed}\n"),
        strict("only rsa is asked for", "plain", "{host} {rsa}\n").option(only("rsa-sha2-512")),
        strict("only rsa is asked for, and another kind known", "plain", "{host} {ed}\n").option(only("rsa-sha2-512")),
        accept("an order of one's own", "plain", "").option(only("ecdsa*,ssh-ed25519")),
        accept("an order of one's own against what is known", "plain", "{host} {ed}\n")
            .option(only("ecdsa*,ssh-ed25519")),
        accept("an order from its head", "plain", "").option(only("^rsa-sha2-256")),
        accept("an order without its head", "plain", "").option(only("-ssh-ed25519*")),
        accept("an order with a tail", "plain", "{host} {rsa}\n").option(only("+ssh-rsa")),
        strict("no certificates", "certified", ca).option(only("-*cert*")),
        strict("an expired certificate", "certified", ca).option(only(&format!("ecdsa-sha2-nistp256{cert}"))),
        strict("an expired certificate, and its key", "certified", "@cert-authority * {ca}\n{host} {ecdsa}\n")
            .option(only(&format!("ecdsa-sha2-nistp256{cert}"))),
        accept("an expired certificate of a new host", "certified", ca)
            .option(only(&format!("ecdsa-sha2-nistp256{cert}"))),
        strict("a certificate for elsewhere", "certified", ca).option(only(&format!("rsa-sha2-512{cert}"))),
        strict("a certificate with critical options", "odd", "@cert-authority * {ca_ecdsa}\n")
            .option(only(&format!("ecdsa-sha2-nistp256{cert}"))),
        strict("a certificate of the future", "odd", "@cert-authority * {ca_rsa}\n")
            .option(only(&format!("rsa-sha2-512{cert}"))),
        strict("a certificate with wildcards", "strange", ca).option(only(&format!("ecdsa-sha2-nistp256{cert}"))),
        strict("a certificate by rsa", "strange", "@cert-authority * {ca_rsa}\n")
            .option(only(&format!("rsa-sha2-256{cert}"))),
        strict("a certificate by rsa is not allowed", "strange", "@cert-authority * {ca_rsa}\n")
            .option(only(&format!("rsa-sha2-256{cert}")))
            .option("CASignatureAlgorithms -rsa*"),
        strict("authorities with ed25519 only", "certified", ca).option("CASignatureAlgorithms ssh-ed25519"),
        strict("authorities with ecdsa only", "certified", ca).option("CASignatureAlgorithms ecdsa*"),
        strict("a key that is long enough", "rsa", "{host} {rsa}\n").option("RequiredRSASize 2048"),
        strict("a key that is too short", "rsa", "{host} {rsa}\n").option("RequiredRSASize 4096"),
        strict("localhost is trusted", "plain", "{host} {no_ed}\n").option("NoHostAuthenticationForLocalhost yes"),
        strict("localhost is not trusted under an alias", "plain", "a {no_ed}\n")
            .option("NoHostAuthenticationForLocalhost yes")
            .option("HostKeyAlias a"),
        accept("the address of localhost is not checked", "plain", "")
            .option("CheckHostIP yes")
            .option("HostName localhost"),
    ];
    for (what, file) in [
        ("a list with it", &list),
        ("a list with its authority", &ca_list),
        ("a list with mistakes", &broken),
        ("a list that is not there", &"/nonexistent".to_owned()),
        ("an empty list", &"/dev/null".to_owned()),
        ("a krl with the key", &krl_key),
        ("a krl with its sha1", &krl_sha1),
        ("a krl with its sha256", &krl_sha256),
        ("a krl with others", &krl_other),
        ("a krl with its serial number", &krl_serial),
        ("a krl with its number among many", &krl_bitmap),
        ("a krl of another authority", &krl_others),
        ("a krl with its id", &krl_id),
        ("a krl with its authority", &krl_ca),
        ("a krl that is cut", &cut),
    ] {
        for (server, known) in [("plain", "{host} {ed}\n"), ("certified", ca)] {
            for policy in ["yes", "no"] {
                all.push(
                    new(&format!("{what} ({server}, {policy})"), server, known)
                        .option(format!("RevokedHostKeys {file}"))
                        .option(format!("StrictHostKeyChecking {policy}")),
                );
            }
        }
    }
    all
}
