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

use super::stripes::LONG;
use crate::{
    scope::{Scope, Stop},
    target::{TargetError, conduit::Opener},
    vocab::{EventKind, Unit},
};

/// Bytes that may be on their way at first; more while they pass quickly, half while they do not.
const WINDOW_MIN: u64 = 128 << 10;
const WINDOW_MAX: u64 = 64 << 20;
/// A window should pass within this time; two of them may be on their way.
const WINDOW_TIME: Duration = Duration::from_millis(250);
/// Without a byte taken, an upload has stalled.
const STALL: Duration = Duration::from_secs(60);
/// A round trip in the same rack, with room for busy machines.
const NEXT_DOOR: Duration = Duration::from_millis(2);
/// Between two events of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// The bytes of one upload.
pub struct Flow<'a> {
    opener: &'a dyn Opener,
    scope: &'a Scope,
    total: u64,
    /// Several send at once.
    shared: bool,
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
    pub fn new(opener: &'a dyn Opener, scope: &'a Scope, total: u64, shared: bool) -> Self {
        let state = State { allowed: WINDOW_MIN, sent: 0, done: 0, told: Instant::now() };
        Self { opener, scope, total, shared, state: Mutex::new(state), opened: Notify::new(), used: Notify::new() }
    }

    /// Whether a round trip is short beside what a host needs to start a program.
    pub fn is_near(&self) -> bool {
        self.within(LONG)
    }

    /// Whether a round trip is as good as nothing, even beside the time in which a few packets are sent.
    pub fn is_next_door(&self) -> bool {
        self.within(NEXT_DOOR)
    }

    fn within(&self, limit: Duration) -> bool {
        self.opener.round_trip().is_some_and(|time| time < limit)
    }

    /// Waits until `bytes` more may be sent.
    pub async fn admit(&self, bytes: u64) {
        if self.shared {
            // The others come first now and then, or one would take all that a slow wire lets pass.
            tokio::task::yield_now().await;
        }
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
        self.scope.events().emit(EventKind::Progress {
            done,
            total: Some(self.total),
            unit: Unit::Bytes,
            forecast: None,
            source: None,
        });
    }

    /// Opens window after window; to be dropped when all is sent.
    ///
    /// # Errors
    /// The connection is gone or stalls.
    pub async fn drive(&self) -> Result<Infallible, TargetError> {
        let (mut before, mut window) = (WINDOW_MIN, WINDOW_MIN);
        let mut shortest = self.opener.round_trip();
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
            let least = *shortest.insert(shortest.map_or(took, |least| least.min(took)));
            (before, window) = (window, next_window(before, window, took - least));
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

/// The size of the window after `window`, when a ping waited for `queued` behind the one `before` it.
fn next_window(before: u64, window: u64, queued: Duration) -> u64 {
    let fits = before as f64 * WINDOW_TIME.as_secs_f64() / queued.as_secs_f64().max(0.001);
    // What was little is not believed to stay so when there is much more of it.
    (fits as u64).min(window.saturating_mul(4)).clamp(WINDOW_MIN, WINDOW_MAX)
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
        let (mut before, mut window) = (WINDOW_MIN, WINDOW_MIN);
        for _ in 0..10 {
            (before, window) = (window, next_window(before, window, Duration::from_micros(before / 400)));
        }
        assert_eq!(window, WINDOW_MAX);
        // One megabyte a second: at most half of it is on its way.
        for _ in 0..20 {
            (before, window) = (window, next_window(before, window, Duration::from_micros(before)));
        }
        assert!((WINDOW_MIN..=(512 << 10)).contains(&(before + window)), "{before} {window}");
        assert_eq!(next_window(WINDOW_MIN, WINDOW_MIN, Duration::from_secs(9)), WINDOW_MIN);
    }
}
