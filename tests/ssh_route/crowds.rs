//! Sixty-four hosts at once, where servers drop and refuse by their defaults.

use std::{fmt::Write, sync::Arc, time::Duration};

use rbee::{
    scope::Scope,
    target::ssh::{Connector, SshConnection},
};

use crate::{configure, connector, output, sshd::Lab, support};

const CROWD: usize = 64;

/// Entries h0…h63, spread over the lab's hosts whose names are given; `more` stands in each.
fn crowd(lab: &Lab, over: &[&str], more: &str) {
    let mut text = String::new();
    for i in 0..CROWD {
        let port = lab.sshd(over[i % over.len()]).port;
        writeln!(text, "Host h{i}\n  HostName 127.0.0.1\n  Port {port}\n{more}").unwrap();
    }
    configure(lab, &text);
}

/// Connects to all at once and runs a command on each; the connections are open at the same time at the end.
async fn all_in(lab: &Lab, connector: Connector) -> Vec<SshConnection> {
    let connector = Arc::new(connector);
    let (scope, _events) = support::scope();
    let all: Vec<_> = (0..CROWD)
        .map(|i| {
            let (connector, scope, host): (_, Scope, _) =
                (connector.clone(), scope.clone(), lab.host(&format!("h{i}")));
            tokio::spawn(async move {
                let connection = connector.connect(&scope, &host).await?;
                let said = output(&connection, &format!("echo {i}")).await;
                assert_eq!(said, format!("{i}\n|"));
                Ok::<_, rbee::target::TargetError>(connection)
            })
        })
        .collect();
    let mut open = Vec::new();
    for (i, one) in all.into_iter().enumerate() {
        match one.await.unwrap() {
            Ok(connection) => open.push(connection),
            Err(error) => panic!("h{i}: {error}"),
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_under_sixty_four_names() {
    let lab = Lab::new(&["one"]);
    crowd(&lab, &["one"], "");
    let open = all_in(&lab, connector(&lab)).await;
    assert_eq!(open.len(), CROWD);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_one_bastion_with_the_limits_of_a_fresh_sshd() {
    let lab = Lab::new(&["jump", "a", "b", "c", "d"]);
    crowd(&lab, &["a", "b", "c", "d"], "  ProxyJump jump\n");
    let open = all_in(&lab, connector(&lab)).await;
    assert_eq!(open.len(), CROWD);
    let log = lab.sshd("jump").log();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "one session a bastion");
    // All that was opened ends with its holders: no task keeps a connection.
    drop(open);
    support::eventually("the bastion's session ends", Duration::from_secs(30), || {
        lab.sshd("jump").descendants().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_behind_a_bastion_under_sixty_four_names() {
    let lab = Lab::new(&["jump", "one"]);
    crowd(&lab, &["one"], "  ProxyJump jump\n");
    let connector = connector(&lab);
    let open = all_in(&lab, connector).await;
    assert_eq!(open.len(), CROWD);
}
