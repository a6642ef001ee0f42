//! Lints of what a recipe's functions do; by the look of it, so warnings mostly.

use super::{
    Recipe,
    scan::{Command, Word},
};
use crate::transfer::tree::FOLDERS;

/// Commands that run the one behind them.
const FRONTS: [&str; 5] = ["command", "exec", "env", "nice", "time"];
/// Commands whose last word is what they write to.
const TO_THE_LAST: [&str; 4] = ["cp", "mv", "install", "ln"];
/// Commands that write to all that they name.
const TO_ALL: [&str; 6] = ["mkdir", "touch", "rm", "rmdir", "tee", "truncate"];
/// Commands that write to all that they name, but for the first word.
const TO_THE_REST: [&str; 3] = ["chmod", "chown", "chgrp"];

impl Recipe<'_> {
    pub(super) fn commands(&mut self) {
        let commands = std::mem::take(&mut self.script.commands);
        for command in &commands {
            self.rights(command);
            self.places(command);
            for word in command.words.iter().chain(&command.writes) {
                self.quotes(word);
            }
        }
        let assignments = std::mem::take(&mut self.script.assignments);
        for word in assignments.iter().flat_map(|assignment| &assignment.elements) {
            self.quotes(word);
        }
    }

    fn rights(&mut self, command: &Command) {
        let mut words = command.words.iter().skip_while(|word| FRONTS.contains(&word.text.as_str()));
        let Some(first) = words.next() else { return };
        let name = first.plain();
        let name = name.rsplit('/').next().unwrap_or_default();
        if ["sudo", "doas", "su", "pkexec"].contains(&name) {
            self.error(
                first.line,
                "sudo",
                format!("{name} in a recipe: a build has no rights beyond its user's, and nobody to ask"),
            );
        }
    }

    fn places(&mut self, command: &Command) {
        let mut written: Vec<Word> = command.writes.clone();
        let mut words = command.words.iter().skip_while(|word| FRONTS.contains(&word.text.as_str()));
        if let Some(first) = words.next() {
            let name = first.plain();
            let given: Vec<&Word> = words.collect();
            let plain = given.iter().filter(|word| !word.text.starts_with('-')).copied();
            let folder = given.iter().find_map(|word| {
                let inside = word.text.strip_prefix("--target-directory=")?;
                Some(Word { text: inside.to_owned(), line: word.line, bare: Vec::new() })
            });
            let folder = folder.or_else(|| {
                let at = given.iter().position(|word| {
                    word.text.starts_with('-') && !word.text.starts_with("--") && word.text.ends_with('t')
                })?;
                given.get(at + 1).map(|word| (*word).clone())
            });
            if TO_THE_LAST.contains(&name.as_str()) {
                written.extend(folder.or_else(|| plain.last().cloned()));
            } else if TO_ALL.contains(&name.as_str()) {
                written.extend(plain.cloned());
            } else if TO_THE_REST.contains(&name.as_str()) || name == "sed" && given.iter().any(|word| in_place(word)) {
                written.extend(plain.skip(1).cloned());
            }
        }
        for word in written {
            let path = word.plain();
            if path.starts_with('/') && !path.starts_with("/dev/") {
                let text = format!("writes to {path}, outside of $pkgdir and $srcdir");
                self.warn(word.line, "absolute-path", text);
            } else if let Some(place) = outside(&path) {
                let text = format!(
                    "{place} is refused in a package of more than one program: only bin, lib and share go with a worker"
                );
                self.warn(word.line, "package-place", text);
            }
        }
    }

    fn quotes(&mut self, word: &Word) {
        for (name, line) in &word.bare {
            if ["srcdir", "pkgdir", "startdir"].contains(&name.as_str()) {
                self.warn(
                    *line,
                    "unquoted",
                    format!("${name} without quotes breaks where a path has blanks: \"${name}\""),
                );
            }
        }
    }
}

/// The folder of a package that a path is in, where that is none which may be there beside a program; what hangs on a
/// variable is not known.
fn outside(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("$pkgdir/").or_else(|| path.strip_prefix("${pkgdir}/"))?;
    let mut rest = inside.trim_start_matches('/');
    for above in ["usr/", "local/"] {
        let Some(below) = rest.strip_prefix(above) else { break };
        rest = below.trim_start_matches('/');
    }
    let top = rest.split('/').next().unwrap_or_default();
    let known =
        top.is_empty() || top == "usr" || FOLDERS.contains(&top) || (top == "local" && inside.starts_with("usr"));
    let plain = top.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (!known && plain).then(|| path[..path.len() - rest.len() + top.len()].trim_end_matches('/'))
}

/// Whether sed is told to write to its files.
fn in_place(word: &Word) -> bool {
    word.text.starts_with("-i") || word.text.starts_with("--in-place")
}
