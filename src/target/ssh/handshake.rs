//! What is proposed in the handshake, and what it means when it fails.

use std::{borrow::Cow, io, time::Duration};

use russh::{Preferred, SshId, cipher, client, compression};

use super::{
    client::{Fate, plainly},
    dial::{Failure, Peer},
    host_key::HostKeyCheck,
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
pub(super) fn unfinished(peer: &Peer, error: &russh::Error, fate: &Fate) -> Failure {
    if let Some(refused) = fate.refused() {
        return refused.into();
    }
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

pub(super) fn configure(check: &HostKeyCheck, beat: Duration) -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-rbee_", env!("CARGO_PKG_VERSION")))),
        window_size: WINDOW,
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred: Preferred {
            key: Cow::Owned(check.algorithms()),
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
