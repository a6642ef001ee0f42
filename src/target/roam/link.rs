//! The way to the host: there, away for a while, or over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use rand::Rng;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::Dial;
use crate::{
    scope::Scope,
    target::{TargetError, conduit::Opener, output::Activity},
    vocab::{Level, Reason, text::human_duration},
};

/// Silence after which the host is asked whether it is there.
const PROBE: Duration = Duration::from_secs(3);
/// How long it may take to say so: alone, while an upload is on its way, and when this machine has just slept.
const ANSWER: Duration = Duration::from_secs(5);
const ANSWER_BEHIND_UPLOAD: Duration = Duration::from_secs(20);
const ANSWER_AWAKE: Duration = Duration::from_secs(2);
/// More of it on the wall clock than on the one that stands still in sleep: this machine slept.
const NAP: Duration = Duration::from_secs(2);
/// Between two tries to come back; doubled up to the limit.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_LIMIT: Duration = Duration::from_secs(15);

/// One connection, for as long as it is believed in.
#[derive(Clone)]
pub struct Way {
    pub opener: Arc<dyn Opener>,
    /// Cancelled when it is given up.
    pub cut: CancellationToken,
}

#[derive(Clone)]
pub enum State {
    Up(Way),
    Away,
    /// Why nobody tries any more.
    Over(String),
}

/// Where all lanes look whether there is a way.
pub struct Link {
    state: watch::Sender<State>,
    suspicion: Notify,
    hurry: Notify,
    pub heard: Activity,
    /// Streams of direct channels.
    pub direct: Arc<AtomicUsize>,
}

impl Link {
    pub fn new(first: Arc<dyn Opener>) -> Self {
        Self {
            state: watch::Sender::new(State::Up(Way { opener: first, cut: CancellationToken::new() })),
            suspicion: Notify::new(),
            hurry: Notify::new(),
            heard: Activity::default(),
            direct: Arc::default(),
        }
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until there is a way.
    ///
    /// # Errors
    /// [`TargetError::Lost`] when there will be none.
    pub async fn up(&self) -> Result<Way, TargetError> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(way) => return Ok(way.clone()),
                State::Over(why) => return Err(TargetError::Lost(why.clone())),
                State::Away => {}
            }
            if state.changed().await.is_err() {
                return Err(TargetError::Lost("the run is over".into()));
            }
        }
    }

    /// Something went wrong that a dead connection would explain.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }

    /// Tries at once instead of after a pause.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    pub fn end(&self, why: &str) {
        self.state.send_if_modified(|state| {
            if let State::Up(way) = state {
                way.cut.cancel();
            }
            let ends = !matches!(state, State::Over(_));
            if ends {
                *state = State::Over(why.to_owned());
            }
            ends
        });
    }

    /// Ends when the connection is not to be believed in any more, with the reason.
    async fn watch(&self, way: &Way) -> String {
        loop {
            let (before, wall) = (Instant::now(), SystemTime::now());
            let quiet = tokio::select! {
                error = way.opener.lost() => return plainly(&error),
                () = self.suspicion.notified() => Duration::MAX,
                () = tokio::time::sleep(PROBE) => self.heard.idle(),
            };
            let slept = wall.elapsed().unwrap_or_default().saturating_sub(before.elapsed()) > NAP;
            if quiet < PROBE && !slept {
                continue;
            }
            let limit = match self.direct.load(Ordering::Relaxed) {
                _ if slept => ANSWER_AWAKE,
                0 => ANSWER,
                _ => ANSWER_BEHIND_UPLOAD,
            };
            let asked = std::time::Instant::now();
            match tokio::time::timeout(limit, way.opener.ping()).await {
                Ok(Ok(())) => self.heard.touch(),
                Ok(Err(error)) => return plainly(&error),
                Err(_) if self.heard.last() > asked => {}
                Err(_) => return "the host does not answer any more".into(),
            }
        }
    }
}

/// Watches over the connection, and makes another when it is gone, until the lease is over.
pub async fn keep(link: Arc<Link>, dial: Arc<dyn Dial>, lease: Duration, scope: Scope) {
    while let State::Up(way) = link.state() {
        let why = link.watch(&way).await;
        let (since, wall) = (Instant::now(), SystemTime::now());
        way.cut.cancel();
        if !link.state.send_if_modified(|state| {
            let was_up = matches!(state, State::Up(_));
            if was_up {
                *state = State::Away;
            }
            was_up
        }) {
            return;
        }
        // It may hang for a while; nobody waits for it.
        tokio::spawn(async move { way.opener.close().await });
        let text =
            format!("connection lost ({why}); the host goes on for up to {}; trying again", human_duration(lease));
        scope.notice(Level::Warning, text, None);
        match come_back(&link, &*dial, since + lease).await {
            Ok(opener) => {
                let away = wall.elapsed().unwrap_or_default().max(since.elapsed());
                scope.notice(Level::Info, format!("back after {}", human_duration(away)), None);
                link.heard.touch();
                let way = Way { opener, cut: CancellationToken::new() };
                let stale = link.state.send_if_modified(|state| {
                    let away = matches!(state, State::Away);
                    if away {
                        *state = State::Up(way.clone());
                    }
                    away
                });
                if !stale {
                    way.opener.close().await;
                    return;
                }
            }
            Err(why) => {
                scope.notice(Level::Error, format!("no way back: {why}"), None);
                link.end(&why);
                return;
            }
        }
    }
}

async fn come_back(link: &Link, dial: &dyn Dial, end: Instant) -> Result<Arc<dyn Opener>, String> {
    let mut pause = PAUSE;
    let mut last = String::new();
    loop {
        match tokio::time::timeout_at(end, dial.dial()).await {
            Ok(Ok(opener)) => return Ok(opener),
            // A wrong key or a refused login is an answer.
            Ok(Err(error)) if matches!(error.reason(), Some(Reason::HostKey | Reason::Auth)) => {
                return Err(error.to_string());
            }
            Ok(Err(error)) => last = format!(" ({error})"),
            Err(_) => {}
        }
        if Instant::now() >= end {
            return Err(format!("the lease is over{last}"));
        }
        let wait = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        tokio::select! {
            () = tokio::time::sleep_until((Instant::now() + wait).min(end)) => pause = (pause * 2).min(PAUSE_LIMIT),
            () = link.hurry.notified() => {}
        }
    }
}

/// Without the words that whoever tells it says himself.
fn plainly(error: &TargetError) -> String {
    match error {
        TargetError::Lost(why) => why.clone(),
        other => other.to_string(),
    }
}
