//! Streams of a connection that may be declared dead before it says so itself.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::target::conduit::{Conduit, Inlet};

/// One stream; it fails when its connection is given up.
pub struct Mortal<S> {
    stream: S,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
    _count: Count,
}

/// Counted as long as it lives.
#[derive(Debug)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn new(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, Ordering::Relaxed);
        Self(of.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Binds a conduit to its connection, and counts it.
pub fn bind(conduit: Conduit, end: &CancellationToken, count: &Arc<AtomicUsize>) -> Conduit {
    let Conduit { stdin, stdout, stderr } = conduit;
    Conduit {
        stdin: Box::new(Mortal {
            stream: stdin,
            end: Box::pin(end.clone().cancelled_owned()),
            _count: Count::new(count),
        }),
        stdout: Box::new(Mortal {
            stream: stdout,
            end: Box::pin(end.clone().cancelled_owned()),
            _count: Count::new(count),
        }),
        stderr: Box::new(Mortal {
            stream: stderr,
            end: Box::pin(end.clone().cancelled_owned()),
            _count: Count::new(count),
        }),
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut")
}

#[async_trait]
impl Inlet for Mortal<Box<dyn Inlet>> {
    async fn give(&mut self, chunk: Bytes) -> io::Result<()> {
        tokio::select! {
            biased;
            () = self.end.as_mut() => Err(cut()),
            given = self.stream.give(chunk) => given,
        }
    }
}

impl<S> Mortal<S> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.end.as_mut().poll(cx).map(|()| cut())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mortal<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mortal<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
