//! The algorithms that OpenSSH knows by name, and how a list of them is written.

use super::{super::pattern, key_names::KEY_NAMES, resolved::AlgorithmList};

/// What a list of algorithms may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Kex,
    Cipher,
    Mac,
    /// Keys and signatures. The only ones that may be patterns.
    Key,
}

impl Family {
    /// Checks a list as it is written in a file.
    ///
    /// # Errors
    /// Names what OpenSSH would not know.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        // What is taken away need not be there.
        if text.starts_with('-') {
            return Ok(());
        }
        let names = text.strip_prefix(['+', '^']).unwrap_or(text);
        if names.is_empty() {
            return Err("the list of algorithms is empty".to_owned());
        }
        for name in names.split(',').take_while(|name| !name.is_empty()) {
            let known = match self {
                Self::Key => KEY_NAMES.iter().any(|known| pattern::fits(name.trim_start_matches('!'), known.name)),
                Self::Kex => KEX.contains(&name) || GSS.iter().any(|known| name.starts_with(known)),
                Self::Cipher => CIPHERS.contains(&name),
                Self::Mac => MACS.contains(&name),
            };
            if !known {
                return Err(format!("\"{name}\" is no algorithm that OpenSSH knows here"));
            }
        }
        Ok(())
    }
}

impl AlgorithmList {
    /// Reads a list as it is written in a file.
    pub fn parse(text: &str) -> Self {
        let names = |text: &str| text.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        match text.split_at_checked(1) {
            Some(("+", rest)) => Self::Append(names(rest)),
            Some(("-", rest)) => Self::Remove(names(rest)),
            Some(("^", rest)) => Self::First(names(rest)),
            _ => Self::Exactly(names(text)),
        }
    }
}

// Every name that OpenSSH has had since 8.0, up to 10.2.

const KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "sntrup4591761x25519-sha512@tinyssh.org",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
];

/// The beginnings of the names of key exchanges with GSSAPI.
pub(super) const GSS: &[&str] = &[
    "gss-gex-sha1-",
    "gss-group1-sha1-",
    "gss-group14-sha1-",
    "gss-group14-sha256-",
    "gss-group16-sha512-",
    "gss-nistp256-sha256-",
    "gss-curve25519-sha256-",
];

const CIPHERS: &[&str] = &[
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "rijndael-cbc@lysator.liu.se",
    "3des-cbc",
];

const MACS: &[&str] = &[
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1-96-etm@openssh.com",
    "hmac-md5-etm@openssh.com",
    "hmac-md5-96-etm@openssh.com",
    "umac-64@openssh.com",
    "umac-128@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-md5",
    "hmac-md5-96",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_by_their_first_character() {
        let names = || vec!["a".to_owned(), "b*".to_owned()];
        assert_eq!(AlgorithmList::parse("a,b*"), AlgorithmList::Exactly(names()));
        assert_eq!(AlgorithmList::parse("+a,b*"), AlgorithmList::Append(names()));
        assert_eq!(AlgorithmList::parse("-a,b*"), AlgorithmList::Remove(names()));
        assert_eq!(AlgorithmList::parse("^a,b*"), AlgorithmList::First(names()));
    }

    #[test]
    fn names_are_known_or_named() {
        assert!(Family::Cipher.check("+aes128-cbc").is_ok() && Family::Key.check("ssh-*").is_ok());
        assert!(Family::Kex.check("-anything").is_ok());
        for (family, bad) in [(Family::Cipher, "aes"), (Family::Mac, "+"), (Family::Kex, "curve*"), (Family::Key, "x*")]
        {
            assert!(family.check(bad).is_err(), "{bad}");
        }
    }
}
