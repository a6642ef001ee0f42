//! Which keys are offered, in which order: OpenSSH's (`pubkey_prepare` of its sshconnect2.c).
//!
//! First the certificates that are named one by one; then the agent's keys that an identity names, in the agent's order;
//! then its other keys, unless `IdentitiesOnly`; then the identities that are on disk, each followed by the certificate
//! beside it. Whatever has a public half is offered even if nothing here could sign: only if the server would take it is
//! the private half looked for, and missed aloud.

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use russh::keys::{Algorithm, HashAlg, PublicKey, ssh_key::certificate::CertType};

use super::algorithms::Accepted;
use crate::{
    target::ssh::{
        config::Resolved,
        keys::{KeyStore, Private, Public},
    },
    vocab::text,
};

/// One key that is offered.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// `None`: only the private half can tell, which has to be opened first.
    pub public: Option<Public>,
    /// Where the private half may lie.
    pub file: Option<PathBuf>,
    pub from_agent: bool,
    /// Offered since the last success.
    pub tried: bool,
    /// The file that named it, for sentences.
    pub origin: Option<PathBuf>,
}

/// What is offered, and what is not, with the reason.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub candidates: Vec<Candidate>,
    pub passed_over: Vec<String>,
}

/// Decides what is offered; `held` is what the agent has.
pub(super) fn plan(resolved: &Resolved, accepted: &Accepted, keys: &KeyStore, held: &[Public]) -> Plan {
    let mut plan = Plan::default();
    let mut files = Vec::new();
    for path in &resolved.identities {
        let identity = keys.identity(path);
        match (identity.public, identity.private) {
            (None, Private::Missing) if resolved.identities_are_default => {}
            (None, Private::Missing) => plan.pass_over(path, "there is no such file"),
            (None, Private::Unusable(why)) => plan.pass_over(path, &why),
            (Some(public), _) if !is_for_users(&public) => plan.pass_over(path, "it is a certificate of a host"),
            (public, _) => files.push(Candidate::of_file(public, path, path)),
        }
        if resolved.certificates.is_empty()
            && let Some(public @ Public::Certificate(_)) = keys.public(&with_suffix(path, "-cert"))
            && is_for_users(&public)
        {
            files.push(Candidate::of_file(Some(public), path, &with_suffix(path, "-cert.pub")));
        }
    }
    for path in &resolved.certificates {
        match keys.public(path) {
            Some(public @ Public::Certificate(_)) if is_for_users(&public) => {
                let file = private_half(&public, path, resolved, keys);
                let file = file.unwrap_or_else(|| path.clone());
                plan.candidates.push(Candidate::of_file(Some(public), &file, path));
            }
            Some(_) => plan.pass_over(path, "it is no certificate of a user"),
            None => plan.pass_over(path, "there is no certificate that can be read"),
        }
    }
    let mut others = Vec::new();
    for held in held {
        let named = files.iter().position(|file| file.public.as_ref().is_some_and(|public| public.same(held)));
        let origin = named.map(|index| files.remove(index)).and_then(|file| file.origin);
        if origin.is_none() && resolved.identities_only {
            continue;
        }
        let list = if origin.is_some() { &mut plan.candidates } else { &mut others };
        list.push(Candidate { public: Some(held.clone()), file: None, from_agent: true, tried: false, origin });
    }
    let all = std::mem::take(&mut plan.candidates).into_iter().chain(others).chain(files);
    for candidate in all {
        match candidate.public.as_ref().map_or(Ok(()), |public| accepted.judge(public)) {
            Ok(()) => plan.candidates.push(candidate),
            Err(why) => plan.passed_over.push(format!("{} ({why})", candidate.label(None))),
        }
    }
    plan
}

impl Plan {
    fn pass_over(&mut self, path: &Path, why: &str) {
        self.passed_over.push(format!("{} ({why})", path.display()));
    }
}

impl Candidate {
    fn of_file(public: Option<Public>, file: &Path, origin: &Path) -> Self {
        Self { public, file: Some(file.to_owned()), from_agent: false, tried: false, origin: Some(origin.to_owned()) }
    }

    /// For sentences: what it is and where it comes from. `public` where it was learned only now.
    pub(super) fn label(&self, public: Option<&Public>) -> String {
        let origin = self.origin.as_ref().map(|origin| origin.display().to_string());
        match (public.or(self.public.as_ref()), origin) {
            (Some(public), Some(origin)) if self.from_agent => format!("{} ({origin}, by the agent)", named(public)),
            (Some(public), Some(origin)) => format!("{} ({origin})", named(public)),
            (Some(public), None) => format!("{} (of the agent)", named(public)),
            (None, origin) => origin.unwrap_or_else(|| "a key".to_owned()),
        }
    }
}

/// Where the key of a certificate that stands alone may be: the identity with that key, or with that name.
fn private_half(certificate: &Public, path: &Path, resolved: &Resolved, keys: &KeyStore) -> Option<PathBuf> {
    let key = certificate.key();
    let same_key = |identity: &&PathBuf| keys.public(identity).is_some_and(|public| public.same_key(&key));
    let same_name = |identity: &&PathBuf| {
        with_suffix(identity, "-cert.pub") == path || with_suffix(identity, ".pub") == path || *identity == path
    };
    let identities = &resolved.identities;
    identities.iter().find(same_key).or_else(|| identities.iter().find(same_name)).cloned()
}

fn is_for_users(public: &Public) -> bool {
    match public {
        Public::Key(_) => true,
        Public::Certificate(certificate) => certificate.cert_type() == CertType::User,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `ED25519 key SHA256:…`, `certificate "alice" of ED25519 key SHA256:…`.
fn named(public: &Public) -> String {
    match public {
        Public::Key(key) => key_named(key),
        Public::Certificate(certificate) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let validity = match () {
                () if certificate.valid_before() <= now => ", which has expired,",
                () if certificate.valid_after() > now => ", which is not valid yet,",
                () => "",
            };
            let id = text::plain_line(&certificate.key_id().chars().take(80).collect::<String>());
            format!("certificate \"{id}\"{validity} of {}", key_named(&public.key()))
        }
    }
}

fn key_named(key: &PublicKey) -> String {
    let kind = match key.algorithm() {
        Algorithm::Ed25519 => "ED25519".to_owned(),
        Algorithm::Rsa { .. } => "RSA".to_owned(),
        Algorithm::Ecdsa { .. } => "ECDSA".to_owned(),
        Algorithm::SkEd25519 => "ED25519-SK".to_owned(),
        Algorithm::SkEcdsaSha2NistP256 => "ECDSA-SK".to_owned(),
        Algorithm::Dsa => "DSA".to_owned(),
        other => text::plain_line(other.as_str()),
    };
    format!("{kind} key {}", key.fingerprint(HashAlg::Sha256))
}
