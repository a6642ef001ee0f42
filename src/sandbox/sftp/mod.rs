//! The sftp subsystem, version 3, as scp and sftp of OpenSSH use it.
//!
//! # Theory of operation
//! Packets are read in small batches, answered in their order on a thread that may block, and sent back. The packets are
//! the SFTP library's; its server is not used, because that one waits for ever on a client that left with a full window.

mod attributes;
mod files;
mod paths;

use std::path::PathBuf;

use bytes::{Buf, Bytes, BytesMut};
use russh_sftp::protocol::{Packet, StatusCode};

use self::files::Files;
use super::{inlet::Inlet, outlet::Outlet};

/// The longest packet that is taken, as OpenSSH has it.
const PACKET: usize = 256 << 10;
/// The longest part of a file in one packet.
const CHUNK: u32 = 255 << 10;
/// How many packets are answered at a stretch.
const BATCH: usize = 8;

/// Answers until the client ends the channel or breaks the protocol.
pub(super) async fn serve(home: PathBuf, inlet: Inlet, outlet: Outlet) {
    let mut packets = Packets { inlet, bytes: BytesMut::new() };
    let mut files = Files::new(home);
    'packets: while let Some(first) = packets.next().await {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Some(next) = packets.ready()
        {
            batch.push(next);
        }
        let answered = tokio::task::spawn_blocking(move || {
            let replies: Vec<_> = batch.into_iter().map(|packet| answer(&mut files, packet)).collect();
            (files, replies)
        });
        let Ok((kept, replies)) = answered.await else { break };
        files = kept;
        for reply in replies {
            if outlet.send(None, reply).await.is_err() {
                break 'packets;
            }
        }
    }
    outlet.exit_status(0).await;
    outlet.end().await;
    outlet.close().await;
}

fn answer(files: &mut Files, mut packet: Bytes) -> Bytes {
    // Every request but the first begins with its number; a garbled one still gets an answer of that number.
    let id = packet.get(1..5).map_or(0, |mut id| id.get_u32());
    let reply = match Packet::try_from(&mut packet) {
        Ok(request) => files.answer(request),
        Err(_) => Packet::error(id, StatusCode::BadMessage),
    };
    // What we made can be written; a name too long for its length field cannot exist.
    Bytes::try_from(reply).unwrap_or_default()
}

/// Cuts the stream into packets, without their lengths.
struct Packets {
    inlet: Inlet,
    bytes: BytesMut,
}

impl Packets {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.cut() {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => {}
                Err(TooLong) => return None,
            }
            let more = self.inlet.next().await?;
            self.bytes.extend_from_slice(&more);
        }
    }

    /// A packet that can be had without waiting.
    fn ready(&mut self) -> Option<Bytes> {
        loop {
            match self.cut() {
                Ok(Some(packet)) => return Some(packet),
                Ok(None) => {}
                // Left for `next` to find.
                Err(TooLong) => return None,
            }
            let more = self.inlet.ready()?;
            self.bytes.extend_from_slice(&more);
        }
    }

    fn cut(&mut self) -> Result<Option<Bytes>, TooLong> {
        let Some(mut length) = self.bytes.get(..4) else { return Ok(None) };
        let length = usize::try_from(length.get_u32()).map_err(|_| TooLong)?;
        if length > PACKET {
            return Err(TooLong);
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        self.bytes.advance(4);
        Ok(Some(self.bytes.split_to(length).freeze()))
    }
}

#[derive(Debug)]
struct TooLong;
