//! What is proposed in the handshake, and what it means when it fails.

use std::{borrow::Cow, io, time::Duration};

use russh::{AlgorithmKind, Preferred, SshId, client};

use super::{
    algorithms,
    client::{Fate, plainly},
    config::Resolved,
    dial::{Failure, Peer},
    host_algorithms::HostAlgorithms,
};
use crate::{
    target::TargetError,
    vocab::{Reason, text},
};

/// Beats of the connection that may stay without an answer.
pub(super) const UNANSWERED: usize = 3;
/// What a host may send ahead of our reading, for each channel.
const WINDOW: u32 = 2 << 20;
/// Messages of a channel that may wait for its reader; the reader always reads.
const CHANNEL_MESSAGES: usize = 256;

/// A handshake that did not come to its end.
pub(super) fn unfinished(resolved: &Resolved, peer: &Peer, error: &russh::Error, fate: &Fate) -> Failure {
    if let Some(refused) = fate.refused() {
        return refused.into();
    }
    match error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            nothing_in_common(resolved, peer, kind, ours, theirs).into()
        }
        russh::Error::Version => Failure::connect(format!("what answers at {peer} is not an SSH 2 server")),
        russh::Error::Disconnect | russh::Error::HUP => {
            let said = fate.said().map(|why| format!(": {why}")).unwrap_or_default();
            Failure::dropped(format!("{peer} closed the connection before the login{said}"))
        }
        russh::Error::IO(error) if dropped(error) => {
            Failure::dropped(format!("{peer} dropped the connection before the login ({error})"))
        }
        other => Failure::connect(format!("the handshake with {peer} failed: {}", plainly(other))),
    }
}

/// Says what the server offers, and whose list does not have it.
fn nothing_in_common(
    resolved: &Resolved,
    peer: &Peer,
    kind: &AlgorithmKind,
    ours: &[String],
    theirs: &[String],
) -> TargetError {
    let lists = &resolved.algorithms;
    let (kind, keyword, chosen) = match kind {
        AlgorithmKind::Kex => ("key exchange", "KexAlgorithms", lists.kex.is_some()),
        AlgorithmKind::Key => ("host key", "HostKeyAlgorithms", lists.host_keys.is_some()),
        AlgorithmKind::Cipher => ("cipher", "Ciphers", lists.ciphers.is_some()),
        AlgorithmKind::Mac => ("MAC", "MACs", lists.macs.is_some()),
        AlgorithmKind::Compression => ("compression", "Compression", false),
    };
    let theirs = text::plain_line(&theirs.join(", "));
    let (text, hint) = if chosen {
        let ours: Vec<&str> = ours
            .iter()
            .map(String::as_str)
            .filter(|n| !n.starts_with("ext-info-") && !n.contains("-strict-"))
            .collect();
        (
            format!("{peer} offers no {kind} algorithm that {keyword} of ssh_config allows: {theirs}"),
            format!("{keyword} leaves {}; let it, or the server, allow more", ours.join(", ")),
        )
    } else {
        (
            format!("{peer} offers only {kind} algorithms this program does not have: {theirs}"),
            "let the server also offer curve25519-sha256, ssh-ed25519 or rsa-sha2-512, and aes128-gcm@openssh.com \
             or aes128-ctr with hmac-sha2-256"
                .to_owned(),
        )
    };
    TargetError::Connect { reason: Reason::Connect, text, hint: Some(hint) }
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

/// What is proposed to a host, and how its silence is noticed; `beat` is the lease's.
///
/// # Errors
/// A list of algorithms that leaves nothing.
pub(super) fn configure(
    resolved: &Resolved,
    keys: HostAlgorithms,
    beat: Duration,
) -> Result<client::Config, TargetError> {
    let HostAlgorithms { certificates, plain } = keys;
    let (interval, unanswered) = pace(resolved, beat);
    Ok(client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-rbee_", env!("CARGO_PKG_VERSION")))),
        window_size: WINDOW,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: Preferred {
            key: Cow::Owned(plain),
            host_key_certificates: Cow::Owned(certificates),
            ..algorithms::preferred(resolved)?
        },
        // A write that hangs is noticed by the kernel on Linux; elsewhere, and as a last resort, by this.
        inactivity_timeout: Some((beat * 10).max(Duration::from_secs(30))),
        keepalive_interval: Some(interval),
        keepalive_max: unanswered,
        nodelay: true,
        ..client::Config::default()
    })
}

/// How often a silent host is asked for a sign of life, and how many answers may stay away.
///
/// `ServerAliveInterval` and `ServerAliveCountMax` may make that shorter than the lease, never longer: while a lane is
/// open the host ends it after the lease, whatever ssh_config says about idle connections.
fn pace(resolved: &Resolved, beat: Duration) -> (Duration, usize) {
    let Some(alive) = resolved.alive.filter(|alive| !alive.interval.is_zero()) else { return (beat, UNANSWERED) };
    let interval = alive.interval.min(beat);
    let patience = (alive.interval * alive.count_max.max(1)).min(beat * UNANSWERED as u32);
    let unanswered = (patience.as_secs_f64() / interval.as_secs_f64()).round().max(1.0);
    (interval, unanswered as usize)
}
