//! From what was found for a host to what a connection needs: typed, expanded, and refused where it cannot be done.

use std::{net::Ipv6Addr, path::PathBuf, time::Duration};

use super::{
    ConfigError, SshConfig,
    canonical::family,
    keyword::{Effect, KEYWORDS, Key},
    resolved::{AlgorithmList, Algorithms, Alive, Hop, Method, Resolved, Route as Way, Source as BindSource, Strict},
    settings::{Found, Origin, Settings},
    value,
    walk::{Asked, bad_in_name},
};
use crate::{
    target::ssh::pattern,
    vocab::{Host, Route, Settings as Merged, host::SshRoute},
};

/// What is used where neither inventory nor files say anything.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// Who runs this program.
    pub user: String,
    pub connect_timeout: Duration,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
}

impl From<&Merged> for Defaults {
    fn from(settings: &Merged) -> Self {
        Self {
            user: settings.user.clone(),
            connect_timeout: settings.limits.connect,
            agent: settings.agent_socket.clone(),
        }
    }
}

impl SshConfig {
    /// Says how `host` is reached: the inventory's word first, then the files', then `defaults`.
    ///
    /// # Errors
    /// As [`SshConfig::look_up`], and what applies to the host and cannot be done, with file and line.
    pub fn resolve(&self, host: &Host, defaults: &Defaults) -> Result<Resolved, ConfigError> {
        let mut resolved = self.explain(host, defaults)?.resolve(defaults)?;
        resolved.connect_timeout = host.connect_timeout.unwrap_or(resolved.connect_timeout);
        Ok(resolved)
    }

    /// Finds everything that inventory and files say about `host`.
    ///
    /// # Errors
    /// As [`SshConfig::look_up`].
    pub fn explain(&self, host: &Host, defaults: &Defaults) -> Result<Settings, ConfigError> {
        let none = SshRoute::default();
        let route = match &host.route {
            Route::Ssh(route) => route,
            Route::Local => &none,
        };
        let identities: Vec<String> = route.identity.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let jump = route.jump.as_deref().map(bracketed);
        let asked = Asked {
            name: host.name.as_str(),
            origin: &host.origin,
            address: route.address.as_deref(),
            port: route.port,
            user: route.user.as_deref(),
            identities: identities.iter().map(String::as_str).collect(),
            jump: jump.as_deref(),
        };
        self.look_up(&asked, defaults)
    }

    /// Says how a bastion is reached: directly or as the files say, or through those `before` it.
    ///
    /// # Errors
    /// As [`SshConfig::resolve`].
    pub fn resolve_hop(&self, hop: &Hop, before: &[Hop], defaults: &Defaults) -> Result<Resolved, ConfigError> {
        let chain = before.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let asked = Asked {
            name: &hop.host,
            origin: "a jump host",
            user: hop.user.as_deref(),
            port: hop.port,
            jump: Some(chain.as_str()).filter(|chain| !chain.is_empty()),
            ..Asked::default()
        };
        self.look_up(&asked, defaults)?.resolve(defaults)
    }
}

/// A chain of the inventory, in which an IPv6 address without a port needs no brackets, as ssh writes it.
fn bracketed(chain: &str) -> String {
    let hop = |hop: &str| {
        let (user, host) = hop.rsplit_once('@').map_or(("", hop), |(user, host)| (&hop[..=user.len()], host));
        match host.split('%').next().unwrap_or_default().parse::<Ipv6Addr>() {
            Ok(_) => format!("{user}[{host}]"),
            Err(_) => hop.to_owned(),
        }
    };
    chain.split(',').map(hop).collect::<Vec<_>>().join(",")
}

impl Settings {
    /// Makes of what was found what a connection needs.
    ///
    /// # Errors
    /// A value that cannot be understood, or that asks for what cannot be done here.
    pub fn resolve(&self, defaults: &Defaults) -> Result<Resolved, ConfigError> {
        let agent = self.agent(defaults);
        self.refuse(agent.is_some())?;
        let identities = self.paths(Key::IdentityFile)?;
        let timeout = self.number::<u64>(Key::ConnectTimeout);
        let interval = match self.word(Key::ServerAliveInterval) {
            Some(_) if !self.said(Key::ServerAliveInterval) && self.is(Key::BatchMode, "yes") => 300,
            _ => self.number::<u64>(Key::ServerAliveInterval),
        };
        let user = self.get(Key::User).first();
        let user = user.map(|found| self.expanded(Key::User, found.word()).map_err(|e| found.origin.error(e)));
        Ok(Resolved {
            name: self.name.clone(),
            host_name: self.host_name.clone(),
            port: self.number(Key::Port),
            user: user.transpose()?.unwrap_or_else(|| defaults.user.clone()),
            route: self.route()?,
            connect_timeout: if timeout == 0 { defaults.connect_timeout } else { Duration::from_secs(timeout) },
            connection_attempts: self.number(Key::ConnectionAttempts),
            alive: (interval > 0).then(|| Alive {
                interval: Duration::from_secs(interval),
                count_max: self.number(Key::ServerAliveCountMax),
            }),
            compression: self.is(Key::Compression, "yes"),
            algorithms: self.algorithms(),
            user_known_hosts: self.paths(Key::UserKnownHostsFile)?,
            global_known_hosts: self.paths(Key::GlobalKnownHostsFile)?,
            revoked_host_keys: self.paths(Key::RevokedHostKeys)?.pop(),
            strict: match self.word(Key::StrictHostKeyChecking) {
                Some("true") => Strict::Yes,
                Some("accept-new") => Strict::AcceptNew,
                Some("false") => Strict::No,
                _ => Strict::Ask,
            },
            hash_known_hosts: self.is(Key::HashKnownHosts, "yes"),
            check_host_ip: self.is(Key::CheckHostIp, "yes"),
            host_key_alias: self.get(Key::HostKeyAlias).first().map(|found| found.word().to_ascii_lowercase()),
            trust_localhost: self.is(Key::NoHostAuthenticationForLocalhost, "yes"),
            identities_are_default: !self.said(Key::IdentityFile),
            identities,
            identities_only: self.is(Key::IdentitiesOnly, "yes"),
            certificates: self.paths(Key::CertificateFile)?,
            agent,
            methods: self.methods()?,
            password_prompts: self.number(Key::NumberOfPasswordPrompts),
            env: self.env(),
        })
    }

    fn refuse(&self, agent: bool) -> Result<(), ConfigError> {
        let because = |found: &Found, key: Key, instead: &str| {
            let keyword = key.about().name;
            found.origin.error(format!(
                "{keyword} applies to {} and is not supported: {instead}, set it for other hosts only, or use another \
                 file with -F",
                self.name
            ))
        };
        for keyword in KEYWORDS {
            let Effect::Refused { unless, instead } = keyword.effect else { continue };
            let Some(found) = self.get(keyword.key).first() else { continue };
            let harmless = match keyword.key {
                Key::ProxyUseFdpass => self.some(Key::ProxyCommand).is_none(),
                Key::Tunnel => self.is(Key::ClearAllForwardings, "yes"),
                _ => false,
            };
            if keyword.key == Key::RefuseConnection && self.some(keyword.key).is_some() {
                return Err(found.origin.error(format!("connections to {} are refused: {}", self.name, found.word())));
            }
            if !harmless && !unless.iter().any(|word| found.word().eq_ignore_ascii_case(word)) {
                return Err(because(found, keyword.key, instead));
            }
        }
        if let Some(found) = self.some(Key::Pkcs11Provider).filter(|_| !agent) {
            return Err(because(found, Key::Pkcs11Provider, "start an agent and load the token into it (ssh-add -s)"));
        }
        Ok(())
    }

    /// The files of a keyword that takes paths, each once; without `none`.
    fn paths(&self, key: Key) -> Result<Vec<PathBuf>, ConfigError> {
        // Of kinds that are not read here.
        let standard: Vec<String> = key.about().default.iter().map(|word| (*word).to_owned()).collect();
        let standard = standard.into_iter().filter(|word| !word.ends_with("_xmss") && !word.ends_with("_dsa"));
        let standard = [Found { words: standard.collect(), origin: Origin::Default, system: false }];
        let found = if self.said(key) { self.get(key) } else { &standard };
        // These are expanded already.
        let done = self.said(key) && key == Key::UserKnownHostsFile;
        let mut paths: Vec<PathBuf> = Vec::new();
        for found in found {
            for word in found.words.iter().filter(|word| !word.eq_ignore_ascii_case("none")) {
                let whole = if done { Ok(word.clone()) } else { self.expanded(key, word) };
                let path = PathBuf::from(whole.map_err(|error| found.origin.error(error))?);
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
        Ok(paths)
    }

    fn agent(&self, defaults: &Defaults) -> Option<PathBuf> {
        match self.get(Key::IdentityAgent).first().map(Found::word) {
            None | Some("SSH_AUTH_SOCK") => defaults.agent.clone(),
            Some("none") => None,
            Some(word) => match word.strip_prefix('$') {
                Some(name) => self.around.env.get(name).filter(|path| !path.is_empty()).map(PathBuf::from),
                None => Some(PathBuf::from(word)),
            },
        }
    }

    fn route(&self) -> Result<Way, ConfigError> {
        if let Some(found) = self.some(Key::ProxyJump) {
            let bad = |error| found.origin.error(error);
            let whole = self.expanded(Key::ProxyJump, found.word()).map_err(bad)?;
            let hop = |text: &str| {
                let value::Parts { user, host, port } = value::parts(text)?;
                match bad_in_name(&host) {
                    Some(why) => Err(format!("the jump host \"{}\" has {why}", host.escape_debug())),
                    None => Ok(Hop { host, user, port }),
                }
            };
            return whole.split(',').map(hop).collect::<Result<_, _>>().map(Way::Jump).map_err(bad);
        }
        if let Some(found) = self.some(Key::ProxyCommand) {
            let bad = |error| found.origin.error(error);
            if found.word() == "-" {
                return Err(bad("proxycommand -: there is no connection on stdin; name a command".to_owned()));
            }
            return self.expanded(Key::ProxyCommand, found.word()).map(Way::Command).map_err(bad);
        }
        let named = |key| self.get(key).first().map(|found: &Found| found.word().to_owned());
        Ok(Way::Direct(BindSource {
            address: named(Key::BindAddress),
            interface: named(Key::BindInterface),
            family: family(self),
        }))
    }

    fn algorithms(&self) -> Algorithms {
        let list = |key| self.get(key).first().map(|found: &Found| AlgorithmList::parse(found.word()));
        Algorithms {
            kex: list(Key::KexAlgorithms),
            ciphers: list(Key::Ciphers),
            macs: list(Key::Macs),
            host_keys: list(Key::HostKeyAlgorithms),
            user_keys: list(Key::PubkeyAcceptedAlgorithms),
            authorities: list(Key::CaSignatureAlgorithms),
            rsa_bits: self.number(Key::RequiredRsaSize),
        }
    }

    fn methods(&self) -> Result<Vec<Method>, ConfigError> {
        let said = self.get(Key::PreferredAuthentications).first();
        let order = said.map_or("publickey,keyboard-interactive,password", Found::word);
        let mut methods = Vec::new();
        for name in order.split(',') {
            let method = match name {
                "publickey" => Method::PublicKey,
                "keyboard-interactive" => Method::KeyboardInteractive,
                "password" => Method::Password,
                _ => continue,
            };
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        if let Some(found) = said.filter(|_| methods.is_empty()) {
            return Err(found.origin.error(format!(
                "preferredauthentications applies to {} and names no method that is supported; add publickey, \
                 keyboard-interactive or password",
                self.name
            )));
        }
        // A batch has nobody who could answer.
        let batch = self.is(Key::BatchMode, "yes");
        methods.retain(|method| match method {
            Method::PublicKey => !self.is(Key::PubkeyAuthentication, "false"),
            Method::KeyboardInteractive => !batch && self.is(Key::KbdInteractiveAuthentication, "yes"),
            Method::Password => !batch && self.is(Key::PasswordAuthentication, "yes"),
        });
        Ok(methods)
    }

    fn env(&self) -> Vec<(String, String)> {
        let set = self.get(Key::SetEnv).iter().filter_map(|found| found.word().split_once('='));
        let mut env: Vec<(String, String)> = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let patterns = self.get(Key::SendEnv);
        for (name, value) in &self.around.env {
            let wanted = patterns.iter().any(|found| pattern::fits(found.word(), name));
            if wanted && !env.iter().any(|(known, _)| known == name) {
                env.push((name.clone(), value.clone()));
            }
        }
        env
    }
}
