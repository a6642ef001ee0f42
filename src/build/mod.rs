//! Builds a recipe on a target: stage, fetch, build, package; the same verbs for a host and for this machine.
//!
//! # Theory of operation
//! [`stage`] puts recipe, driver and environment into a work folder that the caller made (0700) and registered as
//! scratch. Each verb of [`Staged`] then runs one phase of the driver as somebody else's code, its output going live to
//! whoever asked, and afterwards reads what the phase left with a short script of its own. What was built is measured
//! and hashed by such a script too, after the recipe's code has ended.
//!
//! [`build_key`] says without building whether a build would be the same one.

mod class;
mod error;
mod key;
mod program;
mod progress;
mod smoke;
mod staged;
mod tree;
pub mod trees;

pub use class::{Base, Cards, Class, nvcc_makes};
pub use error::BuildError;
pub use key::build_key;
pub use program::{Built, Packages};
pub use progress::{Meter, Steps, is_bar};
pub use smoke::smoke;
pub use staged::{Fetched, Pin, Staged, stage};
