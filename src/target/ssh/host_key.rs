//! Whether the machine that answers is the one that was meant.

use std::{path::PathBuf, sync::Arc};

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::{
    config::{Resolved, Strict},
    known_hosts::{KnownHosts, Names, Verdict},
};
use crate::{target::TargetError, vocab::Reason};

/// Judges one host's key by the files and the policy that apply to it.
#[derive(Debug, Clone)]
pub(super) struct HostKeyCheck {
    resolved: Arc<Resolved>,
    known: Arc<KnownHosts>,
    names: Names,
    files: Vec<PathBuf>,
}

/// The standard order; SHA-1 signatures are not among them, as in OpenSSH.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

impl HostKeyCheck {
    pub(super) fn new(resolved: Arc<Resolved>, known: Arc<KnownHosts>) -> Self {
        let names = Names::new(&resolved.host_name, resolved.port, resolved.host_key_alias.as_deref());
        let files = resolved.user_known_hosts.iter().chain(&resolved.global_known_hosts).cloned().collect();
        Self { resolved, known, names, files }
    }

    /// The algorithms to ask for: those first whose keys are known, so that a host with several keys shows one of them.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let types = self.known.types(&self.files, &self.names);
        let known = |algorithm: &Algorithm| {
            let plain = match algorithm {
                Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
                other => other.clone(),
            };
            types.iter().any(|t| t == plain.as_str())
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.into_iter().partition(known);
        first.extend(rest);
        first
    }

    /// Accepts the key or says why not; a new host's key may be written down, as the policy says.
    ///
    /// # Errors
    /// [`Reason::HostKey`], with what to do.
    pub(super) fn check(&self, shown: &PublicKeyOrCertificate) -> Result<(), TargetError> {
        let refuse =
            |text: String, hint: String| Err(TargetError::Connect { reason: Reason::HostKey, text, hint: Some(hint) });
        let key = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key,
            PublicKeyOrCertificate::Certificate(_) => {
                return refuse(
                    format!("{} identifies itself by a certificate, which is not supported yet", self.names.name),
                    "let the host offer a plain key too".to_owned(),
                );
            }
        };
        let Ok(blob) = key.to_bytes() else {
            return refuse(format!("{} shows a key that cannot be read", self.names.name), self.hint());
        };
        let algorithm = key.algorithm();
        let key_type = algorithm.as_str();
        let named = described(key);
        let name = &self.names.name;
        match self.known.judge(&self.files, &self.names, key_type, &blob) {
            Verdict::Known => Ok(()),
            Verdict::Revoked(place) => refuse(
                format!("the {named} that {name} shows is revoked by {}:{}", place.file.display(), place.line),
                "do not connect; ask who runs the host for its new key".to_owned(),
            ),
            Verdict::Changed(place) => refuse(
                format!(
                    "the key of {name} has changed: it shows the {named}, and {}:{} has another; \
                     somebody may be listening in, or the host was set up anew",
                    place.file.display(),
                    place.line
                ),
                format!(
                    "compare the fingerprint on the host itself; if it is right, remove the old key with: \
                     ssh-keygen -R '{name}' -f {}",
                    place.file.display()
                ),
            ),
            Verdict::Unknown { others } => match (self.resolved.strict, others.first()) {
                (Strict::AcceptNew | Strict::No, None) => self.write_down(key_type, &blob),
                (Strict::AcceptNew | Strict::No, Some(place)) => refuse(
                    format!(
                        "{name} shows the {named}, which is not known, though a key of another type is \
                         ({} at {}:{}); this is no new host, so the key is not accepted by itself",
                        place.key_type,
                        place.file.display(),
                        place.line
                    ),
                    self.hint(),
                ),
                _ => refuse(format!("the key of {name} is not known: it shows the {named}"), self.hint()),
            },
        }
    }

    fn write_down(&self, key_type: &str, blob: &[u8]) -> Result<(), TargetError> {
        let Some(file) = self.resolved.user_known_hosts.first() else { return Ok(()) };
        // `UserKnownHostsFile /dev/null` is how people say that nothing shall be kept.
        if file.as_os_str() == "/dev/null" {
            return Ok(());
        }
        self.known.add(file, &self.names.name, self.resolved.hash_known_hosts, key_type, blob).map_err(|error| {
            TargetError::connect(
                Reason::HostKey,
                format!("the new key of {} cannot be written to {}: {error}", self.names.name, file.display()),
            )
        })
    }

    fn hint(&self) -> String {
        trust_hint(&self.resolved.name)
    }
}

/// What to do about a key that is not known.
fn trust_hint(name: &str) -> String {
    format!(
        "connect once with \"ssh {name}\" and compare the fingerprint, or set StrictHostKeyChecking accept-new in ssh_config"
    )
}

/// `ED25519 key SHA256:…`
pub(super) fn described(key: &PublicKey) -> String {
    let kind = match key.algorithm() {
        Algorithm::Ed25519 => "ED25519".to_owned(),
        Algorithm::Rsa { .. } => "RSA".to_owned(),
        Algorithm::Ecdsa { .. } => "ECDSA".to_owned(),
        other => crate::vocab::text::plain_line(other.as_str()),
    };
    format!("{kind} key {}", key.fingerprint(HashAlg::Sha256))
}
