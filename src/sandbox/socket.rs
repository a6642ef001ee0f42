//! A connection whose writes never keep its reads waiting.
//!
//! # Theory of operation
//! The SSH session is one loop that reads and writes in turn. Would it wait for room in the socket while its client, just
//! such a loop, waits for the same, neither would ever read again. So what the kernel does not take is kept here, and
//! every later read tries to get rid of it first. The channels' windows bound what can pile up; a client that opens
//! its windows wider than it reads meets [`BACKLOG`], and only then does the session wait.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Room for the windows of several channels that a stalled client left full.
const BACKLOG: usize = 16 << 20;

/// The server's end of an accepted connection.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: Arc<TcpStream>,
    backlog: BytesMut,
}

/// Ends a connection from outside its session.
#[derive(Debug)]
pub(super) struct Cut(Arc<TcpStream>);

impl Cut {
    /// The session reads end of file, or an error, and ends.
    pub(super) fn now(&self) {
        // A connection that is gone already is as good.
        let _ = socket2::SockRef::from(&*self.0).shutdown(Shutdown::Both);
    }
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> (Self, Cut) {
        let tcp = Arc::new(tcp);
        (Self { tcp: Arc::clone(&tcp), backlog: BytesMut::new() }, Cut(tcp))
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Ready when nothing is kept any more; else the task is woken once the kernel takes more.
    fn poll_backlog(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            let sent = ready!(self.poll_send(cx, &self.backlog))?;
            self.backlog.advance(sent);
        }
        self.backlog = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(e)) = self.poll_backlog(cx) {
            return Poll::Ready(Err(e));
        }
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.poll_backlog(cx)?.is_ready()
            && let Poll::Ready(sent) = self.poll_send(cx, bytes)
        {
            return Poll::Ready(sent);
        }
        // The kernel is full, and has this task's waker.
        let room = BACKLOG.saturating_sub(self.backlog.len()).min(bytes.len());
        if room == 0 {
            return Poll::Pending;
        }
        self.backlog.extend_from_slice(&bytes[..room]);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is kept goes out with the next reads: waiting for it here would be the very wait that is to be avoided.
        match self.poll_backlog(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_backlog(cx))?;
        Poll::Ready(socket2::SockRef::from(&*self.tcp).shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn connected() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _cut) = Socket::new(listener.accept().await.unwrap().0);
        (client, socket)
    }

    #[tokio::test]
    async fn writes_do_not_wait_and_nothing_is_lost_or_reordered() {
        let (mut client, mut socket) = connected().await;
        // More than loopback's buffers hold, less than the backlog.
        let sent: Vec<u8> = (0..12_u32 << 20).map(|i| (i / 7) as u8).collect();
        let written = tokio::time::timeout(std::time::Duration::from_secs(20), socket.write_all(&sent)).await;
        written.expect("writing waited for a reader").unwrap();
        assert!(!socket.backlog.is_empty(), "the kernel took it all: the test shows nothing");

        client.write_all(b"?").await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'?', "reading must go on");
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        });
        socket.shutdown().await.unwrap();
        assert!(reader.await.unwrap() == sent, "bytes were lost or reordered");
    }

    #[tokio::test]
    async fn the_backlog_is_bounded() {
        let (_client, mut socket) = connected().await;
        let chunk = vec![0; 1 << 20];
        while let Poll::Ready(written) =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_write(cx, &chunk))).await
        {
            written.unwrap();
        }
        assert_eq!(socket.backlog.len(), BACKLOG);
    }
}
