//! Connections: taken, limited, and let go.

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    runtime::Handle,
    sync::Semaphore,
    task::JoinError,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Door, guard::Peer, patience::Patient, problem::Problem, routes::router, socket::Socket};
use crate::vocab::Secret;

/// Bytes of headers, and bytes that wait for a reader.
const BUFFER: usize = 32 << 10;
const HEADERS: usize = 64;
/// After a refused connection: too many files, as a rule.
const BREATH: Duration = Duration::from_millis(100);

/// Where a door opens.
pub struct Doors {
    pub unix: Socket,
    /// Loopback, and what is asked there.
    pub tcp: Option<(TcpListener, Secret)>,
}

/// How long clients may take, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the headers are there, from the last answer on.
    pub headers: Duration,
    /// Without taking a byte of an answer.
    pub write: Duration,
    /// Connections at a time, for each way in.
    pub connections: usize,
    /// For answers that are under way when the door closes.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(10),
            write: Duration::from_secs(60),
            connections: 1024,
            goodbye: Duration::from_secs(3),
        }
    }
}

/// Takes connections until `stop`, and then finishes what is under way. What is asked is done on `home`.
pub async fn serve(door: Door, doors: Doors, patience: Patience, stop: CancellationToken, home: Handle) {
    let room = Room { router: router(&door), home, patience, stop, tasks: TaskTracker::new() };
    let Doors { unix, tcp } = doors;
    let on_unix = room.accept(|| unix.listener.accept(), |(stream, _)| of_unix(stream));
    match tcp {
        None => on_unix.await,
        Some((listener, token)) => {
            let token = Arc::new(token);
            let on_tcp = room.accept(
                || listener.accept(),
                |(stream, address)| {
                    let _ = TcpStream::set_nodelay(&stream, true);
                    Some((stream, Peer::Tcp { address, token: token.clone() }))
                },
            );
            tokio::join!(on_unix, on_tcp);
        }
    }
    // Nobody finds the door any more; those that are within may finish.
    drop(unix);
    room.tasks.close();
    let _ = tokio::time::timeout(patience.goodbye, room.tasks.wait()).await;
}

/// The peer's user is the folder's owner, or root; anybody else got here by a mistake in its modes.
fn of_unix(stream: UnixStream) -> Option<(UnixStream, Peer)> {
    let peer = stream.peer_cred().ok()?;
    let uid = peer.uid();
    if uid != nix::unistd::geteuid().as_raw() && uid != 0 {
        tracing::warn!(uid, "another user was turned away at the socket");
        return None;
    }
    Some((stream, Peer::Unix { uid, pid: peer.pid() }))
}

struct Room {
    router: Router,
    home: Handle,
    patience: Patience,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Room {
    async fn accept<A, S, F>(&self, accept: impl Fn() -> F, admit: impl Fn(A) -> Option<(S, Peer)>)
    where
        F: Future<Output = io::Result<A>>,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(self.patience.connections));
        loop {
            let arrival = async {
                // The semaphore is never closed.
                let place = places.clone().acquire_owned().await.ok();
                (place, accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                arrival = arrival => arrival,
            };
            match accepted {
                Ok(arrived) => {
                    if let Some((stream, peer)) = admit(arrived) {
                        let (router, home) = (self.router.clone(), self.home.clone());
                        let talk = talk(stream, peer, router, home, self.patience, self.stop.clone());
                        self.tasks.spawn(async move {
                            talk.await;
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!("a connection was not taken: {error}");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

fn bug(error: &JoinError) -> Response {
    tracing::error!("a bug in rbee: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a bug in rbee; the hive's log has more of it").into_response()
}

/// One connection, until it ends or the door closes.
async fn talk<S>(stream: S, peer: Peer, router: Router, home: Handle, patience: Patience, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routed = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        // On its own: what was asked is done, even if whoever asked is gone before it began.
        let answer = home.spawn(routed.call(request));
        async move { answer.await.unwrap_or_else(|error| Ok::<_, Infallible>(bug(&error))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.headers)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(Patient::new(stream, patience.write)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}
