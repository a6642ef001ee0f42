//! The CDN's connections, with their faults: reset, closed, silent or narrow after so many bytes.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep_until},
};

use super::{Shared, faults::Faults};

/// A stalled connection says nothing more after this.
const STALL_AFTER: u64 = 1 << 20;
/// Bytes a second of a slow one.
const SLOW: u64 = 100_000;
/// How long a line may be idle and still catch up.
const BURST: Duration = Duration::from_millis(20);

/// Accepts connections that misbehave as [`Faults`] say.
pub struct Wires {
    listener: TcpListener,
    cdn: bool,
    shared: Arc<Shared>,
}

impl Wires {
    /// Those of the CDN, else of the hub itself, which is well unless it has to send large files.
    pub fn new(listener: TcpListener, cdn: bool, shared: Arc<Shared>) -> Self {
        Self { listener, cdn, shared }
    }
}

impl Listener for Wires {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let mut faults = self.shared.faults();
                    let mut well = Faults::default();
                    let faults = if self.cdn || faults.direct { &mut *faults } else { &mut well };
                    let wire = Wire {
                        stream,
                        written: 0,
                        reset: faults.reset_each,
                        close: faults.close_each,
                        stall: Faults::take(&mut faults.stalls),
                        rate: if Faults::take(&mut faults.slow) { Some(SLOW) } else { faults.rate },
                        free: Instant::now(),
                        pause: None,
                    };
                    return (wire, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "the hub's CDN cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

impl Connected<IncomingStream<'_, Wires>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        Self(stream.remote_addr().ip())
    }
}

/// One connection.
pub struct Wire {
    stream: TcpStream,
    written: u64,
    reset: Option<u64>,
    close: Option<u64>,
    stall: bool,
    /// Bytes a second.
    rate: Option<u64>,
    /// When the line has carried all that was written.
    free: Instant,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// How many bytes may be written now.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        if self.stall && self.written >= STALL_AFTER {
            // The client is the one who has to notice.
            return Poll::Pending;
        }
        let left = |limit: Option<u64>, written: u64| limit.map_or(u64::MAX, |limit| limit.saturating_sub(written));
        let mut room = left(self.reset, self.written).min(left(self.close, self.written));
        if self.stall {
            room = room.min(STALL_AFTER - self.written);
        }
        if room == 0 {
            if self.reset.is_some_and(|limit| self.written >= limit) {
                let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            }
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let Some(rate) = self.rate else { return Poll::Ready(Ok(room)) };
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.free = self.free.max(Instant::now() - BURST);
        if self.free > Instant::now() {
            let mut pause = Box::pin(sleep_until(self.free));
            if pause.as_mut().poll(cx).is_pending() {
                self.pause = Some(pause);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(room.min((rate / 50).max(1))))
    }

    fn wrote(&mut self, n: usize) {
        self.written += n as u64;
        if let Some(rate) = self.rate {
            self.free += Duration::from_secs_f64(n as f64 / rate as f64);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let room = ready!(wire.room(cx))?;
        let n = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let n = ready!(Pin::new(&mut wire.stream).poll_write(cx, &bytes[..n]))?;
        wire.wrote(n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
