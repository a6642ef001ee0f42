//! Jobs over HTTP: on a unix socket for this user, and on loopback for whoever has the token.
//!
//! # Theory of operation
//! A [`Door`] is a router over a [`Registry`](crate::job::Registry) and, for a daemon, a [`Bench`] that makes submissions
//! into work. It is served by [`serve`] on sockets that were opened by [`socket`]; a run in progress serves the same
//! routes on a socket of its own, without a bench. Every connection has limits: for its headers, its body, its number, and
//! for how long it may refuse to take what it asked for. A client that goes away cancels nothing.
//!
//! Who may speak: on a unix socket the folder decides, and the peer's user is looked at again. On TCP every route but
//! `/health` wants the token, and the Host header must name this machine, so that no web page can get here by a name of
//! its own. There is no CORS.

mod desk;
mod guard;
mod jobs;
mod metrics;
mod openapi;
mod patience;
mod problem;
mod routes;
mod serve;
pub mod socket;
mod stream;
pub mod token;

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;

use crate::{
    job::{Order, Registry},
    wire::{capabilities::Capabilities, submission::Submission},
};
pub use desk::Desk;
pub use serve::{Doors, Patience, serve};

/// The port that a hive has unless it is told another.
pub const PORT: u16 = crate::daemon::PORT;

/// Why a submission cannot become work, or a question no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub text: String,
    pub hint: Option<String>,
}

/// Makes submissions into work, and knows the machine.
#[async_trait]
pub trait Bench: Send + Sync + 'static {
    /// Checks all that can be checked before anything starts.
    ///
    /// # Errors
    /// What is wrong with it.
    async fn prepare(&self, submission: &Submission) -> Result<Order, Refused>;

    /// What this machine is and has, now.
    ///
    /// # Errors
    /// What kept it from being looked at.
    async fn capabilities(&self) -> Result<Capabilities, Refused>;
}

/// What is behind the routes.
#[derive(Clone)]
pub struct Door(Arc<Behind>);

struct Behind {
    registry: Registry,
    /// A run takes no jobs, and is no machine.
    bench: Option<Arc<dyn Bench>>,
    opened: Instant,
    meters: metrics::Meters,
}

impl Door {
    /// The door of a daemon.
    pub fn of_hive(registry: Registry, bench: Arc<dyn Bench>) -> Self {
        Self::new(registry, Some(bench))
    }

    /// The door of a run in progress: its job can be seen and cancelled, and nothing else.
    pub fn of_run(registry: Registry) -> Self {
        Self::new(registry, None)
    }

    fn new(registry: Registry, bench: Option<Arc<dyn Bench>>) -> Self {
        Self(Arc::new(Behind { registry, bench, opened: Instant::now(), meters: metrics::Meters::default() }))
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }
}
