//! A TCP connection, tuned for many small round trips and for beats that must not queue behind an upload.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};

/// Reads after which acknowledgements may be delayed again: the server's Nagle and our delay would cost 40 ms at each
/// step of the setup otherwise.
const QUICK_READS: u8 = 64;
/// Bytes that may lie unsent in the kernel: more of them would only make a beat wait.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// The stream under an SSH connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    quick: u8,
}

impl Socket {
    /// Connects and tunes; data that stays without an answer for `silence` ends the connection.
    pub(super) async fn connect(address: SocketAddr, from: Option<IpAddr>, silence: Duration) -> io::Result<Self> {
        let stream = match from {
            None => TcpStream::connect(address).await?,
            Some(ip) => {
                let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(ip, 0))?;
                socket.connect(address).await?
            }
        };
        // Without any of these the connection still works, only slower to start or to notice its end.
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(&stream);
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(30)));
        #[cfg(target_os = "linux")]
        {
            let _ = socket.set_tcp_notsent_lowat(UNSENT);
            let _ = socket.set_tcp_user_timeout(Some(silence));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = silence;
        let socket = Self { stream, quick: QUICK_READS };
        socket.acknowledge_at_once();
        Ok(socket)
    }

    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(&self.stream).set_tcp_quickack(true);
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        // The kernel leaves that mode by itself, so it is asked for after each read.
        if polled.is_ready() && self.quick > 0 {
            self.quick -= 1;
            self.acknowledge_at_once();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
