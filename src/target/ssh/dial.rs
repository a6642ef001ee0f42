//! The way to a host's SSH server, as a stream of bytes.
//!
//! A host is reached directly ([`direct`](super::direct)), through a command of the user's ([`proxy`](super::proxy)), or
//! through a bastion whose session is there already ([`tunnel`](super::tunnel)). Whoever dials holds a permit of that
//! server until the login is through.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Shared,
    bastion::Bastion,
    budget::Budget,
    config::{Resolved, Route},
    direct,
    permits::{Permit, Server},
    proxy, tunnel,
};
use crate::{target::TargetError, vocab::Reason};

/// A two-way stream of bytes.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// An open way to a host's SSH server, before the first word of the protocol.
pub(super) struct Dialed {
    pub stream: Box<dyn Wire>,
    pub peer: Peer,
    /// What a ProxyCommand says about itself.
    pub words: Option<proxy::Words>,
    /// To be held until the login.
    pub permit: Permit,
}

/// Whom the stream leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    /// For sentences: `host:port`, with the address or the way where the name alone does not say it.
    pub text: String,
    /// Known where the connection is direct.
    pub address: Option<std::net::SocketAddr>,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why one try failed, and whether another may do better.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: TargetError,
    pub again: bool,
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self { error, again: false }
    }
}

impl Failure {
    /// Nothing answers there, and asking again would not change it.
    pub(super) fn connect(text: impl Into<String>) -> Self {
        TargetError::connect(Reason::Connect, text).into()
    }

    /// Dropped before the login was begun, as a busy server does.
    pub(super) fn dropped(text: impl Into<String>) -> Self {
        Self { error: TargetError::connect(Reason::Connect, text), again: true }
    }
}

/// Opens the way to a host; `bastion` is the session of its last hop, where it has any.
///
/// Waiting for a permit does not count into the budget.
///
/// # Errors
/// [`Reason::Connect`] or [`Reason::Timeout`], and whether it may be tried again.
pub(super) async fn dial(
    shared: &Shared,
    resolved: &Resolved,
    bastion: Option<&Bastion>,
    budget: &mut Budget,
) -> Result<Dialed, Failure> {
    match (&resolved.route, bastion) {
        (Route::Direct(source), _) => direct::dial(&shared.permits, resolved, source, shared.silence(), budget).await,
        (Route::Command(command), _) => {
            let server = Server::Beyond(format!("{command}\n{}:{}", resolved.host_name, resolved.port));
            let permit = shared.permits.acquire(server).await;
            let text = format!("{}:{}", resolved.host_name, resolved.port);
            let (stream, words) = proxy::start(&shared.shell, command).map_err(|error| {
                Failure::connect(format!("the ProxyCommand of {} cannot be started: {error}", resolved.name))
            })?;
            let peer = Peer { text: format!("{text} through its ProxyCommand"), address: None };
            Ok(Dialed { stream: Box::new(stream), peer, words: Some(words), permit })
        }
        (Route::Jump(_), Some(bastion)) => {
            let server = Server::Beyond(format!("{}\n{}:{}", bastion.name, resolved.host_name, resolved.port));
            let permit = shared.permits.acquire(server).await;
            let peer = Peer {
                text: format!("{}:{} through {}", resolved.host_name, resolved.port, bastion.name),
                address: None,
            };
            let opened = budget.spend(tunnel::open(bastion, &resolved.host_name, resolved.port)).await;
            let stream = opened.ok_or_else(|| budget.too_late(&peer.text))??;
            Ok(Dialed { stream: Box::new(stream), peer, words: None, permit })
        }
        (Route::Jump(_), None) => Err(Failure::connect(format!("{} needs a bastion and has none", resolved.name))),
    }
}
