//! Everything that a connection to one host needs to know.

use std::{path::PathBuf, time::Duration};

use crate::target::ssh::pattern::fits;

/// How one host is reached, whom to trust there, and as whom to log in. Paths and tokens are expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// As it was asked for.
    pub name: String,
    /// What is looked up in DNS.
    pub host_name: String,
    pub port: u16,
    pub user: String,

    pub route: Route,
    /// For the whole way to the login.
    pub connect_timeout: Duration,
    /// How often a refused or silent address is tried, one second apart; at least 1.
    pub connection_attempts: u32,
    /// Beats while nothing runs; `None` leaves it to the lease.
    pub alive: Option<Alive>,
    pub compression: bool,
    pub algorithms: Algorithms,

    /// A new key is added to the first.
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    /// `RevokedHostKeys`.
    pub revoked_host_keys: Option<PathBuf>,
    pub strict: Strict,
    pub hash_known_hosts: bool,
    /// The address must be known under the same key, too.
    pub check_host_ip: bool,
    pub host_key_alias: Option<String>,
    /// `NoHostAuthenticationForLocalhost`.
    pub trust_localhost: bool,

    pub identities: Vec<PathBuf>,
    /// The identities are the standard ones: a missing file is nothing to talk about.
    pub identities_are_default: bool,
    /// Offer no key of the agent but those of `identities` and `certificates`.
    pub identities_only: bool,
    /// `CertificateFile`, beside the `-cert.pub` of each identity.
    pub certificates: Vec<PathBuf>,
    pub agent: Option<PathBuf>,
    /// In the order of trying; those that are switched off are not in it.
    pub methods: Vec<Method>,
    /// `NumberOfPasswordPrompts`.
    pub password_prompts: u32,

    /// `SetEnv` and what `SendEnv` picked; a server may refuse any of them without a word.
    pub env: Vec<(String, String)>,
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Direct(Source),
    /// Through these, in order; the last of them connects to the host.
    Jump(Vec<Hop>),
    /// A command of the user's shell whose stdin and stdout are the connection.
    Command(String),
}

/// Where a direct connection comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// `BindAddress`.
    pub address: Option<String>,
    /// `BindInterface`.
    pub interface: Option<String>,
    pub family: Family,
}

/// `AddressFamily`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    Any,
    Inet,
    Inet6,
}

/// One bastion of a `ProxyJump`: looked up in the files by its name, with these over what is found there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    pub host: String,
    pub user: Option<String>,
    pub port: Option<u16>,
}

/// In the form of `ProxyJump`.
impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// `ServerAliveInterval`, `ServerAliveCountMax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    pub interval: Duration,
    /// Beats without an answer that end the connection.
    pub count_max: u32,
}

/// What a user chose of algorithms; `None` leaves the choice to the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithms {
    pub kex: Option<AlgorithmList>,
    pub ciphers: Option<AlgorithmList>,
    pub macs: Option<AlgorithmList>,
    /// `HostKeyAlgorithms`.
    pub host_keys: Option<AlgorithmList>,
    /// `PubkeyAcceptedAlgorithms`.
    pub user_keys: Option<AlgorithmList>,
    /// `CASignatureAlgorithms`.
    pub authorities: Option<AlgorithmList>,
    /// `RequiredRSASize`, in bits.
    pub rsa_bits: u32,
}

/// A list of algorithms as it was written, relative to the standard one. Names may be patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlgorithmList {
    Exactly(Vec<String>),
    /// `+`: after the standard ones.
    Append(Vec<String>),
    /// `-`: the standard ones without those.
    Remove(Vec<String>),
    /// `^`: before the standard ones.
    First(Vec<String>),
}

impl AlgorithmList {
    /// The algorithms that are meant, in order: `standard` is what the list is relative to, `all` what its patterns may
    /// stand for. A name that is not in `all` stands for nothing.
    pub fn over<'a>(&self, standard: &[&'a str], all: &[&'a str]) -> Vec<&'a str> {
        let meant = |patterns: &[String]| -> Vec<&'a str> {
            patterns.iter().flat_map(|pattern| all.iter().copied().filter(move |name| fits(pattern, name))).collect()
        };
        let chosen = match self {
            Self::Exactly(list) => meant(list),
            Self::Append(list) => [standard.to_vec(), meant(list)].concat(),
            Self::First(list) => [meant(list), standard.to_vec()].concat(),
            Self::Remove(list) => {
                let kept = |name: &&str| !list.iter().any(|pattern| fits(pattern, name));
                standard.iter().copied().filter(kept).collect()
            }
        };
        let mut once: Vec<&str> = Vec::with_capacity(chosen.len());
        for name in chosen {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }
}

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    PublicKey,
    KeyboardInteractive,
    Password,
}

/// `StrictHostKeyChecking`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strict {
    Yes,
    /// As `Yes`: many hosts at once leave nobody to ask.
    Ask,
    /// A key of a host never seen is written down; any other surprise is refused.
    AcceptNew,
    /// As `AcceptNew`; and a changed or revoked key is let pass with a warning, but no password is given to it.
    No,
}

#[cfg(test)]
mod tests {
    use super::AlgorithmList;

    #[test]
    fn lists_are_relative_to_the_standard() {
        let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let over = |list: AlgorithmList| list.over(&["a1", "a2", "b"], &["a1", "a2", "b", "c"]).join(" ");
        assert_eq!(over(AlgorithmList::Exactly(list("c a* x"))), "c a1 a2");
        assert_eq!(over(AlgorithmList::Append(list("c b"))), "a1 a2 b c");
        assert_eq!(over(AlgorithmList::First(list("b c"))), "b c a1 a2");
        assert_eq!(over(AlgorithmList::Remove(list("a?"))), "b");
    }
}
