//! Host keys, judged by us and by `ssh` itself: the same files, the same servers, the same verdict, the same lines written.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod generated;
mod servers;
#[path = "../support/sshd.rs"]
mod sshd;
mod table;
mod trial;

use std::sync::Arc;

use servers::Servers;
use tokio::sync::Semaphore;
use trial::{Situation, differences};

/// Trials at a time: each is a process of `ssh`, one of `sshd`, and a connection of ours.
const AT_A_TIME: usize = 6;

async fn run(servers: Arc<Servers>, situations: Vec<Situation>) {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let all: Vec<_> = situations
        .into_iter()
        .map(|situation| {
            let (servers, places) = (servers.clone(), places.clone());
            tokio::spawn(async move {
                let _place = places.acquire().await;
                differences(&servers, &situation).await
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for one in all {
        wrong.extend(one.await.unwrap());
    }
    assert!(wrong.is_empty(), "{} disagreements\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_situation_of_the_table() {
    let servers = Arc::new(Servers::start());
    let situations = table::situations(&servers);
    assert!(situations.len() >= 40);
    run(servers, situations).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_made_by_chance() {
    let servers = Arc::new(Servers::start());
    let situations = generated::situations(&servers, 120);
    run(servers, situations).await;
}

/// What `ssh-keyscan` prints makes a host known, plain and hashed.
#[tokio::test(flavor = "multi_thread")]
async fn what_ssh_keyscan_prints_is_understood() {
    let servers = Arc::new(Servers::start());
    let port = servers.port("plain");
    for flags in [&[][..], &["-H"]] {
        let scanned = std::process::Command::new("ssh-keyscan")
            .args(flags)
            .args(["-p", &port.to_string(), "127.0.0.1"])
            .output()
            .unwrap();
        let text = String::from_utf8(scanned.stdout).unwrap();
        assert!(text.lines().filter(|line| !line.starts_with('#')).count() >= 3, "{text}");
        let situation = Situation::new("keyscan", "plain", text).option("StrictHostKeyChecking yes");
        assert_eq!(trial::ours(&servers, &situation).await.verdict, Ok(()));
    }
}
