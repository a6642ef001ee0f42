//! Jobs: work that was submitted, what became of it, and a log of it that many may read.
//!
//! # Theory of operation
//! A [`Registry`] starts what is submitted, whether anybody listens or not, as many at a time as it has places for. A job
//! has one [`Cancel`](crate::scope::Cancel), so a client, a deadline and a signal end it the same way, and whoever asked
//! waits for the end outside of what is ended. Everything that happens in it is numbered and goes to a [`Log`](log::Log)
//! on disk, bounded; readers have cursors of their own and read from the disk, so a slow one costs nobody anything. The
//! record beside the log is rewritten whenever the job's state changes. What a dead process left behind is found by the
//! next registry over the same folder, which writes the missing end.

mod journal;
pub mod log;
mod process;
mod read;
mod registry;
mod store;

pub use journal::{Journal, gap_line};
pub use log::{Bounds, Log};
pub use process::this_process;
pub use read::{Batch, Cursor};
pub use registry::{Closed, Ended, Job, Limits, Order, Registry, Running, Work, fresh_id};

/// Why something could not be done with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("no job takes its beginning any more: the process is ending")]
    Ending,
    #[error("{0} jobs are waiting already")]
    Full(usize),
    #[error("cannot keep the job in {dir}: {error}")]
    Store { dir: String, error: std::io::Error },
}
