//! Catalogs over HTTP, as the original serves them: `GET /workers`, `/workers/ID`, `/workers/ID/PKGBUILD`.
//!
//! # Theory of operation
//! [`Web`] gets one text: bounded in bytes and in time, with redirects followed here so that each can be judged, and
//! with a copy kept ([`copies`]) that the server is asked about the next time. What cannot be got is taken from its
//! copy, whatever its age, and that is said. [`listing`] reads entries of both schemas; one that is wrong is left
//! out with a sentence, and the others stand. [`Index`] is the list of one catalog; recipes are fetched for the workers
//! that are wanted, before any host is contacted.
//!
//! Beyond the original, an entry may have `files` (paths of further files of the recipe, served beside its PKGBUILD) and
//! `rbee` (what a `worker.toml` says).

mod copies;
mod index;
mod listing;
mod pkgbuild;
mod web;

pub use index::Index;
pub(super) use index::Remote;
pub use web::Web;
