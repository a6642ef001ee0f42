//! A started program's three streams, wherever it was started.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream},
    process::ChildStdin,
};

use super::TargetError;

/// The three streams of one program. Dropping `stdin` is end of file for it.
///
/// Whoever opens a conduit must keep reading both outputs: an undrained one can stop its neighbours.
pub struct Conduit {
    pub stdin: Box<dyn Inlet>,
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

/// What a program finds in its environment; if the machine does not let that in, it gets something else as the first of
/// its stdin.
pub struct Carried {
    pub variables: Vec<(&'static str, String)>,
    /// Made only where it is needed: of many connections at once, each would hold it.
    pub instead: Box<dyn FnOnce() -> String + Send>,
    /// Nothing of it is sent without this.
    pub latch: Latch,
}

/// Whether something was begun or called off, whichever came first.
#[derive(Debug, Clone, Default)]
pub struct Latch(Arc<AtomicU8>);

impl Latch {
    const BEGUN: u8 = 1;
    const OFF: u8 = 2;

    /// Whether it may begin; after that it cannot be called off.
    pub fn begin(&self) -> bool {
        self.turn(Self::BEGUN)
    }

    /// Whether it will never begin.
    pub fn call_off(&self) -> bool {
        self.turn(Self::OFF)
    }

    fn turn(&self, to: u8) -> bool {
        self.0.compare_exchange(0, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The way to a program's stdin.
#[async_trait]
pub trait Inlet: AsyncWrite + Send + Unpin {
    /// Writes a whole chunk, which the way may keep instead of a copy.
    ///
    /// # Errors
    /// As any write.
    async fn give(&mut self, chunk: Bytes) -> std::io::Result<()> {
        self.write_all(&chunk).await
    }

    /// Gives only a little ahead of what the program takes from now on, where that can be known.
    ///
    /// For a wire that is as good as none: what a host has to keep can cost it more than what it waits for.
    fn pace(&mut self) {}
}

impl Inlet for ChildStdin {}
impl Inlet for DuplexStream {}

/// Starts programs on one machine, over one connection.
#[async_trait]
pub trait Opener: Send + Sync + 'static {
    /// Starts `command` as the user's login shell would run it.
    ///
    /// Waits for a free channel if the machine allows only so many, not for the program: a machine that refuses to run
    /// it lets both outputs fail with [`std::io::ErrorKind::PermissionDenied`]. Not bound to a scope: callers race it.
    ///
    /// # Errors
    /// [`TargetError::Lost`] when the connection is gone, [`TargetError::Host`] when the machine refuses.
    async fn open(&self, command: &str) -> Result<Conduit, TargetError>;

    /// As [`Opener::open`]; what the program is made of goes with the request where the machine allows that, which saves
    /// a round trip.
    ///
    /// # Errors
    /// As [`Opener::open`].
    async fn open_carrying(&self, command: &str, carried: Carried) -> Result<Conduit, TargetError> {
        let mut conduit = self.open(command).await?;
        if !carried.latch.begin() {
            return Err(TargetError::Lost("it was called off".into()));
        }
        let told = conduit.stdin.write_all((carried.instead)().as_bytes()).await;
        told.map_err(|error| TargetError::Lost(error.to_string()))?;
        Ok(conduit)
    }

    /// As [`Opener::open`]; the program outlives its connection, where that can be had ([`Opener::lasts`]), and its streams
    /// stand still until there is another one. It never sees the end of its stdin, but gets `farewell` instead.
    ///
    /// # Errors
    /// As [`Opener::open`].
    async fn open_lasting(&self, command: &str, farewell: &str) -> Result<Conduit, TargetError> {
        let _ = farewell;
        self.open(command).await
    }

    /// Whether programs can outlive their connection.
    fn lasts(&self) -> bool {
        false
    }

    /// Whether the machine is out of reach for now.
    fn away(&self) -> bool {
        false
    }

    /// Tries at once to reach a machine that is out of reach.
    fn hurry(&self) {}

    /// Ends when the connection is gone, with the reason; never, if that cannot be known.
    async fn lost(&self) -> TargetError {
        std::future::pending().await
    }

    /// As [`Opener::open`], but gives `None` where the machine has no channel to spare, at once.
    ///
    /// # Errors
    /// As [`Opener::open`].
    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        let _ = command;
        Ok(None)
    }

    /// The shortest round trip seen so far, where there is a wire at all.
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Goes there and back once, behind everything that was sent before; a measure of what is queued.
    ///
    /// # Errors
    /// [`TargetError::Lost`] when the connection is gone.
    async fn ping(&self) -> Result<(), TargetError>;

    /// Ends the connection; nothing can be opened after it.
    async fn close(&self);
}
