//! Recipes are built for real here, with bash and the tools of this machine; makepkg is the oracle.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod bench;
mod downloads;
mod echo;
mod hostile;
#[path = "../support/http.rs"]
mod http;
mod makepkg;
mod oracle;
mod phases;
#[path = "../support/plain_target.rs"]
mod plain_target;
mod repositories;
mod sources;
mod staging;
mod variables;
