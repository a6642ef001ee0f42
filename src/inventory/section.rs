//! A table whose keys are taken one by one, by type; what was never asked for is an unknown key.

use std::fmt::Display;

use toml::de::{DeTable, DeValue};

use super::{
    document::{Document, Place, Problems},
    suggest::{bare, did_you_mean, quoted},
};

/// The most entries of a list, and the longest string: nothing sensible comes near them.
const MOST_ITEMS: usize = 64;
const LONGEST: usize = 4096;

/// A table that is being read.
pub(super) struct Section<'d> {
    doc: &'d Document,
    table: &'d DeTable<'d>,
    /// As messages call it: `host gpu-box`.
    what: String,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub fn new(doc: &'d Document, table: &'d DeTable<'d>, what: impl Into<String>) -> Self {
        Self { doc, table, what: what.into(), known: Vec::new() }
    }

    /// Reads the table behind `value`, or says that it is none.
    pub fn of(
        doc: &'d Document,
        place: &Place,
        value: &'d DeValue<'d>,
        what: String,
        problems: &mut Problems,
    ) -> Option<Self> {
        match value {
            DeValue::Table(table) => Some(Self::new(doc, table, what)),
            other => {
                problems.add(place, format!("{what} must be a table, not {}", kind(other)));
                None
            }
        }
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn doc(&self) -> &'d Document {
        self.doc
    }

    /// The key's place and value, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<(Place, &'d DeValue<'d>)> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some((self.doc.place_of(value), value.get_ref()))
    }

    /// The entries of a table of tables or values, each with its place, name and value.
    pub fn entries(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> impl Iterator<Item = (Place, &'d str, &'d DeValue<'d>)> + use<'d> {
        let doc = self.doc;
        let table = match self.take(key) {
            Some((_, DeValue::Table(table))) => Some(table),
            Some((place, other)) => {
                problems.add(&place, format!("{key} in {} must be a table, not {}", self.what, kind(other)));
                None
            }
            None => None,
        };
        table.into_iter().flatten().map(move |(name, value)| (doc.place_of(name), &**name.get_ref(), value.get_ref()))
    }

    pub fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        match self.take(key)? {
            (_, DeValue::Boolean(flag)) => Some(*flag),
            (place, other) => self.mistyped(&place, key, "true or false", other, problems),
        }
    }

    pub fn number(&mut self, key: &'static str, least: u64, most: u64, problems: &mut Problems) -> Option<u64> {
        let (place, value) = self.take(key)?;
        let DeValue::Integer(number) = value else {
            return self.mistyped(&place, key, "a number without quotes", value, problems);
        };
        let read = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| (least..=most).contains(n));
        if read.is_none() {
            let shown = bare(&number.to_string());
            problems.add(&place, format!("{key} {shown} in {} is not between {least} and {most}", self.what));
        }
        read
    }

    /// A string that `check` makes something of.
    pub fn text<T, E: Display>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        check: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.take(key)? {
            (place, DeValue::String(text)) => self.checked(&place, key, text, problems, check),
            (place, other) => self.mistyped(&place, key, "a string", other, problems),
        }
    }

    /// A list of strings that `check` makes something of; `one` names an item in messages.
    pub fn texts<T, E: Display>(
        &mut self,
        key: &'static str,
        one: &str,
        problems: &mut Problems,
        mut check: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let (place, value) = self.take(key)?;
        let DeValue::Array(items) = value else {
            return self.mistyped(&place, key, "a list of strings", value, problems);
        };
        if items.len() > MOST_ITEMS {
            problems.add(&place, format!("{key} in {} has more than {MOST_ITEMS} entries", self.what));
            return None;
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let place = self.doc.place_of(item);
            match item.get_ref() {
                DeValue::String(text) => list.push(self.checked(&place, one, text, problems, &mut check)?),
                other => return self.mistyped(&place, key, "a list of strings", other, problems),
            }
        }
        Some(list)
    }

    /// Checks one string; `key` names it in messages.
    pub fn checked<T, E: Display>(
        &self,
        place: &Place,
        key: &str,
        text: &str,
        problems: &mut Problems,
        mut check: impl FnMut(&str) -> Result<T, E>,
    ) -> Option<T> {
        let done = match text.len() {
            0..=LONGEST => check(text).map_err(|error| error.to_string()),
            _ => Err(format!("is longer than {LONGEST} characters")),
        };
        done.map_err(|why| problems.add(place, format!("{key} {} in {} {why}", quoted(text), self.what))).ok()
    }

    /// Says that a value has the wrong type.
    pub fn mistyped<T>(
        &self,
        place: &Place,
        key: &str,
        wanted: &str,
        got: &DeValue<'_>,
        problems: &mut Problems,
    ) -> Option<T> {
        problems.add(place, format!("{key} in {} must be {wanted}, not {}", self.what, kind(got)));
        None
    }

    /// Ends the reading: every key that was not asked for is a problem.
    pub fn finish(self, problems: &mut Problems) {
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let mut hint = did_you_mean(name, self.known.iter().copied());
            if hint.is_empty() && value.get_ref().is_table() && self.what.starts_with("host ") {
                hint = "; a name with a dot needs quotes: [hosts.\"gpu.example\"]".to_owned();
            }
            problems.add(&self.doc.place_of(key), format!("unknown key {} in {}{hint}", quoted(name), self.what));
        }
    }
}

/// A value's type with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
