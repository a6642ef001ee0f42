//! What a client sends into a channel, held until the command takes it.
//!
//! # Theory of operation
//! The SSH library opens a channel's window again when data *arrives*, not when it is used, and hands the data over in the
//! loop that reads the whole connection. So a queue that lets its producer wait stops every channel of that
//! connection, the window adjustments that the command's own output may be waiting for included: `cat` fed faster than
//! it is read from would stop for good. A queue that never lets it wait takes the whole input into memory.
//!
//! This one lets the producer wait while that is harmless: the command takes data, and no output of the connection is
//! stuck. When it is not, what comes beyond [`HELD`] goes to an unlinked file, up to [`SPILLED`], until the command has
//! caught up. Past that the connection does stand still.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// What one channel keeps in memory.
const HELD: usize = 1 << 20;
/// What one channel keeps in a file.
const SPILLED: u64 = 256 << 20;
/// How long the producer waits before it looks whether outputs are stuck.
const LOOK: Duration = Duration::from_millis(2);
/// How long a command may take nothing before the rest of its connection goes on without it.
const PATIENCE: Duration = Duration::from_millis(200);
/// What keeping a chunk costs beside its bytes: many tiny ones must not be free.
const OVERHEAD: usize = 128;

/// Counts the outputs of one connection that wait for their client.
#[derive(Debug, Clone, Default)]
pub(super) struct Pressure(Arc<AtomicUsize>);

/// An output that waits, for as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Pressure {
    pub(super) fn enter(&self) -> Waiting {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(&self.0))
    }

    fn is_felt(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection's end; dropping it is end of file.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    pressure: Pressure,
    folder: Arc<Path>,
}

/// The command's end; after it was dropped, what comes is thrown away.
#[derive(Debug)]
pub(super) struct Inlet(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told by the inlet when it took something or went away; only the feed waits for it.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    cost: usize,
    /// Comes after the queue.
    spill: Option<Spill>,
    ended: bool,
    deaf: bool,
    consumer: Option<Waker>,
}

/// A file with a written and not yet read part.
#[derive(Debug)]
struct Spill {
    file: File,
    read: u64,
    written: u64,
}

/// Makes the two ends; `folder` is where a file is put if it comes to that.
pub(super) fn inlet(folder: Arc<Path>, pressure: Pressure) -> (Feed, Inlet) {
    let shared = Arc::new(Shared::default());
    (Feed { shared: Arc::clone(&shared), pressure, folder }, Inlet(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.consumer.take() {
            waker.wake();
        }
    }

    /// Keeps `data` if there is room for it of the kind that `spilling` allows.
    fn keep(&mut self, data: &Bytes, folder: Option<&Path>) -> bool {
        if self.deaf || data.is_empty() {
            return true;
        }
        let kept = match &mut self.spill {
            Some(spill) => spill.append(data),
            None if self.cost < HELD => {
                self.cost += data.len() + OVERHEAD;
                self.queue.push_back(data.clone());
                true
            }
            None => match folder.map(Spill::create) {
                Some(Ok(mut spill)) => {
                    spill.append(data) && {
                        self.spill = Some(spill);
                        true
                    }
                }
                // Without a file there is only the wait.
                Some(Err(_)) | None => false,
            },
        };
        if kept {
            self.wake();
        }
        kept
    }

    fn take(&mut self) -> Option<Bytes> {
        if let Some(data) = self.queue.pop_front() {
            self.cost -= data.len() + OVERHEAD;
            return Some(data);
        }
        let spill = self.spill.as_mut()?;
        let data = spill.next();
        if spill.read == spill.written || data.is_none() {
            self.spill = None;
        }
        data
    }
}

impl Feed {
    /// Hands `data` over; waits only as the module says.
    pub(super) async fn push(&self, data: Bytes) {
        let mut idle_since = Instant::now();
        let mut folder = None;
        // The lock is not held across the wait.
        while !self.shared.lock().keep(&data, folder) {
            match tokio::time::timeout(LOOK, self.shared.taken.notified()).await {
                Ok(()) => {
                    folder = None;
                    idle_since = Instant::now();
                }
                Err(_) if self.pressure.is_felt() || idle_since.elapsed() > PATIENCE => folder = Some(&*self.folder),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        state.wake();
    }
}

impl Inlet {
    /// The next chunk, `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// What is there already.
    pub(super) fn ready(&mut self) -> Option<Bytes> {
        match self.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(data) => data,
            Poll::Pending => None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.lock();
        match state.take() {
            Some(data) => {
                drop(state);
                self.0.taken.notify_one();
                Poll::Ready(Some(data))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.consumer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        *state = State { deaf: true, ..State::default() };
        drop(state);
        self.0.taken.notify_one();
    }
}

/// Reads and writes block the task: they are rare, and the page cache answers them.
impl Spill {
    fn create(folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(".input-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path: PathBuf = folder.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file, read: 0, written: 0 })
    }

    fn append(&mut self, data: &[u8]) -> bool {
        let room = self.written - self.read < SPILLED;
        let kept = room && self.file.write_all_at(data, self.written).is_ok();
        if kept {
            self.written += data.len() as u64;
        }
        kept
    }

    fn next(&mut self) -> Option<Bytes> {
        let length = (self.written - self.read).min(64 << 10);
        let mut data = BytesMut::zeroed(usize::try_from(length).ok()?);
        self.file.read_exact_at(&mut data, self.read).ok()?;
        self.read += length;
        Some(data.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 32 << 10;

    fn chunk(i: usize) -> Bytes {
        Bytes::from(vec![i as u8; CHUNK])
    }

    fn ends(pressure: &Pressure) -> (Feed, Inlet, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (feed, inlet) = inlet(folder.path().into(), pressure.clone());
        (feed, inlet, folder)
    }

    async fn check_order(mut inlet: Inlet, chunks: usize) {
        let mut got = Vec::new();
        while let Some(data) = inlet.next().await {
            got.extend_from_slice(&data);
        }
        assert_eq!(got.len(), chunks * CHUNK);
        for (i, part) in got.chunks(CHUNK).enumerate() {
            assert!(part.iter().all(|b| *b == i as u8), "chunk {i} is not where it was sent");
        }
    }

    #[tokio::test]
    async fn a_stuck_output_makes_room_in_a_file_and_order_is_kept() {
        let pressure = Pressure::default();
        let (feed, inlet, folder) = ends(&pressure);
        let stuck = pressure.enter();
        let chunks = 4 * HELD / CHUNK;
        let pushed = async {
            for i in 0..chunks {
                feed.push(chunk(i)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), pushed).await.expect("the connection stood still");
        drop(stuck);
        {
            let state = feed.shared.lock();
            assert!(state.cost <= HELD + CHUNK + OVERHEAD, "{} in memory", state.cost);
            assert!(state.spill.is_some());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        drop(feed);
        check_order(inlet, chunks).await;
    }

    #[tokio::test]
    async fn a_command_that_takes_data_is_waited_for() {
        let (feed, inlet, _folder) = ends(&Pressure::default());
        let chunks = 8 * HELD / CHUNK;
        let reader = tokio::spawn(check_order(inlet, chunks));
        for i in 0..chunks {
            feed.push(chunk(i)).await;
            assert!(feed.shared.lock().spill.is_none(), "no file while the command keeps up");
        }
        drop(feed);
        reader.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_command_that_went_away() {
        let (feed, inlet, _folder) = ends(&Pressure::default());
        drop(inlet);
        for i in 0..4 * HELD / CHUNK {
            feed.push(chunk(i)).await;
        }
        let state = feed.shared.lock();
        assert!(state.queue.is_empty() && state.spill.is_none());
    }
}
