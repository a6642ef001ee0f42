//! The program itself, as a person types it, against real sshds on loopback.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod cancel;
mod catalog;
mod daemon;
mod faults;
mod fetch;
mod hive;
#[path = "../support/http.rs"]
mod http;
mod install;
mod loss;
mod needs;
mod once;
mod packages;
mod prebuilt;
mod progress;
mod scale;
mod spawn;
#[path = "../support/sshd.rs"]
mod sshd;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod usage;
#[path = "../support/catalog.rs"]
mod web;
mod worker;
