//! `ProxyCommand`: whose streams are the connection, and which ends with it.

use std::{fs, time::Duration};

use rbee::{target::conduit::Opener, vocab::Reason};

use crate::{configure, connect, output, refused, said, ssh, sshd::Lab, support};

/// A program that connects its streams to a host and port.
pub fn pump(lab: &Lab) -> String {
    let path = lab.dir().join("pump.py");
    let text = r#"
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while True:
        data = os.read(0, 65536)
        if not data: break
        s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while True:
    data = s.recv(65536)
    if not data: break
    os.write(1, data)
"#;
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_the_connection_and_ends_with_it() {
    let lab = Lab::new(&["one"]);
    let token = support::token();
    // The shell stays between, so that there is a group to end and not one process.
    configure(
        &lab,
        &format!(
            "Host via\n  HostName 127.0.0.1\n  Port {}\n  ProxyCommand sh -c 'python3 {} %h %p {token}; true'\n",
            lab.sshd("one").port,
            pump(&lab)
        ),
    );
    assert_eq!(said(&ssh(&lab, &["via", "echo in"])), "in\n|");
    let connection = connect(&lab, "via").await.unwrap();
    assert_eq!(output(&connection, "echo in").await, "in\n|");
    support::until_seen(&token, 2);
    connection.close().await;
    drop(connection);
    support::eventually("the command's group ends", Duration::from_secs(20), || {
        support::processes_with(&token).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stubborn_command_is_killed() {
    let lab = Lab::new(&["one"]);
    let token = support::token();
    configure(
        &lab,
        &format!(
            "Host via\n  HostName 127.0.0.1\n  Port {}\n  \
         ProxyCommand sh -c 'trap \"\" HUP TERM PIPE; python3 {} %h %p; while :; do sleep 1; : {token}; done'\n",
            lab.sshd("one").port,
            pump(&lab)
        ),
    );
    let connection = connect(&lab, "via").await.unwrap();
    support::until_seen(&token, 1);
    drop(connection);
    support::eventually("it is killed", Duration::from_secs(20), || support::processes_with(&token).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_explains_why_there_is_no_connection() {
    let lab = Lab::new(&["one"]);
    configure(
        &lab,
        "Host talker\n  ProxyCommand sh -c 'echo first >&2; echo no such gateway >&2; exit 3'\n\
         Host missing\n  ProxyCommand /no/such/program %h\n\
         Host silent\n  ConnectTimeout 1\n  ProxyCommand sh -c 'echo waiting >&2; exec sleep 600'\n",
    );
    let (reason, text, _) = refused(&lab, "talker").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("first; no such gateway"), "{text}");
    let (reason, text, _) = refused(&lab, "missing").await;
    assert_eq!(reason, Reason::Connect);
    assert!(text.contains("/no/such/program") && text.contains("not found"), "{text}");
    let (reason, text, _) = refused(&lab, "silent").await;
    assert_eq!(reason, Reason::Timeout);
    assert!(text.contains("within 1.0s") && text.contains("waiting"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_no_command() {
    let lab = Lab::new(&["one"]);
    configure(&lab, "Host one\n  ProxyCommand none\n  ProxyJump none\n");
    assert_eq!(output(&connect(&lab, "one").await.unwrap(), "echo in").await, "in\n|");
}
