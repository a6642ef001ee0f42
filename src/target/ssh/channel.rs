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
    task::{Context, Poll, ready},
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
    credit::Credit,
    pipe::{PipeWriter, pipe},
};
use crate::target::conduit::{Carried, Conduit, Inlet};

/// Silence after a program's end that ends its channel, though something of it still holds the output.
const GRACE: Duration = Duration::from_secs(2);

/// Starts `command` on an open channel; `hold` is let go of when the channel has ended.
///
/// Variables that are carried come before the command, so the server has answered for each when it answers for that.
///
/// # Errors
/// The connection is gone.
pub(super) async fn start(
    channel: Channel<Msg>,
    env: &[(String, String)],
    command: &str,
    carried: Option<Carried>,
    room: &Arc<Semaphore>,
    fate: &Fate,
    hold: impl Send + 'static,
) -> Result<Conduit, russh::Error> {
    let (read, write) = channel.split();
    for (name, value) in env {
        // A server that does not accept the variable ignores it, as it would from OpenSSH.
        write.set_env(false, name, value).await?;
    }
    let mut gate = None;
    let mut asked = None;
    if let Some(Carried { variables, instead, .. }) = carried {
        let answers = variables.len();
        for (name, value) in variables {
            write.set_env(true, name, value).await?;
        }
        let (open, opened) = oneshot::channel();
        gate = Some(opened);
        asked = Some(Asked { answers, refused: false, instead, open });
    }
    write.exec(true, command).await?;
    let (stdout, out) = pipe(room.clone());
    let (stderr, err) = pipe(room.clone());
    let ended = CancellationToken::new();
    let (held, dropped) = oneshot::channel();
    let write = Arc::new(write);
    let credit = Arc::new(Credit::default());
    let stdin = Stdin {
        writer: Box::pin(write.make_writer()),
        write: write.clone(),
        credit: credit.clone(),
        paced: false,
        gate,
        finished: false,
        ended: Box::pin(ended.clone().cancelled_owned()),
        dropped: Some(held),
    };
    let task = Task { read, write, credit, asked, stdout, stderr, fate: fate.clone(), ended, _hold: hold };
    tokio::spawn(task.run(dropped));
    Ok(Conduit { stdin: Box::new(stdin), stdout: Box::new(out), stderr: Box::new(err) })
}

/// What carries one channel's messages to its streams.
struct Task<H> {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    credit: Arc<Credit>,
    asked: Option<Asked>,
    stdout: PipeWriter,
    stderr: PipeWriter,
    fate: Fate,
    ended: CancellationToken,
    _hold: H,
}

/// Variables that a server has not yet answered for.
struct Asked {
    answers: usize,
    refused: bool,
    instead: Box<dyn FnOnce() -> String + Send>,
    /// Nothing goes to stdin before this is sent, or dropped.
    open: oneshot::Sender<()>,
}

impl Asked {
    /// Takes one answer; gives itself back while there are more to come.
    fn answered(mut self, accepted: bool, write: &Arc<ChannelWriteHalf<Msg>>) -> Option<Self> {
        self.refused |= !accepted;
        self.answers = self.answers.saturating_sub(1);
        if self.answers > 0 {
            return Some(self);
        }
        if self.refused {
            let write = write.clone();
            tokio::spawn(async move {
                let _ = write.data_bytes((self.instead)().into_bytes()).await;
                let _ = self.open.send(());
            });
        } else {
            let _ = self.open.send(());
        }
        None
    }
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
                Some(answer @ (ChannelMsg::Success | ChannelMsg::Failure)) if self.asked.is_some() => {
                    let accepted = matches!(answer, ChannelMsg::Success);
                    self.asked = self.asked.take().and_then(|asked| asked.answered(accepted, &self.write));
                }
                Some(ChannelMsg::Success) => started = true,
                Some(ChannelMsg::WindowAdjusted { new_size }) => self.credit.told(new_size),
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
    credit: Arc<Credit>,
    /// See [`Inlet::pace`]; until the host turns out not to tell what was taken.
    paced: bool,
    /// Something else goes first, or may.
    gate: Option<oneshot::Receiver<()>>,
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

    fn poll_open(gate: &mut Option<oneshot::Receiver<()>>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(opened) = gate {
            let _ = ready!(Pin::new(opened).poll(cx));
            *gate = None;
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Inlet for Stdin {
    fn pace(&mut self) {
        self.paced = true;
    }

    async fn give(&mut self, chunk: Bytes) -> io::Result<()> {
        tokio::select! {
            biased;
            () = self.ended.as_mut() => return Err(program_ended()),
            () = std::future::poll_fn(|cx| Self::poll_open(&mut self.gate, cx)) => {}
        }
        if self.paced {
            self.paced = tokio::select! {
                biased;
                () = self.ended.as_mut() => return Err(program_ended()),
                told = self.credit.take(chunk.len() as u64) => told,
            };
        }
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
        ready!(Self::poll_open(&mut self.gate, cx));
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished || self.poll_ended(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(Self::poll_open(&mut self.gate, cx));
        let polled = self.writer.as_mut().poll_shutdown(cx);
        self.finished = polled.is_ready();
        polled
    }
}
