//! Which kinds of host keys are asked for, and in which order: those first that are known, as OpenSSH orders them.

use russh::keys::{Algorithm, ssh_key::public::KeyData};

use super::{
    config::{AlgorithmList, KeyUse},
    known_hosts::{Entry, Marker, kind_of},
};

/// What is asked for; certificates come first on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostAlgorithms {
    pub certificates: Vec<Algorithm>,
    pub plain: Vec<Algorithm>,
}

/// All kinds that may be asked for, as they were chosen.
fn list(chosen: Option<&AlgorithmList>) -> Vec<&'static str> {
    named(chosen, KeyUse::Host, KeyUse::OldHost)
}

/// The standard names, or what was chosen of them and of those that are only there for who asks.
fn named(chosen: Option<&AlgorithmList>, standard: KeyUse, more: KeyUse) -> Vec<&'static str> {
    let names = KeyUse::names(&[standard]);
    match chosen {
        Some(chosen) => chosen.over(&names, &[names.clone(), KeyUse::names(&[more])].concat()),
        None => names,
    }
}

/// All kinds that may be asked for, whatever is known.
pub(super) fn kinds(chosen: Option<&AlgorithmList>) -> HostAlgorithms {
    let (certificates, plain): (Vec<_>, Vec<_>) =
        list(chosen).into_iter().partition(|name| kind_of(name).is_some_and(|(_, certificate)| certificate));
    HostAlgorithms {
        certificates: certificates.into_iter().flat_map(Algorithm::new_certificate).collect(),
        plain: plain.into_iter().flat_map(Algorithm::new).collect(),
    }
}

/// The order for a host whose name has these `entries`.
pub(super) fn wanted(chosen: Option<&AlgorithmList>, entries: &[Entry]) -> HostAlgorithms {
    let list = list(chosen);
    let ordered = match chosen {
        Some(AlgorithmList::Exactly(_) | AlgorithmList::First(_)) => list,
        None | Some(AlgorithmList::Append(_) | AlgorithmList::Remove(_)) => by_knowledge(list, entries),
    };
    let authority = entries.iter().any(|entry| entry.marker == Marker::Authority);
    let mut wanted = HostAlgorithms { certificates: Vec::new(), plain: Vec::new() };
    for name in ordered {
        let Some((_, certificate)) = kind_of(name) else { continue };
        if !certificate {
            wanted.plain.extend(Algorithm::new(name));
        // Nobody vouches for it, so only the key in it will count: it must not push itself before a better one.
        } else if authority || wanted.plain.is_empty() {
            wanted.certificates.extend(Algorithm::new_certificate(name));
        }
    }
    wanted
}

fn by_knowledge<'a>(list: Vec<&'a str>, entries: &[Entry]) -> Vec<&'a str> {
    // Of each kind the first key counts, if it is not revoked.
    let known = |name: &str| {
        kind_of(name).is_some_and(|(kind, _)| {
            let mut plain = entries.iter().filter(|entry| entry.marker == Marker::None && !entry.key.certificate);
            let revoked = |key: &KeyData| entries.iter().any(|e| e.marker == Marker::Revoked && e.key.data == *key);
            plain.find(|entry| entry.key.data.algorithm() == kind).is_some_and(|entry| !revoked(&entry.key.data))
        })
    };
    if list.first().is_some_and(|first| known(first)) {
        return list;
    }
    let authority = entries.iter().any(|entry| entry.marker == Marker::Authority);
    let preferred =
        |name: &&str| (authority && kind_of(name).is_some_and(|(_, certificate)| certificate)) || known(name);
    let (mut first, last): (Vec<_>, Vec<_>) = list.into_iter().partition(preferred);
    first.extend(last);
    first
}

/// Whether an authority may sign with `algorithm`.
pub(super) fn may_sign(chosen: Option<&AlgorithmList>, algorithm: &Algorithm) -> bool {
    named(chosen, KeyUse::Authority, KeyUse::OldAuthority).contains(&algorithm.as_str())
}
