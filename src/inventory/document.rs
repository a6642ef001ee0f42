//! One TOML file with its lines, and the problems that are found in it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::suggest::{bare, quoted};
use crate::vocab::text::printable;

/// A point in a file; ordered as a reader of the files meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As it is shown.
    pub file: Arc<str>,
    /// Counts from 1.
    pub line: usize,
    order: (usize, usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct Problem {
    pub place: Place,
    /// A sentence without its full stop.
    pub text: String,
}

/// Gathers problems while reading goes on, so that the first in file order can be told first.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, place: &Place, text: impl Into<String>) {
        self.0.push(Problem { place: place.clone(), text: text.into() });
    }

    /// Whether there are so many that nobody would read more.
    pub fn are_many(&self) -> bool {
        self.0.len() >= 100
    }

    /// What was gathered, in file order.
    pub fn sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.place.order);
        self.0
    }
}

/// A file's text, and where its lines begin.
#[derive(Debug)]
pub(super) struct Document {
    /// The position of the file among those that are merged.
    nth: usize,
    name: Arc<str>,
    folder: PathBuf,
    text: String,
    starts: Vec<usize>,
}

impl Document {
    pub fn new(nth: usize, path: &Path, text: String) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let name = printable(&path.display().to_string()).as_ref().into();
        Self { nth, name, folder: path.parent().unwrap_or(Path::new("")).to_owned(), text, starts }
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        Place { file: self.name.clone(), line, order: (self.nth, offset) }
    }

    pub fn place_of<T>(&self, spanned: &Spanned<T>) -> Place {
        self.place(spanned.span().start)
    }

    /// Parses the text; what is not TOML is a problem and gives nothing.
    pub fn parse(&self, problems: &mut Problems) -> Option<DeTable<'_>> {
        let error = match DeTable::parse(&self.text) {
            Ok(table) => return Some(table.into_inner()),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let place = self.place(span.start);
        let text = match error.message() {
            "duplicate key" => self.duplicate(&place, self.text.get(span).unwrap_or_default()),
            message => format!("not valid TOML: {}", bare(message)),
        };
        problems.add(&place, text);
        None
    }

    /// Says what is there twice; the parser knows the second place only, so the text before it is read once more.
    fn duplicate(&self, second: &Place, key: &str) -> String {
        let start = self.starts[second.line - 1];
        let header = self.text[start..].lines().next().unwrap_or_default();
        for (section, what) in [("hosts", "host"), ("groups", "group")] {
            let (only, _) = DeTable::parse_recoverable(header);
            let Some((name, _)) = entries(only.get_ref(), section).next() else { continue };
            let (before, _) = DeTable::parse_recoverable(&self.text[..start]);
            let first = entries(before.get_ref(), section).find(|(earlier, _)| earlier.get_ref() == name.get_ref());
            if let Some((first, _)) = first.filter(|_| header.trim_start().starts_with('[')) {
                return format!("duplicate {what} {}; {} has it already", bare(name.get_ref()), self.place_of(first));
            }
        }
        format!("duplicate key {}", quoted(key))
    }
}

fn entries<'t, 'd>(
    table: &'t DeTable<'d>,
    section: &str,
) -> impl Iterator<Item = (&'t Spanned<toml::de::DeString<'d>>, &'t Spanned<DeValue<'d>>)> {
    table.get(section).and_then(|value| value.get_ref().as_table()).into_iter().flatten()
}
