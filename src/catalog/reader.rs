//! Reads TOML by a table of keys: what is wrong or unknown is said with its line.

use std::borrow::Cow;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{CatalogError, error::nearest};
use crate::vocab::{Mirror, WorkerId};

/// More than any of the texts of an entry needs.
const TEXT_BYTES: usize = 1000;
const LIST_ITEMS: usize = 64;

/// One key of a table: its name, and where its value goes.
pub(super) struct Key<T: 'static> {
    pub name: &'static str,
    pub read: fn(&mut T, At<'_>) -> Result<(), CatalogError>,
}

/// A text and what errors call it.
pub(super) struct Text<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

/// A value, with its key and its place in the text.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    text: &'a Text<'a>,
    name: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Text<'a> {
    pub fn parse(&self) -> Result<Spanned<DeTable<'_>>, CatalogError> {
        DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong(at, error.message().lines().collect::<Vec<_>>().join(" "))
        })
    }

    /// The value of one key.
    pub fn at<'t>(&'t self, table: &'t DeTable<'t>, name: &'t str) -> Option<At<'t>> {
        table.get(name).map(|value| At { text: self, name, value })
    }

    /// Reads every key that is there, and refuses those that `keys` does not have.
    pub fn fill<T>(
        &self,
        table: &DeTable<'_>,
        keys: &[Key<T>],
        prefix: &str,
        into: &mut T,
    ) -> Result<(), CatalogError> {
        for key in table.keys() {
            let name: &Cow<'_, str> = key.get_ref();
            if !keys.iter().any(|known| known.name == name.as_ref()) {
                let hint = meant(name, keys.iter().map(|known| known.name));
                return Err(self.wrong(key.span().start, format!("unknown key {:?}{hint}", format!("{prefix}{name}"))));
            }
        }
        keys.iter().try_for_each(|key| self.at(table, key.name).map_or(Ok(()), |at| (key.read)(into, at)))
    }

    fn wrong(&self, at: usize, text: String) -> CatalogError {
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        CatalogError::Entry { file: self.file.to_owned(), line, text }
    }
}

impl At<'_> {
    /// An error at this value's line.
    pub fn wrong(self, text: impl Into<String>) -> CatalogError {
        self.text.wrong(self.value.span().start, text.into())
    }

    /// A string of one line.
    pub fn text(self) -> Result<String, CatalogError> {
        match self.value.get_ref().as_str() {
            None => Err(self.wrong("expected a string")),
            Some(text) if text.len() > TEXT_BYTES => Err(self.wrong("the text is too long")),
            Some(text) if text.chars().any(char::is_control) => Err(self.wrong("control characters are not allowed")),
            Some(text) => Ok(text.to_owned()),
        }
    }

    pub fn id(self) -> Result<WorkerId, CatalogError> {
        WorkerId::new(&self.text()?).map_err(|error| self.wrong(error.to_string()))
    }

    /// The place in `known` of the word that is said.
    pub fn one_of(self, known: &[&str]) -> Result<usize, CatalogError> {
        let name = self.text()?;
        known.iter().position(|candidate| *candidate == name).ok_or_else(|| {
            self.wrong(format!("{name:?} is none of {}{}", known.join(", "), meant(&name, known.iter().copied())))
        })
    }

    /// A string that means something; `wanted` says what, as "a time like \"90s\"".
    pub fn parsed<T>(self, parse: fn(&str) -> Option<T>, wanted: &str) -> Result<T, CatalogError> {
        let text = self.text()?;
        parse(&text).ok_or_else(|| self.wrong(format!("{} = {text:?} is not {wanted}", self.name)))
    }

    pub fn flag(self) -> Result<bool, CatalogError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong(format!("{:?} is neither true nor false", self.name)))
    }

    pub fn number(self) -> Result<u64, CatalogError> {
        let number = self.value.get_ref().as_integer();
        let number = number.and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        number.ok_or_else(|| self.wrong(format!("{:?} is not a whole number", self.name)))
    }

    pub fn list(self) -> Result<Vec<String>, CatalogError> {
        self.items()?.into_iter().map(At::text).collect()
    }

    /// A list whose every item is one of `known`.
    pub fn subset(self, known: &[&str]) -> Result<Vec<String>, CatalogError> {
        self.items()?.into_iter().map(|item| item.one_of(known).map(|place| known[place].to_owned())).collect()
    }

    /// `{ "https://host/path/" = ["https://mirror/path/", …] }`, or one text instead of a list.
    pub fn mirrors(self) -> Result<Vec<Mirror>, CatalogError> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong(format!("{:?} is not a table of URLs", self.name)))?;
        if table.len() > LIST_ITEMS {
            return Err(self.wrong(format!("{:?} has too many items", self.name)));
        }
        let mut mirrors = Vec::new();
        for (prefix, value) in table {
            let name: &str = prefix.get_ref();
            let at = At { text: self.text, name, value };
            let places = if value.get_ref().is_str() { vec![at] } else { at.items()? };
            for place in places {
                mirrors.push(Mirror::new(name, &place.text()?).map_err(|error| place.wrong(error.to_string()))?);
            }
        }
        Ok(mirrors)
    }

    /// A table below this key, read by keys of its own.
    pub fn section<T>(self, keys: &[Key<T>], into: &mut T) -> Result<(), CatalogError> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong(format!("{:?} is not a table", self.name)))?;
        self.text.fill(table, keys, &format!("{}.", self.name), into)
    }

    /// A table of texts, whatever its keys are.
    pub fn pairs(self) -> Result<Vec<(String, String)>, CatalogError> {
        let table = self.value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong(format!("{:?} is not a table", self.name)))?;
        if table.len() > LIST_ITEMS {
            return Err(self.wrong(format!("{:?} has too many items", self.name)));
        }
        let pair = |(key, value): (&'_ Spanned<Cow<'_, str>>, _)| {
            let key = key.get_ref();
            if key.len() > 64 || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                return Err(self.wrong(format!("{:?} has a key that is no name", self.name)));
            }
            Ok((key.clone().into_owned(), At { value, ..self }.text()?))
        };
        table.iter().map(pair).collect()
    }

    fn items(self) -> Result<Vec<Self>, CatalogError> {
        let array = self.value.get_ref().as_array();
        let array = array.ok_or_else(|| self.wrong(format!("{:?} is not a list of strings", self.name)))?;
        if array.len() > LIST_ITEMS {
            return Err(self.wrong(format!("{:?} has too many items", self.name)));
        }
        Ok(array.iter().map(|value| At { value, ..self }).collect())
    }
}

pub(super) fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}
