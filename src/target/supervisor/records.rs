//! Tells our records from what a program prints.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A record is shorter than this; what claims to be longer is the program's.
const RECORD_MAX: usize = 4096;
/// Bytes that are asked for at a time: a lane that waits holds little, one that streams has few reads.
const ROOM_MIN: usize = 2 << 10;
const ROOM_MAX: usize = 32 << 10;

/// One piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Bytes),
    /// Words of a record of ours.
    Record(Vec<String>),
    /// End of the stream.
    End,
}

/// Splits a stream into data and records, holding back no more than might be the beginning of one.
pub struct Records<R> {
    reader: R,
    marker: Vec<u8>,
    buffer: BytesMut,
    /// Follows what the reads bring.
    room: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Records<R> {
    pub fn new(reader: R, nonce: &str) -> Self {
        let mut marker = vec![0x1e];
        marker.extend_from_slice(nonce.as_bytes());
        marker.push(b' ');
        Self { reader, marker, buffer: BytesMut::new(), room: ROOM_MIN, ended: false }
    }

    /// The next piece. Dropping this future loses nothing.
    ///
    /// # Errors
    /// Reading failed.
    pub async fn next(&mut self) -> std::io::Result<Piece> {
        loop {
            if let Some(piece) = take(&mut self.buffer, &self.marker, self.ended) {
                return Ok(piece);
            }
            if self.ended {
                return Ok(Piece::End);
            }
            self.buffer.reserve(self.room);
            let count = self.reader.read_buf(&mut self.buffer).await?;
            self.ended = count == 0;
            self.room = match count {
                n if n >= self.room => (self.room * 4).min(ROOM_MAX),
                n if n < self.room / 4 => (self.room / 2).max(ROOM_MIN),
                _ => self.room,
            };
        }
    }
}

/// Takes the first piece that is whole; `None` asks for more bytes.
fn take(buffer: &mut BytesMut, marker: &[u8], ended: bool) -> Option<Piece> {
    if buffer.is_empty() {
        return None;
    }
    let data = |buffer: &mut BytesMut, len: usize| Some(Piece::Data(buffer.split_to(len).freeze()));
    match memchr::memmem::find(buffer, marker) {
        Some(0) => match memchr::memchr(b'\n', buffer) {
            Some(end) => {
                let record = buffer.split_to(end);
                buffer.advance(1);
                let words = String::from_utf8_lossy(&record[marker.len()..]);
                Some(Piece::Record(words.split_ascii_whitespace().map(str::to_owned).collect()))
            }
            None if ended || buffer.len() > RECORD_MAX => data(buffer, marker.len()),
            None => None,
        },
        Some(at) => data(buffer, at),
        None if ended => {
            let len = buffer.len();
            data(buffer, len)
        }
        None => {
            let held =
                (1..marker.len().min(buffer.len() + 1)).rev().find(|n| buffer.ends_with(&marker[..*n])).unwrap_or(0);
            let free = buffer.len() - held;
            if free == 0 { None } else { data(buffer, free) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[Vec<u8>]) -> (Vec<u8>, Vec<Vec<String>>) {
        let mut buffer = BytesMut::new();
        let (mut data, mut records) = (Vec::new(), Vec::new());
        let marker = b"\x1eNONCE ".to_vec();
        let mut drain = |buffer: &mut BytesMut, ended| {
            while let Some(piece) = take(buffer, &marker, ended) {
                match piece {
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::Record(words) => records.push(words),
                    Piece::End => {}
                }
            }
        };
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            drain(&mut buffer, false);
        }
        drain(&mut buffer, true);
        (data, records)
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                Just(b"\x1eNONCE end 0 none\n".to_vec()),
                Just(b"\x1eNONCX\x1eNON".to_vec()),
            ], 0..12),
            size in 1usize..9,
        ) {
            let whole: Vec<u8> = parts.concat();
            let chunks: Vec<Vec<u8>> = whole.chunks(size).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(split(&chunks), split(&[whole]));
        }
    }

    #[test]
    fn a_record_is_found_behind_a_line_without_end() {
        let (data, records) = split(&[b"no newline\x1eNON".to_vec(), b"CE end 0 none cgroup\nrest".to_vec()]);
        assert_eq!(data, b"no newlinerest");
        assert_eq!(records, [["end", "0", "none", "cgroup"]]);
    }
}
