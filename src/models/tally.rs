//! How many of a host's bytes have come, told as progress, and when the last one did.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    scope::Scope,
    vocab::{EventKind, Moved, Origin, Unit},
};

/// A rate is taken over so long at least.
const WINDOW: Duration = Duration::from_secs(2);
/// Between two events of progress.
const TELL: Duration = Duration::from_millis(400);

/// The bytes of one host's download.
#[derive(Debug)]
pub struct Tally {
    scope: Scope,
    total: u64,
    source: Option<Origin>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Of blobs that are done with.
    settled: u64,
    /// Of the one that is on its way.
    current: u64,
    /// The most there has been of it: only more is movement.
    most: u64,
    moved: Instant,
    told: Option<Instant>,
    /// All that moved, and when the present window began with how much of it.
    seen: u64,
    window: (Instant, u64),
    /// Bytes a second, at best.
    best: f64,
    /// That came over the hub's line.
    wan: u64,
    /// That this machine passed on.
    relayed: u64,
}

impl Tally {
    /// `total` is all that is to be there in the end; so much of it is there.
    pub fn new(scope: &Scope, total: u64, settled: u64, source: Option<Origin>) -> Self {
        let now = Instant::now();
        let state = State {
            settled,
            current: 0,
            most: 0,
            moved: now,
            told: None,
            seen: 0,
            window: (now, 0),
            best: 0.0,
            wan: 0,
            relayed: 0,
        };
        Self { scope: scope.clone(), total, source, state: Mutex::new(state) }
    }

    /// So much of the present blob was there before.
    pub fn begin(&self, bytes: u64) {
        let mut state = self.state();
        state.most = state.most.max(bytes);
        state.window = (Instant::now(), state.seen);
        drop(state);
        self.current(bytes);
    }

    /// So much of the present blob is there.
    pub fn current(&self, bytes: u64) {
        let done = {
            let mut state = self.state();
            state.current = bytes;
            if bytes > state.most {
                state.seen = state.seen.saturating_add(bytes - state.most);
                state.most = bytes;
                state.moved = Instant::now();
                let (since, before) = state.window;
                if since.elapsed() >= WINDOW {
                    let rate = (state.seen - before) as f64 / since.elapsed().as_secs_f64();
                    state.best = state.best.max(rate);
                    state.window = (Instant::now(), state.seen);
                }
            }
            if state.told.is_some_and(|told| told.elapsed() < TELL) {
                return;
            }
            state.told = Some(Instant::now());
            state.settled.saturating_add(bytes)
        };
        self.tell(done);
    }

    /// The present blob is done with, and has so many bytes.
    pub fn settle(&self, bytes: u64) {
        let done = {
            let mut state = self.state();
            state.settled = state.settled.saturating_add(bytes);
            (state.current, state.most, state.moved, state.told) = (0, 0, Instant::now(), Some(Instant::now()));
            state.settled
        };
        self.tell(done);
    }

    /// What was there of the present blob did not hold.
    pub fn again(&self) {
        let mut state = self.state();
        (state.current, state.most, state.moved) = (0, 0, Instant::now());
    }

    /// So many bytes came from the hub.
    pub fn came(&self, bytes: u64) {
        let mut state = self.state();
        state.wan = state.wan.saturating_add(bytes);
    }

    /// So many bytes were sent on from here.
    pub fn passed_on(&self, bytes: u64) {
        let mut state = self.state();
        state.relayed = state.relayed.saturating_add(bytes);
    }

    /// Bytes from the hub, bytes from here, and how long they took beside what they take at the best rate.
    pub fn moved(&self, took: Duration) -> Moved {
        let state = self.state();
        let bytes = state.wan.max(state.relayed) as f64;
        let least = (state.best > 0.0).then(|| Duration::try_from_secs_f64(bytes / state.best).ok()).flatten();
        Moved { wan: state.wan, relayed: state.relayed, took, least }
    }

    /// How long nothing has come.
    pub fn still(&self) -> Duration {
        self.state().moved.elapsed()
    }

    fn tell(&self, done: u64) {
        let done = done.min(self.total);
        self.scope.events().emit(EventKind::Progress {
            done,
            total: Some(self.total),
            unit: Unit::Bytes,
            forecast: None,
            source: self.source,
        });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
