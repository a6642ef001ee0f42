//! Programs that go on while their controller is away, and are taken up again where they stopped.
//!
//! # Theory of operation
//! A [`Roaming`] is an [`Opener`] over connections that come and go. A lane that is opened *to last* does not hang on its
//! channel: it stands in a session of its own below a *keeper*, in a fresh folder that only its owner can enter. Its
//! stdin is a FIFO that the keeper holds open, so that silence beyond the lease is what ends it, never an end of file;
//! its two outputs are moved from pipes to *segments*, files of some 16 MiB. A channel runs a *relay*, which
//!
//! - feeds the FIFO through `tee`, which is never killed: it ends when the `cat` before it does, and then `wc` has the
//!   exact count of the bytes that the lane has got. A new relay ends the one before it, and answers with the sum of
//!   all counts; [`outbox`] goes on from there. So a request is neither torn, lost nor doubled;
//! - sends the segments from the place where we stopped. An open file remembers its own place, so `cat` after `cat` goes
//!   on where the last one saw the end. The keeper rings a *doorbell* (a FIFO) when there is more; a relay answers
//!   each ring before it looks, and the keeper rings again only after an answer, so no ring is missed and none piles up.
//!
//! A segment is removed when the one after it was sent whole, because a channel takes in less than that ahead of its
//! reader. When sixteen wait, the keeper reads no further, and the command waits at its pipe: what is kept is bounded.
//!
//! On this side, [`link`] asks the host every few seconds whether it is there, declares the connection dead when it is
//! not (a laptop that wakes up has one that nobody has told it is dead), and dials again, with every check that the first
//! connection had, until the lease is over. A [`carrier`] for each lane keeps its streams still until there is a way again.
//! Channels that are opened directly, for uploads, fail with their connection.
//!
//! When the lane has ended, its last relay sends the rest, removes the folder, and is gone.

mod carrier;
mod link;
mod mortal;
mod outbox;
mod script;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{
    TargetError,
    conduit::{Conduit, Opener},
    supervisor::script as lane_script,
};
use crate::scope::Scope;
use carrier::Carrier;
use link::{Link, State};

/// A lease longer than this is one to be away for.
pub const LONG: Duration = Duration::from_secs(30);

/// How long the end of all lanes is waited for.
const GOODBYE: Duration = Duration::from_secs(4);

/// Makes another connection to the same machine.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// # Errors
    /// As at first: the machine does not answer, is another one, or refuses the login.
    async fn dial(&self) -> Result<Arc<dyn Opener>, TargetError>;
}

/// One machine, over as many connections as it takes.
pub struct Roaming {
    link: Arc<Link>,
    shell: String,
    carriers: TaskTracker,
    _keeper: AbortOnDropHandle<()>,
}

impl Roaming {
    /// Goes on from a first connection; `scope` speaks for the host and is asked for nothing else.
    pub fn new(first: Arc<dyn Opener>, dial: Arc<dyn Dial>, lease: Duration, shell: String, scope: Scope) -> Self {
        let link = Arc::new(Link::new(first));
        let keeper = AbortOnDropHandle::new(tokio::spawn(link::keep(link.clone(), dial, lease, scope)));
        Self { link, shell, carriers: TaskTracker::new(), _keeper: keeper }
    }
}

#[async_trait]
impl Opener for Roaming {
    async fn open(&self, command: &str) -> Result<Conduit, TargetError> {
        let way = self.link.up().await?;
        tokio::select! {
            opened = way.opener.open(command) => Ok(mortal::bind(opened?, &way.cut, &self.link.direct)),
            () = way.cut.cancelled() => Err(TargetError::Lost("the connection was cut".into())),
        }
    }

    async fn open_lasting(&self, command: &str, farewell: &str) -> Result<Conduit, TargetError> {
        let boot = lane_script::boot(&self.shell);
        let first = loop {
            let way = self.link.up().await?;
            let opened = tokio::select! {
                opened = way.opener.open(&boot) => opened,
                () = way.cut.cancelled() => continue,
            };
            match opened {
                Ok(conduit) => break conduit,
                Err(TargetError::Lost(_)) => {
                    self.link.suspect();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error),
            }
        };
        let lane = carrier::Lane {
            id: random_hex(),
            nonce: random_hex(),
            shell: self.shell.clone(),
            program: command.to_owned(),
            farewell: farewell.to_owned(),
        };
        let (carrier, conduit) = Carrier::new(self.link.clone(), lane);
        self.carriers.spawn(carrier.carry(first));
        Ok(conduit)
    }

    async fn open_spare(&self, command: &str) -> Result<Option<Conduit>, TargetError> {
        let way = self.link.up().await?;
        tokio::select! {
            opened = way.opener.open_spare(command) => {
                Ok(opened?.map(|conduit| mortal::bind(conduit, &way.cut, &self.link.direct)))
            }
            () = way.cut.cancelled() => Err(TargetError::Lost("the connection was cut".into())),
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        match self.link.state() {
            State::Up(way) => way.opener.round_trip(),
            State::Away | State::Over(_) => None,
        }
    }

    async fn ping(&self) -> Result<(), TargetError> {
        let way = self.link.up().await?;
        tokio::select! {
            answered = way.opener.ping() => answered.inspect(|()| self.link.heard.touch()),
            () = way.cut.cancelled() => Err(TargetError::Lost("the connection was cut".into())),
        }
    }

    fn lasts(&self) -> bool {
        true
    }

    fn away(&self) -> bool {
        matches!(self.link.state(), State::Away)
    }

    fn hurry(&self) {
        self.link.hurry();
    }

    async fn close(&self) {
        self.carriers.close();
        if matches!(self.link.state(), State::Up(_)) {
            let _ = tokio::time::timeout(GOODBYE, self.carriers.wait()).await;
        }
        let last = self.link.state();
        self.link.end("the run is over");
        if let State::Up(way) = last {
            way.opener.close().await;
        }
    }
}

impl Drop for Roaming {
    fn drop(&mut self) {
        self.link.end("the run is over");
    }
}

fn random_hex() -> String {
    format!("{:032x}", rand::random::<u128>())
}
