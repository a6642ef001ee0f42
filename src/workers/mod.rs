//! Workers that run: spawned with a model, listed, read and stopped, on any target.
//!
//! # Theory of operation
//! What a run starts ends with the run, so a worker has to be let go in so many words. Its folder on the host
//! (`~/.local/state/rbee/workers/ID`, 0700) has a box `in`. A *keeper*, a shell in a session of its own, enters itself there
//! before it does anything else; then it starts the program, whose parent it stays. Before the folder is made, the target was
//! given a cleanup that renames `in` to `out` and ends all who stand in it. The run lets the worker go by renaming `in` to
//! `kept`, once it is healthy. One folder can be renamed once: so the worker is kept, or it is ended, whatever is cut off
//! when, and nobody comes in late.
//!
//! Who a process is, its number, the time of its start and the machine's boot say together. What belongs to a worker is its
//! session, and whoever has its mark in the environment. Nothing else is ever signalled.
//!
//! Choosing ([`choose`]), filling in ([`start`]) and judging the wait ([`wait`]) are pure.

pub mod choose;
mod error;
mod list;
mod logs;
mod script;
mod spawn;
pub mod start;
mod stop;
pub mod wait;
mod which;

pub use error::SpawnError;
pub use list::{Process, State, list};
pub use logs::{Reading, logs};
pub use spawn::{Order, Started, spawn};
pub use stop::{Stopped, stop};
pub use which::Which;
