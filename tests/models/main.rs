//! `rbee model …` as a person types it, against the stand-in for the hub.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod caches;
mod faults;
mod fleet;
mod hive;
mod hostile;
mod stage;
mod stops;
#[path = "../support/mod.rs"]
mod support;
