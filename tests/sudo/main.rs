//! The system's folders through a real sudo, on hosts of `scripts/rig`. All of it needs root.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod attacks;
mod needs;
mod packages;
mod password;
#[path = "../support/rig.rs"]
mod rig;
mod rights;
mod stage;
mod stops;
