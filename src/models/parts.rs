//! How a blob is cut into segments, and what of them a host has already.
//!
//! # Theory of operation
//! A host keeps the beginning of a blob in `base` and each segment that is on its way in `s.START`; what a file's length
//! says is there, is there, so that a transfer goes on at the byte where it was killed and needs no other journal than
//! the length of the cuts. Segments are appended to `base` in their order and removed, so that a blob needs room for
//! itself and the segments on their way. Which ranges are still to come is decided here, purely.

/// What a host keeps of a blob that is not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The length of the cuts when they were made.
    pub cut: Option<u64>,
    /// Bytes of its beginning.
    pub base: u64,
    /// First byte and length of each segment.
    pub segments: Vec<(u64, u64)>,
}

/// A range that is still to come, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub start: u64,
    pub len: u64,
    /// What of it is there.
    pub have: u64,
}

/// How the rest of a blob is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    pub cut: u64,
    pub segments: Vec<Segment>,
    /// A segment whose beginning is in `base` already: its start, how much of it that is, its new start.
    pub fix: Option<(u64, u64, u64)>,
    /// Starts of parts that fit nowhere.
    pub old: Vec<u64>,
    /// Bytes that are there and count.
    pub have: u64,
}

const MIB: u64 = 1 << 20;
/// Shorter segments spend their time on handshakes.
const LEAST: u64 = 8 * MIB;
const MOST: u64 = 32 * MIB;
/// A script lists them all.
const MOST_SEGMENTS: u64 = 1000;

/// The length of the cuts of a blob that so many connections fetch: all of them end at about the same time.
pub fn cut_for(size: u64, connections: u32) -> u64 {
    let lanes = u64::from(connections.max(1));
    let rounds = size.div_ceil(lanes * MOST).max(1);
    let even = size.div_ceil(lanes * rounds).max(1);
    // One connection goes through from the beginning to the end.
    if lanes == 1 {
        return size.max(1);
    }
    even.max(LEAST).max(size.div_ceil(MOST_SEGMENTS)).next_multiple_of(MIB)
}

/// What is still to come of `size` bytes.
pub fn rest(size: u64, connections: u32, parts: &Parts) -> Rest {
    let sane = |cut: &u64| *cut > 0 && size.div_ceil(*cut) <= MOST_SEGMENTS * 2;
    // Without a segment on its way, nothing hangs on how it was cut.
    let cut =
        parts.cut.filter(sane).filter(|_| !parts.segments.is_empty()).unwrap_or_else(|| cut_for(size, connections));
    let mut rest = Rest { cut, have: parts.base.min(size), ..Rest::default() };
    // More than the whole is not the beginning of it.
    let base = if parts.base > size { 0 } else { parts.base };
    let mut at = base;
    while at < size {
        let end = (at - at % cut).saturating_add(cut).min(size);
        let len = end - at;
        let before = parts.segments.iter().find(|(start, len)| *start < at && at < start + len && start + len <= end);
        let have = match parts.segments.iter().find(|(start, have)| *start == at && *have <= len) {
            Some((_, have)) => *have,
            None => match before.filter(|_| at == base) {
                Some((start, before)) => {
                    rest.fix = Some((*start, at - start, at));
                    before - (at - start)
                }
                None => 0,
            },
        };
        rest.have += have;
        rest.segments.push(Segment { start: at, len, have });
        at = end;
    }
    let used = |start: u64| {
        rest.fix.is_some_and(|(fixed, ..)| fixed == start)
            || rest
                .segments
                .iter()
                .any(|s| s.start == start && parts.segments.iter().any(|(p, n)| *p == start && *n <= s.len))
    };
    rest.old = parts.segments.iter().map(|(start, _)| *start).filter(|start| !used(*start)).collect();
    rest
}

/// Bytes of a blob that are there while it is fetched, from the lengths that the host tells: a segment that is being
/// appended is in both places for a moment.
pub fn arrived(base: u64, segments: &[(u64, u64)]) -> u64 {
    let beyond = |(start, len): &(u64, u64)| start.saturating_add(*len).saturating_sub(base.max(*start));
    segments.iter().map(beyond).fold(base, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_are_even_and_sensible() {
        assert_eq!(cut_for(1 << 30, 8), 32 * MIB);
        assert_eq!(cut_for(600 * MIB, 8), 25 * MIB);
        assert_eq!(cut_for(1 << 20, 8), LEAST);
        assert_eq!(cut_for(100 * MIB, 1), 100 * MIB);
        assert!((1_u64 << 40).div_ceil(cut_for(1 << 40, 8)) <= 1000);
        assert_eq!(cut_for(0, 8), LEAST);
    }

    #[test]
    fn a_beginning_alone_binds_nobody_to_its_cuts() {
        let parts = Parts { cut: Some(1 << 30), base: 100 * MIB, segments: Vec::new() };
        assert_eq!(rest(1 << 30, 8, &parts).cut, 32 * MIB);
        let rest = rest(1 << 30, 1, &parts);
        assert_eq!(rest.segments, [Segment { start: 100 * MIB, len: (1 << 30) - 100 * MIB, have: 0 }]);
    }

    #[test]
    fn what_is_there_is_not_fetched_again() {
        let parts = Parts { cut: Some(100), base: 130, segments: vec![(100, 100), (200, 40), (300, 100), (777, 5)] };
        let rest = rest(450, 8, &parts);
        assert_eq!(rest.fix, Some((100, 30, 130)));
        let segment = |start, len, have| Segment { start, len, have };
        assert_eq!(
            rest.segments,
            [segment(130, 70, 70), segment(200, 100, 40), segment(300, 100, 100), segment(400, 50, 0)]
        );
        assert_eq!((rest.have, rest.old), (130 + 70 + 40 + 100, vec![777]));
    }

    #[test]
    fn a_segment_that_is_appended_counts_once() {
        assert_eq!(arrived(130, &[(100, 100), (200, 40)]), 240);
        assert_eq!(arrived(0, &[]), 0);
        assert_eq!(arrived(10, &[(u64::MAX, u64::MAX)]), 10);
    }

    proptest! {
        #[test]
        fn the_rest_and_the_beginning_are_the_whole(
            size in 0_u64..5000, cut in proptest::option::of(1_u64..700), base in 0_u64..6000,
            segments in proptest::collection::vec((0_u64..6000, 0_u64..900), 0..6),
        ) {
            let rest = rest(size, 4, &Parts { cut, base, segments });
            let mut at = if base > size { 0 } else { base };
            for segment in &rest.segments {
                prop_assert_eq!(segment.start, at);
                prop_assert!(segment.have <= segment.len && segment.len > 0);
                at += segment.len;
            }
            prop_assert!(at == size || size < at && rest.segments.is_empty());
            prop_assert!(rest.segments.len() <= 2001);
        }
    }
}
