//! What is proposed, and what is said when nothing fits.

use rbee::vocab::Reason;

use crate::{configure, connect, output, refused, said, ssh, sshd::Lab};

/// The lines of sshd's log that tell what was agreed upon need its loudest level.
const LOUD: &str = "LogLevel DEBUG2";

fn agreed(lab: &Lab, what: &str) -> String {
    let log = lab.sshd("one").log();
    log.lines().rev().find(|line| line.contains(what)).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_lists_decide() {
    let lab = Lab::with(&["one"], &[LOUD]);
    let cases = [
        ("Ciphers aes256-ctr\n  MACs hmac-sha2-512", "cipher: aes256-ctr MAC: hmac-sha2-512 "),
        ("Ciphers ^aes128-ctr\n  MACs ^hmac-sha2-256", "cipher: aes128-ctr MAC: hmac-sha2-256 "),
        ("Ciphers -aes*,umac*", "cipher: chacha20-poly1305@openssh.com "),
        ("KexAlgorithms ecdh-sha2-nistp384", "kex: algorithm: ecdh-sha2-nistp384"),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256", "kex: algorithm: curve25519-sha256"),
        ("KexAlgorithms ^diffie-hellman-group14-sha256", "kex: algorithm: diffie-hellman-group14-sha256"),
        ("Compression yes", "compression: zlib@openssh.com"),
        ("Compression no", "compression: none"),
    ];
    for (lines, expected) in cases {
        configure(&lab, &format!("Host one\n  {lines}\n"));
        let connection = connect(&lab, "one").await.unwrap_or_else(|error| panic!("{lines}: {error}"));
        let big = output(&connection, "head -c 300000 /dev/zero | tr '\\0' x; echo end").await;
        assert_eq!(big.len(), 300_005, "{lines}");
        let what = expected.split(' ').next().unwrap();
        let line = if what == "kex:" { agreed(&lab, "kex: algorithm:") } else { agreed(&lab, "client->server cipher") };
        assert!(format!("{line} ").contains(expected), "{lines}: {line}");
        assert_eq!(said(&ssh(&lab, &["one", "echo in"])), "in\n|", "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_leaves_nothing_is_named() {
    let lab = Lab::new(&["one"]);
    for (line, named) in [
        (
            "KexAlgorithms sntrup761x25519-sha512@openssh.com",
            "KexAlgorithms allows only what this program does not have: sntrup761x25519-sha512@openssh.com",
        ),
        ("MACs umac-64@openssh.com,umac-128@openssh.com", "umac-64@openssh.com, umac-128@openssh.com"),
    ] {
        configure(&lab, &format!("Host one\n  {line}\n"));
        let (reason, text, hint) = refused(&lab, "one").await;
        assert_eq!(reason, Reason::Connect);
        assert!(text.contains(named), "{text}");
        assert!(hint.contains("it has "), "{hint}");
    }
    configure(&lab, "Host one\n  Ciphers aes128-cbc\n");
    let (_, text, hint) = refused(&lab, "one").await;
    assert!(text.contains("offers no cipher algorithm that Ciphers of ssh_config allows"), "{text}");
    assert!(hint.contains("Ciphers leaves aes128-cbc"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_only_what_is_missing_here_is_named() {
    for (line, missing) in [
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "sntrup761x25519-sha512@openssh.com"),
        ("Ciphers aes128-ctr\nMACs umac-64-etm@openssh.com,umac-128@openssh.com", "umac-64-etm@openssh.com"),
    ] {
        let lab = Lab::with(&["one"], &line.split('\n').collect::<Vec<_>>());
        let (reason, text, hint) = refused(&lab, "one").await;
        assert_eq!(reason, Reason::Connect);
        assert!(text.contains("this program does not have") && text.contains(missing), "{text}");
        assert!(hint.contains("curve25519-sha256"), "{hint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_sent_on_each_channel() {
    let lab = Lab::with(&["one"], &["AcceptEnv RBEE_TEST_*"]);
    configure(&lab, "Host one\n  SetEnv RBEE_TEST_A=first \"RBEE_TEST_B=with space\" OTHER=refused\n");
    let connection = connect(&lab, "one").await.unwrap();
    for _ in 0..2 {
        let said = output(&connection, "printf '%s,%s,%s' \"$RBEE_TEST_A\" \"$RBEE_TEST_B\" \"$OTHER\"").await;
        assert_eq!(said, "first,with space,|");
    }
}
