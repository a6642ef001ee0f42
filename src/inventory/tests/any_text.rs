//! Arbitrary text as a pattern and as a file: nothing panics, and what is excluded is gone.

use std::{collections::BTreeSet, fs, path::Path};

use proptest::prelude::*;

use super::{
    super::{Source, load},
    patterns::{lab, select},
};

/// What patterns are made of, and what breaks them.
const PIECES: &str = "gpu-box mac-mini node 001 [001-004] [1-3] [!0-9] * ? @lab @cuda @ , & ! all local jumpy me@ x :22 \
                      [::1] [ ] { ü \\";

/// What inventories are made of, and what breaks them.
const LINES: &str = r#"[hosts.a]
[hosts."n[1-3]"]
[hosts."n["]
[groups.g]
[defaults]
[hosts]
[[hosts]]
address = "10.0.0.[1-3]"
address = "[::1]"
port = 22
port = 1e9
groups = ["g"]
groups = [[]]
identity = "~"
env = { A = "1" }
hosts = "@g,!a"
hosts = "["
connect_timeout = "1s"
local = true
a = {}
a.b.c = 1
x = """
ü"#;

/// Text that is close enough to a pattern to get past the first check.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES.split_whitespace().collect::<Vec<_>>());
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, "[ -~]{0,20}", any::<String>()]
}

/// Text that is close enough to an inventory.
fn toml() -> impl Strategy<Value = String> {
    let line = prop::sample::select(LINES.lines().chain(["\u{feff}", "\r"]).collect::<Vec<_>>());
    let lines = prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"));
    prop_oneof![lines, any::<String>()]
}

proptest! {
    #[test]
    fn no_pattern_panics_and_what_is_excluded_is_gone(pattern in pattern()) {
        let lab = lab();
        let Ok(selected) = select(&lab, &pattern) else { return Ok(()) };
        prop_assert!(!selected.is_empty());
        let unique: BTreeSet<_> = selected.iter().map(|host| &host.name).collect();
        prop_assert_eq!(unique.len(), selected.len());
        // A single term can be excluded; of those that also can be selected, nothing may be left.
        if let Ok(rest) = select(&lab, &format!("all,!{pattern}")) && !pattern.contains([',', '&', '!']) {
            prop_assert!(rest.iter().all(|host| !unique.contains(&host.name)));
            let gone = lab.hosts().iter().filter(|host| unique.contains(&host.name)).count();
            prop_assert_eq!(rest.len() + gone, lab.hosts().len());
        }
    }

    #[test]
    fn no_file_panics_and_every_mistake_has_a_line_of_it(text in toml()) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts.toml");
        fs::write(&file, &text).unwrap();
        let lines = text.matches('\n').count() + 1;
        match load(&Source::Named(file), Path::new("/")) {
            Ok(inventory) => prop_assert!(inventory.hosts().len() <= 10_000),
            Err(error) => {
                prop_assert!(!error.problems().is_empty());
                prop_assert!(error.problems().iter().all(|p| (1..=lines).contains(&p.place.line)));
            }
        }
    }
}
