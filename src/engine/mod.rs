//! One pipeline: plan (pure; it is also the dry run), phases per host, dispatch over hosts.
//!
//! # Theory of operation
//! A front door makes a [`Request`] and a [`Run`]. [`dispatch`] gives every selected host a task; a task connects,
//! runs the request's phases one after the other and closes its target, which is where the host confirms that nothing
//! is left. Hosts that need a build wait for each other ([`roster`]), are grouped ([`group`]) and share what one of them
//! builds ([`share`]). What a phase decides is decided by pure functions of facts and request ([`plan`]); what it waits for, it
//! waits for through its scope. A failure stops its own host only.

mod arrivals;
pub mod author;
mod bench;
mod bring;
mod census;
pub mod dispatch;
mod election;
mod failure;
mod fleet;
pub mod gather;
pub mod group;
mod hive;
mod install;
mod job;
pub mod local_build;
mod made;
mod make;
mod model;
mod needs;
mod pace;
pub mod pending;
mod phase;
pub mod plan;
pub mod prebuilt;
mod query;
pub mod request;
mod roster;
pub mod share;
mod sudo;
mod sudo_password;
pub mod trust;
mod undo;
mod variant;
pub mod version;
mod watch;
pub mod worker;

pub use dispatch::{Conclusion, Run, dispatch};
pub use failure::Failure;
pub use fleet::{Fleet, LocalFleet, SshFleet};
pub use gather::FetchPlace;
pub use hive::{HiveFinding, HiveRequest, HiveState, HiveTask};
pub use model::{Download, ModelFinding, ModelRequest};
pub use query::{Finding, Held, InstalledState, WorkerStatus};
pub use request::{Binary, BuildPlace, InstallRequest, Request};
pub use sudo_password::SudoPassword;
pub use worker::{Running, SpawnRequest, WorkerRequest};
