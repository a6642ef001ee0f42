//! Which algorithms are proposed: the standard ones in our order, or what the user made of them.

use std::borrow::Cow;

use russh::{Preferred, cipher, compression, kex, mac};

use super::config::{AlgorithmList, Resolved};
use crate::{target::TargetError, vocab::Reason};

/// The fast and the strong first; the rest is what OpenSSH would also agree to.
const KEXES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
];
/// Always proposed: they are no key exchanges but say what else is understood.
const KEX_EXTENSIONS: &[kex::Name] = &[kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];
const MACS: &[mac::Name] = &[
    mac::HMAC_SHA256_ETM,
    mac::HMAC_SHA512_ETM,
    mac::HMAC_SHA1_ETM,
    mac::HMAC_SHA256,
    mac::HMAC_SHA512,
    mac::HMAC_SHA1,
];
const AES_FIRST: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];
const CHACHA_FIRST: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];
/// As OpenSSH: a server that insists gets it, and one that is asked to may refuse.
const PLAIN_FIRST: &[compression::Name] = &[compression::NONE, compression::ZLIB_LEGACY];
const COMPRESSED_FIRST: &[compression::Name] = &[compression::ZLIB_LEGACY, compression::ZLIB, compression::NONE];

/// What is proposed to a host, but for its keys.
///
/// # Errors
/// A list of the user's that leaves nothing this program has; the keyword and the algorithms are named.
pub(super) fn preferred(resolved: &Resolved) -> Result<Preferred, TargetError> {
    let chosen = &resolved.algorithms;
    let ciphers = if has_aes() { AES_FIRST } else { CHACHA_FIRST };
    // Names without any protection are never meant, whatever a pattern matches.
    let kexes: Vec<kex::Name> = kex::ALL_KEX_ALGORITHMS.iter().map(|name| **name).filter(|n| *n != kex::NONE).collect();
    let all_ciphers: Vec<cipher::Name> =
        cipher::ALL_CIPHERS.iter().map(|name| **name).filter(|n| ![cipher::CLEAR, cipher::NONE].contains(n)).collect();
    let macs: Vec<mac::Name> = mac::ALL_MAC_ALGORITHMS.iter().map(|name| **name).filter(|n| *n != mac::NONE).collect();
    let mut kex = choose("KexAlgorithms", chosen.kex.as_ref(), KEXES, &kexes)?;
    kex.to_mut().extend(KEX_EXTENSIONS);
    Ok(Preferred {
        kex,
        cipher: choose("Ciphers", chosen.ciphers.as_ref(), ciphers, &all_ciphers)?,
        mac: choose("MACs", chosen.macs.as_ref(), MACS, &macs)?,
        compression: Cow::Borrowed(if resolved.compression { COMPRESSED_FIRST } else { PLAIN_FIRST }),
        ..Preferred::DEFAULT
    })
}

fn choose<T: AsRef<str> + Copy>(
    keyword: &str,
    list: Option<&AlgorithmList>,
    standard: &'static [T],
    all: &[T],
) -> Result<Cow<'static, [T]>, TargetError> {
    let Some(list) = list else { return Ok(Cow::Borrowed(standard)) };
    let standard_names: Vec<&str> = standard.iter().map(AsRef::as_ref).collect();
    let all_names: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    let chosen: Vec<T> = list
        .over(&standard_names, &all_names)
        .iter()
        .filter_map(|name| all.iter().find(|algorithm| algorithm.as_ref() == *name).copied())
        .collect();
    if !chosen.is_empty() {
        return Ok(Cow::Owned(chosen));
    }
    let text = match list {
        AlgorithmList::Remove(names) => format!("{keyword} takes everything away: -{}", names.join(",")),
        AlgorithmList::Exactly(names) | AlgorithmList::Append(names) | AlgorithmList::First(names) => {
            format!("{keyword} allows only what this program does not have: {}", names.join(", "))
        }
    };
    let hint = format!("it has {}", standard_names.join(", "));
    Err(TargetError::Connect { reason: Reason::Connect, text, hint: Some(hint) })
}

/// Whether this processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
