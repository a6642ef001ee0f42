//! From a resolved host to a connection that is logged in.
//!
//! # Theory of operation
//! The host's connect timeout is a budget for everything until the login: names, TCP, key exchange, keys. Waiting for a
//! permit does not count, since that is our own queue, nor does the way to its bastions, which have budgets of their own.
//! What is dropped before the login was begun (a busy sshd does that to connections above MaxStartups) is tried again
//! within the budget, with a growing, jittered pause; a refused port, key or login never is.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use rand::Rng;
use russh::{client, keys::PublicKeyOrCertificate};

use super::{
    Shared,
    auth::{self, Login},
    bastion::{Bastion, of_bastion},
    budget::Budget,
    client::{Client, Fate, witness},
    config::{Method, Resolved, Route},
    dial::{Dialed, Failure, dial},
    handshake::{configure, unfinished},
    host_algorithms::HostAlgorithms,
    host_key::HostKeyCheck,
    opener::SshConnection,
};
use crate::{
    target::TargetError,
    vocab::{Reason, text},
};

/// The first pause before another try; it doubles up to [`PAUSE_LIMIT`].
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// Connections that may be made because a person was slower than the server.
const ROUNDS: usize = 8;
/// More bastions in a row than anybody has.
const TRAIL_LIMIT: usize = 16;

/// How far one connection came.
enum Reached {
    Connected(SshConnection),
    /// The server hung up while a person was asked, whose answer is known now.
    Asked,
    /// The host has shown its key, or none of these kinds.
    Seen(Option<Box<PublicKeyOrCertificate>>),
}

/// What a connection is made for.
enum Errand {
    LogIn,
    /// To see a host key of one of these kinds, whoever's it is.
    Look(HostAlgorithms),
}

/// Connects and logs in. Its bastions get their own time, and so does a person who types a passphrase.
///
/// # Errors
/// A sentence with the reason Connect, Timeout, HostKey or Auth.
pub(super) async fn connect(shared: &Arc<Shared>, resolved: &Arc<Resolved>) -> Result<SshConnection, TargetError> {
    let connection = through(shared, resolved, &[]).await?;
    let (shared, resolved) = (shared.clone(), resolved.clone());
    Ok(connection.growing(Box::new(move || {
        let (shared, resolved) = (shared.clone(), resolved.clone());
        Box::pin(async move { through(&shared, &resolved, &[]).await })
    })))
}

/// Asks a host for a key of one of these kinds and goes no further: its bastions are logged in to, the host is not.
///
/// # Errors
/// As [`connect`].
pub(super) async fn look(
    shared: &Shared,
    resolved: &Arc<Resolved>,
    kinds: HostAlgorithms,
) -> Result<Option<PublicKeyOrCertificate>, TargetError> {
    match establish(shared, resolved, &[], &Errand::Look(kinds)).await? {
        Reached::Seen(key) => Ok(key.map(|key| *key)),
        Reached::Connected(_) | Reached::Asked => Ok(None),
    }
}

/// Connects; `trail` are those who are reached through this one.
fn through<'a>(
    shared: &'a Shared,
    resolved: &'a Arc<Resolved>,
    trail: &'a [Arc<Resolved>],
) -> Pin<Box<dyn Future<Output = Result<SshConnection, TargetError>> + Send + 'a>> {
    Box::pin(async move {
        // Each round got an answer out of a person, who was slower than the server.
        for _ in 0..ROUNDS {
            if let Reached::Connected(connection) = establish(shared, resolved, trail, &Errand::LogIn).await? {
                if !trail.is_empty() {
                    shared.warn(connection.warnings());
                }
                return Ok(connection);
            }
        }
        let text = format!("{} hung up {ROUNDS} times while it was waited for an answer", resolved.name);
        Err(TargetError::connect(Reason::Auth, text))
    })
}

/// The session of the last bastion on the way to a host, if there is any.
async fn bastion(
    shared: &Shared,
    resolved: &Arc<Resolved>,
    trail: &[Arc<Resolved>],
) -> Result<Option<Bastion>, TargetError> {
    let Route::Jump(hops) = &resolved.route else { return Ok(None) };
    let Some((last, before)) = hops.split_last() else { return Ok(None) };
    // One that has others before it is reached through those, whatever the files say.
    let hop = shared.resolve_hop(last, before).await.map_err(|error| of_bastion(&last.host, error))?;
    let trail = [trail, std::slice::from_ref(resolved)].concat();
    if let Some(start) = trail.iter().position(|passed| *passed == hop) {
        let circle: Vec<&str> = trail[start..].iter().chain([&hop]).map(|passed| passed.name.as_str()).collect();
        return Err(TargetError::Connect {
            reason: Reason::Connect,
            text: format!("the way to {} goes in a circle: {}", trail[0].name, circle.join(" through ")),
            hint: Some("give one of them ProxyJump none in ssh_config".to_owned()),
        });
    }
    if trail.len() > TRAIL_LIMIT {
        let text = format!("the way to {} goes through more than {TRAIL_LIMIT} bastions", trail[0].name);
        return Err(TargetError::connect(Reason::Connect, text));
    }
    shared.bastions.session(&hop, through(shared, &hop, &trail)).await.map(Some)
}

async fn establish(
    shared: &Shared,
    resolved: &Arc<Resolved>,
    trail: &[Arc<Resolved>],
    errand: &Errand,
) -> Result<Reached, TargetError> {
    let mut budget = Budget::of(resolved);
    let mut pause = PAUSE;
    loop {
        let bastion = bastion(shared, resolved, trail).await?;
        let tried = match dial(shared, resolved, bastion.as_ref(), &mut budget).await {
            Ok(dialed) => enter(shared, resolved, errand, dialed, &mut budget).await,
            Err(failure) => Err(failure),
        };
        let failure = match tried {
            Ok(reached) => return Ok(reached),
            Err(failure) => failure,
        };
        let wait = pause.mul_f64(rand::rng().random_range(0.5..1.5));
        if !failure.again || wait >= budget.left() {
            return Err(failure.error);
        }
        tracing::debug!(host = %resolved.name, error = %failure.error, "trying again");
        budget.spend(tokio::time::sleep(wait)).await;
        pause = (pause * 2).min(PAUSE_LIMIT);
    }
}

/// The handshake and the login, over a way that is open.
async fn enter(
    shared: &Shared,
    resolved: &Arc<Resolved>,
    errand: &Errand,
    dialed: Dialed,
    budget: &mut Budget,
) -> Result<Reached, Failure> {
    let Dialed { stream, peer, words, permit: _permit } = dialed;
    let address = peer.address.map(|address| address.ip());
    let check = HostKeyCheck::new(resolved.clone(), shared.known_hosts.clone(), address);
    let config = Arc::new(configure(resolved, check.algorithms(), shared.beat())?);
    let fate = Fate::default();
    let client = Client::new(check, fate.clone());
    let entered = match errand {
        Errand::Look(kinds) => {
            let config = Arc::new(configure(resolved, kinds.clone(), shared.beat())?);
            match budget.spend(witness(config, stream)).await {
                Some(Ok(seen)) => Ok(Reached::Seen(seen.map(Box::new))),
                Some(Err(error)) => Err(unfinished(resolved, &peer, &error, &fate)),
                None => Err(budget.too_late(&peer.text).into()),
            }
        }
        Errand::LogIn => match budget.spend(client::connect_stream(config, stream, client)).await {
            None => Err(budget.too_late(&peer.text).into()),
            Some(Err(error)) => Err(unfinished(resolved, &peer, &error, &fate)),
            // Spends from the budget itself: a person who is asked may take their time.
            Some(Ok(mut handle)) => {
                // A host that nobody vouches for learns no password.
                let only_keys = || Resolved { methods: vec![Method::PublicKey], ..(**resolved).clone() };
                let careful = fate.doubtful().then(only_keys);
                let as_whom = careful.as_ref().unwrap_or(resolved);
                match auth::login(&mut handle, &fate, as_whom, &shared.secrets, budget).await {
                    Ok(Login::Done) => Ok(Reached::Connected(SshConnection::new(handle, fate.clone(), &resolved.env))),
                    Ok(Login::Again) => Ok(Reached::Asked),
                    Ok(Login::Late) => Err(budget.too_late(&peer.text).into()),
                    Err(error) => Err(error.into()),
                }
            }
        },
    };
    match (entered, words) {
        (Err(failure), Some(words)) => Err(blame(failure, words.last().await)),
        (entered, _) => entered,
    }
}

/// What a ProxyCommand said explains a connection that never was.
fn blame(failure: Failure, words: Option<String>) -> Failure {
    match (failure.error, words) {
        (TargetError::Connect { reason: reason @ (Reason::Connect | Reason::Timeout), text, hint }, Some(words)) => {
            // Such a command fails the same way again.
            let text = format!("{text}; the ProxyCommand says: {}", text::plain_line(&words));
            TargetError::Connect { reason, text, hint }.into()
        }
        (error, _) => Failure { error, again: failure.again },
    }
}
