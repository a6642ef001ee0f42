//! How many connections may be on their way at a time.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Handshakes at a time, over all hosts.
const HANDSHAKES: usize = 128;
/// Connections at a time that one server has not let in yet: it drops some from the tenth on (MaxStartups).
const UNAUTHENTICATED: usize = 8;

/// The permits of one run, shared by all its connections.
#[derive(Debug)]
pub struct Permits {
    handshakes: Arc<Semaphore>,
    servers: Mutex<HashMap<Server, Arc<Semaphore>>>,
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
        Self { handshakes: Arc::new(Semaphore::new(HANDSHAKES)), servers: Mutex::default() }
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
}
