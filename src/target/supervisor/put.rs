//! Sends a file through channels of its own, which the lane holds before they write a byte.
//!
//! # Theory of operation
//! The lane registers the file's removal, makes the file, and beside it a box. Every receiving shell enters itself in
//! that box before anything else; when the lane ends, it first takes the box away and ends all that stand in it, so
//! nobody can come late and write the file anew. A growing file counts as a beat. On a long wire the file goes over
//! several channels ([`stripes`]); all share one [`Flow`], which keeps beats from queueing behind data.

use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, SemaphorePermit, oneshot},
};

use super::{
    CONFIRM,
    all::{Step, all},
    flow::{Flow, moving},
    lane::{self, Lane},
    receiver::{End, Receiver},
    records::Records,
    script::{self, Share},
    stripes::{self, Digests},
};
use crate::{
    scope::Scope,
    target::{
        Captured, Command, Source, TargetError,
        conduit::{Conduit, Inlet, Opener},
    },
    vocab::{Digest, text::sh_quote},
};

/// Channels beyond the first of each upload, over all hosts: each holds some megabytes here.
static SPARE: Semaphore = Semaphore::const_new(16);

/// Bytes that are hashed at a time.
const BATCH: usize = 1 << 20;

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
    // The lane may stand between a request and its answer. Its end ends the receivers and removes the file.
    match tokio::time::timeout(CONFIRM * 2, lane.close()).await {
        Ok(Ok(())) => (None, Err(TargetError::Stopped(stop))),
        Ok(Err(what)) => (None, Err(TargetError::Unconfirmed { stop, what })),
        Err(_) => (None, Err(TargetError::Unconfirmed { stop, what: "the host did not confirm".into() })),
    }
}

/// Makes room for a second try, after the first one's connection was lost and there is another one.
///
/// # Errors
/// The lane is lost, too, or the scope has ended.
pub async fn clear(lane: &mut Lane, opener: &dyn Opener, scope: &Scope, path: &str) -> Result<(), TargetError> {
    scope.race(opener.ping()).await??;
    scope.race(lane.let_go()).await??;
    let remove = Command::own("upload", format!("rm -f -- {}", sh_quote(path)));
    let request = lane::request(&remove, "")?;
    lane.run(opener, scope, &remove, Some(&request), &mut Captured::default()).await.map(drop)
}

async fn send(
    lane: &mut Lane,
    opener: &dyn Opener,
    scope: &Scope,
    path: &str,
    source: &mut dyn Source,
) -> Result<Option<Digest>, TargetError> {
    let size = source.size();
    let wanted = if source.part(0, size).is_some() { stripes::wanted(size, opener.round_trip()) } else { 1 };
    let boot = script::boot(&lane.supervision.shell);
    let registered = async {
        lane.register(&script::removal(path)).await?;
        lane.take_in(path).await
    };
    let (registered, channels) = tokio::join!(registered, channels(opener, &boot, wanted));
    registered?;
    let (channels, _spare) = channels?;

    let shares = stripes::cut(size, channels.len());
    let flow = Flow::new(opener, scope, size, shares.len() > 1);
    let sent = async {
        if shares.len() == 1 {
            let mut channels = channels;
            let conduit = channels.swap_remove(0);
            return share(&lane.nonce, path, Share::Whole, conduit, source, &flow).await;
        }
        striped(&lane.nonce, path, &shares, channels, source, &flow).await
    };
    let sent = tokio::select! {
        biased;
        sent = sent => sent,
        never = flow.drive() => match never? {},
    };
    match sent {
        Ok(digest) => {
            lane.let_go().await?;
            Ok(digest)
        }
        // The lane may be there all the same, and all can begin again.
        Err(Trouble::Gone) if opener.lasts() => Err(TargetError::Lost("the upload's channel was closed".into())),
        Err(Trouble::Gone) => Err(lane.lose("the upload's channel was closed".into())),
        Err(Trouble::Other(error)) => Err(error),
    }
}

/// Why a share did not arrive.
enum Trouble {
    Gone,
    Other(TargetError),
}

impl From<TargetError> for Trouble {
    fn from(error: TargetError) -> Self {
        Self::Other(error)
    }
}

type Spare = Option<SemaphorePermit<'static>>;

/// Opens up to so many channels; less than wanted is no failure.
async fn channels(opener: &dyn Opener, boot: &str, wanted: usize) -> Result<(Vec<Conduit>, Spare), TargetError> {
    let more = u32::try_from(wanted.saturating_sub(1).min(SPARE.available_permits())).unwrap_or(0);
    if let (1.., Ok(permit)) = (more, SPARE.try_acquire_many(more)) {
        let opening = (0..=more).map(|_| Box::pin(opener.open_spare(boot)) as Step<'_, _, _>).collect();
        let open: Vec<Conduit> = all(opening).await?.into_iter().flatten().collect();
        if !open.is_empty() {
            return Ok((open, Some(permit)));
        }
    }
    Ok((vec![opener.open(boot).await?], None))
}

/// Sends each share through a channel of its own, and compares what the host then reads with what is read here.
async fn striped(
    nonce: &str,
    path: &str,
    shares: &[(u64, u64, Share)],
    channels: Vec<Conduit>,
    source: &mut dyn Source,
    flow: &Flow<'_>,
) -> Result<Option<Digest>, Trouble> {
    let mut steps: Vec<Step<'_, Option<Digest>, Trouble>> = Vec::new();
    for (&(from, len, what), conduit) in shares.iter().zip(channels) {
        let mut part = part(source, from, len)?;
        steps.push(Box::pin(async move { share(nonce, path, what, conduit, &mut *part, flow).await }));
    }
    let whole = part(source, 0, source.size())?;
    let len = shares.first().map_or(0, |(_, len, _)| *len);
    let (there, (whole, here)) = tokio::try_join!(all(steps), async { Ok(digests(whole, len).await?) })?;
    for (there, (here, (from, len, _))) in there.iter().zip(here.iter().zip(shares)) {
        match there {
            // The caller takes the digest of the whole then, or learns why it cannot.
            None => return Ok(None),
            Some(there) if there != here => {
                let text = format!("bytes {from} to {} of {path} did not arrive as they were sent", from + len);
                return Err(TargetError::Host(text).into());
            }
            Some(_) => {}
        }
    }
    Ok(Some(whole))
}

fn part(source: &dyn Source, from: u64, len: u64) -> Result<Box<dyn Source>, TargetError> {
    source.part(from, len).ok_or_else(|| TargetError::Local("the file cannot be read in parts any more".into()))
}

/// Starts a receiver, sends it a share, and waits for what it says of it.
async fn share(
    nonce: &str,
    path: &str,
    share: Share,
    conduit: Conduit,
    source: &mut dyn Source,
    flow: &Flow<'_>,
) -> Result<Option<Digest>, Trouble> {
    let (ready, is_ready) = oneshot::channel();
    let mut receiver =
        Receiver { stdout: Records::new(conduit.stdout, nonce), stderr: conduit.stderr, ready: Some(ready) };
    let mut stdin = conduit.stdin;
    let mut end = std::pin::pin!(receiver.end());
    let pour = async {
        stdin.write_all(script::receiver(nonce, path, share).as_bytes()).await.map_err(lost)?;
        if flow.is_near() {
            // What fills a channel before anybody reads it costs the server dearly: it moves all of it for each packet.
            let _ = moving(async { Ok(is_ready.await) }).await?;
        }
        if flow.is_next_door() {
            stdin.pace();
        }
        pour(&mut *stdin, source, flow).await
    };
    let sent = tokio::select! {
        biased;
        early = &mut end => Err(early),
        sent = pour => Ok(sent),
    };
    let end = match sent {
        Err(early) => early?,
        Ok(Err(error @ (TargetError::Local(_) | TargetError::Stopped(_)))) => return Err(error.into()),
        // The receiver's own words say more than a broken pipe.
        Ok(_) => {
            drop(stdin);
            moving(end).await?
        }
    };
    match end {
        End::Written(digest) => Ok(digest),
        End::Failed(words) if words.is_empty() => Err(TargetError::Host(format!("could not write {path}")).into()),
        End::Failed(words) => Err(TargetError::Host(words).into()),
        End::Gone => Err(Trouble::Gone),
    }
}

/// Writes all of `source`, as the flow lets it.
async fn pour(stdin: &mut dyn Inlet, source: &mut dyn Source, flow: &Flow<'_>) -> Result<(), TargetError> {
    loop {
        let chunk = source.next().await.map_err(|error| TargetError::Local(error.to_string()))?;
        if chunk.is_empty() {
            return stdin.flush().await.map_err(lost);
        }
        let len = chunk.len() as u64;
        flow.admit(len).await;
        moving(async { stdin.give(chunk).await.map_err(lost) }).await?;
        flow.done(len);
    }
}

/// Reads a file once, for the digests of the whole and of each `len` bytes.
async fn digests(mut source: Box<dyn Source>, len: u64) -> Result<(Digest, Vec<Digest>), TargetError> {
    let mut digests = Digests::new(len);
    loop {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH {
            let chunk = source.next().await.map_err(|error| TargetError::Local(error.to_string()))?;
            if chunk.is_empty() {
                break;
            }
            bytes += chunk.len();
            batch.push(chunk);
        }
        if batch.is_empty() {
            return Ok(digests.finish());
        }
        let hash = move || {
            batch.iter().for_each(|chunk| digests.update(chunk));
            digests
        };
        let hashed = tokio::task::spawn_blocking(hash).await;
        digests = hashed.map_err(|error| TargetError::Local(error.to_string()))?;
    }
}

fn lost(error: std::io::Error) -> TargetError {
    TargetError::Lost(error.to_string())
}
