//! What was sent to a program, kept until it cannot be asked for again.

use std::collections::VecDeque;

/// Bytes that are kept after they were sent. A lane has one request on its way, which is shorter than this.
const KEPT: usize = 1 << 20;

/// A stream of bytes with a cursor, which a new connection sets back to what the host has counted.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: VecDeque<u8>,
    /// The offset in the stream of the first byte that is kept.
    start: u64,
    /// Of the kept bytes, those that were sent.
    sent: usize,
}

impl Outbox {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next bytes to be sent; empty when there are none.
    pub fn unsent(&self) -> &[u8] {
        let (front, back) = self.bytes.as_slices();
        match front.get(self.sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => back.get(self.sent.saturating_sub(front.len())..).unwrap_or_default(),
        }
    }

    pub fn advance(&mut self, count: usize) {
        self.sent += count;
        let over = self.sent.saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.start += over as u64;
        self.sent -= over;
    }

    /// Goes on where the host has stopped counting; false when it asks for what is not kept.
    #[must_use]
    pub fn resume(&mut self, counted: u64) -> bool {
        let Some(at) = counted.checked_sub(self.start).and_then(|at| usize::try_from(at).ok()) else { return false };
        if at > self.sent {
            return false;
        }
        self.bytes.drain(..at);
        self.start = counted;
        self.sent = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is cut off where, the host gets every byte once.
        #[test]
        fn nothing_is_lost_or_doubled(steps in prop::collection::vec((0usize..200_000, 0usize..300_000, any::<bool>(), 0.0..1.0), 1..30)) {
            let (mut outbox, mut said, mut taken) = (Outbox::default(), Vec::new(), Vec::new());
            // What left here; the host has taken a beginning of it.
            let mut flying: Vec<u8> = Vec::new();
            for (new, send, cut, share) in steps {
                let text: Vec<u8> = (0..new).map(|i| ((said.len() + i) % 251) as u8).collect();
                said.extend_from_slice(&text);
                outbox.push(&text);
                let mut left = send;
                while left > 0 && !outbox.unsent().is_empty() {
                    let n = outbox.unsent().len().min(left);
                    flying.extend_from_slice(&outbox.unsent()[..n]);
                    outbox.advance(n);
                    left -= n;
                }
                if cut {
                    let lost = ((flying.len() as f64 * share) as usize).min(KEPT);
                    taken.extend_from_slice(&flying[..flying.len() - lost]);
                    flying.clear();
                    prop_assert!(outbox.resume(taken.len() as u64));
                }
            }
            taken.extend_from_slice(&flying);
            while !outbox.unsent().is_empty() {
                let n = outbox.unsent().len();
                taken.extend_from_slice(outbox.unsent());
                outbox.advance(n);
            }
            prop_assert!(taken == said);
        }
    }

    #[test]
    fn a_count_that_cannot_be_is_refused() {
        let mut outbox = Outbox::default();
        outbox.push(b"abc");
        outbox.advance(2);
        assert!(!outbox.resume(3), "more than was sent");
        assert!(outbox.resume(1));
        assert!(!outbox.resume(0), "less than was counted before");
        assert_eq!(outbox.unsent(), b"bc");
    }
}
