//! JSON that can be shown: what a terminal would act on is escaped.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

/// Escapes what JSON itself leaves alone: DEL, the C1 controls, the marks that reorder text, and the line ends of Unicode.
struct Tame;

fn is_wild(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl Formatter for Tame {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, wild)) = rest.char_indices().find(|(_, c)| is_wild(*c)) {
            // All of them are in the basic plane: one escape each.
            write!(writer, "{}\\u{:04x}", &rest[..at], u32::from(wild))?;
            rest = &rest[at + wild.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes `value` as one line of JSON, without its end.
pub(super) fn to_line(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(256);
    // Writing to memory does not fail, and the forms have string keys only.
    let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, Tame));
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(bytes).unwrap_or_default()
}
