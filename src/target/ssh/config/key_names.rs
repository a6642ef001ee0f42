//! The names of key algorithms, and what each of them is good for.

/// An algorithm that keys have, or sign with, by its name on the wire.
pub struct KeyName {
    pub name: &'static str,
    uses: u8,
}

/// What a key proves with it. The standard list of each is what an up-to-date OpenSSH has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// Who a user is (`PubkeyAcceptedAlgorithms`).
    User = 1,
    /// Which host it is (`HostKeyAlgorithms`).
    Host = 2,
    /// The same, only where somebody asks for it: its signatures are SHA-1.
    OldHost = 4,
    /// That a certificate is good (`CASignatureAlgorithms`).
    Authority = 8,
    /// The same, only where somebody asks for it.
    OldAuthority = 16,
}

impl KeyUse {
    /// The names that are good for one of `uses`, in the order of preference.
    pub fn names(uses: &[Self]) -> Vec<&'static str> {
        let good = |key: &&KeyName| uses.iter().any(|one| key.uses & *one as u8 != 0);
        KEY_NAMES.iter().filter(good).map(|key| key.name).collect()
    }
}

const USER: u8 = KeyUse::User as u8;
const HOST: u8 = KeyUse::Host as u8;
const OLD_HOST: u8 = KeyUse::OldHost as u8;
const CA: u8 = KeyUse::Authority as u8;
const OLD_CA: u8 = KeyUse::OldAuthority as u8;

const fn key(name: &'static str, uses: u8) -> KeyName {
    KeyName { name, uses }
}

/// Every name that OpenSSH has had since 8.0, up to 10.2, in its order of preference. Host keys in hardware, and those of
/// browsers, are not among what this program speaks.
pub const KEY_NAMES: [KeyName; 21] = [
    key("ssh-ed25519-cert-v01@openssh.com", USER | HOST),
    key("ecdsa-sha2-nistp256-cert-v01@openssh.com", USER | HOST),
    key("ecdsa-sha2-nistp384-cert-v01@openssh.com", USER | HOST),
    key("ecdsa-sha2-nistp521-cert-v01@openssh.com", USER | HOST),
    key("sk-ssh-ed25519-cert-v01@openssh.com", USER),
    key("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", USER),
    key("rsa-sha2-512-cert-v01@openssh.com", USER | HOST),
    key("rsa-sha2-256-cert-v01@openssh.com", USER | HOST),
    key("ssh-rsa-cert-v01@openssh.com", OLD_HOST),
    key("ssh-dss-cert-v01@openssh.com", 0),
    key("ssh-ed25519", USER | HOST | CA),
    key("ecdsa-sha2-nistp256", USER | HOST | CA),
    key("ecdsa-sha2-nistp384", USER | HOST | CA),
    key("ecdsa-sha2-nistp521", USER | HOST | CA),
    key("sk-ssh-ed25519@openssh.com", USER | CA),
    key("sk-ecdsa-sha2-nistp256@openssh.com", USER | CA),
    key("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", 0),
    key("rsa-sha2-512", USER | HOST | CA),
    key("rsa-sha2-256", USER | HOST | CA),
    key("ssh-rsa", OLD_HOST | OLD_CA),
    key("ssh-dss", 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_little_is_only_there_for_those_who_ask() {
        let list = |uses: &[KeyUse]| KeyUse::names(uses);
        assert_eq!((list(&[KeyUse::User]).len(), list(&[KeyUse::Host]).len()), (16, 12));
        assert_eq!(list(&[KeyUse::OldHost]), ["ssh-rsa-cert-v01@openssh.com", "ssh-rsa"]);
        assert_eq!(list(&[KeyUse::Authority]).first(), Some(&"ssh-ed25519"));
        let old: Vec<_> = list(&[KeyUse::Authority, KeyUse::OldAuthority]);
        assert_eq!((old.len(), old.last()), (9, Some(&"ssh-rsa")));
        for strict in [KeyUse::User, KeyUse::Host, KeyUse::Authority] {
            assert!(!list(&[strict]).iter().any(|name| name.starts_with("ssh-rsa") || name.starts_with("ssh-dss")));
        }
    }
}
