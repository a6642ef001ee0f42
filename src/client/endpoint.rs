//! The ways to a hive.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::ClientError;
use crate::{
    target::conduit::Opener,
    vocab::{Secret, text::plain_line},
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that are kept of what a program on the way says.
const WORDS: usize = 4096;

/// Where a hive is found.
#[derive(Clone)]
pub enum Endpoint {
    Unix(PathBuf),
    Tcp { address: SocketAddr, token: Arc<Secret> },
    Through(Through),
}

/// A program, run on another machine, whose stdin and stdout lead to the hive there.
#[derive(Clone)]
pub struct Through {
    pub opener: Arc<dyn Opener>,
    pub command: String,
    /// The host's name.
    pub name: String,
}

/// Both directions of a connection.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The last words of whatever stands between, to be told when the connection fails.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(Arc<Mutex<Vec<u8>>>);

impl Words {
    pub(super) fn last(&self) -> Option<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().map(plain_line).find(|line| !line.trim().is_empty())?;
        Some(line.trim().trim_start_matches("rbee: ").to_owned())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "http://{address}"),
            Self::Through(through) => write!(f, "the hive on {}", through.name),
        }
    }
}

impl Endpoint {
    /// What the Host header says.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Tcp { address, .. } => address.to_string(),
            _ => "localhost".into(),
        }
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> Result<(Box<dyn Wire>, Words), ClientError> {
        let place = self.to_string();
        let words = Words::default();
        let connecting = async {
            let failed = |why: String| ClientError::Unreachable { place: place.clone(), why };
            Ok::<Box<dyn Wire>, ClientError>(match self {
                Self::Unix(path) => {
                    Box::new(UnixStream::connect(path).await.map_err(|error| failed(error.to_string()))?)
                }
                Self::Tcp { address, .. } => {
                    let stream = TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
                    let _ = stream.set_nodelay(true);
                    Box::new(stream)
                }
                Self::Through(through) => {
                    let opened = through.opener.open(&through.command).await;
                    let conduit = opened.map_err(|error| failed(error.to_string()))?;
                    tokio::spawn(listen(conduit.stderr, words.clone()));
                    Box::new(tokio::io::join(conduit.stdout, conduit.stdin))
                }
            })
        };
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(wire)) => Ok((wire, words)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ClientError::Late { place: self.to_string(), limit: CONNECT }),
        }
    }
}

/// Reads to the end, so that nothing stands still, and keeps the beginning.
async fn listen(mut stderr: Box<dyn AsyncRead + Send + Unpin>, words: Words) {
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let mut kept = words.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = WORDS.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
}
