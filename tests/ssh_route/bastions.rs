//! One session a bastion, chains and circles, and sentences as clear as those of ssh.

use std::{fs, time::Duration};

use rbee::{
    target::{TargetError, conduit::Opener},
    vocab::Reason,
};

use crate::{
    configure, connect, connector, output, refused, said, ssh,
    sshd::{Lab, free_port},
    support,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_leads_where_ssh_goes() {
    let lab = Lab::new(&["far", "near", "end"]);
    // A name of its own for the end, so that the lab's entries for the bastions stay as they are.
    configure(
        &lab,
        &format!(
            "Host goal\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump near,far\n\
         Host by-itself\n  HostName 127.0.0.1\n  Port {}\n  ProxyJump far\nHost far\n  ProxyJump near\n",
            lab.sshd("end").port,
            lab.sshd("end").port
        ),
    );
    let home = lab.sshd("end").home.display().to_string();
    for name in ["goal", "by-itself"] {
        let before = (lab.sshd("near").log().len(), lab.sshd("far").log().len());
        let theirs = ssh(&lab, &[name, "printf %s \"$HOME\""]);
        assert!(theirs.status.success(), "{}", said(&theirs));
        let connection = connect(&lab, name).await.unwrap();
        assert_eq!(output(&connection, "printf %s \"$HOME\"").await, format!("{home}|"));
        assert_eq!(String::from_utf8_lossy(&theirs.stdout), home);
        let (near, far) = (lab.sshd("near").log(), lab.sshd("far").log());
        assert_eq!(near[before.0..].matches("Accepted publickey").count(), 2, "ssh once, and we once");
        assert_eq!(far[before.1..].matches("Accepted publickey").count(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hops_user_and_port_go_before_the_files() {
    let lab = Lab::new(&["jump", "end"]);
    let (jump, user) = (lab.sshd("jump").port, crate::sshd::account());
    configure(
        &lab,
        &format!(
            "Host end\n  ProxyJump {user}@elsewhere:{jump}\nHost elsewhere\n  HostName 127.0.0.1\n  User nobody-at-all\n  Port 1\n"
        ),
    );
    assert_eq!(output(&connect(&lab, "end").await.unwrap(), "echo in").await, "in\n|");
    let theirs = ssh(&lab, &["end", "echo in"]);
    assert_eq!(said(&theirs), "in\n|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_is_refused_and_told() {
    let lab = Lab::new(&["one", "two", "end"]);
    configure(&lab, "Host one\n  ProxyJump two\nHost two\n  ProxyJump one\nHost end\n  ProxyJump one\n");
    let (reason, text, hint) = refused(&lab, "end").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("in a circle: one through two through one"), "{text}");
    assert!(hint.contains("ProxyJump none"), "{hint}");
    let (_, text, _) = refused(&lab, "one").await;
    assert!(text.contains("in a circle: one through two through one"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bastion_cannot_reach_is_told_in_its_words() {
    let lab = Lab::new(&["jump"]);
    let closed = free_port();
    configure(
        &lab,
        &format!(
            "Host shut\n  HostName 127.0.0.1\n  Port {closed}\n  ProxyJump jump\n\
         Host nameless\n  HostName no-such-name.invalid\n  ProxyJump jump\n"
        ),
    );
    let (reason, text, _) = refused(&lab, "shut").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains(&format!("bastion jump cannot connect to 127.0.0.1:{closed}: Connection refused")), "{text}");
    // ssh says less: "channel 0: open failed: connect failed: Connection refused".
    assert!(said(&ssh(&lab, &["shut", "true"])).contains("Connection refused"));
    let (reason, text, _) = refused(&lab, "nameless").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("bastion jump cannot connect to no-such-name.invalid:22: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastion_that_forwards_nothing_is_named() {
    let lab = Lab::with(&["jump", "end"], &["AllowTcpForwarding no"]);
    configure(&lab, "Host end\n  ProxyJump jump\n");
    let (reason, text, _) = refused(&lab, "end").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("bastion jump does not allow a connection to 127.0.0.1:"), "{text}");
    assert!(said(&ssh(&lab, &["end", "true"])).contains("administratively prohibited"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastions_own_failure_is_everyones_and_names_it() {
    let mut lab = Lab::new(&["jump", "a", "b"]);
    configure(&lab, "Host a b\n  ProxyJump jump\n");
    let text = fs::read_to_string(lab.known_hosts()).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.contains(&format!(":{} ", lab.sshd("jump").port)))
        .map(|l| format!("{l}\n"))
        .collect();
    fs::write(lab.known_hosts(), without).unwrap();
    let (reason, text, _) = refused(&lab, "a").await;
    assert_eq!(reason, Reason::HostKey);
    assert!(text.starts_with("bastion jump: "), "{text}");

    lab.write_known_hosts();
    fs::write(lab.sshd("jump").authorized_keys(), "").unwrap();
    let before = lab.sshd("jump").log().matches("Connection from").count();
    let connector = connector(&lab);
    let scope = support::scope().0;
    let (host_a, host_b) = (lab.host("a"), lab.host("b"));
    let (a, b) = tokio::join!(connector.connect(&scope, &host_a), connector.connect(&scope, &host_b));
    for result in [a, b] {
        let Err(error) = result else { panic!("it was let in") };
        assert_eq!(error.reason(), Some(Reason::Auth));
        assert!(error.to_string().starts_with("bastion jump: the login as"), "{error}");
    }
    assert_eq!(lab.sshd("jump").log().matches("Connection from").count(), before + 1, "one attempt");

    lab.sshd_mut("jump").stop();
    let (reason, text, _) = refused(&lab, "a").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.starts_with("bastion jump: 127.0.0.1:") && text.contains("refused the connection"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_bastion_loses_its_hosts_and_is_made_anew() {
    let lab = Lab::new(&["jump", "a", "b"]);
    configure(&lab, "Host a b\n  ProxyJump jump\n");
    let connector = connector(&lab);
    let scope = support::scope().0;
    let a = connector.connect(&scope, &lab.host("a")).await.unwrap();
    let b = connector.connect(&scope, &lab.host("b")).await.unwrap();
    assert_eq!(output(&a, "echo a").await, "a\n|");
    lab.sshd("jump").cut();
    for host in [&a, &b] {
        let lost = tokio::time::timeout(Duration::from_secs(20), host.lost()).await.expect("it is noticed");
        assert!(matches!(&lost, TargetError::Lost(why) if why.contains("bastion jump was lost")), "{lost}");
    }
    let again = connector.connect(&scope, &lab.host("a")).await.unwrap();
    assert_eq!(output(&again, "echo again").await, "again\n|");
    assert_eq!(lab.sshd("jump").log().matches("Accepted publickey").count(), 2);
    connector.close().await;
    support::eventually("the bastion is left", Duration::from_secs(20), || lab.sshd("jump").descendants().is_empty())
        .await;
    assert!(a.open("true").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bastions_time_is_not_the_hosts() {
    let lab = Lab::new(&["jump", "end"]);
    // The bastion's login takes longer than the host has.
    let slow = lab.dir().join("slow");
    fs::write(&slow, "#!/bin/sh\nsleep 2\nexec nc \"$@\"\n").unwrap();
    configure(
        &lab,
        &format!(
            "Host end\n  ProxyJump jump\n  ConnectTimeout 1\nHost jump\n  ConnectTimeout 60\n  \
         ProxyCommand sh -c 'sleep 2; exec python3 {} 127.0.0.1 {}'\n",
            crate::commands::pump(&lab),
            lab.sshd("jump").port
        ),
    );
    assert_eq!(output(&connect(&lab, "end").await.unwrap(), "echo in").await, "in\n|");
}
