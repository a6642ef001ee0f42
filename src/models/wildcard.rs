//! `--include` and `--exclude`, as the `hf` command line takes them.

/// Whether `path` matches `pattern`: `*` is any text, slashes too; `?` one character; `[abc]`, `[a-z]`, `[!a]` one of a set.
///
/// A pattern that ends with `/` means all below that folder.
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut pattern: Vec<char> = pattern.chars().collect();
    if pattern.last() == Some(&'/') {
        pattern.push('*');
    }
    let path: Vec<char> = path.chars().collect();
    // Where the last star stood, and what it has taken so far: trying again needs no other memory.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < path.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if let Some(next) = one(&pattern, p, path[t]) {
            (p, t) = (next, t + 1);
            continue;
        }
        let Some((at, taken)) = star else { return false };
        star = Some((at, taken + 1));
        (p, t) = (at + 1, taken + 1);
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on when its place `p` takes `c`.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '[' => match set(pattern, p) {
            Some((end, not, set)) => {
                let mut within = false;
                let mut at = 0;
                while at < set.len() {
                    if set.get(at + 1) == Some(&'-') && at + 2 < set.len() {
                        within |= (set[at]..=set[at + 2]).contains(&c);
                        at += 3;
                    } else {
                        within |= set[at] == c;
                        at += 1;
                    }
                }
                (within != not).then_some(end)
            }
            // Without its end it is a character as any other.
            None => (c == '[').then_some(p + 1),
        },
        plain => (*plain == c).then_some(p + 1),
    }
}

/// The end of the set that begins at `p`, whether it is negated, and what is in it.
fn set(pattern: &[char], p: usize) -> Option<(usize, bool, &[char])> {
    let not = pattern.get(p + 1) == Some(&'!');
    let from = p + 1 + usize::from(not);
    // A `]` that comes first belongs to the set.
    let len = pattern.get(from + 1..)?.iter().position(|c| *c == ']')? + 1;
    Some((from + len + 1, not, &pattern[from..from + len]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_hf() {
        for (pattern, path) in [
            ("*", "a/b"),
            ("*.gguf", "a/b.gguf"),
            ("a/", "a/b/c"),
            ("a?c", "abc"),
            ("[ab]x", "bx"),
            ("[!ab]x", "cx"),
            ("[a-c]", "b"),
            ("[]]", "]"),
            ("**", ""),
            ("a*b*c", "a/x/b/y/c"),
            ("[", "["),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("*.gguf", "a.bin"), ("a", "ab"), ("[!a]", "a"), ("?", ""), ("a/*", "b/a/c"), ("", "a")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn no_pattern_takes_forever() {
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(20_000)));
    }
}
