//! A model hub on loopback that needs no disk and no internet: what downloads are tried against.
//!
//! It speaks the part of the hub's protocol that clients use to fetch models: repository info, the tree in pages, refs,
//! and `resolve`, which sends small files to a path of its own and large ones to a *CDN*: another port, with signed
//! links that expire. Ranges, HEAD and gated repositories are as on the real one, so that `hf` itself works against it
//! with `HF_ENDPOINT`. What is in which repository says [`repos`]; contents are made from their names, see [`content`].
//!
//! # Theory of operation
//! Two listeners share one [`Shared`]. What a request is answered with is decided in [`api`] and [`cdn`]; the faults
//! that concern an answer are looked up there. Faults of the wire (a reset, a stall, a narrow line) belong to
//! connections, so they are made below HTTP, in [`wire`], as the CDN's bytes leave.

mod answer;
mod api;
mod cdn;
mod content;
mod faults;
mod link;
mod repos;
mod wire;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use axum::{Router, body::Body, extract::State};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use faults::{Faults, UnknownFault};
pub use repos::TOKEN;

use answer::{Request, Response};
use wire::{Peer, Wires};

/// Requests that are remembered.
const MOST_ASKED: usize = 100_000;

/// A request that came, and what it was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// Without its query.
    pub path: String,
    pub range: Option<String>,
    pub status: u16,
    /// It carried a token.
    pub token: bool,
    /// It came to the CDN.
    pub cdn: bool,
}

/// What both listeners know.
pub(super) struct Shared {
    /// `http://127.0.0.1:PORT` of the CDN.
    cdn: String,
    /// What links are signed with.
    secret: u128,
    /// In each link that is signed, and in nothing else anywhere.
    mark: String,
    /// Of this hub alone, as good as [`TOKEN`].
    token: String,
    faults: Mutex<Faults>,
    asked: Mutex<Vec<Asked>>,
    /// Bytes of files that left over the CDN.
    sent: AtomicU64,
    repos: repos::Shelf,
}

impl Shared {
    fn takes(&self, token: Option<&str>) -> bool {
        token.is_some_and(|token| token == TOKEN || token == self.token)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, asked: Asked) {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_ASKED {
            all.push(asked);
        }
    }
}

/// A running hub; it ends with [`Hub::shutdown`], or when it is dropped.
pub struct Hub {
    shared: Arc<Shared>,
    address: SocketAddr,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Hub {
    /// Listens on two free ports of 127.0.0.1.
    ///
    /// # Errors
    /// The system has none.
    pub async fn start(faults: Faults) -> io::Result<Self> {
        let hub = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let cdn = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = hub.local_addr()?;
        let shared = Arc::new(Shared {
            cdn: format!("http://{}", cdn.local_addr()?),
            secret: rand::random(),
            mark: format!("{:016x}", rand::random::<u64>()),
            token: format!("hf_{:034x}", rand::random::<u128>()),
            faults: Mutex::new(faults),
            asked: Mutex::default(),
            sent: AtomicU64::new(0),
            repos: repos::Shelf::default(),
        });
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let door = Router::new().fallback(at_hub).with_state(Arc::clone(&shared));
        let ended = closing.clone().cancelled_owned();
        let hub = Wires::new(hub, false, Arc::clone(&shared));
        tasks.spawn(async move {
            axum::serve(hub, door.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(ended).await
        });
        let door = Router::new().fallback(at_cdn).with_state(Arc::clone(&shared));
        let ended = closing.clone().cancelled_owned();
        let wires = Wires::new(cdn, true, Arc::clone(&shared));
        tasks.spawn(async move {
            axum::serve(wires, door.into_make_service_with_connect_info::<Peer>()).with_graceful_shutdown(ended).await
        });
        tasks.close();
        Ok(Self { shared, address, closing, tasks })
    }

    /// For `HF_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token that this hub takes and no other one: whoever looks for it finds nobody else's.
    pub fn token(&self) -> &str {
        &self.shared.token
    }

    /// Every link that this hub signs has this in its signature, and nothing else on this machine has.
    pub fn mark(&self) -> &str {
        &self.shared.mark
    }

    /// From now on, these.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults() = faults;
    }

    /// All requests so far, in the order in which they were answered.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of large files that have left so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Answers nobody any more; connections get a moment to end.
    pub async fn shutdown(self) {
        self.closing.cancel();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.tasks.wait()).await;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hub({})", self.address)
    }
}

async fn at_hub(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let request = Request::of(&request);
    let (asked, shelf) = (request.clone(), Arc::clone(&shared));
    // A repository's hashes are taken when they are first asked for, which may take seconds.
    let answer = tokio::task::spawn_blocking(move || api::answer(&shelf, &asked)).await;
    done(&shared, request, answer.unwrap_or_else(|_| answer::plain(500, "the stand-in broke")), false)
}

async fn at_cdn(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let request = Request::of(&request);
    let answer = cdn::answer(&shared, &request);
    done(&shared, request, answer, true)
}

fn done(shared: &Shared, request: Request, mut answer: Response, cdn: bool) -> Response {
    let Request { method, path, range, token, .. } = request;
    if method == "HEAD" {
        *answer.body_mut() = Body::empty();
    }
    shared.note(Asked { method, path, range, status: answer.status().as_u16(), token: token.is_some(), cdn });
    answer
}
