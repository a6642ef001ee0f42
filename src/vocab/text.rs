//! Text that came from elsewhere, made fit to be shown; and text that goes to a shell.

use std::{borrow::Cow, time::Duration};

/// Quotes `word` for a POSIX shell: the only place where that is done.
///
/// Words of harmless characters stay bare, everything else goes into single quotes.
pub fn sh_quote(word: &str) -> Cow<'_, str> {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(bare) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Quotes and joins `words` into one command line.
pub fn sh_join<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|w| sh_quote(w.as_ref()).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Replaces what could move a cursor, change a colour or fake a line: C0 and C1 controls (tabs become spaces) and
/// the Unicode marks that reorder text.
pub fn printable(text: &str) -> Cow<'_, str> {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(hostile) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .map(|c| match c {
                '\t' => ' ',
                c if hostile(c) => '\u{fffd}',
                c => c,
            })
            .collect(),
    )
}

/// Drops ANSI escape sequences (CSI, OSC and two-byte ones), then replaces what [`printable`] would.
pub fn plain_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    match printable(&out) {
        Cow::Borrowed(_) => out,
        Cow::Owned(clean) => clean,
    }
}

/// Writes a size as people do: `1.4 GB`, `512 MB`, `999 B`. Decimal units.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 99.5 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// Counts things with a regular plural: `1 host`, `3 hosts`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Writes a duration as people do: `0.4s`, `12s`, `3m10s`, `2h05m`.
pub fn human_duration(duration: Duration) -> String {
    let exact = duration.as_secs_f64();
    match exact.round() as u64 {
        _ if exact < 9.95 => format!("{exact:.1}s"),
        secs @ ..60 => format!("{secs}s"),
        secs @ ..3600 => format!("{}m{:02}s", secs / 60, secs % 60),
        secs => format!("{}h{:02}m", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_a_shell() {
        for word in ["", "plain", "a b", "it's", "$(x)`y`\"z\"", "a\nb", "!x", "-n", "\\", "*", "~"] {
            let script = format!("printf %s {}", sh_quote(word));
            let out = std::process::Command::new("/bin/sh").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout), word, "{script}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal() {
        assert_eq!(plain_line("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\ty\r"), "red x y\u{fffd}");
        assert_eq!(plain_line("a\u{1b}]8;;http://x\u{1b}\\b"), "ab");
        assert_eq!(printable("a\u{202e}b\u{9b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(plain_line("\u{1b}"), "");
    }

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1_400_000_000), "1.4 GB");
        assert_eq!(human_bytes(999_999), "1.0 MB");
        assert_eq!(human_duration(Duration::from_millis(420)), "0.4s");
        assert_eq!(human_duration(Duration::from_millis(59_400)), "59s");
        assert_eq!(human_duration(Duration::from_millis(59_600)), "1m00s");
        assert_eq!(human_duration(Duration::from_secs(190)), "3m10s");
        assert_eq!(human_duration(Duration::from_millis(3_599_700)), "1h00m");
        assert_eq!(human_duration(Duration::from_secs(7500)), "2h05m");
    }
}
