//! The wildcard patterns that ssh_config and known_hosts share: `*`, `?`, and a leading `!` that excludes.

/// Whether `text` as a whole fits `pattern`, where `*` is any run of bytes and `?` any one byte.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has swallowed: the only place to come back to.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    t = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Whether a list of patterns takes `text`: at least one fits and no excluding one does.
pub(super) fn list_fits<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(excluded) if fits(excluded, text) => return false,
            Some(_) => {}
            None => found |= fits(pattern, text),
        }
    }
    found
}

/// Whether a pattern is a plain name.
pub(super) fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '!'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fit_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "x", true),
            ("?", "", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("*.lan", "gpu.lan", true),
            ("*.lan", ".lan", true),
            ("gpu?", "gpu", false),
            ("gpu?", "gpu1", true),
            ("", "", true),
            ("", "x", false),
            ("192.168.0.?", "192.168.0.12", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        // Many stars over a long text must not explode.
        assert!(!fits(&"*a".repeat(50), &"b".repeat(5000)));
    }

    #[test]
    fn an_exclusion_beats_every_match() {
        assert!(!list_fits(["*", "!bad"], "bad"));
        assert!(!list_fits(["!bad", "*"], "bad"));
        assert!(list_fits(["!bad", "*"], "good"));
        assert!(!list_fits(["!bad"], "good"));
    }
}
