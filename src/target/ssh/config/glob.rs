//! The patterns of `Include`: `*`, `?`, `[a-z]`, `[!x]` and a backslash, in any part of a path.

use std::{
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// The most paths that one pattern may stand for.
const LIMIT: usize = 10_000;

/// The paths that are there, in order. One without a wildcard stands for itself, if it is there.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let wild = match part {
            Component::Normal(part) => part.to_str().filter(|part| part.contains(['*', '?', '[', '\\'])),
            _ => None,
        };
        let Some(wild) = wild else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let wild: Vec<char> = wild.chars().collect();
        let mut next = Vec::new();
        for folder in &found {
            let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
            next.extend(names.filter(|name| is_match(&wild, name)).map(|name| folder.join(name)));
            next.truncate(LIMIT);
        }
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    found
}

fn is_match(wild: &[char], name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    if name.starts_with('.') && wild.first() != Some(&'.') {
        return false;
    }
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < name.len() {
        let step = match wild.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&wild[p..], name[t]) {
                Some((len, fits)) => fits.then_some(p + len),
                None => (name[t] == '[').then_some(p + 1),
            },
            Some('\\') if p + 1 < wild.len() => (wild[p + 1] == name[t]).then_some(p + 2),
            Some(&c) => (c == name[t]).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((at, swallowed))) => {
                star = Some((at, swallowed + 1));
                p = at + 1;
                t = swallowed + 1;
            }
            (None, None) => return false,
        }
    }
    wild[p..].iter().all(|&c| c == '*')
}

/// The length of a `[…]` and whether it takes `c`; `None` when it is not closed.
fn class(wild: &[char], c: char) -> Option<(usize, bool)> {
    let negated = matches!(wild.get(1), Some('!' | '^'));
    let first = 1 + usize::from(negated);
    let mut at = first;
    let mut fits = false;
    loop {
        let mut low = *wild.get(at)?;
        if low == ']' && at > first {
            return Some((at + 1, fits != negated));
        }
        if low == '\\' {
            at += 1;
            low = *wild.get(at)?;
        }
        at += 1;
        if wild.get(at) == Some(&'-') && wild.get(at + 1).is_some_and(|&high| high != ']') {
            let high = wild[at + 1];
            fits |= (low..=high).contains(&c);
            at += 2;
        } else {
            fits |= low == c;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_a_shell() {
        for (wild, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*", ".a", true),
            ("[a-c]?", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b", "xaxxb", true),
        ] {
            let wild_chars: Vec<char> = wild.chars().collect();
            assert_eq!(is_match(&wild_chars, &OsString::from(name)), expected, "{wild} {name}");
        }
    }

    #[test]
    fn only_what_is_there_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/2.conf", "a/2.conf", "a/1.conf", "a/x"] {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let names = |pattern: &str| {
            let found = expand(&dir.path().join(pattern));
            let name = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
            found.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("*/*.conf"), "a/1.conf a/2.conf b/2.conf");
        assert_eq!(names("a/x"), "a/x");
        assert_eq!(names("a/y"), "");
    }
}
