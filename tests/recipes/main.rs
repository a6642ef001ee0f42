//! Recipes are built for real here, with bash and the tools of this machine; makepkg is the oracle.

#![expect(clippy::unwrap_used, reason = "a test whose stage cannot be set ends there")]

mod author;
mod bench;
mod cancel;
mod downloads;
mod echo;
mod heads;
mod hostile;
#[path = "../support/http.rs"]
mod http;
mod makepkg;
mod old_bash;
mod oracle;
mod phases;
#[path = "../support/plain_target.rs"]
mod plain_target;
mod repositories;
mod sources;
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../fleet/stage.rs"]
#[allow(dead_code, reason = "this program uses its own part of it")]
mod stage;
mod staging;
#[path = "../support/mod.rs"]
mod support;
mod variables;
