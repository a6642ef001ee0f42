//! Sends a file through a channel of its own, which the lane owns before it writes a byte.
//!
//! # Theory of operation
//! The receiving shell says its process id and waits. The lane registers the file's removal and takes the process in;
//! only then may it create the file. From there on the lane ends both, whatever happens to this side, and a growing
//! file counts as a beat. Bytes are sent in windows, each followed by a ping: the next but one waits for it, and its size
//! follows the time that the ping took, so that a beat never stands behind more than about a second of data.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    CONFIRM,
    lane::Lane,
    records::{Piece, Records},
    script,
};
use crate::{
    scope::{Scope, Stop},
    target::{Source, TargetError, conduit::Opener},
    vocab::{Digest, EventKind, Unit, text::plain_line},
};

/// Bytes that may be on their way at first; doubled while they pass quickly, halved while they do not.
const WINDOW_MIN: u64 = 128 << 10;
const WINDOW_MAX: u64 = 64 << 20;
/// A window should pass within this time.
const WINDOW_TIME: Duration = Duration::from_millis(500);
/// Without a byte taken, an upload has stalled.
const STALL: Duration = Duration::from_secs(60);
/// Between two events of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// See [`crate::target::Target::put`]. The lane comes back if it is fit for more.
pub async fn put(
    mut lane: Lane,
    opener: &dyn Opener,
    scope: &Scope,
    path: &str,
    source: &mut dyn Source,
) -> (Option<Lane>, Result<Option<Digest>, TargetError>) {
    let stop = match scope.race(send(&mut lane, opener, scope, path, source)).await {
        Ok(Err(TargetError::Stopped(stalled))) => stalled,
        Ok(done) => return (Some(lane), done),
        Err(stop) => stop,
    };
    // The lane may stand between a request and its answer. Its end ends the receiver and removes the file.
    match tokio::time::timeout(CONFIRM * 2, lane.close()).await {
        Ok(Ok(())) => (None, Err(TargetError::Stopped(stop))),
        Ok(Err(what)) => (None, Err(TargetError::Unconfirmed { stop, what })),
        Err(_) => (None, Err(TargetError::Unconfirmed { stop, what: "the host did not confirm".into() })),
    }
}

/// Waits for a step of an upload as long as an upload may stand still.
async fn moving<T>(step: impl Future<Output = Result<T, TargetError>>) -> Result<T, TargetError> {
    let stalled = || TargetError::Stopped(Stop::TimedOut { operation: "an upload's next byte".into(), limit: STALL });
    tokio::time::timeout(STALL, step).await.unwrap_or_else(|_| Err(stalled()))
}

async fn send(
    lane: &mut Lane,
    opener: &dyn Opener,
    scope: &Scope,
    path: &str,
    source: &mut dyn Source,
) -> Result<Option<Digest>, TargetError> {
    let boot = script::boot(&lane.supervision.shell);
    let removal = script::removal(path);
    let (registered, conduit) = tokio::join!(lane.register(&removal), opener.open(&boot));
    registered?;
    let mut conduit = conduit?;
    let nonce = lane.nonce.clone();
    let mut receiver = Receiver { stdout: Records::new(conduit.stdout, &nonce), stderr: conduit.stderr };
    let lost = |error: std::io::Error| TargetError::Lost(error.to_string());

    conduit.stdin.write_all(script::receiver(&nonce, path).as_bytes()).await.map_err(lost)?;
    conduit.stdin.flush().await.map_err(lost)?;
    let pid = moving(receiver.hello()).await?;
    lane.adopt(Some((pid, path))).await?;
    conduit.stdin.write_all(b"go\n").await.map_err(lost)?;

    let mut end = std::pin::pin!(receiver.end());
    let sent = tokio::select! {
        biased;
        early = &mut end => Err(early),
        sent = stream(&mut conduit.stdin, opener, scope, source) => Ok(sent),
    };
    let (end, words) = match sent {
        Err(early) => early,
        Ok(Err(error @ (TargetError::Local(_) | TargetError::Stopped(_)))) => return Err(error),
        // The receiver's own words say more than a broken pipe.
        Ok(_) => {
            drop(conduit.stdin);
            moving(async { Ok(end.await) }).await?
        }
    };
    match end {
        Some(end) if end.status == Some(0) => {
            lane.adopt(None).await?;
            Ok(end.digest)
        }
        Some(_) if words.is_empty() => Err(TargetError::Host(format!("could not write {path}"))),
        Some(_) => Err(TargetError::Host(words)),
        None => Err(lane.lose("the upload's channel was closed".into())),
    }
}

/// Writes all of `source`, window by window.
async fn stream(
    stdin: &mut (dyn AsyncWrite + Send + Unpin),
    opener: &dyn Opener,
    scope: &Scope,
    source: &mut dyn Source,
) -> Result<(), TargetError> {
    let total = source.size();
    let (mut done, mut window, mut told) = (0u64, WINDOW_MIN, Instant::now());
    let mut first = true;
    loop {
        let fill = async {
            let mut filled = 0u64;
            while filled < window {
                let chunk = source.next().await.map_err(|error| TargetError::Local(error.to_string()))?;
                if chunk.is_empty() {
                    return Ok::<_, TargetError>((filled, true));
                }
                moving(async { stdin.write_all(&chunk).await.map_err(|error| TargetError::Lost(error.to_string())) })
                    .await?;
                filled += chunk.len() as u64;
                if told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    scope.events().emit(EventKind::Progress {
                        done: done + filled,
                        total: Some(total),
                        unit: Unit::Bytes,
                    });
                }
            }
            Ok((filled, false))
        };
        // Behind the window before this one.
        let ping = async {
            if first {
                return Ok(Duration::ZERO);
            }
            let asked = Instant::now();
            moving(opener.ping()).await.map(|()| asked.elapsed())
        };
        let (filled, delay) = tokio::join!(fill, ping);
        let (bytes, ended) = filled?;
        let delay = delay?;
        done += bytes;
        first = false;
        if delay > WINDOW_TIME {
            window = (window / 2).max(WINDOW_MIN);
        } else if delay < WINDOW_TIME / 2 {
            window = (window * 2).min(WINDOW_MAX);
        }
        if ended {
            scope.events().emit(EventKind::Progress { done, total: Some(total), unit: Unit::Bytes });
            return stdin.flush().await.map_err(|error| TargetError::Lost(error.to_string()));
        }
    }
}

/// What the receiver says when all is written.
struct End {
    status: Option<i32>,
    digest: Option<Digest>,
}

/// The outputs of the receiving shell.
struct Receiver {
    stdout: Records<Box<dyn AsyncRead + Send + Unpin>>,
    stderr: Box<dyn AsyncRead + Send + Unpin>,
}

impl Receiver {
    /// Its process id.
    async fn hello(&mut self) -> Result<u32, TargetError> {
        loop {
            match self.stdout.next().await.map_err(|error| TargetError::Lost(error.to_string()))? {
                Piece::Record(words) if words.first().is_some_and(|w| w == "hi") => {
                    return words
                        .get(1)
                        .and_then(|pid| pid.parse().ok())
                        .ok_or_else(|| TargetError::Host("the receiving shell did not say its process id".into()));
                }
                Piece::End => return Err(TargetError::Host("no shell could be started to receive the file".into())),
                Piece::Record(_) | Piece::Data(_) => {}
            }
        }
    }

    /// How it ended, if it came to that, and its last words.
    async fn end(&mut self) -> (Option<End>, String) {
        let Self { stdout, stderr } = self;
        let status = async {
            loop {
                match stdout.next().await {
                    Ok(Piece::Record(words)) if words.first().is_some_and(|w| w == "end") => {
                        return Some(End {
                            status: words.get(1).and_then(|status| status.parse().ok()),
                            digest: words.iter().find_map(|word| Digest::parse(word).ok()),
                        });
                    }
                    Ok(Piece::End) | Err(_) => return None,
                    Ok(Piece::Record(_) | Piece::Data(_)) => {}
                }
            }
        };
        let words = async {
            let mut kept = Vec::new();
            let mut buffer = [0u8; 1024];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                if kept.len() < 4096 {
                    kept.extend_from_slice(&buffer[..n]);
                }
            }
            let text = String::from_utf8_lossy(&kept);
            text.lines().rev().map(plain_line).find(|line| !line.trim().is_empty()).unwrap_or_default()
        };
        tokio::join!(status, words)
    }
}
