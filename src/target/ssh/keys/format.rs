//! What a key file holds, judged by its text alone.

use std::sync::Arc;

use russh::keys::{
    Certificate, Error as KeyError, PrivateKey, PublicKey, decode_secret_key,
    ssh_key::{Algorithm, private::KeypairData},
};

use super::Private;
use crate::vocab::text;

/// The public half of an identity: a key, or a key that an authority has signed.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::target::ssh) enum Public {
    Key(PublicKey),
    Certificate(Box<Certificate>),
}

impl Public {
    /// The key itself, without a certificate around it.
    pub(in crate::target::ssh) fn key(&self) -> PublicKey {
        match self {
            Self::Key(key) => key.clone(),
            Self::Certificate(certificate) => certificate.public_key().clone().into(),
        }
    }

    /// The same key, whoever signed it.
    pub(in crate::target::ssh) fn same_key(&self, other: &PublicKey) -> bool {
        match self {
            Self::Key(key) => key.key_data() == other.key_data(),
            Self::Certificate(certificate) => certificate.public_key() == other.key_data(),
        }
    }

    /// The same thing to a server: comments do not count, certificates do.
    pub(in crate::target::ssh) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(one), Self::Key(two)) => one.key_data() == two.key_data(),
            (Self::Certificate(one), Self::Certificate(two)) => {
                one.to_bytes().is_ok_and(|one| two.to_bytes().is_ok_and(|two| one == two))
            }
            _ => false,
        }
    }
}

/// Reads a public key or a certificate from the first line that is no comment.
pub(super) fn public(text: &str) -> Option<Public> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if line.split_whitespace().next()?.ends_with("-cert-v01@openssh.com") {
        return Certificate::from_openssh(line).ok().map(|certificate| Public::Certificate(Box::new(certificate)));
    }
    PublicKey::from_openssh(line).ok().map(Public::Key)
}

/// The public half that an OpenSSH private key carries in the clear, even when it is encrypted.
pub(super) fn public_inside(text: &str) -> Option<PublicKey> {
    PrivateKey::from_openssh(text).ok().map(|key| key.public_key().clone())
}

/// Reads a private key, or says why it cannot be read.
pub(super) fn private(text: &str) -> Private {
    if let Some(what) = beyond_us(text) {
        return Private::Unusable(what);
    }
    match decode_secret_key(text, None) {
        Ok(key) => usable(key),
        Err(KeyError::KeyIsEncrypted) => Private::Locked,
        Err(_) if text.contains("ENCRYPTED") => Private::Locked,
        Err(error) => Private::Unusable(format!("it is no private key: {}", text::plain_line(&error.to_string()))),
    }
}

/// Opens a locked key; `None` when the passphrase is wrong.
pub(super) fn unlock(text: &str, passphrase: &str) -> Option<Private> {
    match decode_secret_key(text, Some(passphrase)) {
        Ok(key) => Some(usable(key)),
        Err(KeyError::UnknownAlgorithm(oid)) => {
            Some(Private::Unusable(format!("it is a key of a kind not known here ({oid})")))
        }
        Err(_) => None,
    }
}

/// A key that was read, if it can sign here.
fn usable(key: PrivateKey) -> Private {
    match key.key_data() {
        KeypairData::Ed25519(_) | KeypairData::Ecdsa(_) | KeypairData::Rsa(_) => Private::Ready(Arc::new(key)),
        KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => Private::Unusable(
            "it is a security key, which signs only through an agent here; add it with ssh-add".to_owned(),
        ),
        KeypairData::Dsa(_) => Private::Unusable(DSA.to_owned()),
        _ => {
            let algorithm = key.algorithm();
            Private::Unusable(format!("keys of type {} cannot sign here", text::plain_line(algorithm.as_str())))
        }
    }
}

const DSA: &str = "it is a DSA key, which servers have stopped to take; make a new one with ssh-keygen -t ed25519";

/// Forms of files that OpenSSH reads and this program does not; each can be rewritten in place.
fn beyond_us(text: &str) -> Option<String> {
    let rewrite = "rewrite it with \"ssh-keygen -p -f FILE\", or add it to an agent with ssh-add";
    let begin = text
        .lines()
        .map(str::trim)
        .find_map(|line| line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")))?;
    let cipher = text.lines().find_map(|line| line.trim().strip_prefix("DEK-Info:"));
    let cipher = cipher.map(|info| text::plain_line(info.split(',').next().unwrap_or_default().trim()));
    match (begin, cipher.as_deref()) {
        ("DSA PRIVATE KEY", _) => Some(DSA.to_owned()),
        ("RSA PRIVATE KEY", None | Some("AES-128-CBC")) | ("EC PRIVATE KEY", None) => None,
        ("RSA PRIVATE KEY" | "EC PRIVATE KEY", Some(cipher)) => {
            let kind = begin.split(' ').next().unwrap_or_default();
            Some(format!("it is an {kind} key in the old PEM form, encrypted with {cipher}; {rewrite}"))
        }
        ("OPENSSH PRIVATE KEY", _) => match PrivateKey::from_openssh(text) {
            Ok(key) if key.algorithm() == Algorithm::Dsa => Some(DSA.to_owned()),
            Ok(_) => None,
            Err(error) => Some(format!("it cannot be read ({}); {rewrite}", text::plain_line(&error.to_string()))),
        },
        ("PRIVATE KEY" | "ENCRYPTED PRIVATE KEY", _) => None,
        (other, _) => Some(format!("it holds a \"{}\"; {rewrite}", text::plain_line(other))),
    }
}
