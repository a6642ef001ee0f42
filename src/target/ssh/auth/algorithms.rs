//! Which keys may be offered, and with which algorithm they sign.

use russh::keys::{Algorithm, HashAlg};

use crate::target::ssh::{
    config::{Algorithms, KeyUse},
    keys::Public,
};

/// What the lists and limits of the configuration leave.
#[derive(Debug)]
pub(super) struct Accepted {
    /// In order of preference.
    names: Vec<&'static str>,
    rsa_bits: u32,
}

impl Accepted {
    pub(super) fn new(algorithms: &Algorithms) -> Self {
        let standard = KeyUse::names(&[KeyUse::User]);
        let names = match &algorithms.user_keys {
            Some(list) => list.over(&standard, &standard),
            None => standard,
        };
        Self { names, rsa_bits: algorithms.rsa_bits }
    }

    /// Whether the configuration lets the key be offered.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn judge(&self, public: &Public) -> Result<(), String> {
        if let Some(bits) = rsa_bits(public)
            && bits < self.rsa_bits
        {
            return Err(format!("it has {bits} bits, and RequiredRSASize asks for {}", self.rsa_bits));
        }
        if signing_names(public).iter().any(|(name, _)| self.names.contains(&name.as_str())) {
            return Ok(());
        }
        let name = crate::vocab::text::plain_line(&type_name(public));
        Err(format!("PubkeyAcceptedAlgorithms does not let {name} keys be offered"))
    }

    /// The hash that an RSA key signs with: the first accepted one that the server takes, too. `best` is the server's own
    /// word (`server-sig-algs`), if it gave one.
    ///
    /// # Errors
    /// Why the key cannot sign for this server.
    pub(super) fn hash(&self, public: &Public, best: Option<Option<HashAlg>>) -> Result<Option<HashAlg>, &'static str> {
        let names = signing_names(public);
        let taken = |hash: HashAlg| match best {
            // A server that says nothing may know them all the same, and a key costs one try.
            None => true,
            Some(None) => false,
            // Whoever takes the longer one takes the shorter one.
            Some(Some(best)) => best == HashAlg::Sha512 || hash == best,
        };
        let in_order = self.names.iter().find_map(|accepted| {
            names.iter().find(|(name, hash)| name == accepted && hash.is_none_or(taken)).map(|(_, hash)| *hash)
        });
        in_order.ok_or("of RSA the server takes SHA-1 signatures only, which prove nothing any more")
    }
}

/// The names under which a key may sign, each with the hash that it means for RSA.
fn signing_names(public: &Public) -> Vec<(String, Option<HashAlg>)> {
    let hashes: &[Option<HashAlg>] = match &public.key().algorithm() {
        Algorithm::Rsa { .. } => &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)],
        _ => &[None],
    };
    let named = hashes.iter().map(|&hash| {
        let algorithm = match public.key().algorithm() {
            Algorithm::Rsa { .. } => Algorithm::Rsa { hash },
            other => other,
        };
        let name = match public {
            Public::Key(_) => algorithm.as_str().to_owned(),
            Public::Certificate(_) => algorithm.to_certificate_type(),
        };
        (name, hash)
    });
    named.collect()
}

fn type_name(public: &Public) -> String {
    let algorithm = public.key().algorithm();
    match public {
        Public::Key(_) => algorithm.as_str().to_owned(),
        Public::Certificate(_) => algorithm.to_certificate_type(),
    }
}

/// The length of an RSA key's modulus.
fn rsa_bits(public: &Public) -> Option<u32> {
    let key = public.key();
    let modulus = key.key_data().rsa()?.n().as_positive_bytes()?;
    let first = modulus.first()?;
    u32::try_from(modulus.len() * 8).ok().map(|bits| bits - first.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::ssh::config::AlgorithmList;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";
    /// Of 1024 bits.
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDJEOPBgi9LneJ8izyRUWWHp25qb30/hI5kyDuodS\
        D3LOkXLfrnDluexncexmpQEGSyz9Zo2guLBw3u0BuD4krEtW9jGAoBxqeRkYlJ2JQlhK9MANWWWCb/NCaD0nwiZSZXXGwhL\
        VrtRO/Wr1n57kerWHN46YMEZUHuwIY7B4JVmQ== r";

    fn key(line: &str) -> Public {
        Public::Key(russh::keys::PublicKey::from_openssh(line).unwrap())
    }

    fn accepted(list: Option<AlgorithmList>, rsa_bits: u32) -> Accepted {
        Accepted::new(&Algorithms { user_keys: list, rsa_bits, ..Algorithms::default() })
    }

    #[test]
    fn the_lists_and_limits_are_obeyed() {
        let only = |name: &str| Some(AlgorithmList::Exactly(vec![name.to_owned()]));
        assert_eq!(accepted(None, 1024).judge(&key(ED25519)), Ok(()));
        assert_eq!(accepted(None, 1024).judge(&key(RSA)), Ok(()));
        assert!(accepted(None, 2048).judge(&key(RSA)).unwrap_err().contains("1024 bits"));
        assert!(accepted(only("rsa-*"), 1024).judge(&key(ED25519)).unwrap_err().contains("ssh-ed25519"));
        assert!(accepted(only("ssh-rsa"), 1024).judge(&key(RSA)).is_err(), "SHA-1 is not known here");
    }

    #[test]
    fn an_rsa_key_signs_as_both_sides_like() {
        let (any, rsa) = (accepted(None, 1024), key(RSA));
        assert_eq!(any.hash(&rsa, Some(Some(HashAlg::Sha512))), Ok(Some(HashAlg::Sha512)));
        assert_eq!(any.hash(&rsa, Some(Some(HashAlg::Sha256))), Ok(Some(HashAlg::Sha256)));
        assert_eq!(any.hash(&rsa, None), Ok(Some(HashAlg::Sha512)));
        assert!(any.hash(&rsa, Some(None)).is_err());
        let other_order = accepted(Some(AlgorithmList::First(vec!["rsa-sha2-256".to_owned()])), 1024);
        assert_eq!(other_order.hash(&rsa, Some(Some(HashAlg::Sha512))), Ok(Some(HashAlg::Sha256)));
        assert_eq!(any.hash(&key(ED25519), Some(None)), Ok(None));
    }
}
