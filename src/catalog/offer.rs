//! What a catalog says of a worker beyond what rbee goes by.

use serde_json::{Map, Value};

/// The fields of a catalog's entry that decide nothing here: they are kept, and shown to who asks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// "rust", "cpp", "python".
    pub implementation: Option<String>,
    /// Where the recipe lies; relative to the catalog, or whole.
    pub pkgbuild_url: Option<String>,
    /// "cargo", "cmake".
    pub build_system: Option<String>,
    pub source: Option<SourceTree>,
    pub build: BuildSettings,
    /// As in the recipe: packages to run it.
    pub depends: Vec<String>,
    /// As in the recipe: packages to build it.
    pub makedepends: Vec<String>,
    pub binary_name: Option<String>,
    pub install_path: Option<String>,
    /// Of models: "gguf", "safetensors".
    pub supported_formats: Vec<String>,
    /// In tokens.
    pub max_context_length: Option<u64>,
    pub supports_streaming: Option<bool>,
    pub supports_batching: Option<bool>,
    /// What this version does not know, as it came.
    pub other: Map<String, Value>,
}

/// Where a worker's source is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceTree {
    /// "git", "tarball".
    pub kind: String,
    pub url: String,
    pub branch: Option<String>,
    pub tag: Option<String>,
    /// Within the repository.
    pub path: Option<String>,
}

/// How a worker is built.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildSettings {
    pub features: Vec<String>,
    pub profile: Option<String>,
    pub flags: Vec<String>,
}
