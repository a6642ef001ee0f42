//! Files written by hand: each rule of the format, and each way to break it.

use std::{fmt::Write as _, fs};

use crate::oracle::compare;

const CASES: &str = include_str!("cases.txt");

#[test]
fn written_files_mean_the_same_to_ssh() {
    let mut wrong = String::new();
    let (mut files, mut taken, mut refused) = (0, 0, 0);
    for case in CASES.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (names, rest) = rest.split_once('\n').unwrap_or((rest, ""));
        let names: Vec<&str> = names.strip_prefix("? ").expect("hosts to ask for").split(' ').collect();
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().to_str().expect("a plain name");
        let mut parts = rest.split("+++ ");
        let main = dir.path().join("main");
        fs::write(&main, parts.next().unwrap_or_default().replace("@DIR@", place)).expect("the file");
        for part in parts {
            let (name, text) = part.split_once('\n').expect("a file's name");
            fs::write(dir.path().join(name), text.replace("@DIR@", place)).expect("an included file");
        }
        files += 1;
        let compared = compare(&main, &names);
        taken += compared.taken;
        refused += compared.refused;
        if !compared.difference.is_empty() {
            let _ = write!(wrong, "=== {title}\n{}", compared.difference);
        }
    }
    assert!(wrong.is_empty(), "ssh and rbee differ:\n{wrong}");
    assert!(files >= 100 && taken > 130 && refused > 40, "{files} files, {taken} hosts taken, {refused} refused");
}
