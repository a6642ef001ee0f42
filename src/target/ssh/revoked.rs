//! `RevokedHostKeys`: a plain list of public keys, or a key revocation list as `ssh-keygen -k` makes them.
//!
//! A file that cannot be read, or not to its end, revokes every key: who names it wants it obeyed.

use std::{fs, io::Read, path::Path};

use russh::keys::{
    Certificate, PublicKey,
    ssh_key::{HashAlg, public::KeyData},
};
use sha1::{Digest, Sha1};

use super::known_hosts::Key;

/// What the file may hold.
const FILE_LIMIT: u64 = 64 << 20;
const MAGIC: &[u8] = b"SSHKRL\n\0";
const VERSION: u32 = 1;

/// Whether `file` revokes the key, its certificate, or who signed that.
///
/// # Errors
/// Why that cannot be said.
pub(super) fn revokes(file: &Path, key: &KeyData, certificate: Option<&Certificate>) -> Result<bool, String> {
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|opened| opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err("it is too large".to_owned());
    }
    match bytes.strip_prefix(MAGIC) {
        Some(body) => in_krl(body, key, certificate),
        None => in_list(&bytes, key, certificate),
    }
}

fn in_list(bytes: &[u8], key: &KeyData, certificate: Option<&Certificate>) -> Result<bool, String> {
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line.split(|&byte| byte == 0).next().unwrap_or_default());
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let listed = Key::parse(line).ok_or_else(|| format!("line {} is no public key", index + 1))?.data;
        if listed == *key || certificate.is_some_and(|certificate| listed == *certificate.signature_key()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The bytes of a list, taken from the front.
struct Bytes<'a>(&'a [u8]);

const CUT: &str = "the key revocation list is damaged";

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, String> {
        Ok(self.take(N)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn string(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.number::<4>()?).map_err(|_| CUT)?;
        self.take(length)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is looked for: a key by its blob and its digests.
struct Wanted {
    blob: Vec<u8>,
    sha1: Vec<u8>,
    sha256: Vec<u8>,
}

impl Wanted {
    fn new(key: &KeyData) -> Result<Self, String> {
        let blob = PublicKey::new(key.clone(), "").to_bytes().map_err(|error| error.to_string())?;
        let sha1 = Sha1::digest(&blob).as_slice().to_vec();
        Ok(Self { sha1, sha256: key.fingerprint(HashAlg::Sha256).as_bytes().to_vec(), blob })
    }
}

fn in_krl(body: &[u8], key: &KeyData, certificate: Option<&Certificate>) -> Result<bool, String> {
    let mut wanted = vec![Wanted::new(key)?];
    if let Some(certificate) = certificate {
        wanted.push(Wanted::new(certificate.signature_key())?);
    }
    let mut body = Bytes(body);
    if body.number::<4>()? != u64::from(VERSION) {
        return Err("the key revocation list has an unknown version".to_owned());
    }
    // Its number, its date and its flags; then what is reserved, and a comment.
    body.take(24)?;
    body.string()?;
    body.string()?;
    let mut found = false;
    while !body.is_empty() {
        let kind = body.number::<1>()?;
        let mut section = Bytes(body.string()?);
        let part: fn(&Wanted) -> &[u8] = match kind {
            1 => {
                found |= in_certificates(&mut section, certificate)?;
                continue;
            }
            2 => |wanted| &wanted.blob,
            3 => |wanted| &wanted.sha1,
            5 => |wanted| &wanted.sha256,
            4 => return Err("signed key revocation lists are not supported".to_owned()),
            other => return Err(format!("the key revocation list has a section of an unknown kind ({other})")),
        };
        while !section.is_empty() {
            let listed = section.string()?;
            found |= wanted.iter().any(|wanted| part(wanted) == listed);
        }
    }
    Ok(found)
}

/// A section of certificates, by the authority that signed them; none stands for every authority.
fn in_certificates(section: &mut Bytes<'_>, certificate: Option<&Certificate>) -> Result<bool, String> {
    let authority = section.string()?;
    section.string()?;
    let mut concerns = certificate;
    if let Some(shown) = certificate
        && !authority.is_empty()
        && Wanted::new(shown.signature_key())?.blob != authority
    {
        concerns = None;
    }
    // A certificate without a number of its own has 0, which numbers nothing.
    let serial = concerns.map(Certificate::serial).filter(|serial| *serial != 0);
    let mut found = false;
    while !section.is_empty() {
        let kind = section.number::<1>()?;
        let mut part = Bytes(section.string()?);
        match kind {
            0x20 => {
                while !part.is_empty() {
                    found |= Some(part.number::<8>()?) == serial;
                }
            }
            0x21 => {
                let range = part.number::<8>()?..=part.number::<8>()?;
                found |= serial.is_some_and(|serial| range.contains(&serial));
            }
            0x22 => {
                let first = part.number::<8>()?;
                let bits = part.string()?;
                found |= serial.and_then(|serial| serial.checked_sub(first)).is_some_and(|bit| is_set(bits, bit));
            }
            0x23 => {
                while !part.is_empty() {
                    let id = part.string()?;
                    found |= concerns.is_some_and(|certificate| certificate.key_id().as_bytes() == id);
                }
            }
            other => return Err(format!("the key revocation list has certificates of an unknown kind ({other})")),
        }
        if !part.is_empty() {
            return Err(CUT.to_owned());
        }
    }
    Ok(found)
}

/// Whether a bit is set, counted from the end of `bits`.
fn is_set(bits: &[u8], bit: u64) -> bool {
    let byte = usize::try_from(bit / 8).ok().and_then(|back| bits.len().checked_sub(back + 1));
    byte.and_then(|at| bits.get(at)).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}
