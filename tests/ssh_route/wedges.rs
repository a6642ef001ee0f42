//! Hosts that share one bastion's connection do not stop each other.

use std::time::Duration;

use rbee::target::conduit::Opener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{configure, connector, output, sshd::Lab, support};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_read_stops_nobody_else() {
    let lab = Lab::new(&["jump", "stuck", "free"]);
    configure(&lab, "Host stuck free\n  ProxyJump jump\n");
    let connector = connector(&lab);
    let scope = support::scope().0;
    let stuck = connector.connect(&scope, &lab.host("stuck")).await.unwrap();
    let free = connector.connect(&scope, &lab.host("free")).await.unwrap();
    // Endless output that nobody here reads, on as many programs as a host may have at a time but one.
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(stuck.open("exec cat /dev/zero").await.unwrap());
    }
    // Far more than any buffer between holds goes through beside it.
    let mut beside = free.open("head -c 60000000 /dev/zero").await.unwrap();
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    let reading = async {
        loop {
            match beside.stdout.read(&mut buffer).await.unwrap() {
                0 => return count,
                n => count += n,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(100), reading).await.expect("it is not stopped"), 60_000_000);
    for _ in 0..20 {
        assert_eq!(output(&free, "echo alive").await, "alive\n|");
    }
    free.ping().await.unwrap();
    // The one that was stuck goes on where it stood, once somebody reads.
    let reading: Vec<_> = unread
        .into_iter()
        .map(|mut program| {
            tokio::spawn(async move {
                let mut whole = vec![1; 20_000_000];
                program.stdout.read_exact(&mut whole).await.unwrap();
                assert!(whole.iter().all(|byte| *byte == 0));
            })
        })
        .collect();
    for one in reading {
        tokio::time::timeout(Duration::from_secs(100), one).await.expect("it goes on").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_reads_nothing_stops_nobody_else() {
    let lab = Lab::new(&["jump", "stopped", "free"]);
    configure(&lab, "Host stopped free\n  ProxyJump jump\n");
    let connector = connector(&lab);
    let scope = support::scope().0;
    let stopped = connector.connect(&scope, &lab.host("stopped")).await.unwrap();
    let free = connector.connect(&scope, &lab.host("free")).await.unwrap();
    let mut sink = stopped.open("cat >/dev/null").await.unwrap();
    assert_eq!(output(&free, "echo alive").await, "alive\n|");
    // Its sshd stands still as if the machine had: what is written to it fills every buffer on the way.
    lab.sshd("stopped").freeze();
    let writing = tokio::spawn(async move {
        let chunk = vec![0; 1 << 20];
        while sink.stdin.write_all(&chunk).await.is_ok() {}
    });
    for _ in 0..10 {
        let free = free.clone();
        let said = tokio::time::timeout(Duration::from_secs(60), async move { output(&free, "echo alive").await });
        assert_eq!(said.await.expect("it is not stopped"), "alive\n|");
    }
    let mut body = free.open("wc -c").await.unwrap();
    let sent = async {
        let chunk = vec![0; 1 << 20];
        for _ in 0..20 {
            body.stdin.write_all(&chunk).await.unwrap();
        }
        body.stdin.shutdown().await.unwrap();
        let mut count = String::new();
        body.stdout.read_to_string(&mut count).await.unwrap();
        count
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), sent).await.unwrap().trim(), "20971520");
    writing.abort();
}
