//! How often both sides of a long wire wait for each other.

use std::time::Duration;

use rbee::target::{
    Captured, Command, Target,
    conduit::Opener,
    supervisor::{Supervised, Supervision},
};

use crate::{configure, connect, delay::Wire, output, said, ssh, sshd::Lab};

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_true_take_fewer_turns_than_ssh() {
    let lab = Lab::new(&["one"]);
    let wire = Wire::to(lab.sshd("one").port, Duration::from_millis(50)).unwrap();
    let port = wire.port();
    configure(
        &lab,
        &format!(
            "Host wire\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias [127.0.0.1]:{}\n",
            lab.sshd("one").port
        ),
    );
    let theirs = ssh(&lab, &["wire", "true"]);
    assert!(theirs.status.success(), "{}", said(&theirs));
    let of_ssh = wire.turns();

    let connection = connect(&lab, "wire").await.unwrap();
    let login = wire.turns() - of_ssh;
    assert_eq!(output(&connection, "true").await, "|");
    let plain = wire.turns() - of_ssh;
    connection.close().await;

    let before = wire.turns();
    let (scope, _events) = crate::support::scope();
    let connection = connect(&lab, "wire").await.unwrap();
    let target = Supervised::new(connection, Supervision::default());
    let exit = target.run(&scope, &Command::foreign("true", "true"), &mut Captured::default()).await.unwrap();
    assert_eq!(exit.status, 0);
    let supervised = wire.turns() - before;
    target.close().await;
    println!("turns: ssh {of_ssh}, login {login}, plain {plain}, supervised {supervised}");
    assert!(plain < of_ssh && supervised < of_ssh, "ssh {of_ssh}, plain {plain}, supervised {supervised}");
}
