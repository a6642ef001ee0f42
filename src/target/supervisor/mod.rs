//! Runs every command, on a host and here, so that none outlives its run.
//!
//! # Theory of operation
//! A *lane* is one started `/bin/sh` that was fed `prelude.sh` and `supervisor.sh`. Its stdin carries our requests and
//! beats; its stdout and stderr are those of the command it runs, one at a time, with our records between them. A
//! record begins with a byte and a nonce of 128 random bits that only the two ends know, so that nothing a program
//! prints can be taken for one. The shell splits into
//!
//! - the *supervisor* proper, which starts a command in a session of its own, waits for it, and does all killing;
//! - a *reader* of stdin (`next` when idle, `watch` while a command runs), which turns lines into signals;
//! - a *ticker*, which forks one `sleep` a tick and ends the lane when beats stay away. A beat forks nothing.
//!
//! | request | meaning | answer |
//! | --- | --- | --- |
//! | `b` | beat | |
//! | `r … N`, `x … N` | run the N lines that follow; ours, or foreign code | `go PGID`, then `end STATUS HOW LEVEL LEFT…` and `eof` on stderr |
//! | `i 1` | the line that follows is the stdin of the next command; it is in no argument, no variable of the environment, no file | |
//! | `k`, `K` | end the command: TERM, grace, KILL; without grace | the command's `end` |
//! | `c N` | at the end, also run these lines | `ok` |
//! | `g N` | a file is put: made here, with a box beside it in which those that write to it enter themselves | `ok`, `no WHY` |
//! | `g 0` | it is written | `ok` |
//! | `R … N`, `X … N` | as `r` and `x`, and then end the lane | as there, and `gone` |
//! | end of file, `q`, `#NONCE` anywhere | end the lane | `gone TRASH LEFT…` |
//!
//! End of file, a failed write and silence all lead to `finish`: kill, clean, and only then speak. A file is put
//! through channels of its own, whose processes enter themselves with the lane before they write; see [`put`].
//!
//! A [`Supervised`] target is a pool of lanes over one [`Opener`]: a command takes an idle lane or opens another. A lane
//! that is opened for a command begins with it, and where a server lets variables in, both go with the request that
//! starts the shell: a server takes no stdin before it has answered that, which is a round trip more.

mod all;
mod flow;
mod lane;
mod put;
mod receiver;
pub(super) mod records;
pub(super) mod script;
mod stripes;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Closed, Command, Exit, Output, Source, Target, TargetError,
    conduit::{Latch, Opener},
};
use crate::{
    scope::Scope,
    vocab::{Digest, Level, text::sh_quote},
};
use lane::Lane;

/// How long a lane may take to say that it is clean, beyond the grace.
const CONFIRM: Duration = Duration::from_secs(5);

/// How often a cut upload begins again.
const UPLOADS: usize = 20;

/// How commands on one host are held and let go.
#[derive(Debug, Clone)]
pub struct Supervision {
    /// Between TERM and KILL.
    pub grace: Duration,
    /// How long the host goes on without word from here.
    pub lease: Duration,
    /// Set for every command.
    pub env: Vec<(String, String)>,
    /// Levels that may be used, out of "cgroup subreaper group".
    pub levels: &'static str,
    /// The POSIX shell.
    pub shell: String,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(500),
            lease: Duration::from_secs(10),
            env: Vec::new(),
            levels: "cgroup subreaper group",
            shell: "/bin/sh".into(),
        }
    }
}

/// A target whose every command runs under the supervisor.
pub struct Supervised<O> {
    opener: Arc<O>,
    supervision: Supervision,
    idle: Mutex<Vec<Lane>>,
    /// Stopped in the middle of a request: fit for nothing but to be closed, which is what confirms their end.
    spent: Mutex<Vec<Lane>>,
    /// Whether the machine may let a lane's program in through the environment.
    carries: AtomicBool,
    /// What could not be confirmed so far.
    doubts: Arc<Mutex<Vec<String>>>,
}

impl<O: Opener> Supervised<O> {
    pub fn new(opener: O, supervision: Supervision) -> Self {
        Self {
            opener: Arc::new(opener),
            supervision,
            idle: Mutex::default(),
            spent: Mutex::default(),
            carries: AtomicBool::new(true),
            doubts: Arc::default(),
        }
    }

    async fn lane(&self, scope: &Scope) -> Result<Lane, TargetError> {
        let idle = lock(&self.idle).pop();
        match idle {
            Some(lane) => Ok(lane),
            None => self.open(scope, "", false).await,
        }
    }

    /// A new lane that begins with a request.
    async fn open(&self, scope: &Scope, first: &str, carry: bool) -> Result<Lane, TargetError> {
        let supervision = self.supervision.clone();
        let latch = Latch::default();
        let carry = carry.then(|| latch.clone());
        let carries = carry.is_some();
        let mut opening = std::pin::pin!(Lane::open(&*self.opener, supervision, first, carry));
        match scope.race(&mut opening).await {
            Ok(lane) => lane,
            Err(stop) if !carries || latch.call_off() => Err(stop.into()),
            // The command is on its way: its end is waited for as that of any other.
            Err(stop) => match tokio::time::timeout(CONFIRM, opening).await {
                Ok(lane) => lane,
                Err(_) => Err(TargetError::Unconfirmed { stop, what: "the host did not answer".into() }),
            },
        }
    }

    /// Keeps a lane for the next command, or for its end if it is not fit for one.
    fn keep(&self, lane: Lane) {
        match lane.state() {
            lane::State::Idle => lock(&self.idle).push(lane),
            lane::State::Lost(why) => lock(&self.doubts).push(lane.left_alone(why.clone())),
            lane::State::Busy => lock(&self.spent).push(lane),
            lane::State::Never => {}
        }
    }

    fn preamble(&self) -> String {
        let exports = self.supervision.env.iter().map(|(name, value)| format!("export {name}={}\n", sh_quote(value)));
        exports.collect()
    }
}

#[async_trait]
impl<O: Opener> Target for Supervised<O> {
    async fn run(&self, scope: &Scope, command: &Command, output: &mut dyn Output) -> Result<Exit, TargetError> {
        scope.check()?;
        let request = lane::request(command, &self.preamble())?;
        let hurry = async {
            scope.stopped().await;
            self.opener.hurry();
            std::future::pending().await
        };
        let run = async {
            let idle = lock(&self.idle).pop();
            if let Some(mut lane) = idle {
                let result = lane.run(&*self.opener, scope, command, Some(&request), output).await;
                self.keep(lane);
                return result;
            }
            // What is secret goes on stdin alone, and so does all that must outlive its connection.
            let carry = command.stdin.is_none() && !self.opener.lasts() && self.carries.load(Ordering::Relaxed);
            let mut lane = self.open(scope, &request, carry).await?;
            let left = (!lane.carried()).then_some(request.as_str());
            let mut result = lane.run(&*self.opener, scope, command, left, output).await;
            // It was let in and lost on the way to the shell.
            if left.is_none() && *lane.state() == lane::State::Never && scope.check().is_ok() {
                self.carries.store(false, Ordering::Relaxed);
                lane = self.lane(scope).await?;
                result = lane.run(&*self.opener, scope, command, Some(&request), output).await;
            }
            self.keep(lane);
            result
        };
        tokio::select! {
            result = run => result,
            never = hurry => never,
        }
    }

    async fn put(&self, scope: &Scope, path: &str, source: &mut dyn Source) -> Result<Option<Digest>, TargetError> {
        scope.check()?;
        let lane = self.lane(scope).await?;
        let opener = &*self.opener;
        let (mut lane, mut result) = put::put(lane, opener, scope, path, source).await;
        for _ in 0..UPLOADS {
            // What can go on without a connection takes a cut upload from the beginning, when there is one again.
            if !opener.lasts() || !matches!(result, Err(TargetError::Lost(_))) {
                break;
            }
            let Some(mut held) = lane.take() else { break };
            let again = source.part(0, source.size());
            if let (Some(mut again), Ok(())) = (again, put::clear(&mut held, opener, scope, path).await) {
                scope.notice(Level::Info, "the upload that was cut begins again", None);
                (lane, result) = put::put(held, opener, scope, path, &mut *again).await;
            } else {
                lane = Some(held);
                break;
            }
        }
        if let Some(lane) = lane {
            self.keep(lane);
        }
        if let Err(TargetError::Unconfirmed { what, .. }) = &result {
            lock(&self.doubts).push(what.clone());
        }
        result
    }

    async fn scratch(&self, scope: &Scope, path: &str) -> Result<(), TargetError> {
        self.cleanup(scope, &script::removal(path)).await
    }

    async fn cleanup(&self, scope: &Scope, script: &str) -> Result<(), TargetError> {
        scope.check()?;
        let mut lane = self.lane(scope).await?;
        let result = match scope.race(lane.register(script)).await {
            Ok(done) => done,
            Err(stop) => Err(stop.into()),
        };
        self.keep(lane);
        result
    }

    fn away(&self) -> bool {
        self.opener.away()
    }

    async fn close(&self) -> Closed {
        let (idle, spent) = (std::mem::take(&mut *lock(&self.idle)), std::mem::take(&mut *lock(&self.spent)));
        self.opener.hurry();
        let closing = |lane: Lane| -> all::Step<'_, (), Infallible> {
            Box::pin(async {
                if let Err(why) = lane.close().await {
                    lock(&self.doubts).push(why);
                }
                Ok(())
            })
        };
        // One round trip for all of them.
        let Ok(_) = all::all(idle.into_iter().chain(spent).map(closing).collect()).await;
        self.opener.close().await;
        match lock(&self.doubts).first() {
            None => Closed::Clean,
            Some(doubt) => Closed::Unconfirmed(doubt.clone()),
        }
    }
}

/// Says how a host's commands are held, when that is weaker than one would wish.
pub fn say_containment(scope: &Scope, containment: super::Containment) {
    if containment == super::Containment::Group {
        scope.notice(
            Level::Warning,
            "no cgroup and no child subreaper on this host: processes are held by group, session and cookie",
            Some("those that detach and clear their environment may stay; on Linux, perl or python3 there would hold them".into()),
        );
    }
}

/// A poisoned lock only means that another task panicked; what it guards here stays whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
