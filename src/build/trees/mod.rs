//! The trees of packages that were built, brought from where they were made into a folder of this machine.
//!
//! # Theory of operation
//! A tar stream comes through the target's own output, so that it ends with everything else on a cancel. A thread takes
//! it apart ([`unpack`]) in a hidden folder beside the final places; what is in the stream is hostile until checked.
//! Only a stream that came to its good end is put in place ([`Out`]), a rename a package.

mod out;
mod unpack;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

pub use out::{Out, OutError};
pub use unpack::{Rules, Top, UnpackError, Unpacked, unpack};

use super::{BuildError, Packages, Staged};
use crate::{
    recipe::path_line,
    scope::{Scope, Stop},
    target::{Captured, Command, Output, output::Activity},
    vocab::{
        EventKind, Phase, Stream, Unit,
        text::{sh_join, sh_quote},
    },
};

/// Chunks that may wait for the disk.
const WAITING: usize = 32;
/// Without a byte, the stream has stalled.
const STALL: Duration = Duration::from_secs(60);
/// Between two events of progress.
const PROGRESS: Duration = Duration::from_millis(500);

impl Staged<'_> {
    /// Brings the packages' trees into `folder`, an empty one of the caller's.
    ///
    /// # Errors
    /// [`BuildError::Failed`] with what has no place in a package's tree.
    pub async fn take(
        &self,
        scope: &Scope,
        packages: &Packages,
        folder: &Path,
        rules: Rules,
    ) -> Result<Unpacked, BuildError> {
        // The archives of macOS would hold a second file for each with attributes.
        let script = format!(
            "{}COPYFILE_DISABLE=1; export COPYFILE_DISABLE\ncd -- {} && exec tar -cf - -- {}\n",
            path_line(&self.path),
            sh_quote(&format!("{}/pkg", self.work)),
            sh_join(&packages.names)
        );
        let (sender, receiver) = mpsc::channel(WAITING);
        let (names, folder) = (packages.names.clone(), folder.to_owned());
        let unpacking = tokio::task::spawn_blocking(move || unpack(Stretch::new(receiver), &folder, &names, &rules));
        let (watched, alarm) = scope.with_alarm();
        let mut pipe = Pipe::new(&watched, sender);
        let activity = pipe.activity.clone();
        let given_up = pipe.given_up.clone();
        let command = Command::own("tar", script);
        let running = async {
            let result = self.target.run(&watched, &command, &mut pipe).await;
            // The end of the stream.
            (result, pipe.end())
        };
        let mut look = tokio::time::interval(Duration::from_millis(250));
        tokio::pin!(running);
        let (result, said) = loop {
            tokio::select! {
                done = &mut running => break done,
                _ = look.tick() => {
                    if given_up.is_cancelled() || (activity.idle() >= STALL && !self.target.away()) {
                        alarm.ring(Stop::TimedOut { operation: "the next byte of the packages".into(), limit: STALL });
                    }
                }
            }
        };
        let failed = |text: String| BuildError::failed(Phase::Transfer, text);
        let unpacked = unpacking.await.map_err(|error| failed(format!("the packages could not be taken: {error}")))?;
        match (result, unpacked) {
            // What is wrong with the stream is why it was given up.
            (_, Err(error)) if given_up.is_cancelled() => Err(failed(error.to_string())),
            (Err(error), _) => Err(error.into()),
            (Ok(exit), _) if exit.status != 0 => {
                Err(failed(format!("tar on the host ended with status {}: {}", exit.status, said.last_words())))
            }
            (Ok(_), Err(error)) => Err(failed(error.to_string())),
            (Ok(_), Ok(unpacked)) => Ok(unpacked),
        }
    }
}

/// Hands a command's stdout to a thread, and keeps its stderr.
struct Pipe {
    scope: Scope,
    sender: mpsc::Sender<Bytes>,
    /// Whoever reads has found something wrong.
    given_up: tokio_util::sync::CancellationToken,
    activity: Activity,
    said: Captured,
    bytes: u64,
    told: Instant,
}

impl Pipe {
    fn new(scope: &Scope, sender: mpsc::Sender<Bytes>) -> Self {
        Self {
            scope: scope.clone(),
            sender,
            given_up: tokio_util::sync::CancellationToken::new(),
            activity: Activity::default(),
            said: Captured::default(),
            bytes: 0,
            told: Instant::now(),
        }
    }

    /// The end of the stream, for the thread; yields what was said beside it.
    fn end(self) -> Captured {
        self.said
    }
}

#[async_trait]
impl Output for Pipe {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        self.activity.touch();
        if stream == Stream::Stderr {
            return self.said.chunk(stream, bytes).await;
        }
        if self.sender.send(Bytes::copy_from_slice(bytes)).await.is_err() {
            self.given_up.cancel();
            return;
        }
        self.bytes += bytes.len() as u64;
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            self.scope.events().emit(EventKind::Progress {
                done: self.bytes,
                total: None,
                unit: Unit::Bytes,
                forecast: None,
                source: None,
            });
        }
    }
}

/// The chunks as one stretch of bytes, for a thread that reads.
struct Stretch {
    receiver: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Stretch {
    fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, rest: Bytes::new() }
    }
}

impl Read for Stretch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.rest = bytes,
                None => return Ok(0),
            }
        }
        let taken = self.rest.split_to(self.rest.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

/// Where the trees of one run arrive, before they are put in place.
pub fn arrival(out: &Path, run: &str) -> PathBuf {
    out.join(format!(".rbee-{run}"))
}
