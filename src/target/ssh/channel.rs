//! One program on a host: a session channel as three streams.
//!
//! # Theory of operation
//! The library reads all channels of a connection in one loop, which stops when one channel's queue is full; it also
//! gives a host new credit as soon as bytes arrive, not when they are read. So every channel has a task of its own that
//! always empties that queue into two pipes, up to a bound for the connection. Only beyond that does the connection stop
//! until somebody reads.
//!
//! The host's answer to the request is not waited for: what is written to stdin follows it at once, and a refusal is the
//! end of both outputs. A channel's task ends it when the host closes it, when all three streams were dropped here, or
//! when the program has exited and a child of it keeps the output open without writing. The server keeps the session of
//! a program that runs on after that: ending programs is the business of whoever started them.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use tokio::{
    io::AsyncWrite,
    sync::{Semaphore, oneshot},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    client::Fate,
    pipe::{PipeWriter, pipe},
};
use crate::target::conduit::{Conduit, Inlet};

/// Silence after a program's end that ends its channel, though something of it still holds the output.
const GRACE: Duration = Duration::from_secs(2);

/// Starts `command` on an open channel; `hold` is let go of when the channel has ended.
///
/// # Errors
/// The connection is gone.
pub(super) async fn start(
    channel: Channel<Msg>,
    env: &[(String, String)],
    command: &str,
    room: &Arc<Semaphore>,
    fate: &Fate,
    hold: impl Send + 'static,
) -> Result<Conduit, russh::Error> {
    let (read, write) = channel.split();
    for (name, value) in env {
        // A server that does not accept the variable ignores it, as it would from OpenSSH.
        write.set_env(false, name, value).await?;
    }
    write.exec(true, command).await?;
    let (stdout, out) = pipe(room.clone());
    let (stderr, err) = pipe(room.clone());
    let ended = CancellationToken::new();
    let (held, dropped) = oneshot::channel();
    let write = Arc::new(write);
    let stdin = Stdin {
        writer: Box::pin(write.make_writer()),
        write: write.clone(),
        finished: false,
        ended: Box::pin(ended.clone().cancelled_owned()),
        dropped: Some(held),
    };
    let task = Task { read, write, stdout, stderr, fate: fate.clone(), ended, _hold: hold };
    tokio::spawn(task.run(dropped));
    Ok(Conduit { stdin: Box::new(stdin), stdout: Box::new(out), stderr: Box::new(err) })
}

/// What carries one channel's messages to its streams.
struct Task<H> {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    stdout: PipeWriter,
    stderr: PipeWriter,
    fate: Fate,
    ended: CancellationToken,
    _hold: H,
}

impl<H: Send + 'static> Task<H> {
    async fn run(mut self, dropped: oneshot::Receiver<()>) {
        let _wake_the_writer = self.ended.clone().drop_guard();
        tokio::pin!(dropped);
        let mut stdin_open = true;
        let mut started = false;
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
                Some(ChannelMsg::Success) => started = true,
                Some(ChannelMsg::Failure | ChannelMsg::Close) if !started => {
                    self.fail(io::ErrorKind::PermissionDenied, "the host refused to run a command");
                    return self.close();
                }
                Some(ChannelMsg::Close) => return,
                Some(_) => {}
                None => {
                    self.fate.settled().await;
                    return self.fail(io::ErrorKind::ConnectionReset, &self.fate.why());
                }
            }
        }
    }

    fn fail(&self, kind: io::ErrorKind, why: &str) {
        for stream in [&self.stdout, &self.stderr] {
            stream.fail(io::Error::new(kind, why));
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
    /// The same way without a copy of what is sent.
    write: Arc<ChannelWriteHalf<Msg>>,
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

fn program_ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the program has ended")
}

impl Stdin {
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.ended.as_mut().poll(cx).map(|()| program_ended())
    }
}

#[async_trait]
impl Inlet for Stdin {
    async fn give(&mut self, chunk: Bytes) -> io::Result<()> {
        tokio::select! {
            biased;
            () = self.ended.as_mut() => Err(program_ended()),
            sent = self.write.data_bytes(chunk) => sent.map_err(|_| program_ended()),
        }
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
