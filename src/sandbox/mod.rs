//! Embedded SSH hosts on loopback, for demo, tests and scale measurements.
//!
//! A sandbox is one process and one folder. Each of its hosts is a listener on 127.0.0.1 with a host key and folders of its
//! own; commands really run, on this machine and as this user:
//!
//! ```text
//! DIR/inventory.toml  ssh_config  known_hosts     how to reach the hosts
//! DIR/id_ed25519(.pub)                            the one key that may log in, under any user name
//! DIR/sandbox.json  sandbox.lock  sandbox.log     the running process, for `status` and `down`
//! DIR/hosts/NAME/host_ed25519                     its host key
//! DIR/hosts/NAME/home                             HOME, and where commands and sftp start
//! DIR/hosts/NAME/tmp                              TMPDIR
//! DIR/hosts/NAME/prefix                           RBEE_PREFIX
//! ```
//!
//! What a host does not have of its own is the machine's, `/usr/local` included. So every command gets `RBEE_PREFIX`: a
//! folder that stands for `/usr/local` on this host. Its `bin` is there, writable, and on PATH before `/usr/local/bin`; who
//! asks where programs are installed on a host takes it instead of `/usr/local`.
//!
//! # Theory of operation
//! Like sshd, a sandbox leaves commands alone when their connection is lost: their pipes close, no more. When the
//! sandbox itself ends, it ends them all: it leaves nothing behind ([`Sandbox::shutdown`]). Memory stays bounded
//! whatever a command prints or a client sends: outputs wait for the client's window, inputs for the command
//! (`inlet`), and a client that does not read never keeps the server from reading (`socket`).
//!
//! With `hub`, a stand-in for the model hub listens beside the hosts: see [`hub`].
//!
//! The folder outlives the process: keys and homes are used again, ports are new each time.

mod children;
mod command;
mod control;
mod error;
mod files;
mod host;
pub mod hub;
mod inlet;
mod layout;
mod outlet;
mod server;
mod session;
mod sftp;
mod socket;
mod start;
mod state;
mod toolchain;
mod tunnel;

pub use children::Ended;
pub use control::{Down, Status, down, spawn_detached, status};
pub use error::SandboxError;
pub use start::{Options, Sandbox};
pub use state::HostAddress;
pub use toolchain::Toolchain;
