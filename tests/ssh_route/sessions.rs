//! A server that allows one session a connection.

use std::{fs, sync::Arc};

use rbee::{
    target::{
        Captured, Closed, Command, Source, Target,
        conduit::Opener,
        ssh::{Connector, SshConnection},
        supervisor::{Supervised, Supervision},
    },
    vocab::Digest,
};

use crate::{connect, output, sshd::Lab, support};

/// Accepted connections, by sshd's own log.
fn logins(lab: &Lab, name: &str) -> usize {
    lab.sshd(name).log().matches("Accepted publickey").count()
}

struct Bytes(Vec<u8>, usize);

#[async_trait::async_trait]
impl Source for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn next(&mut self) -> std::io::Result<bytes::Bytes> {
        let chunk = &self.0[self.1..self.0.len().min(self.1 + 100_000)];
        self.1 += chunk.len();
        Ok(bytes::Bytes::copy_from_slice(chunk))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_takes_a_second_connection() {
    let lab = Lab::with(&["one"], &["MaxSessions 1"]);
    let connection = connect(&lab, "one").await.unwrap();
    let held = connection.open("echo held; cat").await.unwrap();
    assert_eq!(logins(&lab, "one"), 1);
    for round in 0..3 {
        assert_eq!(output(&connection, &format!("echo {round}")).await, format!("{round}\n|"));
    }
    assert_eq!(logins(&lab, "one"), 2, "the second connection is used again");
    let more: Vec<_> = (0..3)
        .map(|i| {
            let connection = connection.clone();
            tokio::spawn(async move { output(&connection, &format!("echo more {i}")).await })
        })
        .collect();
    for (i, one) in more.into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), format!("more {i}\n|"));
    }
    assert!(logins(&lab, "one") <= 5, "as many connections as programs at most");
    drop(held);
    connection.close().await;
    support::eventually("all sessions end", std::time::Duration::from_secs(20), || {
        lab.sshd("one").descendants().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_put_while_a_lane_holds_the_only_session() {
    let lab = Lab::with(&["one"], &["MaxSessions 1"]);
    let (scope, _events) = support::scope();
    let connector = Connector::new(&lab.settings(), lab.config());
    let connection: SshConnection = connector.connect(&scope, &lab.host("one")).await.unwrap();
    let target = Arc::new(Supervised::new(connection, Supervision::default()));
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let path = lab.sshd("one").home.join("file");
    let place = path.to_str().unwrap();
    let digest = target.put(&scope, place, &mut Bytes(body.clone(), 0)).await.unwrap();
    assert!(fs::read(&path).unwrap() == body);
    let expected = {
        use sha2::{Digest as _, Sha256};
        Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert!(digest.is_none() || digest == Digest::parse(&expected).ok(), "{digest:?}");
    let mut captured = Captured::default();
    let exit = target.run(&scope, &Command::own("look", format!("wc -c < '{place}'")), &mut captured).await.unwrap();
    assert_eq!((exit.status, captured.text().trim()), (0, "3000000"));
    assert_eq!(target.close().await, Closed::Clean);
    assert!(!path.exists(), "it was registered before it was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_no_session_says_so() {
    let lab = Lab::with(&["one"], &["MaxSessions 0"]);
    let connection = connect(&lab, "one").await.unwrap();
    let Err(error) = connection.open("true").await else { panic!("it ran") };
    assert!(error.to_string().contains("MaxSessions"), "{error}");
    assert_eq!(logins(&lab, "one"), 1, "another connection would not help");
}
