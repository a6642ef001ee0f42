//! Recipes are bash, and only bash can read them: the driver that does, and what it has to tell.
//!
//! # Theory of operation
//! [`DRIVER`] is put beside a recipe on the machine that builds and run once for each [`RecipePhase`]. Everything it
//! tells is left in files of its own; nothing that a recipe prints is ever read, so nothing that a recipe prints can
//! fake or break a result. A phase has come to its end only if it left its file: `exit 0` inside of `build()` does not.
//!
//! Functions run as makepkg runs them: in `$srcdir`, with `errexit`, `errtrace` and an ERR trap, with `extglob` and
//! without `nounset` and `pipefail`. Variables of `prepare` reach `build`, and its own reach `check`; only exported ones
//! reach `package`. A package is tidied as makepkg does it: stripped, its manual pages compressed. There is no fakeroot.

mod environment;
mod evaluated;
mod lint;
mod outcome;

pub(crate) use environment::path_line;
pub use environment::{BadEnvironment, Environment};
pub use evaluated::Evaluated;
pub use lint::{Lint, Severity, lint};
pub(crate) use outcome::result_script;
pub use outcome::{PhaseResult, parse_result};

/// The bash program that runs one phase of a recipe: `bash driver.bash PHASE WORK`.
pub const DRIVER: &str = concat!(
    include_str!("sources.bash"),
    include_str!("cache.bash"),
    include_str!("download.bash"),
    include_str!("git.bash"),
    include_str!("extract.bash"),
    include_str!("tidy.bash"),
    include_str!("srcinfo.bash"),
    include_str!("guard.bash"),
    include_str!("driver.bash")
);

/// What the driver can be asked to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipePhase {
    /// Only reads the recipe; for its authors.
    Eval,
    /// Gets and checks the sources, and packs them to be given to a build elsewhere.
    Gather,
    /// Gets and checks the sources.
    Fetch,
    /// `prepare`, `pkgver` and `build`.
    Build,
    /// `package`, and looks for what it installed.
    Package,
}

impl RecipePhase {
    /// The driver's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::Gather => "gather",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Package => "package",
        }
    }
}
