//! Threads of their own for what clients cost.
//!
//! # Theory of operation
//! A crowd that reads all it can takes every processor there is, and a job would wait for it. So connections are served
//! by threads that step back behind everything else of this process, where the system can do that for a thread. What is
//! asked is answered elsewhere, and jobs run elsewhere: only the reading and writing of connections stands here.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// What Linux calls a nice value: about a tenth of what others get, as long as others want it.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 10;

/// The threads; they end with it, whatever they are at.
pub struct Desk {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Desk {
    /// # Errors
    /// There are no threads to be had.
    pub fn open() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("desk")
            .on_thread_start(step_back)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Linux has a priority for each thread; elsewhere it would be that of all.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BEHIND) {
        tracing::debug!("readers are as important as jobs: {error}");
    }
}
