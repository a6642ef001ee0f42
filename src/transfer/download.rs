//! A file of a host comes here, and is proven to have come whole.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::TransferError;
use crate::{
    scope::{Alarm, Scope, Stop},
    target::{Captured, Command, Output, Target},
    vocab::{Digest, Stream, text::sh_quote},
};

/// Without a byte, a download has stalled.
const STALL: Duration = Duration::from_secs(60);

/// Reads the file `path` of the host into `file`, and proves that it has this size and sha256.
///
/// # Errors
/// As [`TransferError`]; what `file` got by then is worth nothing.
pub async fn download(
    scope: &Scope,
    target: &dyn Target,
    path: &str,
    file: File,
    size: u64,
    want: Digest,
) -> Result<(), TransferError> {
    let (watched, alarm) = scope.with_alarm();
    let came = Arc::new(AtomicU64::new(0));
    let mut sink = Sink {
        file: tokio::fs::File::from_std(file),
        hash: Sha256::new(),
        size,
        came: came.clone(),
        failed: None,
        said: Captured::default(),
        alarm: alarm.clone(),
    };
    // What has another length is not even begun with; `cat` of a file, since wc may pad its number.
    let script = format!("n=$(wc -c <{0}) && [ \"$n\" -eq {size} ] || exit 3\nexec cat <{0}\n", sh_quote(path));
    let done = CancellationToken::new();
    let running = async {
        let exit = target.run(&watched, &Command::own("download", script), &mut sink).await;
        done.cancel();
        exit
    };
    let (exit, ()) = tokio::join!(running, watch(&came, &alarm, &done));
    let failed = |why: &str| TransferError::Host(format!("cannot read {path} on the host: {why}"));
    match (&sink.failed, exit) {
        (Some(error), _) => return Err(TransferError::Host(error.clone())),
        (None, Err(error)) => return Err(error.into()),
        (None, Ok(exit)) if exit.status == 3 => return Err(failed("it is not as long as it was said to be")),
        (None, Ok(exit)) if exit.status != 0 => return Err(failed(&sink.said.last_words())),
        (None, Ok(_)) => {}
    }
    sink.file.flush().await.map_err(|error| TransferError::Host(format!("cannot write what came: {error}")))?;
    let got = Digest::new(sink.hash.finalize().into());
    super::compare(path, want, got)
}

async fn watch(came: &AtomicU64, alarm: &Alarm, done: &CancellationToken) {
    let mut last = (0, Instant::now());
    while tokio::time::timeout(Duration::from_secs(1), done.cancelled()).await.is_err() {
        let now = came.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        } else if last.1.elapsed() >= STALL {
            alarm.ring(Stop::TimedOut { operation: "a download without a byte".to_owned(), limit: STALL });
        }
    }
}

/// Takes what the host sends, and no more than was announced.
struct Sink {
    file: tokio::fs::File,
    hash: Sha256,
    size: u64,
    came: Arc<AtomicU64>,
    failed: Option<String>,
    said: Captured,
    alarm: Alarm,
}

#[async_trait]
impl Output for Sink {
    async fn chunk(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            return self.said.chunk(stream, bytes).await;
        }
        if self.failed.is_some() {
            return;
        }
        let came = self.came.fetch_add(bytes.len() as u64, Ordering::Relaxed) + bytes.len() as u64;
        let failed = if came > self.size {
            Some("the host sent more than the file has".to_owned())
        } else {
            self.hash.update(bytes);
            let written = self.file.write_all(bytes).await;
            written.err().map(|error| format!("cannot write what came: {error}"))
        };
        if let Some(failed) = failed {
            // Nothing more is of use; the words of this stop are never said.
            self.alarm.ring(Stop::TimedOut { operation: "download".to_owned(), limit: Duration::ZERO });
            self.failed = Some(failed);
        }
    }
}
