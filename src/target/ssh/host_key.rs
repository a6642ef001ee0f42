//! Whether the machine that answers is the one that was meant.
//!
//! # Theory of operation
//! A host shows a plain key, or a certificate with a key in it. A certificate is judged first, by the authorities that
//! stand in the files for the host's name; one that does not do counts as the plain key in it. A plain key is known,
//! new, changed or revoked under the host's name; where it is new and the port is not the standard one, what is known
//! under the bare name is good enough. `StrictHostKeyChecking` decides about what is not known. All of this follows
//! OpenSSH step by step, so that both come to the same verdict.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate, ssh_key::public::KeyData};

use super::{
    config::{Resolved, Strict},
    host_algorithms::{self, HostAlgorithms, may_sign},
    known_hosts::{Entry, KnownHosts, Marker, Place, kind_name, name_of, sound},
    revoked,
};
use crate::{
    target::TargetError,
    vocab::{
        Reason,
        text::{printable, sh_quote},
    },
};

/// Judges one host's key by the files and the policy that apply to it.
#[derive(Debug, Clone)]
pub(super) struct HostKeyCheck {
    resolved: Arc<Resolved>,
    known: Arc<KnownHosts>,
    /// Where the connection goes to; none where something else makes it.
    address: Option<IpAddr>,
    name: String,
    files: Vec<PathBuf>,
}

/// A key that is let pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Nobody vouches for it: what a stranger must not learn, a password above all, stays here.
    pub doubtful: bool,
    /// What the user should hear.
    pub warnings: Vec<String>,
}

/// What a host has shown.
struct Shown<'a> {
    key: &'a KeyData,
    certificate: Option<&'a Certificate>,
    /// `ED25519 key SHA256:…`
    named: String,
}

/// What the files say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    Known(Place),
    New,
    /// Other keys are known, and this is none of them; the most telling one.
    Changed(Place, KeyData),
    Revoked(Place),
}

/// Why a key is not let pass.
struct Refusal {
    text: String,
    hint: String,
}

impl HostKeyCheck {
    pub(super) fn new(resolved: Arc<Resolved>, known: Arc<KnownHosts>, address: Option<IpAddr>) -> Self {
        let name = match &resolved.host_key_alias {
            Some(alias) => alias.to_ascii_lowercase(),
            None => name_of(&resolved.host_name, resolved.port),
        };
        let files = resolved.user_known_hosts.iter().chain(&resolved.global_known_hosts).cloned().collect();
        Self { resolved, known, address, name, files }
    }

    /// What the host is called in the files.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What to ask for, and in which order.
    pub(super) fn algorithms(&self) -> HostAlgorithms {
        let entries = self.known.entries(&self.files, &self.name);
        host_algorithms::wanted(self.resolved.algorithms.host_keys.as_ref(), &entries)
    }

    /// Accepts the key or says why not; a new host's key may be written down, as the policy says.
    ///
    /// # Errors
    /// [`Reason::HostKey`], with what to do.
    pub(super) fn check(&self, shown: &PublicKeyOrCertificate) -> Result<Accepted, TargetError> {
        let public = shown.public_key();
        let shown = Shown { key: public.key_data(), certificate: shown.certificate(), named: described(&public) };
        self.before(&shown)
            .and_then(|()| {
                let trusted = self.resolved.trust_localhost && self.resolved.host_key_alias.is_none();
                if trusted && self.is_local() { Ok(Accepted::default()) } else { self.judge(&self.name, &shown, true) }
            })
            .map_err(|Refusal { text, hint }| TargetError::Connect { reason: Reason::HostKey, text, hint: Some(hint) })
    }

    /// What no file of known hosts can make good.
    fn before(&self, shown: &Shown<'_>) -> Result<(), Refusal> {
        let (name, named) = (&self.name, &shown.named);
        let least = self.resolved.algorithms.rsa_bits;
        if let Some(bits) = shown.key.rsa().map(|rsa| rsa.key_size()).filter(|bits| *bits < least) {
            return Err(Refusal {
                text: format!("the {named} of {name} has {bits} bits, and {least} are required"),
                hint: "let the host have a larger key (ssh-keygen -A), or lower RequiredRSASize in ssh_config".into(),
            });
        }
        if shown.certificate.is_some_and(|certificate| !sound(certificate)) {
            return Err(Refusal {
                text: format!("the certificate that {name} shows for its {named} bears no true signature"),
                hint: "do not connect; ask who runs the host".into(),
            });
        }
        let Some(file) = &self.resolved.revoked_host_keys else { return Ok(()) };
        match revoked::revokes(file, shown.key, shown.certificate) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal {
                text: format!("the {named} that {name} shows is revoked by {}", file.display()),
                hint: "do not connect; ask who runs the host for its new key".into(),
            }),
            Err(why) => Err(Refusal {
                text: format!("the revoked keys in {} cannot be read: {}", file.display(), printable(&why)),
                hint: "correct the file, or RevokedHostKeys in ssh_config".into(),
            }),
        }
    }

    fn is_local(&self) -> bool {
        self.address.is_some_and(|address| address.is_loopback())
    }

    /// `whole` is false for the bare name, whose keys are good enough but never a reason to complain.
    fn judge(&self, name: &str, shown: &Shown<'_>, whole: bool) -> Result<Accepted, Refusal> {
        let entries = self.known.entries(&self.files, name);
        let address = self.address_name(if whole { self.resolved.port } else { 22 });
        let by_address = match &address {
            Some(address) if shown.certificate.is_none() => Some(self.known.entries(&self.files, address)),
            _ => None,
        };
        let mut certificate = shown.certificate;
        let mut objection = None;
        loop {
            let status = status(&entries, shown.key, certificate);
            let addressed = match &by_address {
                Some(entries) => self::status(entries, shown.key, None),
                None => status.clone(),
            };
            let mut accepted = Accepted::default();
            match &status {
                Status::Known(_) => {
                    if let Some(why) = certificate.and_then(|certificate| self.objection(certificate)) {
                        (certificate, objection) = (None, Some(why));
                        continue;
                    }
                    if let (Some(address), Status::New) = (&address, &addressed)
                        && whole
                        && self.may_write()
                    {
                        self.write_down(address, shown, &mut accepted);
                    }
                }
                Status::New => {
                    let bare = self.bare().filter(|_| whole);
                    if let Some(good) = bare.and_then(|bare| self.judge(&bare, shown, false).ok()) {
                        accepted = good;
                    } else if certificate.take().is_some() {
                        continue;
                    } else if self.known.is_proposed(name, shown.key) {
                        accepted.doubtful = true;
                    } else if !whole || !self.may_write() || matches!(self.resolved.strict, Strict::Yes | Strict::Ask) {
                        return Err(self.unknown(shown, objection));
                    } else {
                        let names = match (&address, &addressed) {
                            (Some(address), Status::New) => format!("{name},{address}"),
                            _ => name.to_owned(),
                        };
                        self.write_down(&names, shown, &mut accepted);
                    }
                }
                Status::Revoked(place) => {
                    let text = format!("the {} that {name} shows is revoked by {place}", shown.named);
                    if self.resolved.strict != Strict::No {
                        let hint = "do not connect; ask who runs the host for its new key".to_owned();
                        return Err(Refusal { text, hint });
                    }
                    accepted.despite(text);
                }
                Status::Changed(place, other) => {
                    let refusal = self.changed(shown, place, other, objection.take());
                    if !whole || self.resolved.strict != Strict::No {
                        return Err(refusal);
                    }
                    accepted.despite(refusal.text);
                }
            }
            if let (Some(address), Status::Changed(place, _)) = (&address, &addressed)
                && !matches!(status, Status::Changed(..))
            {
                let text =
                    format!("{name} shows the {}, and {place} has another for its address {address}", shown.named);
                if self.resolved.strict != Strict::No {
                    return Err(Refusal { text, hint: self.remove_hint(address, place) });
                }
                accepted.warnings.push(text);
            }
            return Ok(accepted);
        }
    }

    /// The name without the port, if that is another.
    fn bare(&self) -> Option<String> {
        let ported = self.resolved.host_key_alias.is_none() && self.resolved.port != 22;
        ported.then(|| self.resolved.host_name.to_ascii_lowercase())
    }

    /// What `CheckHostIP` looks up; none where it says nothing.
    fn address_name(&self, port: u16) -> Option<String> {
        let address = self.address.filter(|_| self.resolved.check_host_ip && !self.is_local())?;
        Some(name_of(&address.to_string(), port)).filter(|name| *name != self.resolved.host_name)
    }

    /// Why a certificate of a known authority does not do for this host.
    fn objection(&self, certificate: &Certificate) -> Option<String> {
        let host = self.resolved.host_key_alias.as_ref().unwrap_or(&self.resolved.host_name).to_ascii_lowercase();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let principals = certificate.valid_principals();
        if !certificate.cert_type().is_host() {
            Some("it is one for users".into())
        } else if now < certificate.valid_after() {
            Some("it is not valid yet".into())
        } else if now >= certificate.valid_before() {
            Some("it has expired".into())
        } else if !principals.is_empty() && !principals.contains(&host) {
            Some(format!("it is for {}, not for {host}", printable(&principals.join(", "))))
        } else if !certificate.critical_options().is_empty() {
            Some("it has critical options, which no host certificate may have".into())
        } else if !may_sign(self.resolved.algorithms.authorities.as_ref(), &certificate.signature().algorithm()) {
            Some(format!("it is signed with {}, which is not allowed", certificate.signature().algorithm()))
        } else {
            None
        }
    }

    /// A name that would mean something else in the file is never written there, and so never accepted as new.
    fn may_write(&self) -> bool {
        !self.resolved.user_known_hosts.is_empty() && !self.resolved.host_name.contains(|c| "@?*#[]|'\"\\".contains(c))
    }

    fn write_down(&self, names: &str, shown: &Shown<'_>, accepted: &mut Accepted) {
        let Some(file) = self.resolved.user_known_hosts.first() else { return };
        let line = (names.to_owned(), shown.key.clone());
        if let Err(error) = self.known.add(file, self.resolved.hash_known_hosts, &[line]) {
            let file = file.display();
            accepted.warnings.push(format!("the new key of {names} cannot be written to {file}: {error}"));
        }
    }

    fn unknown(&self, shown: &Shown<'_>, objection: Option<String>) -> Refusal {
        let Self { name, .. } = self;
        let mut text = format!("the key of {name} is not known: it shows the {}", shown.named);
        if let Some(why) = objection {
            text += &format!(", and its certificate does not do: {why}");
        }
        Refusal { text, hint: trust_hint(&self.resolved.name) }
    }

    fn changed(&self, shown: &Shown<'_>, place: &Place, other: &KeyData, objection: Option<String>) -> Refusal {
        let Self { name, .. } = self;
        let mut text = if other.algorithm() == shown.key.algorithm() {
            format!("the key of {name} has changed: it shows the {}, and {place} has another", shown.named)
        } else {
            let kind = kind_name(&other.algorithm());
            format!(
                "the key of {name} has changed: it shows the {}, and {place} has another of type {kind}",
                shown.named
            )
        };
        match objection {
            Some(why) => text += &format!("; its certificate does not do: {why}"),
            None => text += "; somebody may be listening in, or the host was set up anew",
        }
        Refusal { text, hint: self.remove_hint(name, place) }
    }

    fn remove_hint(&self, name: &str, place: &Place) -> String {
        format!(
            "compare the fingerprint on the host itself; if it is right, remove the old key with: {}; \
             then: rbee fleet trust -H {}",
            remove_line(name, place),
            self.resolved.name
        )
    }

    /// What the files say about a plain key, under the host's own name and its bare one.
    pub(super) fn status(&self, key: &KeyData) -> Status {
        let status_under = |name: &str| status(&self.known.entries(&self.files, name), key, None);
        match (status_under(&self.name), self.bare()) {
            (Status::New, Some(bare)) => match status_under(&bare) {
                known @ Status::Known(_) => known,
                _ => Status::New,
            },
            (status, _) => status,
        }
    }

    /// Whether the files name anybody who may sign this host's certificates.
    pub(super) fn has_authority(&self) -> bool {
        let of = |name: &str| self.known.entries(&self.files, name).iter().any(|e| e.marker == Marker::Authority);
        of(&self.name) || self.bare().is_some_and(|bare| of(&bare))
    }

    /// Where the authority stands whose certificate does for this host.
    pub(super) fn vouched(&self, certificate: &Certificate) -> Option<Place> {
        let key = certificate.public_key();
        let names = [Some(self.name.clone()), self.bare()];
        let known = names.into_iter().flatten().find_map(|name| {
            match status(&self.known.entries(&self.files, &name), key, Some(certificate)) {
                Status::Known(place) => Some(place),
                _ => None,
            }
        });
        known.filter(|_| sound(certificate) && self.objection(certificate).is_none())
    }

    /// Whether `RevokedHostKeys` or a length that is too small rules the key out.
    pub(super) fn ruled_out(&self, key: &KeyData, named: &str) -> Option<String> {
        let shown = Shown { key, certificate: None, named: named.to_owned() };
        self.before(&shown).err().map(|refusal| refusal.text)
    }
}

impl Accepted {
    fn despite(&mut self, text: String) {
        self.doubtful = true;
        self.warnings.push(format!("{text}; StrictHostKeyChecking no lets it pass, without passwords"));
    }
}

/// Judges a certificate by the authorities among the entries, or a plain key by the plain ones.
fn status(entries: &[Entry], key: &KeyData, certificate: Option<&Certificate>) -> Status {
    let authority = certificate.map(Certificate::signature_key);
    let revoked = entries.iter().find(|entry| {
        entry.marker == Marker::Revoked && (entry.key.data == *key || Some(&entry.key.data) == authority)
    });
    if let Some(revoked) = revoked {
        return Status::Revoked(revoked.place.clone());
    }
    let known = entries.iter().find(|entry| match authority {
        Some(authority) => entry.marker == Marker::Authority && entry.key.data == *authority,
        None => entry.marker == Marker::None && !entry.key.certificate && entry.key.data == *key,
    });
    if let Some(known) = known {
        return Status::Known(known.place.clone());
    }
    let mut others = entries.iter().filter(|entry| authority.is_none() && entry.marker == Marker::None);
    let same_kind = others.clone().find(|entry| entry.key.data.algorithm() == key.algorithm());
    match same_kind.or_else(|| others.next()) {
        Some(other) => Status::Changed(other.place.clone(), other.key.data.clone()),
        None => Status::New,
    }
}

/// The command that removes a host's keys from a file.
pub(super) fn remove_line(name: &str, place: &Place) -> String {
    format!("ssh-keygen -R {} -f {}", sh_quote(name), sh_quote(&place.file.to_string_lossy()))
}

/// What to do about a key that is not known.
fn trust_hint(name: &str) -> String {
    format!("compare the fingerprint and accept it with: rbee fleet trust -H {name}")
}

/// `ED25519 key SHA256:…`
pub(super) fn described(key: &PublicKey) -> String {
    format!("{} key {}", kind_name(&key.algorithm()), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests;
