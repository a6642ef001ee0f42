//! Programs that somebody published ready to run: which file is for a machine, and how it is come by.
//!
//! # Theory of operation
//! A worker's entry has templates. [`Asset::of`] fills them for one machine, without asking anybody, so that a plan can
//! say what would be taken. [`fetch`] loads such a file once: it is hashed, and its signature checked, while it comes;
//! nothing of it is unpacked before both are right, and what has neither a checksum nor a signature is not even asked
//! for. What came out is kept under a key of all that it hangs on, with its own sum beside it, which is taken again each
//! time before it is used.
//!
//! A way that began with https is never followed to one without.

mod asset;
mod cache;
mod load;
mod shape;
mod sigstore;

pub use asset::{Asset, NoAsset};
pub use cache::{Fetched, Form, fetch, local};
pub use load::may_follow;
pub use sigstore::Signer;

/// Why a published program was not had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PrebuiltError {
    #[error("{0}")]
    Stopped(crate::scope::Stop),
    #[error("cannot get {url}: {why}")]
    Load { url: String, why: String },
    #[error("{url} has sha256 {got}, not {want}")]
    Digest { url: String, want: crate::vocab::Digest, got: crate::vocab::Digest },
    #[error("{sums} has no checksum of {name}; it has {have}")]
    NotListed { sums: String, name: String, have: String },
    #[error("the signature of {url} is not right: {why}")]
    Signature { url: String, why: String },
    #[error("cannot use {url}: {why}")]
    Content { url: String, why: String },
    #[error("cannot write to {path}: {why}")]
    Cache { path: String, why: String },
}

impl From<crate::scope::Stop> for PrebuiltError {
    fn from(stop: crate::scope::Stop) -> Self {
        Self::Stopped(stop)
    }
}
