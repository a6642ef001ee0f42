//! How often both sides of a long wire wait for each other.

use std::time::Duration;

use rbee::{
    scope::CancelReason,
    target::{
        Captured, Closed, Command, Target, TargetError,
        conduit::Opener,
        supervisor::{Supervised, Supervision},
    },
};

use crate::{configure, connect, delay::Wire, output, said, ssh, sshd::Lab};

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_true_take_fewer_turns_than_ssh() {
    let (of_ssh, plain, supervised) = fewest(&[]).await;
    assert!(plain < of_ssh && supervised < of_ssh, "ssh {of_ssh}, plain {plain}, supervised {supervised}");
    let (of_ssh, _, told) = fewest(&["AcceptEnv NOTHING"]).await;
    assert!(told < of_ssh && told == supervised + 1, "ssh {of_ssh}, {told} instead of {supervised}");
}

/// A busy machine breaks one turn into two, and never makes one of two.
async fn fewest(options: &[&str]) -> (usize, usize, usize) {
    let mut fewest = turns(options).await;
    for _ in 0..3 {
        let (of_ssh, plain, supervised) = turns(options).await;
        fewest = (fewest.0.min(of_ssh), fewest.1.min(plain), fewest.2.min(supervised));
    }
    fewest
}

/// Those of `ssh`, of a command without supervision, and of one with it.
async fn turns(options: &[&str]) -> (usize, usize, usize) {
    let lab = Lab::with(&["one"], options);
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
    (of_ssh, plain, supervised)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_begins_whatever_becomes_of_the_variables() {
    let lost = "AcceptEnv LC_*\nForceCommand unset LC_RBEE_1 LC_RBEE_2; eval \"$SSH_ORIGINAL_COMMAND\"";
    let half = "AcceptEnv LC_RBEE_1";
    for option in ["AcceptEnv LC_*", "AcceptEnv NOTHING", half, lost] {
        let lab = Lab::with(&["one"], &option.split('\n').collect::<Vec<_>>());
        let (scope, _events) = crate::support::scope();
        let target = Supervised::new(connect(&lab, "one").await.unwrap(), Supervision::default());
        for _ in 0..2 {
            // Also a second lane, and one that is used again.
            let script = "echo \"it's $((1 + 1))\"; env | grep LC_RBEE; exit 3";
            let (mut one, mut other) = (Captured::default(), Captured::default());
            let command = Command::foreign("say", script);
            let (a, b) = tokio::join!(target.run(&scope, &command, &mut one), target.run(&scope, &command, &mut other));
            assert_eq!((a.unwrap().status, b.unwrap().status), (3, 3), "{option}");
            assert_eq!((one.text(), other.text()), ("it's 2\n".into(), "it's 2\n".into()), "{option}");
        }
        assert_eq!(target.close().await, Closed::Clean, "{option}");
    }
}

/// What was called off before it began is not begun later.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_while_a_lane_is_opened_is_confirmed_or_nothing_began() {
    let lab = Lab::new(&["one"]);
    for round in 0..40u64 {
        let (scope, _events) = crate::support::scope();
        let target = Supervised::new(connect(&lab, "one").await.unwrap(), Supervision::default());
        let token = crate::support::token();
        let cancel = async {
            tokio::time::sleep(Duration::from_micros(round * 250)).await;
            scope.cancel().ask(CancelReason::Interrupt);
        };
        let command = Command::foreign("sleep", format!("sleep {token}"));
        let mut kept = Captured::default();
        let (ended, ()) = tokio::join!(target.run(&scope, &command, &mut kept), cancel);
        assert!(matches!(ended, Err(TargetError::Stopped(_))), "{round}: {ended:?}");
        assert_eq!(crate::support::processes_with(&token), [] as [u32; 0], "{round}");
        assert_eq!(target.close().await, Closed::Clean, "{round}");
        assert_eq!(crate::support::processes_with(&token), [] as [u32; 0], "{round}");
    }
}
