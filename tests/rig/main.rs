//! Hosts that are unlike each other, with real servers in namespaces of their own. All of it needs root.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod hosts;
#[path = "../support/rig.rs"]
mod rig;
