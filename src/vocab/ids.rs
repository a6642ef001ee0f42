//! Names that were checked once, at the door.

use std::{borrow::Borrow, fmt, sync::Arc};

/// A name that does not keep its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} {why}")]
pub struct InvalidName {
    pub what: &'static str,
    pub name: String,
    pub why: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a host in the inventory, as typed and as shown.
    ///
    /// Printable ASCII without white space and without the characters that patterns, paths and shells give a meaning
    /// (`,&!@*?[]/\'"$` and the like); never empty, never starting with `-` or `.`; at most 255 bytes.
    HostName
}

name_type! {
    /// The id of a worker in a catalog: lower-case letters, digits and `+._-`, not starting with `-` or `.`.
    WorkerId
}

name_type! {
    /// The id of one run: `YYYYMMDD-HHMMSS-xxxxxx` (UTC, random hex).
    RunId
}

impl HostName {
    /// # Errors
    /// Says which rule the name breaks.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let bad = |why| Err(InvalidName { what: "host name", name: name.to_owned(), why });
        if name.is_empty() {
            return bad("is empty");
        }
        if name.len() > 255 {
            return bad("is longer than 255 characters");
        }
        if name.starts_with(['-', '.']) {
            return bad("must not start with '-' or '.'");
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-._+:%=".contains(c)) {
            return bad("may only have letters, digits and -._+:%=");
        }
        Ok(Self(name.into()))
    }

    /// The controller itself.
    pub fn local() -> Self {
        Self("local".into())
    }
}

impl WorkerId {
    /// # Errors
    /// Says which rule the id breaks.
    pub fn new(id: &str) -> Result<Self, InvalidName> {
        let bad = |why| Err(InvalidName { what: "worker id", name: id.to_owned(), why });
        if id.is_empty() {
            return bad("is empty");
        }
        if id.len() > 128 {
            return bad("is longer than 128 characters");
        }
        if id.starts_with(['-', '.']) {
            return bad("must not start with '-' or '.'");
        }
        if !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b)) {
            return bad("may only have lower-case letters, digits and +._-");
        }
        Ok(Self(id.into()))
    }
}

impl RunId {
    /// Wraps an id that this program made or has validated.
    ///
    /// # Errors
    /// When it could not be a file name.
    pub fn new(id: &str) -> Result<Self, InvalidName> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if id.is_empty() || id.len() > 64 || id.starts_with('-') || !id.bytes().all(plain) {
            return Err(InvalidName {
                what: "run id",
                name: id.to_owned(),
                why: "may only have letters, digits and '-'",
            });
        }
        Ok(Self(id.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "-o", ".ssh", "a b", "a/b", "a\nb", "a'b", "$(x)", "a,b", "@lab", "a*", "ü"] {
            assert!(HostName::new(bad).is_err(), "{bad:?}");
            assert!(WorkerId::new(bad).is_err(), "{bad:?}");
            assert!(RunId::new(bad).is_err(), "{bad:?}");
        }
        assert!(WorkerId::new("Upper").is_err());
        assert!(HostName::new("gpu-box.lan:2222").is_ok());
        assert!(WorkerId::new("llm-worker-rbee-cuda_1.2+x").is_ok());
    }
}
