//! Holds the floors of ARCHITECTURE.md: arrows only go down, and siblings on one floor do not import each other.
//!
//! What is read is the source as text, without comments, strings and `#[cfg(test)]`: enough to find every path that
//! begins with `crate::` or climbs there with `super::`.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// From bottom to top. Modules of one floor are siblings.
const FLOORS: &[&[&str]] = &[
    &["vocab"],
    &["wire"],
    &["scope"],
    &["inventory", "process", "report"],
    &["target"],
    &["transfer", "archive"],
    &["artifacts", "catalog", "recipe", "preflight", "install", "models", "daemon"],
    &["build", "prebuilt", "workers"],
    &["engine"],
    &["client", "job"],
    &["hive", "sandbox"],
    &["cli"],
];

/// Modules that may import less than what stands below them.
const ONLY: &[(&str, &[&str])] = &[("sandbox", &["vocab"])];

#[test]
fn arrows_only_go_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let skipped: Vec<PathBuf> = files.iter().flat_map(|file| test_files(file, &lexed(file))).collect();
    let mut arrows = 0;
    let mut wrong = String::new();
    for file in files.iter().filter(|file| !skipped.iter().any(|skip| file.starts_with(skip))) {
        let place = file.strip_prefix(&source).expect("below src");
        let Some(from) = module_of(place) else { continue };
        for to in imports(&lexed(file), depth_of(place)) {
            // A name that `lib.rs` itself defines is no module; a module is a folder or a file of that name.
            if to == from || !is_module(&source, &to) {
                continue;
            }
            arrows += 1;
            if let Some(why) = objection(&from, &to) {
                let _ = writeln!(wrong, "  src/{}: {from} → {to}: {why}", place.display());
            }
        }
    }
    assert!(arrows > 50, "only {arrows} arrows were found; the reader of this test is broken");
    assert!(wrong.is_empty(), "arrows that do not go down (floors: ARCHITECTURE.md):\n{wrong}");
}

#[test]
fn plain_data_stays_plain() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vocab");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(!files.is_empty());
    for file in files {
        let text = lexed(&file);
        for word in ["serde", "tokio", "async", "std::fs", "std::net", "std::env"] {
            assert!(!text.contains(word), "{}: vocab has no I/O, no async and no wire format: {word}", file.display());
        }
    }
}

#[test]
fn the_reader_sees_every_form_of_a_path() {
    let text = without_tests(&strip(
        "// crate::comment\n/* crate::block /* nested */ */\n\
         const A: &str = \"crate::string\"; const B: &str = r#\"crate::raw \" \"#; const C: char = '\"';\n\
         use crate::{a, b::{self, c}, d::E as F};\nuse crate::{\n    g::{h, i},\n    j,\n};\n\
         fn f<'a>(x: &'a crate::k::L) { crate::m(); super::super::n(); super::o(); }\n\
         pub(crate) fn g() {}\n\
         #[cfg(test)]\nmod tests { use crate::p; fn t() { let x = '}'; } }\n\
         #[cfg(test)]\nuse crate::q;\nuse crate::r;\n",
    ));
    let found: Vec<String> = imports(&text, 2).into_iter().collect();
    assert_eq!(found, ["a", "b", "d", "g", "j", "k", "m", "n", "r"]);
}

#[test]
fn what_goes_up_or_sideways_is_refused() {
    assert_eq!(objection("engine", "vocab"), None);
    assert_eq!(objection("cli", "sandbox"), None);
    assert!(objection("target", "engine").is_some_and(|why| why.contains("up")));
    assert!(objection("catalog", "recipe").is_some_and(|why| why.contains("sibling")));
    assert!(objection("sandbox", "target").is_some_and(|why| why.contains("only")));
    assert!(objection("attic", "vocab").is_some_and(|why| why.contains("no floor")));
}

/// Why `from` must not import `to`.
fn objection(from: &str, to: &str) -> Option<String> {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    let missing = |name: &str| Some(format!("{name} stands on no floor; give it one in ARCHITECTURE.md and here"));
    let (Some(mine), Some(theirs)) = (floor(from), floor(to)) else {
        return missing(if floor(from).is_none() { from } else { to });
    };
    if let Some((_, allowed)) = ONLY.iter().find(|(name, _)| *name == from)
        && !allowed.contains(&to)
    {
        return Some(format!("{from} imports {} only", allowed.join(", ")));
    }
    match theirs.cmp(&mine) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some("they are siblings on one floor".into()),
        std::cmp::Ordering::Greater => Some("the arrow goes up".into()),
    }
}

/// The top-level module that a file belongs to; none for `lib.rs` and `main.rs`, which stand outside of the house.
fn module_of(place: &Path) -> Option<String> {
    let first = place.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

/// How many `super::` lead from a file's module to the crate's root.
fn depth_of(place: &Path) -> usize {
    let parts = place.iter().count();
    if place.file_name().is_some_and(|name| name == "mod.rs") { parts - 1 } else { parts }
}

fn is_module(source: &Path, name: &str) -> bool {
    source.join(name).is_dir() || source.join(name).with_extension("rs").is_file()
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("src is readable").map(|entry| entry.expect("src is readable").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

fn lexed(file: &Path) -> String {
    strip(&fs::read_to_string(file).expect("a source file is UTF-8"))
}

/// Files and folders that `file` takes in under `#[cfg(test)] mod name;`.
fn test_files(file: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => file.with_file_name(""),
        _ => file.with_extension(""),
    };
    text.match_indices("#[cfg(test)]")
        .filter_map(|(at, mark)| text[at + mark.len()..].trim_start().strip_prefix("mod "))
        .filter_map(|rest| rest.split_once([';', '{']).map(|(name, _)| name.trim()))
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.rs"))])
        .collect()
}

/// The top-level names that a text imports, outside of its tests.
fn imports(text: &str, depth: usize) -> BTreeSet<String> {
    let text = without_tests(text);
    let root = "super::".repeat(depth);
    let mut names = BTreeSet::new();
    for start in ["crate::", root.as_str()] {
        for (at, _) in text.match_indices(start) {
            let part_of_a_word = text[..at].chars().next_back().is_some_and(|c| is_name(c) || c == ':');
            if !part_of_a_word {
                heads(&text[at + start.len()..], &mut names);
            }
        }
    }
    names
}

/// The first names of a path, or of each path in a group.
fn heads(rest: &str, names: &mut BTreeSet<String>) {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        if !name.is_empty() {
            names.insert(name);
        }
        return;
    };
    let mut depth = 0;
    let mut fresh = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && is_name(c) => {
                fresh = false;
                heads(&group[at..], names);
            }
            _ => {}
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Leaves out every item that is marked `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        rest = after_item(item);
    }
    kept + rest
}

/// What follows the first `;` outside of braces, or the first closed pair of them.
fn after_item(text: &str) -> &str {
    let mut depth = 0;
    let mut import = false;
    for (at, c) in text.char_indices() {
        match c {
            'u' if depth == 0 && text[at..].starts_with("use ") => import = true,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && (c == ';' || (c == '}' && !import)) {
            return &text[at + 1..];
        }
    }
    ""
}

/// Leaves out comments and what stands between quotes.
fn strip(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let in_word = kept.chars().next_back().is_some_and(is_name);
        let skip = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' | 'b' | 'c' if !in_word => raw(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skip == 0 {
            kept.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            kept.push(' ');
            rest = &rest[skip..];
        }
    }
    kept
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a string with its quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw or byte string that begins here; 0 when a mere name begins here.
fn raw(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['r', 'b', 'c']).len();
    let hashes = text[prefix..].len() - text[prefix..].trim_start_matches('#').len();
    let Some(inner) = text[prefix + hashes..].strip_prefix('"') else { return 0 };
    if !text[..prefix].contains('r') {
        return if hashes == 0 { prefix + quoted(&text[prefix..]) } else { 0 };
    }
    let end = format!("\"{}", "#".repeat(hashes));
    inner.find(&end).map_or(text.len(), |at| prefix + hashes + 1 + at + end.len())
}

/// The length of a character with its quotes; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => text[at + 1..].find('\'').map_or(0, |end| at + 1 + end + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}
