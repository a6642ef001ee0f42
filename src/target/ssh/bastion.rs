//! Bastions: one session each, shared by all hosts behind it.
//!
//! # Theory of operation
//! Whoever first needs a bastion makes its session; the others wait for the same attempt. A bastion that was never
//! reached fails once, for everybody: each host behind it gets the same sentence. One that was reached and lost is
//! reached again by the next who needs it. The sessions are held here until the connector closes or is dropped, and by
//! each tunnel through them; the last of these ends them.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{config::Resolved, opener::SshConnection};
use crate::target::{TargetError, conduit::Opener};

/// A session with a bastion.
#[derive(Clone)]
pub(super) struct Bastion {
    /// As the user calls it.
    pub name: Arc<str>,
    pub connection: SshConnection,
    since: Instant,
}

/// All bastions of one connector.
#[derive(Default)]
pub(super) struct Bastions(Mutex<Vec<(Arc<Resolved>, Arc<Slot>)>>);

#[derive(Default)]
struct Slot(tokio::sync::Mutex<State>);

#[derive(Default)]
enum State {
    /// Not asked for yet, or its attempt was given up by who made it.
    #[default]
    None,
    There(Bastion),
    Failed(TargetError),
}

impl Bastions {
    /// The session with this bastion; `reach` makes it if there is none.
    ///
    /// # Errors
    /// Those of `reach`, with the bastion named.
    pub(super) async fn session(
        &self,
        resolved: &Arc<Resolved>,
        reach: impl Future<Output = Result<SshConnection, TargetError>>,
    ) -> Result<Bastion, TargetError> {
        let slot = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match all.iter().find(|(known, _)| known == resolved) {
                Some((_, slot)) => slot.clone(),
                None => {
                    let slot = Arc::<Slot>::default();
                    all.push((resolved.clone(), slot.clone()));
                    slot
                }
            }
        };
        // Held during the attempt: that is how the others wait for it.
        let mut state = slot.0.lock().await;
        let was_there = match &*state {
            State::There(bastion) if !bastion.connection.is_closed() => return Ok(bastion.clone()),
            State::Failed(error) => return Err(error.clone()),
            State::There(_) => true,
            State::None => false,
        };
        match reach.await {
            Ok(connection) => {
                let bastion = Bastion { name: resolved.name.as_str().into(), connection, since: Instant::now() };
                *state = State::There(bastion.clone());
                Ok(bastion)
            }
            Err(error) => {
                let error = of_bastion(&resolved.name, error);
                if !was_there {
                    *state = State::Failed(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Says goodbye to all bastions; those behind another come first, as they were reached after it.
    pub(super) async fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut there = Vec::new();
        for (_, slot) in all {
            if let State::There(bastion) = std::mem::take(&mut *slot.0.lock().await) {
                there.push(bastion);
            }
        }
        there.sort_by_key(|bastion| std::cmp::Reverse(bastion.since));
        for bastion in there {
            bastion.connection.close().await;
        }
    }
}

/// An error on the way to a bastion, with the bastion named.
pub(super) fn of_bastion(name: &str, error: TargetError) -> TargetError {
    match error {
        // Named by a bastion further on already.
        TargetError::Connect { reason, text, hint } if text.starts_with("bastion ") => {
            TargetError::Connect { reason, text, hint }
        }
        TargetError::Connect { reason, text, hint } => {
            TargetError::Connect { reason, text: format!("bastion {name}: {text}"), hint }
        }
        other => other,
    }
}
