//! What is wrong with a recipe, and what will be: each with its file and line.
//!
//! What makepkg refuses, or what rbee would stop at later, is an error. What is only risky is a warning. Errors are
//! judged by what bash read, so that no style of writing hides them; the script's text gives them their lines, and is
//! what the warnings about commands come from.

mod commands;
mod metadata;
mod scan;
mod sources;

use std::collections::BTreeSet;

use self::scan::{Script, scan};
use super::Evaluated;
use crate::vocab::{recipe::RecipeFile, text::plain_line};

/// Lints of one recipe; more help nobody.
const MOST: usize = 500;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lint {
    /// In the recipe's folder.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub severity: Severity,
    /// What kind of lint it is, for programs: "checksum-count".
    pub code: &'static str,
    /// One line, fit to be shown.
    pub text: String,
}

/// What is looked at.
struct Recipe<'a> {
    script: Script,
    evaluated: &'a Evaluated,
    files: &'a [RecipeFile],
    lints: Vec<Lint>,
}

/// Lints a recipe by its files and by what bash read in it; `evaluated` is what was wrong where that failed, and
/// `printed` what bash said meanwhile.
pub fn lint(files: &[RecipeFile], evaluated: &Result<Evaluated, String>, printed: &str) -> Vec<Lint> {
    let text = files.iter().find(|file| file.path == "PKGBUILD").map(|file| String::from_utf8_lossy(&file.content));
    let nothing = Evaluated::default();
    let mut recipe = Recipe {
        script: scan(text.as_deref().unwrap_or_default()),
        evaluated: evaluated.as_ref().unwrap_or(&nothing),
        files,
        lints: Vec::new(),
    };
    match evaluated {
        Ok(_) => {
            recipe.metadata();
            recipe.sources();
        }
        Err(error) => recipe.unread(error, printed),
    }
    recipe.commands();
    let lints: BTreeSet<Lint> = recipe.lints.into_iter().collect();
    let mut lints: Vec<Lint> = lints.into_iter().take(MOST).collect();
    lints.sort_by(|a, b| (&a.file, a.line, a.severity).cmp(&(&b.file, b.line, b.severity)));
    lints
}

impl Recipe<'_> {
    fn say(&mut self, severity: Severity, line: usize, code: &'static str, text: impl AsRef<str>) {
        let text = plain_line(text.as_ref()).chars().take(400).collect();
        self.lints.push(Lint { file: "PKGBUILD".into(), line, severity, code, text });
    }

    fn error(&mut self, line: usize, code: &'static str, text: impl AsRef<str>) {
        self.say(Severity::Error, line, code, text);
    }

    fn warn(&mut self, line: usize, code: &'static str, text: impl AsRef<str>) {
        self.say(Severity::Warning, line, code, text);
    }

    /// Where a variable of the recipe's head is first set; the first line, if that is not seen.
    fn line_of(&self, name: &str) -> usize {
        let own = |a: &&scan::Assignment| a.name == name && a.function.is_none();
        self.script.assignments.iter().find(own).map_or(1, |assignment| assignment.line)
    }

    fn line_of_function(&self, name: &str) -> usize {
        self.script.functions.iter().find(|(other, _)| other == name).map_or(1, |(_, line)| *line)
    }

    /// The line of an array's element, where the elements that are written are those that bash read.
    fn line_of_element(&self, name: &str, index: usize, count: usize) -> usize {
        let parts = self.script.assignments.iter().filter(|a| a.name == name && a.function.is_none());
        let lines: Vec<usize> = parts.flat_map(|a| a.elements.iter().map(|word| word.line)).collect();
        if lines.len() == count { lines[index] } else { self.line_of(name) }
    }

    /// The recipe could not be read; bash mostly said where.
    fn unread(&mut self, error: &str, printed: &str) {
        let mut found = false;
        for line in printed.lines() {
            let Some((_, rest)) = line.split_once("PKGBUILD: line ") else { continue };
            let Some((number, text)) = rest.split_once(": ") else { continue };
            // What bash quotes of the line says nothing more.
            if let Ok(number) = number.parse()
                && !text.starts_with('`')
            {
                self.error(number, "evaluation", text);
                found = true;
            }
        }
        if !found {
            self.error(1, "evaluation", error);
        }
    }
}

#[cfg(test)]
mod tests;
