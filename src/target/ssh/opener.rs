//! An open connection, and the channels on it.
//!
//! # Theory of operation
//! The library reads all channels of a connection in one loop, which stops when one channel's queue is full; it also
//! gives a host new credit as soon as bytes arrive, not when they are read. So every channel has a task of its own that
//! always empties that queue into two pipes, up to [`BACKLOG`] bytes for the connection. Only beyond that does the
//! connection stop until somebody reads.
//!
//! A channel's task ends it when the host closes it, when all three streams were dropped here, or when the program has
//! exited and a child of it keeps the output open without writing. The server keeps the session of a program that runs
//! on after that: ending programs is the business of whoever started them.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use russh::{
    Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Disconnect,
    client::{Handle, Msg},
};
use tokio::{
    io::AsyncWrite,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    client::{Client, Fate},
    pipe::{PipeWriter, pipe},
};
use crate::{
    target::{
        TargetError,
        conduit::{Conduit, Opener},
    },
    vocab::text,
};

/// Channels at a time: a server allows ten sessions and frees one a little late.
const CHANNELS: usize = 9;
/// How long a server that has no free session is asked again, and how often.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// Bytes that may wait here for their readers.
const BACKLOG: usize = 32 << 20;
/// Silence after a program's end that ends its channel, though something of it still holds the output.
const GRACE: Duration = Duration::from_secs(2);
/// What a program's outputs say that was never started.
const REFUSED: &str = "the host refused to run a command";
/// How long the end of a connection is waited for.
const GOODBYE: Duration = Duration::from_secs(2);

/// A connection that is logged in.
#[derive(Clone)]
pub struct SshConnection(Arc<Inner>);

struct Inner {
    handle: Handle<Client>,
    fate: Fate,
    channels: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// The shortest time between asking for a channel and having it.
    round_trip: Mutex<Option<Duration>>,
}

impl SshConnection {
    pub(super) fn new(handle: Handle<Client>, fate: Fate) -> Self {
        Self(Arc::new(Inner {
            handle,
            fate,
            channels: Arc::new(Semaphore::new(CHANNELS)),
            room: Arc::new(Semaphore::new(BACKLOG)),
            round_trip: Mutex::default(),
        }))
    }
}

impl Inner {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        let permit = tokio::select! {
            // The semaphore is never closed.
            permit = self.channels.clone().acquire_owned() => permit.ok(),
            () = self.fate.over() => return Err(self.fate.lost()),
        };
        let give_up = Instant::now() + BUSY_LIMIT;
        let channel = loop {
            let asked = Instant::now();
            match self.handle.channel_open_session().await {
                Ok(channel) => {
                    self.took(asked.elapsed());
                    break channel;
                }
                Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed))
                    if Instant::now() < give_up =>
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(russh::Error::ChannelOpenFailure(why)) => {
                    let why = text::plain_line(&format!("{why:?}"));
                    return Err(TargetError::Host(format!("the host refused to open another session ({why})")));
                }
                Err(_) => return Err(self.lost().await),
            }
        };
        self.exec(channel, permit, command).await
    }

    /// As `open`, without waiting for anything but the server's answer.
    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        // One is left to whoever may need a lane meanwhile.
        if self.channels.available_permits() < 2 {
            return Ok(None);
        }
        let Ok(permit) = self.channels.clone().try_acquire_owned() else { return Ok(None) };
        match self.handle.channel_open_session().await {
            Ok(channel) => self.exec(channel, Some(permit), command).await.map(Some),
            Err(russh::Error::ChannelOpenFailure(_)) => Ok(None),
            Err(_) => Err(self.lost().await),
        }
    }

    async fn exec(
        &self,
        channel: Channel<Msg>,
        permit: Option<OwnedSemaphorePermit>,
        command: &str,
    ) -> Result<Conduit, TargetError> {
        let (read, write) = channel.split();
        // Its answer is awaited beside what is written meanwhile: that is a round trip less.
        if write.exec(true, command).await.is_err() {
            return Err(self.lost().await);
        }
        let (stdout, out) = pipe(self.room.clone());
        let (stderr, err) = pipe(self.room.clone());
        let ended = CancellationToken::new();
        let (held, dropped) = oneshot::channel();
        let stdin = Stdin {
            writer: Box::pin(write.make_writer()),
            finished: false,
            ended: Box::pin(ended.clone().cancelled_owned()),
            dropped: Some(held),
        };
        let task =
            Task { read, write: Arc::new(write), stdout, stderr, fate: self.fate.clone(), ended, _permit: permit };
        tokio::spawn(task.run(dropped));
        Ok(Conduit { stdin: Box::new(stdin), stdout: Box::new(out), stderr: Box::new(err) })
    }

    fn took(&self, time: Duration) {
        let mut shortest = self.round_trip.lock().unwrap_or_else(PoisonError::into_inner);
        *shortest = Some(shortest.map_or(time, |before| before.min(time)));
    }

    /// Waits a moment for the reason of a loss that was just noticed.
    async fn lost(&self) -> TargetError {
        let _ = tokio::time::timeout(GOODBYE, self.fate.over()).await;
        self.fate.lost()
    }
}

#[async_trait]
impl Opener for SshConnection {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        // In a task of its own: a channel whose opener was cancelled halfway must be closed again, not forgotten.
        let (inner, command) = (self.0.clone(), command.to_owned());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let _ = sender.send(inner.open(&command).await);
        });
        receiver.await.unwrap_or_else(|_| Err(self.0.fate.lost()))
    }

    async fn lost(&self) -> TargetError {
        self.0.fate.over().await;
        self.0.fate.lost()
    }

    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        let (inner, command) = (self.0.clone(), command.to_owned());
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let _ = sender.send(inner.open_spare(&command).await);
        });
        receiver.await.unwrap_or_else(|_| Err(self.0.fate.lost()))
    }

    fn round_trip(&self) -> Option<Duration> {
        *self.0.round_trip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ping(&self) -> Result<(), TargetError> {
        let answered = self.0.handle.send_ping().await;
        // The library calls a ping without an answer answered when the connection ends.
        if answered.is_err() || self.0.handle.is_closed() {
            return Err(self.0.lost().await);
        }
        Ok(())
    }

    async fn close(&self) {
        let goodbye = async {
            let _ = self.0.handle.disconnect(Disconnect::ByApplication, "", "").await;
            self.0.fate.over().await;
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

/// What carries one channel's messages to its streams.
struct Task {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    stdout: PipeWriter,
    stderr: PipeWriter,
    fate: Fate,
    ended: CancellationToken,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Task {
    async fn run(mut self, dropped: oneshot::Receiver<()>) {
        let _wake_the_writer = self.ended.clone().drop_guard();
        tokio::pin!(dropped);
        let mut stdin_open = true;
        let mut exited: Option<Instant> = None;
        loop {
            let late = async {
                match exited {
                    Some(at) => tokio::time::sleep_until(at + GRACE).await,
                    None => std::future::pending().await,
                }
            };
            let abandoned = async {
                self.stdout.abandoned().await;
                self.stderr.abandoned().await;
            };
            let message = tokio::select! {
                message = self.read.wait() => message,
                finished = &mut dropped, if stdin_open => {
                    stdin_open = false;
                    if finished.is_err() {
                        // Never awaited here: the queue to the connection moves only while this task reads.
                        let write = self.write.clone();
                        tokio::spawn(async move { write.eof().await });
                    }
                    continue;
                }
                () = abandoned, if !stdin_open => return self.close(),
                () = late => return self.close(),
            };
            match message {
                Some(ChannelMsg::Data { data }) => {
                    self.stdout.push(data).await;
                    exited = exited.map(|_| Instant::now());
                }
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => {
                    self.stderr.push(data).await;
                    exited = exited.map(|_| Instant::now());
                }
                Some(ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. }) => exited = Some(Instant::now()),
                Some(ChannelMsg::Failure) => {
                    let refused = || io::Error::new(io::ErrorKind::PermissionDenied, REFUSED);
                    self.stdout.fail(refused());
                    self.stderr.fail(refused());
                    return self.close();
                }
                Some(ChannelMsg::Close) => return,
                Some(_) => {}
                None => {
                    let _ = tokio::time::timeout(GOODBYE, self.fate.over()).await;
                    for stream in [&self.stdout, &self.stderr] {
                        stream.fail(io::Error::new(io::ErrorKind::ConnectionReset, self.fate.why()));
                    }
                    return;
                }
            }
        }
    }

    fn close(self) {
        tokio::spawn(async move {
            let _ = self.write.close().await;
        });
    }
}

/// A program's stdin. Its end is sent when it is shut down or dropped.
struct Stdin {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    finished: bool,
    /// The channel is gone; its window would be waited for in vain.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Used when the end was sent already, dropped when it was not.
    dropped: Option<oneshot::Sender<()>>,
}

impl Drop for Stdin {
    fn drop(&mut self) {
        if let (true, Some(dropped)) = (self.finished, self.dropped.take()) {
            let _ = dropped.send(());
        }
    }
}

impl Stdin {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.ended.as_mut().poll(cx).map(|()| io::Error::new(io::ErrorKind::BrokenPipe, "the program has ended"))
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(error) = self.poll_ended(cx) {
            return Poll::Ready(Err(error));
        }
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished || self.poll_ended(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.writer.as_mut().poll_shutdown(cx);
        self.finished = polled.is_ready();
        polled
    }
}
