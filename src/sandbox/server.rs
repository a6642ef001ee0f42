//! Listens for one host and keeps its connections.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use russh::{
    Disconnect, MethodKind, MethodSet, Preferred, SshId, cipher, compression,
    keys::{Algorithm, PrivateKey},
    server::{self, Config},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{host::Host, session::Visitor, socket::Socket};

/// As sshd's LoginGraceTime.
const LOGIN: Duration = Duration::from_secs(120);
/// How long a client gets to hang up by itself.
const GOODBYE: Duration = Duration::from_millis(200);

/// The fast ciphers first; the client's order decides.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

/// What the SSH library needs to know for a host with this key.
pub(super) fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-rbee_sandbox_", env!("CARGO_PKG_VERSION")))),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // A key cannot be guessed by timing, and OpenSSH opens with a try that must fail.
        auth_rejection_time: Duration::ZERO,
        keys: vec![key],
        // As sshd has them.
        window_size: 2 << 20,
        maximum_packet_size: 32 << 10,
        // Both are counted in messages of up to a packet; the one is per channel, the other per connection.
        channel_buffer_size: 32,
        event_buffer_size: 32,
        preferred: Preferred {
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        // A fleet may be silent for long.
        inactivity_timeout: None,
        ..Config::default()
    }
}

/// Accepts connections until `closing`.
pub(super) async fn serve(
    listener: TcpListener,
    config: Arc<Config>,
    host: Arc<Host>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let talk = converse(tcp, peer, Arc::clone(&config), Arc::clone(&host), tasks.clone(), closing.clone());
                tasks.spawn(talk);
            }
            Err(e) => {
                tracing::warn!(host = host.name, error = %e, "cannot accept");
                // Out of file descriptors, most likely: the client stays in the queue.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    tcp: TcpStream,
    peer: SocketAddr,
    config: Arc<Config>,
    host: Arc<Host>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    let (Ok(()), Ok(local)) = (tcp.set_nodelay(true), tcp.local_addr()) else { return };
    let admitted = Arc::new(AtomicBool::new(false));
    let visitor = Visitor::new(Arc::clone(&host), peer, local, tasks, Arc::clone(&admitted));
    let (socket, cut) = Socket::new(tcp);

    let late = async {
        tokio::time::sleep(LOGIN).await;
        if admitted.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(late);
    let started = tokio::select! {
        () = closing.cancelled() => return,
        () = &mut late => return,
        started = server::run_stream(config, socket, visitor) => started,
    };
    let mut session = match started {
        Ok(session) => session,
        Err(e) => return tracing::debug!(host = host.name, %peer, error = %e, "no SSH client"),
    };
    let ended = tokio::select! {
        ended = &mut session => ended,
        () = closing.cancelled() => {
            let handle = session.handle();
            let why = "the sandbox ends".to_owned();
            let goodbye = async {
                let _ = handle.disconnect(Disconnect::ByApplication, why, String::new()).await;
                (&mut session).await
            };
            match tokio::time::timeout(GOODBYE, goodbye).await {
                Ok(ended) => ended,
                Err(_) => {
                    cut.now();
                    session.await
                }
            }
        }
        () = &mut late => {
            cut.now();
            session.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(host = host.name, %peer, error = %e, "connection ended");
    }
}
