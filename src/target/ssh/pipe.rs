//! A stream of bytes from a channel to its reader, bounded in bytes.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

type Parcel = (io::Result<Bytes>, Option<OwnedSemaphorePermit>);

/// The end that is written to.
#[derive(Debug)]
pub(super) struct PipeWriter {
    parcels: mpsc::UnboundedSender<Parcel>,
    /// Free bytes, shared by all pipes of a connection.
    room: Arc<Semaphore>,
}

/// The end that is read from; what was read makes room at once.
#[derive(Debug)]
pub(super) struct PipeReader {
    parcels: mpsc::UnboundedReceiver<Parcel>,
    current: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Makes a pipe whose bytes take their place in `room`.
pub(super) fn pipe(room: Arc<Semaphore>) -> (PipeWriter, PipeReader) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (PipeWriter { parcels: sender, room }, PipeReader { parcels: receiver, current: Bytes::new(), _permit: None })
}

impl PipeWriter {
    /// Waits for room and hands the bytes over; without a reader they are dropped.
    pub(super) async fn push(&self, bytes: Bytes) {
        if bytes.is_empty() || self.parcels.is_closed() {
            return;
        }
        let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            // The semaphore is never closed.
            permit = self.room.clone().acquire_many_owned(weight) => permit.ok(),
            () = self.parcels.closed() => return,
        };
        let _ = self.parcels.send((Ok(bytes), permit));
    }

    /// Hands the bytes over without waiting; false when there is no room for them.
    pub(super) fn offer(&self, bytes: Bytes) -> bool {
        let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(weight) {
            Ok(permit) => {
                let _ = self.parcels.send((Ok(bytes), Some(permit)));
                true
            }
            Err(_) => self.parcels.is_closed(),
        }
    }

    /// Makes the reader fail after what it still has to read.
    pub(super) fn fail(&self, error: io::Error) {
        let _ = self.parcels.send((Err(error), None));
    }

    /// Ends when the reader is gone.
    pub(super) async fn abandoned(&self) {
        self.parcels.closed().await;
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.current.is_empty() {
            self._permit = None;
            match ready!(self.parcels.poll_recv(cx)) {
                Some((Ok(bytes), permit)) => {
                    self.current = bytes;
                    self._permit = permit;
                }
                Some((Err(error), _)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.current.len().min(buf.remaining());
        buf.put_slice(&self.current[..count]);
        self.current.advance(count);
        if self.current.is_empty() {
            self._permit = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_in_order_and_bounded() {
        let room = Arc::new(Semaphore::new(10));
        let (writer, mut reader) = pipe(room.clone());
        writer.push(Bytes::from_static(b"0123456")).await;
        let push = writer.push(Bytes::from_static(b"789a"));
        tokio::pin!(push);
        assert!(futures_pending(&mut push).await, "there is no room for it");
        let mut first = [0; 7];
        reader.read_exact(&mut first).await.unwrap();
        push.await;
        assert_eq!(room.available_permits(), 6);
        writer.fail(io::Error::other("cut"));
        let mut rest = Vec::new();
        assert_eq!(reader.read_to_end(&mut rest).await.unwrap_err().to_string(), "cut");
        assert_eq!((&first[..], &rest[..]), (&b"0123456"[..], &b"789a"[..]));
        assert_eq!(room.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_reader_that_left_stops_nobody() {
        let room = Arc::new(Semaphore::new(4));
        let (writer, reader) = pipe(room.clone());
        writer.push(Bytes::from_static(b"1234")).await;
        let push = writer.push(Bytes::from_static(b"5678"));
        tokio::pin!(push);
        assert!(futures_pending(&mut push).await);
        drop(reader);
        push.await;
        writer.push(Bytes::from_static(b"9")).await;
        assert_eq!(room.available_permits(), 4);
    }

    async fn futures_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        tokio::select! {
            biased;
            () = future => false,
            () = tokio::task::yield_now() => true,
        }
    }
}
