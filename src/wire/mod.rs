//! The versioned forms of what leaves the process.
//!
//! NDJSON version 1: one [`Record`] a line. Fields may be added within a version, never renamed; the golden file holds
//! one line of each type. [`manifest`] is the record that stays on a host. [`submission`], [`job`] and
//! [`capabilities`] are what a hive takes and answers.

mod body;
pub mod capabilities;
pub mod job;
pub mod manifest;
pub mod operation;
mod operation_model;
mod record;
pub mod spawned;
pub mod submission;
mod text;
mod time;
mod word;

pub use body::{Body, SummaryHost};
pub use record::{NotAnEvent, Record, VERSION, line, parse};
pub use time::rfc3339;
pub use word::{Spelled, Word};
