//! How many connections may be on their way at a time.

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handshakes at a time, over all hosts.
const HANDSHAKES: usize = 128;
/// Connections at a time that one server has not let in yet: it drops some from the tenth on (MaxStartups).
const UNAUTHENTICATED: usize = 8;

/// Threads at a time that read ssh_config, whose commands may take long, and that look names up, where a dead name
/// server must not cost the others. Each thread holds memory long after its work.
const READERS: usize = 8;
const NAMES: usize = 32;

/// The permits of one run, shared by all its connections.
#[derive(Debug)]
pub struct Permits {
    handshakes: Arc<Semaphore>,
    servers: Mutex<HashMap<Server, Arc<Semaphore>>>,
    readers: Semaphore,
    names: Semaphore,
}

/// One SSH server, as far as it can be told from here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Server {
    At(SocketAddr),
    /// Behind something else: the way to it and its name there.
    Beyond(String),
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            servers: Mutex::default(),
            readers: Semaphore::new(READERS),
            names: Semaphore::new(NAMES),
        }
    }
}

/// Held from before the first packet until the login.
#[derive(Debug)]
pub(super) struct Permit {
    _server: Option<OwnedSemaphorePermit>,
    _handshake: Option<OwnedSemaphorePermit>,
}

impl Permits {
    /// Waits for a place; the server's own first, so that nobody waits for it with a common one in hand.
    pub(super) async fn acquire(&self, server: Server) -> Permit {
        let places = {
            let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.entry(server).or_insert_with(|| Arc::new(Semaphore::new(UNAUTHENTICATED))).clone()
        };
        // Neither semaphore is ever closed.
        let server = places.acquire_owned().await.ok();
        let handshake = self.handshakes.clone().acquire_owned().await.ok();
        Permit { _server: server, _handshake: handshake }
    }

    /// Waits for its turn to read ssh_config on a thread of its own.
    pub(super) async fn reading<T>(&self, work: impl Future<Output = T>) -> T {
        // Neither semaphore is ever closed.
        let _turn = self.readers.acquire().await.ok();
        work.await
    }

    /// Waits for its turn to look a name up.
    pub(super) async fn naming<T>(&self, work: impl Future<Output = T>) -> T {
        let _turn = self.names.acquire().await.ok();
        work.await
    }
}
