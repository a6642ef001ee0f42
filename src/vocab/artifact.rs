//! What a build made, and the record of what was installed.

use std::fmt;

use super::{InvalidName, WorkerId};

/// A sha256, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, of either case.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(hex: &str) -> Result<Self, InvalidName> {
        let bad = || InvalidName { what: "sha256", name: hex.to_owned(), why: "is not 64 hexadecimal digits" };
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }

    /// The first 12 digits, for the eye.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Says what went into a build: recipe, pinned sources, features and class of host, as one sha256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BuildKey(pub Digest);

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One executable that is ready to be installed, as a file on the machine where it was built or given.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    pub worker: WorkerId,
    pub version: String,
    pub key: BuildKey,
    /// The file name it is installed under.
    pub program: String,
    pub size: u64,
    pub digest: Digest,
}

/// What a program of several files is known by, beside the tar that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeMark {
    /// Its entry point, "bin/NAME".
    pub entry: String,
    /// The sum of the tree, not of the tar.
    pub digest: Digest,
    /// Bytes of all files.
    pub size: u64,
}

/// The record beside an installed program; the host's own word about what is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub worker: WorkerId,
    pub version: String,
    pub key: BuildKey,
    /// The class of machines that it was built for, as it went into `key`; what was not built here has none.
    pub class: Option<String>,
    pub digest: Digest,
    pub size: u64,
    /// Absolute path of the program.
    pub path: String,
    /// Of a program of several files, its entry point ("bin/NAME") in the tree that `digest` is of; `path` is a link to it.
    pub entry: Option<String>,
    /// Catalog or folder that the recipe came from, or "binary".
    pub origin: String,
    /// Run that installed it.
    pub run: String,
    /// RFC 3339.
    pub installed_at: String,
    /// Digest of the version before, which the store still has.
    pub previous: Option<Digest>,
}
