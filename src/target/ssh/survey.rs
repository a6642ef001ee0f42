//! All the keys that a host has, without logging in: what `rbee fleet trust` shows.
//!
//! # Theory of operation
//! A handshake shows one key, so there is one for each kind that is left, until the host has no more. Bastions on the way
//! come first. To see what is behind a bastion it must be logged in to: where its keys are new and the ceremony may make
//! them known, they count as *proposed* meanwhile, and nothing but a public key proves who we are. What is seen through
//! it is proof for nobody until somebody has agreed to the whole table.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate, ssh_key::public::KeyData};
use tokio::sync::OnceCell;

use super::{
    Shared,
    config::{Resolved, Route},
    connect,
    host_algorithms::{HostAlgorithms, kinds},
    host_key::{HostKeyCheck, Status, described, remove_line},
    known_hosts::{KnownHosts, kind_name},
};
use crate::target::TargetError;

/// A server on the way, and what it has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// As it is called by the user.
    pub host: String,
    /// It stands before other hosts.
    pub bastion: bool,
    /// As it is called in files of known hosts.
    pub name: String,
    /// Where a new key is written.
    pub file: Option<PathBuf>,
    pub keys: Vec<ShownKey>,
    hashed: bool,
}

/// The servers that were seen on the way to a host, it last, and what kept the others from being seen.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    pub stations: Vec<Station>,
    pub failed: Option<TargetError>,
}

/// A key that a server has proved to have.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownKey {
    /// `ED25519`, `ED25519-CERT`.
    pub kind: String,
    /// `SHA256:…`
    pub fingerprint: String,
    pub state: KeyState,
    data: KeyData,
}

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    New,
    /// At this place, which may be an authority's.
    Known(String),
    /// Another is known.
    Changed {
        place: String,
        /// The command that removes the other.
        remove: String,
    },
    /// It must not be believed; why.
    Revoked(String),
}

impl KeyState {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Known(_) => "known",
            Self::Changed { .. } => "CHANGED",
            Self::Revoked(_) => "REVOKED",
        }
    }
}

impl Station {
    /// The keys that can be made known; none while another of this server's is in doubt.
    pub fn new_keys(&self) -> impl Iterator<Item = &ShownKey> {
        let sound = self.doubt().is_none();
        self.keys.iter().filter(move |key| sound && key.state == KeyState::New)
    }

    /// The first key that nobody may make known by a yes.
    pub fn doubt(&self) -> Option<&ShownKey> {
        self.keys.iter().find(|key| matches!(key.state, KeyState::Changed { .. } | KeyState::Revoked(_)))
    }

    /// Why nothing can be written for this server.
    fn unwritable(&self) -> Option<String> {
        match &self.file {
            None => Some(format!("UserKnownHostsFile of {} names no file", self.host)),
            Some(file) if file.as_os_str() == "/dev/null" => {
                Some(format!("UserKnownHostsFile of {} is /dev/null, which keeps nothing", self.host))
            }
            Some(_) => None,
        }
    }
}

/// What was seen of bastions; each is looked at once.
#[derive(Default)]
pub(super) struct Surveys(Mutex<Vec<(Arc<Resolved>, Arc<Slot>)>>);

type Slot = OnceCell<Survey>;

/// Looks at a host and at all bastions before it, which come first. `propose` lets new bastions be passed.
pub(super) async fn survey(shared: &Shared, resolved: &Arc<Resolved>, propose: bool) -> Survey {
    through(shared, resolved, propose, &[]).await
}

/// `trail` are those who are reached through this one.
fn through<'a>(
    shared: &'a Shared,
    resolved: &'a Arc<Resolved>,
    propose: bool,
    trail: &'a [Arc<Resolved>],
) -> Pin<Box<dyn Future<Output = Survey> + Send + 'a>> {
    Box::pin(async move {
        let mut stations = Vec::new();
        if let Route::Jump(hops) = &resolved.route
            && let Some((last, before)) = hops.split_last()
            // What cannot be resolved, or goes in a circle, is said by the connection itself.
            && let Ok(hop) = shared.resolve_hop(last, before).await
            && hop != *resolved
            && !trail.contains(&hop)
        {
            let trail = [trail, std::slice::from_ref(resolved)].concat();
            let slot = shared.surveys.slot(&hop);
            let seen = slot.get_or_init(|| async { through(shared, &hop, propose, &trail).await }).await;
            if seen.failed.is_some() {
                return seen.clone();
            }
            stations.extend(seen.stations.iter().map(|station| Station { bastion: true, ..station.clone() }));
        }
        if propose {
            for station in &stations {
                for key in station.new_keys() {
                    shared.known_hosts.propose(&station.name, key.data.clone());
                }
            }
        }
        let failed = look(shared, resolved).await.map(|station| stations.push(station)).err();
        Survey { stations, failed }
    })
}

impl Surveys {
    fn slot(&self, hop: &Arc<Resolved>) -> Arc<Slot> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = all.iter().find(|(known, _)| known == hop) {
            return slot.clone();
        }
        let slot = Arc::<Slot>::default();
        all.push((hop.clone(), slot.clone()));
        slot
    }
}

/// Looks at all keys of one server.
async fn look(shared: &Shared, resolved: &Arc<Resolved>) -> Result<Station, TargetError> {
    let check = HostKeyCheck::new(resolved.clone(), shared.known_hosts.clone(), None);
    let all = kinds(resolved.algorithms.host_keys.as_ref());
    let mut shown = Vec::new();
    // Certificates only where somebody is known who could have signed them.
    let certificates = if check.has_authority() { all.certificates } else { Vec::new() };
    for mut left in [
        HostAlgorithms { certificates, plain: Vec::new() },
        HostAlgorithms { certificates: Vec::new(), plain: all.plain },
    ] {
        while !(left.certificates.is_empty() && left.plain.is_empty()) {
            let Some(key) = connect::look(shared, resolved, left.clone()).await? else { break };
            let kind = key.public_key().algorithm();
            for list in [&mut left.certificates, &mut left.plain] {
                list.retain(|other| kind_name(other) != kind_name(&kind));
            }
            shown.push(key);
        }
    }
    Ok(Station {
        host: resolved.name.clone(),
        bastion: false,
        name: check.name().to_owned(),
        file: resolved.user_known_hosts.first().cloned(),
        keys: judged(&check, &shown),
        hashed: resolved.hash_known_hosts,
    })
}

/// What the files say about each key, in the light of the others.
fn judged(check: &HostKeyCheck, shown: &[PublicKeyOrCertificate]) -> Vec<ShownKey> {
    let vouched: Vec<ShownKey> = shown
        .iter()
        .filter_map(|key| {
            let certificate = key.certificate()?;
            let place = check.vouched(certificate)?;
            Some(ShownKey::new(&key.public_key(), "-CERT", KeyState::Known(place.to_string())))
        })
        .collect();
    let plain: Vec<(&PublicKey, Status)> = shown
        .iter()
        .filter_map(|key| match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => Some((key, check.status(key.key_data()))),
            PublicKeyOrCertificate::Certificate(_) => None,
        })
        .collect();
    let acquainted = plain.iter().any(|(_, status)| matches!(status, Status::Known(_)));
    let mut keys = Vec::new();
    for (key, status) in plain {
        let state = match (check.ruled_out(key.key_data(), &described(key)), status) {
            (Some(why), _) => KeyState::Revoked(why),
            (None, Status::Known(place)) => KeyState::Known(place.to_string()),
            (None, Status::Revoked(place)) => KeyState::Revoked(format!("{} is revoked by {place}", described(key))),
            // One of another kind, of a host that is known by yet another.
            (None, Status::Changed(_, other)) if acquainted && other.algorithm() != key.algorithm() => KeyState::New,
            (None, Status::Changed(place, _)) => {
                KeyState::Changed { remove: remove_line(check.name(), &place), place: place.to_string() }
            }
            (None, Status::New) => KeyState::New,
        };
        // Where an authority vouches for a host, nobody needs to know its single keys.
        if vouched.is_empty() || state != KeyState::New {
            keys.push(ShownKey::new(key, "", state));
        }
    }
    vouched.into_iter().chain(keys).collect()
}

impl ShownKey {
    fn new(key: &PublicKey, suffix: &str, state: KeyState) -> Self {
        Self {
            kind: format!("{}{suffix}", kind_name(&key.algorithm())),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            state,
            data: key.key_data().clone(),
        }
    }
}

/// Writes the new keys of these servers, all that go to one file at once; yields for each what went wrong.
pub(super) fn write(known: &KnownHosts, stations: &[Station]) -> Vec<Result<(), String>> {
    let mut results: Vec<Option<Result<(), String>>> =
        stations.iter().map(|station| station.unwritable().map(Err)).collect();
    for index in 0..stations.len() {
        let (file, hashed) = (&stations[index].file, stations[index].hashed);
        let Some(path) = file.as_ref().filter(|_| results[index].is_none()) else { continue };
        let same: Vec<usize> = (index..stations.len())
            .filter(|i| results[*i].is_none() && stations[*i].file == *file && stations[*i].hashed == hashed)
            .collect();
        let lines: Vec<_> = same
            .iter()
            .flat_map(|i| stations[*i].new_keys().map(|key| (stations[*i].name.clone(), key.data.clone())))
            .collect();
        let written = known.add(path, hashed, &lines);
        let written = written.map_err(|error| format!("{} cannot be written: {error}", path.display()));
        for i in same {
            results[i] = Some(written.clone());
        }
    }
    results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
}
