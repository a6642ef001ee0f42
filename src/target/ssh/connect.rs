//! From a resolved host to a connection that is logged in.
//!
//! # Theory of operation
//! The host's connect timeout is a budget for everything until the login: names, TCP, key exchange, keys. Waiting for a
//! permit does not count, since that is our own queue. What is dropped before the login was begun (a busy sshd does
//! that to connections above MaxStartups) is tried again within the budget, with a growing, jittered pause; a refused
//! port, key or login never is.

use std::{
    borrow::Cow,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng;
use russh::{Preferred, SshId, cipher, client, compression};

use super::{
    auth::{self, Login},
    client::{Client, Fate, plainly},
    config::{Method, Resolved},
    host_algorithms::HostAlgorithms,
    host_key::HostKeyCheck,
    keys::KeyStore,
    known_hosts::KnownHosts,
    opener::SshConnection,
    permits::Permits,
    socket::Socket,
};
use crate::{
    target::TargetError,
    vocab::{Reason, text},
};

/// The first pause before another try; it doubles up to [`PAUSE_LIMIT`].
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// Beats of the connection that may stay without an answer.
const UNANSWERED: usize = 3;
/// What a host may send ahead of our reading, for each channel.
const WINDOW: u32 = 2 << 20;
/// Messages of a channel that may wait for its reader; the reader always reads.
const CHANNEL_MESSAGES: usize = 256;

/// What all connections of a run share.
pub(super) struct Shared {
    pub permits: Permits,
    pub known_hosts: Arc<KnownHosts>,
    pub keys: KeyStore,
    /// How long a silent host is believed to be there.
    pub lease: Duration,
}

/// How far one connection came.
pub(super) enum Reached {
    Connected(SshConnection),
    /// A file's key would be taken, once it is unlocked.
    Locked(std::path::PathBuf),
}

/// Why one try failed, and whether another may do better.
struct Failure {
    error: TargetError,
    again: bool,
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self { error, again: false }
    }
}

/// Connects, within the host's connect timeout.
///
/// # Errors
/// A sentence with the reason Connect, Timeout, HostKey or Auth.
pub(super) async fn establish(shared: &Shared, resolved: &Arc<Resolved>) -> Result<Reached, TargetError> {
    let mut budget = Budget { left: resolved.connect_timeout, limit: resolved.connect_timeout };
    let addresses = budget.spend(look_up(resolved)).await.ok_or_else(|| too_late(resolved, "the name server"))??;
    let mut pause = PAUSE;
    loop {
        let mut last = None;
        for (index, &address) in addresses.iter().enumerate() {
            let _permit = shared.permits.acquire(address).await;
            // An address that does not answer must leave time for the next.
            let share = budget.left / u32::try_from(addresses.len() - index).unwrap_or(1);
            let tried = budget.spend(attempt(shared, resolved, address, share)).await;
            match tried {
                Some(Ok(reached)) => return Ok(reached),
                Some(Err(failure)) => last = Some(failure),
                None => return Err(too_late(resolved, &format!("{}", Peer(resolved, address)))),
            }
            if !last
                .as_ref()
                .is_some_and(|failure| matches!(failure.error.reason(), Some(Reason::Connect | Reason::Timeout)))
            {
                break;
            }
        }
        let Some(failure) = last else {
            return Err(TargetError::connect(Reason::Connect, format!("{} has no address", resolved.host_name)));
        };
        let wait = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        if !failure.again || wait >= budget.left {
            return Err(failure.error);
        }
        budget.spend(tokio::time::sleep(wait)).await;
        pause = (pause * 2).min(PAUSE_LIMIT);
    }
}

/// The part of the connect timeout that is not used up.
struct Budget {
    left: Duration,
    limit: Duration,
}

impl Budget {
    /// `None` when the budget ended first.
    async fn spend<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        let done = tokio::time::timeout(self.left, step).await.ok();
        self.left = self.left.saturating_sub(start.elapsed()).min(self.limit);
        done
    }
}

fn too_late(resolved: &Resolved, who: &str) -> TargetError {
    let limit = text::human_duration(resolved.connect_timeout);
    TargetError::Connect {
        reason: Reason::Timeout,
        text: format!("no answer from {who} within {limit}"),
        hint: Some(
            "check that the host is on and that no firewall is between; connect_timeout is the limit".to_owned(),
        ),
    }
}

async fn look_up(resolved: &Resolved) -> Result<Vec<SocketAddr>, TargetError> {
    let host = resolved.host_name.trim_start_matches('[').trim_end_matches(']');
    let failed = |error: io::Error| TargetError::Connect {
        reason: Reason::Connect,
        text: format!("the name {host} cannot be looked up: {}", reworded(&error)),
        hint: Some(
            "check the name, or give the host an address in the inventory or a HostName in ssh_config".to_owned(),
        ),
    };
    let mut addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((host, resolved.port)).await.map_err(failed)?.collect();
    addresses.dedup();
    Ok(addresses)
}

/// The words of the resolver without its wrapping.
fn reworded(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

/// `host:port`, with the address where the host is a name.
struct Peer<'a>(&'a Resolved, SocketAddr);

impl std::fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(resolved, address) = self;
        if resolved.host_name == address.ip().to_string() {
            write!(f, "{address}")
        } else {
            write!(f, "{}:{} ({})", resolved.host_name, address.port(), address.ip())
        }
    }
}

async fn attempt(
    shared: &Shared,
    resolved: &Arc<Resolved>,
    address: SocketAddr,
    share: Duration,
) -> Result<Reached, Failure> {
    let peer = Peer(resolved, address);
    let beat = (shared.lease.mul_f64(0.3)).max(Duration::from_millis(200));
    let silence = beat * (UNANSWERED as u32 + 1);
    let socket = match tokio::time::timeout(share, Socket::connect(address, silence)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(unreachable(&peer, &error)),
        Err(_) => return Err(too_late(resolved, &peer.to_string()).into()),
    };
    let check = HostKeyCheck::new(resolved.clone(), shared.known_hosts.clone(), Some(address.ip()));
    let config = Arc::new(configure(&check, beat));
    let fate = Fate::default();
    let client = Client::new(check, fate.clone());
    let mut handle = match client::connect_stream(config, socket, client).await {
        Ok(handle) => handle,
        Err(error) => return Err(unfinished(&peer, &error, &fate)),
    };
    // A host that nobody vouches for learns no password.
    let careful = fate.doubtful().then(|| Resolved { methods: vec![Method::PublicKey], ..(**resolved).clone() });
    match auth::login(&mut handle, careful.as_ref().unwrap_or(resolved), &shared.keys).await? {
        Login::Done => Ok(Reached::Connected(SshConnection::new(handle, fate))),
        Login::Locked(path) => {
            let _ = handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
            Ok(Reached::Locked(path))
        }
    }
}

fn unreachable(peer: &Peer<'_>, error: &io::Error) -> Failure {
    let (reason, text) = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            (Reason::Connect, format!("{peer} refused the connection; is an SSH server running there?"))
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            (Reason::Connect, format!("there is no route to {peer}"))
        }
        io::ErrorKind::TimedOut => (Reason::Timeout, format!("no answer from {peer}")),
        _ => (Reason::Connect, format!("cannot connect to {peer}: {error}")),
    };
    Failure { error: TargetError::connect(reason, text), again: error.kind() == io::ErrorKind::ConnectionReset }
}

/// A handshake that did not come to its end.
fn unfinished(peer: &Peer<'_>, error: &russh::Error, fate: &Fate) -> Failure {
    if let Some(refused) = fate.refused() {
        return refused.into();
    }
    let connect = |text: String| TargetError::connect(Reason::Connect, text);
    match error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = match kind {
                russh::AlgorithmKind::Kex => "key exchange",
                russh::AlgorithmKind::Key => "host key",
                russh::AlgorithmKind::Cipher => "cipher",
                russh::AlgorithmKind::Mac => "MAC",
                russh::AlgorithmKind::Compression => "compression",
            };
            let theirs = text::plain_line(&theirs.join(", "));
            Failure::from(TargetError::Connect {
                reason: Reason::Connect,
                text: format!("{peer} offers only {kind} algorithms this program does not have: {theirs}"),
                hint: Some(
                    "let the server also offer curve25519-sha256, ssh-ed25519 or rsa-sha2-512, and aes128-gcm@openssh.com \
                     or aes128-ctr with hmac-sha2-256"
                        .to_owned(),
                ),
            })
        }
        russh::Error::Version => connect(format!("what answers at {peer} is not an SSH 2 server")).into(),
        russh::Error::Disconnect | russh::Error::HUP => {
            let said = fate.said().map(|why| format!(": {why}")).unwrap_or_default();
            Failure { error: connect(format!("{peer} closed the connection before the login{said}")), again: true }
        }
        russh::Error::IO(error) if dropped(error) => {
            Failure { error: connect(format!("{peer} dropped the connection before the login ({error})")), again: true }
        }
        other => connect(format!("the handshake with {peer} failed: {}", plainly(other))).into(),
    }
}

fn dropped(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

fn configure(check: &HostKeyCheck, beat: Duration) -> client::Config {
    let HostAlgorithms { certificates, plain } = check.algorithms();
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-rbee_", env!("CARGO_PKG_VERSION")))),
        window_size: WINDOW,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: Preferred {
            key: Cow::Owned(plain),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(if has_aes() { AES_FIRST } else { CHACHA_FIRST }),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        // A write that hangs is noticed by the kernel on Linux; elsewhere, and as a last resort, by this.
        inactivity_timeout: Some((beat * 10).max(Duration::from_secs(30))),
        keepalive_interval: Some(beat),
        keepalive_max: UNANSWERED,
        nodelay: true,
        ..client::Config::default()
    }
}

const AES_FIRST: &[cipher::Name] =
    &[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_128_CTR];
const CHACHA_FIRST: &[cipher::Name] =
    &[cipher::CHACHA20_POLY1305, cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::AES_256_CTR, cipher::AES_128_CTR];

/// Whether this processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
