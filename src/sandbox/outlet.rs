//! What a command says, on its way into a channel.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use russh::{
    ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig,
    server::{Handle, Msg},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::inlet::{Feed, Pressure};

/// What a read takes at most: the whole of a pipe.
const LARGE: usize = 64 << 10;
/// What an output that says little costs while it is silent.
const SMALL: usize = 2 << 10;

/// The channel's client is not there any more.
#[derive(Debug)]
pub(super) struct Gone;

/// The sending half of a channel, which knows when nobody is listening.
#[derive(Debug)]
pub(super) struct Outlet {
    write: ChannelWriteHalf<Msg>,
    session: Handle,
    pressure: Pressure,
    /// Cancelled when the client has closed the channel or is gone ([`listen`] does it), and when we are done with it.
    over: CancellationToken,
}

impl Outlet {
    pub(super) fn new(
        write: ChannelWriteHalf<Msg>,
        session: Handle,
        pressure: Pressure,
        over: CancellationToken,
    ) -> Self {
        Self { write, session, pressure, over }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.write.id()
    }

    /// Waits for the client's window and for room in the session.
    pub(super) async fn send(&self, extended: Option<u32>, data: Bytes) -> Result<(), Gone> {
        let _waiting = self.pressure.enter();
        let sent = async {
            match extended {
                None => self.write.data_bytes(data).await,
                Some(code) => self.write.extended_data_bytes(code, data).await,
            }
        };
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(Gone),
            sent = sent => sent.map_err(|_| Gone),
        }
    }

    /// Sends all of `reader` until its end or the channel's.
    ///
    /// `settled` ends when nothing more is to be expected; once it has, and nothing is there to be read, `drained` is
    /// dropped. It is dropped at the end in any case.
    pub(super) async fn carry(
        &self,
        extended: Option<u32>,
        mut reader: impl AsyncRead + Unpin,
        settled: impl Future<Output = ()>,
        drained: Option<oneshot::Sender<()>>,
    ) {
        let mut settled = pin!(settled);
        let mut drained = drained;
        let mut size = SMALL;
        loop {
            let mut buffer = BytesMut::with_capacity(size);
            let read = tokio::select! {
                biased;
                () = self.over.cancelled() => return,
                read = reader.read_buf(&mut buffer) => read,
                () = &mut settled, if drained.is_some() => {
                    drained = None;
                    continue;
                }
            };
            match read {
                Ok(0) | Err(_) => return,
                Ok(n) if n >= size => size = LARGE,
                Ok(n) if n < SMALL => size = SMALL,
                Ok(_) => {}
            }
            if self.send(extended, buffer.freeze()).await.is_err() {
                return;
            }
        }
    }

    // A session that is gone needs to be told nothing: errors of what follows are dropped.

    pub(super) async fn exit_status(&self, status: u32) {
        let _ = self.write.exit_status(status).await;
    }

    pub(super) async fn exit_signal(&self, signal: Sig, core_dumped: bool) {
        let _ = self.session.exit_signal_request(self.id(), signal, core_dumped, String::new(), String::new()).await;
    }

    pub(super) async fn end(&self) {
        let _ = self.write.eof().await;
    }

    /// Closes the channel for good.
    pub(super) async fn close(self) {
        let _ = self.write.close().await;
        self.over.cancel();
    }
}

/// Takes what comes for one channel until it closes, so that it never stops the connection for lack of a reader.
pub(super) async fn listen(mut read: ChannelReadHalf, feed: Feed, over: CancellationToken) {
    let mut feed = Some(feed);
    loop {
        let message = tokio::select! {
            () = over.cancelled() => return,
            message = read.wait() => message,
        };
        match (message, &feed) {
            (Some(ChannelMsg::Data { data }), Some(feed)) => tokio::select! {
                () = over.cancelled() => return,
                () = feed.push(data) => {}
            },
            (Some(ChannelMsg::Eof), _) => feed = None,
            (Some(ChannelMsg::Close) | None, _) => {
                over.cancel();
                return;
            }
            _ => {}
        }
    }
}
