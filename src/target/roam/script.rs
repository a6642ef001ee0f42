//! The text that is fed to a channel that shall join a lane.

use crate::{target::supervisor::script::lean, vocab::text::sh_quote};

const SHARED: &str = include_str!("shared.sh");
const RELAY: &str = include_str!("relay.sh");
const KEEPER: &str = include_str!("keeper.sh");

/// What one relay is told.
pub struct Terms<'a> {
    /// Names the lane's folder.
    pub id: &'a str,
    pub nonce: &'a str,
    /// Of this connection; later ones have higher ones.
    pub number: u64,
    /// No answer was seen yet: the lane may have to be started.
    pub fresh: bool,
    pub shell: &'a str,
    /// What the lane runs.
    pub program: &'a str,
    /// Segment and offset of what has arrived of stdout and stderr.
    pub places: [(u64, u64); 2],
}

/// Everything that is written to a channel's stdin before the lane's own input.
pub fn relay(terms: &Terms<'_>) -> String {
    let Terms { id, nonce, number, fresh, places: [(so, oo), (se, eo)], .. } = terms;
    // A text that was cut off in the middle is never run.
    let text = r##"p=;l=;while IFS= read -r l&&[ "$l" != "#end" ];do p="$p$l$nl";done;[ "$l" = "#end" ]||exit"##;
    format!(
        "nl=$(printf \"\\n.\");nl=${{nl%.}};{text};pre=$p;{text};k=$pre$p;{text};sh={} Y={} I={id} R={nonce} Q={number} F={} so={so} oo={oo} \
         se={se} eo={eo};eval \"$pre$p\"\n{}#end\n{}#end\n{}#end\n",
        sh_quote(terms.shell),
        sh_quote(terms.program),
        u8::from(*fresh),
        lean(SHARED),
        if *fresh { lean(KEEPER) } else { String::new() },
        lean(RELAY),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent to a host is pinned: a change of it is a change to be seen.
    #[test]
    fn what_is_sent_is_pinned() {
        let terms = Terms {
            id: "ID",
            nonce: "NONCE",
            number: 2,
            fresh: true,
            shell: "/bin/sh",
            program: "exec /bin/sh -c 'it'",
            places: [(1, 23), (0, 45)],
        };
        insta::assert_snapshot!("relay", relay(&terms));
    }
}
