//! Models on hosts: what is wanted, what is there, and how the rest comes there.
//!
//! # Theory of operation
//! One [`Manifest`] on this machine says which files at which commit are wanted, with their lengths and hashes. A
//! [`survey`] says what a host has, [`plan`] decides from both what is to be done, and [`deliver`] does it: small files are
//! sent from here in a bundle, large ones come by the hub's way ([`fetch`]) or the relay's ([`relay`]). All that runs on a
//! host is the POSIX sh of `sh/`, driven over [`Target`](crate::target::Target), so this machine is a host as any other.
//! A blob gets its name when its digest holds, a snapshot's links come after the blobs, and the ref comes last.

pub mod cache;
mod deliver;
mod error;
mod fetch;
pub mod gguf;
pub mod hub;
pub mod manifest;
pub mod parts;
mod patience;
pub mod plan;
mod proof;
pub mod reference;
mod relay;
mod said;
mod script;
mod shipment;
mod small;
pub mod survey;
mod tally;
mod wildcard;

pub use deliver::{Delivered, deliver, prepare};
pub use error::ModelError;
pub use hub::{Hub, HubError, HubSettings};
pub use manifest::{BlobId, ChoiceError, Manifest, ModelFile, Room, Tree, Wish};
pub use plan::{HostPlan, Options, Via};
pub use reference::{InvalidRef, ModelRef, RepoId};
pub use shipment::Shipment;
