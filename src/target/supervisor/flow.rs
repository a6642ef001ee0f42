//! How many bytes of an upload may be on their way.
//!
//! # Theory of operation
//! Bytes are let go in windows, over all channels of the upload together, each followed by a ping: the next window but
//! one waits for it. What the ping took beyond the shortest one is the time that a beat would stand behind the data;
//! the size of a window follows it, so that this never is more than about a second.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{
    scope::{Scope, Stop},
    target::{TargetError, conduit::Opener},
    vocab::{EventKind, Unit},
};

/// Bytes that may be on their way at first; more while they pass quickly, half while they do not.
const WINDOW_MIN: u64 = 128 << 10;
const WINDOW_MAX: u64 = 64 << 20;
/// A window should pass within this time.
const WINDOW_TIME: Duration = Duration::from_millis(500);
/// Without a byte taken, an upload has stalled.
const STALL: Duration = Duration::from_secs(60);
/// Between two events of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// The bytes of one upload.
pub struct Flow<'a> {
    opener: &'a dyn Opener,
    scope: &'a Scope,
    total: u64,
    state: Mutex<State>,
    /// More may be sent.
    opened: Notify,
    /// The last window is used up.
    used: Notify,
}

struct State {
    allowed: u64,
    /// Let go.
    sent: u64,
    /// Handed to the connection.
    done: u64,
    told: Instant,
}

impl<'a> Flow<'a> {
    pub fn new(opener: &'a dyn Opener, scope: &'a Scope, total: u64) -> Self {
        let state = State { allowed: WINDOW_MIN, sent: 0, done: 0, told: Instant::now() };
        Self { opener, scope, total, state: Mutex::new(state), opened: Notify::new(), used: Notify::new() }
    }

    /// Waits until `bytes` more may be sent.
    pub async fn admit(&self, bytes: u64) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            {
                let mut state = self.state();
                if state.sent < state.allowed {
                    state.sent += bytes;
                    if state.sent >= state.allowed {
                        self.used.notify_one();
                    }
                    return;
                }
            }
            opened.await;
        }
    }

    /// Counts what was handed to the connection, and says so now and then.
    pub fn done(&self, bytes: u64) {
        let done = {
            let mut state = self.state();
            state.done += bytes;
            if state.told.elapsed() < PROGRESS && state.done < self.total {
                return;
            }
            state.told = Instant::now();
            state.done
        };
        self.scope.events().emit(EventKind::Progress { done, total: Some(self.total), unit: Unit::Bytes });
    }

    /// Opens window after window; to be dropped when all is sent.
    ///
    /// # Errors
    /// The connection is gone or stalls.
    pub async fn drive(&self) -> Result<Infallible, TargetError> {
        let (mut window, mut shortest) = (WINDOW_MIN, None);
        self.used.notified().await;
        loop {
            // The ping stands behind the window before.
            self.open(window);
            let ping = async {
                let asked = Instant::now();
                moving(self.opener.ping()).await.map(|()| asked.elapsed())
            };
            let ((), took) = tokio::join!(self.used.notified(), ping);
            let took = took?;
            let least = *shortest.insert(shortest.map_or(took, |least: Duration| least.min(took)));
            window = next_window(window, took - least.min(took));
        }
    }

    fn open(&self, window: u64) {
        let mut state = self.state();
        state.allowed = state.sent.max(state.allowed) + window;
        drop(state);
        self.opened.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of the window after one that made a ping wait for `queued`.
fn next_window(window: u64, queued: Duration) -> u64 {
    let next = match queued {
        _ if queued > WINDOW_TIME => window / 2,
        _ if queued < WINDOW_TIME / 8 => window * 4,
        _ if queued < WINDOW_TIME / 2 => window * 2,
        _ => window,
    };
    next.clamp(WINDOW_MIN, WINDOW_MAX)
}

/// Waits for a step of an upload as long as an upload may stand still.
///
/// # Errors
/// Those of the step, and [`Stop::TimedOut`].
pub async fn moving<T>(step: impl Future<Output = Result<T, TargetError>>) -> Result<T, TargetError> {
    let stalled = || TargetError::Stopped(Stop::TimedOut { operation: "an upload's next byte".into(), limit: STALL });
    tokio::time::timeout(STALL, step).await.unwrap_or_else(|_| Err(stalled()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_on_a_fast_wire_and_shrinks_on_a_slow_one() {
        let mut window = WINDOW_MIN;
        for _ in 0..10 {
            window = next_window(window, Duration::from_millis(3));
        }
        assert_eq!(window, WINDOW_MAX);
        // One megabyte a second.
        for _ in 0..20 {
            window = next_window(window, Duration::from_micros(window));
        }
        assert!((WINDOW_MIN..=(1 << 20)).contains(&window), "{window}");
        assert_eq!(next_window(WINDOW_MIN, Duration::from_secs(9)), WINDOW_MIN);
    }
}
