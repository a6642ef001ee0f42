//! One line of a known_hosts file, read as OpenSSH reads it, oddities included.
//!
//! What OpenSSH would not understand is passed over here, too: a line that only one of the two sees would make them
//! disagree about a host.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{
    Algorithm, Certificate, EcdsaCurve,
    ssh_key::{encoding::Decode, public::KeyData},
};
use sha1::Sha1;

use crate::target::ssh::pattern::fits;

/// Bytes of a salt and of a hash.
const HASH_SIZE: usize = 20;
/// A longer pattern makes its whole list fit nothing.
const PATTERN_LIMIT: usize = 1022;
/// Bytes of a marker, the `@` among them.
const MARKER_LIMIT: usize = 31;
/// A smaller RSA key is no key.
const RSA_MINIMUM: u32 = 1024;
/// Decoding a certificate goes into the key that signed it, which may claim to be another one.
const NESTED_LIMIT: usize = 4;

/// What a line's key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::target::ssh) enum Marker {
    /// It is the host's own.
    None,
    /// It signs the certificates of hosts.
    Authority,
    /// It must not be believed.
    Revoked,
}

/// A line that may be about a host; its key is only looked at when it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub number: usize,
    pub marker: Marker,
    hosts: Hosts,
    key: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Patterns(Box<str>),
    Hashed { salt: [u8; HASH_SIZE], hash: [u8; HASH_SIZE] },
}

/// A key as it stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::target::ssh) struct Key {
    pub data: KeyData,
    /// It stood there within a certificate, and is no plain key.
    pub certificate: bool,
}

/// All lines of a file that may be about a host.
pub(super) fn parse(bytes: &[u8]) -> Vec<Line> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.filter_map(|(index, bytes)| Line::parse(index + 1, bytes)).collect()
}

/// The first word and what follows it, without the blanks between.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

impl Line {
    fn parse(number: usize, bytes: &[u8]) -> Option<Self> {
        // As for a program in C, a NUL ends the line.
        let bytes = bytes.split(|&byte| byte == 0).next()?;
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches([' ', '\t']);
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let (marker, text) = marker(text)?;
        let (hosts, key) = word(text);
        if key.is_empty() || key.starts_with('#') {
            return None;
        }
        let hosts = match hosts.strip_prefix('|') {
            Some(hashed) => {
                let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
                let bytes = |text| BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
                Hosts::Hashed { salt: bytes(salt)?, hash: bytes(hash)? }
            }
            None => Hosts::Patterns(hosts.to_ascii_lowercase().into()),
        };
        Some(Self { number, marker, hosts, key: key.into() })
    }

    /// Whether the line is about `name`, which is in lower case.
    pub(super) fn fits(&self, name: &str) -> bool {
        match &self.hosts {
            Hosts::Patterns(patterns) => list_fits(patterns, name),
            Hosts::Hashed { salt, hash } => hash_of(salt, name).is_some_and(|found| found == *hash),
        }
    }

    pub(super) fn key(&self) -> Option<Key> {
        Key::parse(&self.key)
    }
}

/// At most one marker; anything else that begins with `@` is no line.
fn marker(text: &str) -> Option<(Marker, &str)> {
    if !text.starts_with('@') {
        return Some((Marker::None, text));
    }
    // The first blank ends it, and a tab only where there is no blank at all.
    let end = text.find(' ').or_else(|| text.find('\t')).filter(|end| *end <= MARKER_LIMIT)?;
    let marker = match &text[..end] {
        "@cert-authority" => Marker::Authority,
        "@revoked" => Marker::Revoked,
        _ => return None,
    };
    let rest = text[end..].trim_start_matches([' ', '\t']);
    (!rest.starts_with('@')).then_some((marker, rest))
}

/// Whether a comma-separated list takes `name`: one pattern fits, and none that excludes.
fn list_fits(list: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',') {
        let (excludes, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if pattern.len() > PATTERN_LIMIT {
            return false;
        }
        if fits(pattern, name) {
            if excludes {
                return false;
            }
            found = true;
        }
    }
    found
}

fn hash_of(salt: &[u8], name: &str) -> Option<[u8; HASH_SIZE]> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().as_slice().try_into().ok()
}

/// `name` as it is written where nobody shall read it.
pub(super) fn hashed(name: &str) -> Option<String> {
    let salt: [u8; HASH_SIZE] = rand::random();
    Some(format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(hash_of(&salt, name)?)))
}

impl Key {
    /// Reads `TYPE BASE64 [COMMENT]`; none for what is no sound key of that type.
    pub(in crate::target::ssh) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once([' ', '\t'])?;
        let (text, _) = word(rest.trim_start_matches([' ', '\t']));
        // What else is white to C, the end of a line from Windows above all.
        let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\u{b}' | '\u{c}')).collect();
        let key = Self::decode(&BASE64.decode(text).ok()?)?;
        let (named, certificate) = kind_of(kind)?;
        (named == plain(key.data.algorithm()) && certificate == key.certificate).then_some(key)
    }

    fn decode(blob: &[u8]) -> Option<Self> {
        const MARK: &[u8] = b"-cert-v01@";
        if blob.windows(MARK.len()).filter(|part| *part == MARK).count() > NESTED_LIMIT {
            return None;
        }
        let mut rest = blob;
        let key = match KeyData::decode(&mut rest).ok()? {
            KeyData::Certificate(certificate) => {
                sound(&certificate).then(|| Self { data: certificate.public_key().clone(), certificate: true })?
            }
            KeyData::Other(_) => return None,
            data => Self { data, certificate: false },
        };
        let too_small = key.data.rsa().is_some_and(|rsa| rsa.key_size() < RSA_MINIMUM);
        (rest.is_empty() && !too_small).then_some(key)
    }
}

/// Whether the certificate bears a true signature of a key that may sign; whose key that is, is another question.
pub(in crate::target::ssh) fn sound(certificate: &Certificate) -> bool {
    let signer = certificate.signature_key();
    if matches!(signer, KeyData::Certificate(_) | KeyData::Other(_)) {
        return false;
    }
    // At the begin of its validity there is nothing but the signature that can be wrong.
    let from = certificate.valid_after();
    let itself = [signer.fingerprint(Default::default())];
    from >= certificate.valid_before() || certificate.validate_at(from, &itself).is_ok()
}

/// The kind of key that a name of an algorithm stands for, and whether it is one of certificates.
pub(in crate::target::ssh) fn kind_of(name: &str) -> Option<(Algorithm, bool)> {
    let algorithm = match Algorithm::new(name).ok()? {
        Algorithm::Other(_) => match Algorithm::new_certificate(name).ok()? {
            Algorithm::Other(_) => return None,
            algorithm => return Some((plain(algorithm), true)),
        },
        algorithm => algorithm,
    };
    Some((plain(algorithm), false))
}

/// The kind of key that an algorithm signs with: of RSA there is one only.
pub(in crate::target::ssh) fn plain(algorithm: Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other,
    }
}

/// `ED25519`, as people and OpenSSH call a kind of key.
pub(in crate::target::ssh) fn kind_name(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Ed25519 => "ED25519".to_owned(),
        Algorithm::Rsa { .. } => "RSA".to_owned(),
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => "ECDSA".to_owned(),
        Algorithm::Ecdsa { curve } => format!("ECDSA {}", curve.as_str()),
        other => crate::vocab::text::plain_line(other.as_str()),
    }
}
