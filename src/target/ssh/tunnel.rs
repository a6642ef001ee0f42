//! A connection that a bastion makes for us, as a stream of bytes.
//!
//! # Theory of operation
//! All hosts behind a bastion share its one connection, whose library loop stops for all of them when one channel's queue
//! is full, and which gives the bastion new credit as soon as bytes arrive. So a tunnel's task never waits for its
//! reader: it empties the queue into a pipe at once. What bounds that pipe is the host's own SSH connection inside of the
//! tunnel: when its reader stops, its windows are not renewed, and a server that keeps to them has no more to send than
//! [`BACKLOG`]. One that does not keep to them loses its tunnel, and nobody else does.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, client::Msg};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Semaphore, oneshot},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    bastion::Bastion,
    dial::Failure,
    pipe::{PipeReader, PipeWriter, pipe},
};

/// More than all windows of the connection inside hold.
const BACKLOG: usize = 32 << 20;
/// How long an answer is awaited that nobody waits for any more, only to close what it opened.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Two-way bytes through a bastion. Dropping it closes its channel, and the bastion's session after the last.
pub(super) struct Tunnel {
    reader: PipeReader,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// The channel is gone; its window would be waited for in vain.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _dropped: oneshot::Sender<()>,
    _bastion: Bastion,
}

/// Has the bastion connect to `host`.
///
/// # Errors
/// The bastion's own words; a loss of the bastion itself may be tried again.
pub(super) async fn open(bastion: &Bastion, host: &str, port: u16) -> Result<Tunnel, Failure> {
    let (sender, receiver) = oneshot::channel();
    let (via, to) = (bastion.clone(), host.trim_start_matches('[').trim_end_matches(']').to_owned());
    // In a task of its own: a channel whose opener was cancelled halfway must be closed again, not forgotten.
    tokio::spawn(async move {
        let mut sender = sender;
        let opening = via.connection.handle().channel_open_direct_tcpip(to, u32::from(port), "127.0.0.1", 0);
        tokio::pin!(opening);
        let opened = tokio::select! {
            opened = &mut opening => opened,
            () = via.connection.fate().over() => return,
            () = sender.closed() => match tokio::time::timeout(AFTERMATH, opening).await {
                Ok(opened) => opened,
                Err(_) => return,
            },
        };
        if let Err(Ok(unwanted)) = sender.send(opened) {
            let _ = unwanted.close().await;
        }
    });
    let gone = || Failure::dropped(format!("bastion {} was lost: {}", bastion.name, bastion.connection.fate().why()));
    match receiver.await {
        Ok(Ok(channel)) => Ok(start(bastion.clone(), channel)),
        Ok(Err(russh::Error::ChannelOpenFailure(why))) => Err(refused(bastion, host, port, why).await),
        Ok(Err(_)) | Err(_) => Err(gone()),
    }
}

async fn refused(bastion: &Bastion, host: &str, port: u16, why: ChannelOpenFailure) -> Failure {
    let said = bastion.connection.fate().refusal(&why).await;
    let said = if said.is_empty() { why.description().to_owned() } else { said };
    let name = &bastion.name;
    match why {
        ChannelOpenFailure::ConnectFailed => {
            Failure::connect(format!("bastion {name} cannot connect to {host}:{port}: {said}"))
        }
        ChannelOpenFailure::ResourceShortage => {
            Failure::dropped(format!("bastion {name} has no room for a connection to {host}:{port}: {said}"))
        }
        _ => Failure::connect(format!(
            "bastion {name} does not allow a connection to {host}:{port}: {said}; \
             its AllowTcpForwarding and PermitOpen decide that"
        )),
    }
}

fn start(bastion: Bastion, channel: Channel<Msg>) -> Tunnel {
    let (read, write) = channel.split();
    let (inlet, reader) = pipe(Arc::new(Semaphore::new(BACKLOG)));
    let ended = CancellationToken::new();
    let (held, dropped) = oneshot::channel();
    let tunnel = Tunnel {
        reader,
        writer: Box::pin(write.make_writer()),
        ended: Box::pin(ended.clone().cancelled_owned()),
        _dropped: held,
        _bastion: bastion.clone(),
    };
    tokio::spawn(async move {
        let _wake_the_writer = ended.drop_guard();
        carry(&bastion, read, inlet, dropped).await;
        // Without effect on a channel that the bastion has closed.
        let _ = write.close().await;
    });
    tunnel
}

/// Ends with the channel, with the tunnel's last holder, or when the host sends more than it may.
async fn carry(bastion: &Bastion, mut read: ChannelReadHalf, inlet: PipeWriter, mut dropped: oneshot::Receiver<()>) {
    loop {
        let message = tokio::select! {
            message = read.wait() => message,
            _ = &mut dropped => return,
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                if !inlet.offer(data) {
                    return inlet.fail(io::Error::other("the host sent more than it was allowed to"));
                }
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) => return,
            Some(_) => {}
            None => {
                let fate = bastion.connection.fate();
                fate.settled().await;
                let text = format!("bastion {} was lost: {}", bastion.name, fate.why());
                return inlet.fail(io::Error::new(io::ErrorKind::ConnectionReset, text));
            }
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel is closed")));
        }
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.writer.as_mut().poll_shutdown(cx)
    }
}
