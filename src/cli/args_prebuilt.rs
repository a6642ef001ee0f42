//! `--prebuilt`.

use clap::ValueEnum;

use crate::engine::request::UsePrebuilt;

/// Whether published programs are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrebuiltHow {
    /// And refuse hosts for which there is none
    Require,
    /// And build where there is none
    Prefer,
    /// Always build
    Never,
}

impl From<PrebuiltHow> for UsePrebuilt {
    fn from(how: PrebuiltHow) -> Self {
        match how {
            PrebuiltHow::Require => Self::Require,
            PrebuiltHow::Prefer => Self::Prefer,
            PrebuiltHow::Never => Self::Never,
        }
    }
}
