//! What is sent to a host: POSIX sh with its values before it, in one place, and pinned by goldens.

use crate::{target::Command, vocab::text::sh_quote};

const COMMON: &str = include_str!("sh/common.sh");
pub const SURVEY: &str = include_str!("sh/survey.sh");
pub const FETCH: &str = include_str!("sh/fetch.sh");
pub const LINK: &str = include_str!("sh/link.sh");
pub const TAKE: &str = include_str!("sh/take.sh");
pub const PROVE: &str = include_str!("sh/prove.sh");
pub const LIST: &str = include_str!("sh/list.sh");
pub const REMOVE: &str = include_str!("sh/remove.sh");

/// What of a list goes into one script; a command may have 120 KiB.
pub const ROOM: usize = 70 << 10;

/// A step of our own with these values.
pub fn command(label: &str, values: &[(&str, &str)], text: &str) -> Command {
    let values: String = values.iter().map(|(name, value)| format!("{name}={}\n", sh_quote(value))).collect();
    Command::own(label, format!("{values}{COMMON}\n{text}"))
}

/// Cuts a list into pieces that fit into a script each; at least one piece.
pub fn pieces<T>(all: &[T], weight: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut pieces = Vec::new();
    let (mut from, mut sum) = (0, 0);
    for (at, one) in all.iter().enumerate() {
        let next = weight(one);
        if sum + next > ROOM && at > from {
            pieces.push(&all[from..at]);
            (from, sum) = (at, 0);
        }
        sum += next;
    }
    pieces.push(&all[from..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_in_order() {
        let all: Vec<usize> = (0..50).map(|n| n * 400).collect();
        let cut = pieces(&all, |n| *n);
        assert_eq!(cut.concat(), all);
        assert!(cut.len() > 4 && cut.iter().all(|piece| piece.iter().sum::<usize>() <= ROOM));
        assert_eq!(pieces(&[ROOM * 2, 1], |n| *n).len(), 2);
        assert_eq!(pieces::<u8>(&[], |_| 1), [&[] as &[u8]]);
    }

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        for (name, text) in [
            ("survey", SURVEY),
            ("fetch", FETCH),
            ("link", LINK),
            ("take", TAKE),
            ("prove", PROVE),
            ("list", LIST),
            ("remove", REMOVE),
        ] {
            insta::assert_snapshot!(name, command(name, &[("M", "models--it's--me")], text).script);
        }
    }
}
