//! Models on hosts: what is wanted, what is there, and how the rest comes there.

mod error;
pub mod gguf;
pub mod hub;
pub mod manifest;
pub mod parts;
mod patience;
mod proof;
pub mod reference;
mod wildcard;

pub use error::ModelError;
pub use hub::{Hub, HubError, HubSettings};
pub use manifest::{BlobId, ChoiceError, Manifest, ModelFile, Room, Tree, Wish};
pub use reference::{InvalidRef, ModelRef, RepoId};
