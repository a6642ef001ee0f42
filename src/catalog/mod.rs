//! Where recipes come from: built in, a folder of recipes, one recipe's own folder, or an HTTP catalog ([`http`]).
//!
//! # Theory of operation
//! A recipe is a folder with a `PKGBUILD`, and mostly a `worker.toml` (what rbee wants to know of a worker) and a
//! `.SRCINFO` (what makepkg knows of it). Opening a catalog reads those two of every folder and runs nothing; only
//! [`Catalog::get`] and [`Catalog::resolve`] read a recipe whole. What lies in a folder is hostile until checked: no
//! link is followed, names and sizes are bounded, and what is not understood is refused with its file and line.
//!
//! Which variant of a family a host gets ([`choose`]) is a pure function of entries and facts.

mod author;
mod choose;
mod depends;
mod entry;
mod error;
mod folder;
pub mod http;
mod offer;
mod own;
mod reader;
mod shelf;
mod slot;
mod srcinfo;

pub use author::{Authored, read_recipe};
pub use choose::{Pick, fits};
pub use entry::{Entry, parse_entry};
pub use error::CatalogError;
pub use offer::{BuildSettings, Offer, SourceTree};
pub use own::{OwnSource, own_recipe};
pub use shelf::{Catalog, CatalogSource};
pub use slot::Listed;
