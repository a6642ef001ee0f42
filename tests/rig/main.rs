//! Hosts that are unlike each other, with real servers in namespaces of their own. All of it needs root.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod cuts;
mod hosts;
mod mac;
mod matrix;
#[path = "../support/rig.rs"]
mod rig;
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../fleet/stage.rs"]
#[allow(dead_code, reason = "shared with other test programs")]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod traces;
