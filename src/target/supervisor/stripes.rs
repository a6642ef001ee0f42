//! How a file is cut for a long wire, and what proves that its shares are the whole.
//!
//! # Theory of operation
//! A server lets only so many bytes of one channel be on their way, mostly two megabytes: on a wire of 50 ms that is
//! 40 MB/s, whatever the wire could carry. So a file goes over as many channels as it takes, each with a share of it in
//! a row; each share is hashed on the host by itself, as it stands in the file. Here one reading of the file yields both
//! the digests of the shares and that of the whole: where the former are those of the host, so is the latter.

use sha2::{Digest as _, Sha256};

use super::script::{BLOCK, Share};
use crate::vocab::Digest;
use std::time::Duration;

/// What a server lets be on its way in one channel.
const CHANNEL_WINDOW: f64 = 2.0 * 1024.0 * 1024.0;
/// Bytes a second that are worth more channels.
const WORTHWHILE: f64 = 250e6;
/// A server allows ten sessions, and there are the lanes.
const STRIPES_MAX: u64 = 6;
/// A share below this is not worth a channel.
const SHARE_MIN: u64 = 4 << 20;
/// A round trip below this may be a busy machine as well.
pub const LONG: Duration = Duration::from_millis(10);

/// How many channels a file of this size should take.
pub fn wanted(size: u64, round_trip: Option<Duration>) -> usize {
    let Some(round_trip) = round_trip.filter(|time| *time >= LONG) else { return 1 };
    let by_wire = (round_trip.as_secs_f64() * WORTHWHILE / CHANNEL_WINDOW).ceil();
    let count = STRIPES_MAX.min(size / SHARE_MIN).max(1);
    // Not below one, not above a handful.
    by_wire.clamp(1.0, count as f64) as usize
}

/// The length of each of at most `count` shares, but the last.
pub fn share_len(size: u64, count: usize) -> u64 {
    size.div_ceil(count.max(1) as u64).next_multiple_of(BLOCK).max(BLOCK)
}

/// Where the shares begin, how long they are, and how the host is told.
pub fn cut(size: u64, count: usize) -> Vec<(u64, u64, Share)> {
    let len = share_len(size, count);
    if len >= size {
        return vec![(0, size, Share::Whole)];
    }
    let begins = (0..size).step_by(usize::try_from(len).unwrap_or(usize::MAX));
    begins
        .map(|from| {
            let last = from + len >= size;
            let share = Share::Blocks { first: from / BLOCK, count: (!last).then_some(len / BLOCK) };
            (from, len.min(size - from), share)
        })
        .collect()
}

/// Digests of the whole and of its shares, out of one reading.
#[derive(Debug)]
pub struct Digests {
    whole: Sha256,
    share: Sha256,
    len: u64,
    left: u64,
    shares: Vec<Digest>,
}

impl Digests {
    /// For shares of `len` bytes.
    pub fn new(len: u64) -> Self {
        Self { whole: Sha256::new(), share: Sha256::new(), len, left: len, shares: Vec::new() }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.shares.push(digest(std::mem::take(&mut self.share)));
                self.left = self.len;
            }
            let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            // In pieces that stay in the cache for the second look.
            let piece = &bytes[..n.min(16 << 10)];
            self.whole.update(piece);
            self.share.update(piece);
            self.left -= piece.len() as u64;
            bytes = &bytes[piece.len()..];
        }
    }

    /// The whole's, and those of the shares.
    pub fn finish(mut self) -> (Digest, Vec<Digest>) {
        self.shares.push(digest(self.share));
        (digest(self.whole), self.shares)
    }
}

fn digest(hash: Sha256) -> Digest {
    Digest::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_wire_takes_more_channels() {
        let ms = |n| Some(Duration::from_millis(n));
        let big = 200_000_000;
        assert_eq!(wanted(big, None), 1);
        assert_eq!(wanted(big, ms(1)), 1);
        assert_eq!(wanted(big, ms(10)), 2);
        assert_eq!(wanted(big, ms(50)), 6);
        assert_eq!(wanted(big, ms(5000)), 6);
        assert_eq!(wanted(0, ms(50)), 1);
        assert_eq!(wanted(SHARE_MIN * 2, ms(50)), 2);
    }

    proptest! {
        #[test]
        fn shares_are_the_whole(size in 0u64..400_000_000, count in 0usize..12) {
            let shares = cut(size, count);
            prop_assert!(shares.len() <= count.max(1));
            let mut end = 0;
            for (i, (from, len, share)) in shares.iter().enumerate() {
                prop_assert_eq!(*from, end);
                prop_assert!(*len > 0 || size == 0);
                end = from + len;
                match share {
                    Share::Whole => prop_assert_eq!((shares.len(), *len), (1, size)),
                    Share::Blocks { first, count } => {
                        prop_assert_eq!(first * BLOCK, *from);
                        prop_assert_eq!(count.map(|n| n * BLOCK), (i + 1 < shares.len()).then_some(*len));
                    }
                }
            }
            prop_assert_eq!(end, size);
        }

        #[test]
        fn one_reading_yields_all_digests(
            bytes in prop::collection::vec(any::<u8>(), 1..500), len in 1u64..120, step in 1usize..90,
        ) {
            let mut digests = Digests::new(len);
            for chunk in bytes.chunks(step) {
                digests.update(chunk);
            }
            let of = |bytes: &[u8]| Digest::new(Sha256::digest(bytes).into());
            let shares: Vec<Digest> = bytes.chunks(len as usize).map(of).collect();
            prop_assert_eq!(digests.finish(), (of(&bytes), shares));
        }
    }
}
