//! Which hosts there are, and which of them a command is for.
//!
//! # Theory of operation
//! [`load`] finds the files (`source`), parses each with its lines kept (`document`, `section`), reads what hosts,
//! groups and defaults say (`schema`), and joins it (`merge`): ranges become hosts, groups are folded into them. Problems
//! are gathered on the way and told in file order. [`Inventory::select`] evaluates a [`Pattern`] on the result. Nothing
//! here connects, reads the environment, or looks into ssh_config: the caller says which names that one knows.
//!
//! # Who wins
//! For each key: the host, else the last of its `groups` that sets it, else `[defaults]`, else ssh_config. A list
//! replaces a list; only `env` is merged, name by name.

mod defaults;
mod document;
mod grammar;
pub mod import;
mod merge;
mod pattern;
mod ranges;
mod schema;
mod section;
mod select;
mod source;
mod suggest;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

pub use self::{
    defaults::Defaults,
    document::{Place, Problem},
    pattern::{Pattern, PatternError},
    select::{Intent, SelectError},
    source::Source,
};
use crate::vocab::{ExitCode, Host, HostName, Route};

/// Every host that the files name, in their order, and what they say about commands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    hosts: Vec<Host>,
    index: HashMap<HostName, usize>,
    groups: BTreeSet<String>,
    defaults: Defaults,
}

/// Why there is no inventory.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InventoryError {
    #[error("no inventory at {path}: there is no such file or folder")]
    Missing { path: String },
    #[error("no inventory in {path}: the folder has no *.toml file")]
    NoFiles { path: String },
    #[error("cannot read the inventory {path}: {why}")]
    Unreadable { path: String, why: String },
    /// Never empty; in file order, and the first is the one to show.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Invalid(Vec<Problem>),
}

impl InventoryError {
    /// Always that of a usage error: nothing was contacted.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }

    /// Everything that is wrong in the files, in their order; empty when they could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => problems,
            _ => &[],
        }
    }
}

/// Reads and joins the files of `source`; `~` in them is `home`. No file at a usual place is an empty inventory.
///
/// # Errors
/// A named source that is not there, a file that cannot be read, or problems in the files.
pub fn load(source: &Source, home: &Path) -> Result<Inventory, InventoryError> {
    let mut problems = document::Problems::default();
    let docs = source::read(source, &mut problems)?;
    let mut files = Vec::with_capacity(docs.len());
    for doc in &docs {
        if let Some(table) = doc.parse(&mut problems) {
            files.push(schema::read(doc, &table, home, &mut problems));
        }
    }
    let inventory = merge::merge(files, &mut problems);
    match problems.sorted() {
        none if none.is_empty() => Ok(inventory),
        some => Err(InventoryError::Invalid(some)),
    }
}

impl Inventory {
    /// Every host, in the order of the files.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The host of that name; `local` finds the controller under whatever name it has.
    pub fn get(&self, name: &str) -> Option<&Host> {
        self.position(name).map(|at| &self.hosts[at])
    }

    /// Every group that has a table or a host.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    /// What `[defaults]` says about commands.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    fn position(&self, name: &str) -> Option<usize> {
        let controller = || self.hosts.iter().position(|host| host.route == Route::Local);
        self.index.get(name).copied().or_else(|| if name == "local" { controller() } else { None })
    }
}
