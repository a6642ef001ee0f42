//! Our side of the protocol's callbacks: the host's key, and how the connection ended.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use russh::{
    AlgorithmKind, Channel, ChannelId, ChannelOpenFailure,
    client::{ChannelOpenHandle, Config, DisconnectReason, Handler, Msg, Session},
    keys::PublicKeyOrCertificate,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use super::host_key::{Accepted, HostKeyCheck};
use crate::{target::TargetError, vocab::text};

/// How long the reason of an end that was noticed is waited for.
const GOODBYE: Duration = Duration::from_secs(2);
/// Refusals of channels whose words nobody has asked for yet.
const REFUSALS: usize = 64;
/// What a server may say to people, in bytes.
const WORDS: usize = 8 << 10;

/// What became of a connection, for those who hold the other end of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Why the host's key was not accepted.
    refused: OnceLock<TargetError>,
    /// How it was.
    accepted: OnceLock<Accepted>,
    why: OnceLock<String>,
    over: CancellationToken,
    /// Code and words of channels that were not opened.
    refusals: Mutex<VecDeque<(u32, String)>>,
    refusal: Notify,
    /// The server's banner and what it said besides its questions.
    words: Mutex<String>,
}

impl Fate {
    pub(super) fn refused(&self) -> Option<TargetError> {
        self.0.refused.get().cloned()
    }

    /// What is to be said about the host's key that was let pass.
    pub(super) fn warnings(&self) -> &[String] {
        self.0.accepted.get().map_or(&[], |accepted| &accepted.warnings)
    }

    /// Whether nobody vouches for the host's key.
    pub(super) fn doubtful(&self) -> bool {
        self.0.accepted.get().is_some_and(|accepted| accepted.doubtful)
    }

    /// Why it ended, in the words of whoever ended it.
    pub(super) fn why(&self) -> String {
        self.0.why.get().cloned().unwrap_or_else(|| "the host closed it".to_owned())
    }

    pub(super) fn said(&self) -> Option<&str> {
        self.0.why.get().map(String::as_str)
    }

    pub(super) fn lost(&self) -> TargetError {
        TargetError::Lost(self.why())
    }

    /// Keeps what the server says to people, up to a limit.
    pub(super) fn hear(&self, said: &str) {
        let mut words = self.0.words.lock().unwrap_or_else(PoisonError::into_inner);
        for line in said.lines().map(text::plain_line) {
            let line = line.trim_end();
            if words.len() + line.len() < WORDS && !(line.is_empty() && words.is_empty()) {
                words.push_str(line);
                words.push('\n');
            }
        }
    }

    /// What the server said to people, without control characters.
    pub(super) fn heard(&self) -> String {
        let words = self.0.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.trim_end().to_owned()
    }

    /// Ends when the connection has.
    pub(super) async fn over(&self) {
        self.0.over.cancelled().await;
    }

    /// Waits a moment for the reason of a loss that was just noticed.
    pub(super) async fn settled(&self) {
        let _ = tokio::time::timeout(GOODBYE, self.over()).await;
    }

    /// The server's words for a refusal that was just received, which the library reports before them.
    pub(super) async fn refusal(&self, why: &ChannelOpenFailure) -> String {
        let words = async {
            loop {
                let notified = self.0.refusal.notified();
                let found = {
                    let mut refusals = self.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
                    let index = refusals.iter().position(|(code, _)| *code == why.code());
                    index.and_then(|index| refusals.remove(index))
                };
                if let Some((_, words)) = found {
                    return words;
                }
                notified.await;
            }
        };
        tokio::time::timeout(GOODBYE, words).await.unwrap_or_default()
    }
}

/// The handler of one connection.
pub(super) struct Client {
    check: HostKeyCheck,
    fate: Fate,
}

impl Client {
    pub(super) fn new(check: HostKeyCheck, fate: Fate) -> Self {
        Self { check, fate }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.fate.0.over.cancel();
    }
}

/// Nothing was asked for that a server could open a channel for: dropping the reply refuses it.
macro_rules! refuse {
    ($($name:ident($($arg:ty),*);)*) => {$(
        fn $name(
            &mut self, _: Channel<Msg>, $(_: $arg,)* reply: ChannelOpenHandle, _: &mut Session,
        ) -> impl Future<Output = Result<(), Self::Error>> + Send {
            drop(reply);
            std::future::ready(Ok(()))
        }
    )*};
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        match self.check.check(shown) {
            Ok(accepted) => {
                let _ = self.fate.0.accepted.set(accepted);
                Ok(true)
            }
            Err(error) => {
                let _ = self.fate.0.refused.set(error);
                Ok(false)
            }
        }
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        self.fate.hear(banner);
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        why: ChannelOpenFailure,
        words: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let mut refusals = self.fate.0.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() == REFUSALS {
            refusals.pop_front();
        }
        refusals.push_back((why.code(), text::plain_line(words)));
        drop(refusals);
        self.fate.0.refusal.notify_waiters();
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        let (why, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                (format!("the host closed it: {}", text::plain_line(&info.message)), Ok(()))
            }
            DisconnectReason::Error(error) => (plainly(&error), Err(error)),
        };
        let _ = self.fate.0.why.set(why);
        result
    }

    refuse! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

/// What the library's error means to a person.
pub(super) fn plainly(error: &russh::Error) -> String {
    match error {
        russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => {
            "the host does not answer any more".to_owned()
        }
        russh::Error::Disconnect | russh::Error::HUP => "the host closed it".to_owned(),
        other => text::plain_line(&other.to_string()),
    }
}

/// Only looks at the key that a host shows.
struct Witness(Arc<Mutex<Option<PublicKeyOrCertificate>>>);

impl Handler for Witness {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let seen = match shown {
            PublicKeyOrCertificate::PublicKey { key, hash_alg } => {
                PublicKeyOrCertificate::PublicKey { key: key.clone(), hash_alg: *hash_alg }
            }
            PublicKeyOrCertificate::Certificate(certificate) => {
                PublicKeyOrCertificate::Certificate(certificate.clone())
            }
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(false)
    }
}

/// The key that a host proves to have, of the kinds in `config`; none if it has none of them.
///
/// # Errors
/// The handshake did not come that far.
pub(super) async fn witness(
    config: Arc<Config>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Option<PublicKeyOrCertificate>, russh::Error> {
    let seen = Arc::<Mutex<_>>::default();
    let done = russh::client::connect_stream(config, stream, Witness(seen.clone())).await.map(drop);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (seen, done) {
        (Some(key), _) => Ok(Some(key)),
        (None, Err(russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. })) => Ok(None),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(russh::Error::Disconnect),
    }
}
