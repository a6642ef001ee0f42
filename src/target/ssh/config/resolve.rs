//! What the files and the inventory together say about one host.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    ConfigError, Entry, Source, SshConfig,
    directive::{Criterion, Directive, Subject},
    resolved::{Algorithms, Method, Resolved, Route as Way, Strict},
};
use crate::{
    target::ssh::pattern::list_fits,
    vocab::{Host, Route, Settings, host::SshRoute},
};

/// What is used where neither inventory nor files say anything.
#[derive(Debug, Clone)]
pub struct Defaults {
    pub user: String,
    pub connect_timeout: Duration,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
}

impl From<&Settings> for Defaults {
    fn from(settings: &Settings) -> Self {
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
    /// What applies to the host and is not supported, with file and line.
    pub fn resolve(&self, host: &Host, defaults: &Defaults) -> Result<Resolved, ConfigError> {
        let inventory = |what: String| ConfigError::Inventory { origin: host.origin.clone(), what };
        let none = SshRoute::default();
        let route = match &host.route {
            Route::Ssh(route) => route,
            Route::Local => &none,
        };
        if let Some(jump) = &route.jump {
            return Err(inventory(format!(
                "host {} is reached through {jump}, and connections through a jump host are not supported yet; \
                 remove `jump` and give an address that is reached directly",
                host.name
            )));
        }
        let mut found =
            Found { host_name: route.address.clone(), port: route.port, user: route.user.clone(), ..Found::default() };
        let mut walk = Walk { name: host.name.as_str(), defaults, found: &mut found };
        for source in &self.sources {
            walk.source(source, &Active::Yes)?;
        }
        found.finish(self, host, route, defaults)
    }
}

/// Whether the lines at hand apply to the host.
#[derive(Debug, Clone, PartialEq)]
enum Active {
    Yes,
    No,
    /// It cannot be told; the condition is named.
    Perhaps(String),
}

impl Active {
    fn and(&self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Perhaps(why), _) => Self::Perhaps(why.clone()),
            (Self::Yes, other) => other,
        }
    }
}

/// A text of a file with the place it came from, for errors that show up late.
type Placed = (String, PathBuf, usize);

/// The first value of each setting.
#[derive(Debug, Default)]
struct Found {
    host_name: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    identities: Vec<Placed>,
    identities_named: bool,
    identities_only: Option<bool>,
    user_known_hosts: Option<Vec<Placed>>,
    global_known_hosts: Option<Vec<Placed>>,
    strict: Option<Strict>,
    connect_timeout: Option<Option<Duration>>,
    host_key_alias: Option<String>,
    hash_known_hosts: Option<bool>,
    agent: Option<Placed>,
}

struct Walk<'a> {
    name: &'a str,
    defaults: &'a Defaults,
    found: &'a mut Found,
}

impl Walk<'_> {
    fn source(&mut self, source: &Source, outer: &Active) -> Result<(), ConfigError> {
        let mut active = outer.clone();
        for entry in &source.entries {
            match &entry.directive {
                Directive::Host(patterns) => {
                    let fits = list_fits(patterns.iter().map(String::as_str), self.name);
                    active = outer.and(if fits { Active::Yes } else { Active::No });
                }
                Directive::Match(criteria) => active = outer.and(self.decide(criteria)),
                Directive::Include(_) => {
                    for included in &entry.included {
                        self.source(included, &active)?;
                    }
                }
                _ => self.entry(source, entry, &active)?,
            }
        }
        Ok(())
    }

    fn decide(&self, criteria: &[Criterion]) -> Active {
        let mut active = Active::Yes;
        for criterion in criteria {
            let text = match &criterion.what {
                Subject::All => None,
                Subject::Host => Some(self.found.host_name.as_deref().unwrap_or(self.name)),
                Subject::OriginalHost => Some(self.name),
                Subject::User => Some(self.found.user.as_deref().unwrap_or(&self.defaults.user)),
                Subject::LocalUser => Some(self.defaults.user.as_str()),
                Subject::Other(name) => {
                    active = active.and(Active::Perhaps(name.clone()));
                    continue;
                }
            };
            let fits = text.is_none_or(|text| list_fits(criterion.patterns.iter().map(String::as_str), text));
            if fits == criterion.negated {
                return Active::No;
            }
        }
        active
    }

    fn entry(&mut self, source: &Source, entry: &Entry, active: &Active) -> Result<(), ConfigError> {
        if matches!(entry.directive, Directive::Ignored | Directive::IgnoreUnknown(_)) || *active == Active::No {
            return Ok(());
        }
        if let Directive::Refused(refused) = &entry.directive
            && refused.algorithms
            && source.system
        {
            return Ok(());
        }
        let place = |text: &String| (text.clone(), source.file.clone(), entry.line);
        let bad = |what| ConfigError::Line { file: source.file.clone(), line: entry.line, what };
        if let Active::Perhaps(condition) = active {
            return Err(bad(format!(
                "this line stands below \"Match {condition}\", which is not supported yet, so it is not known whether it \
                 applies to {}; use Host, or \"Match host\", or another file with -F",
                self.name
            )));
        }
        let found = &mut *self.found;
        match &entry.directive {
            Directive::HostName(name) if found.host_name.is_none() => {
                let name = expand(name, &[('h', self.name)]).map_err(bad)?;
                found.host_name = Some(name);
            }
            Directive::User(user) => keep(&mut found.user, user),
            Directive::Port(port) => keep(&mut found.port, port),
            Directive::IdentityFile(file) => {
                found.identities_named = true;
                found.identities.extend(file.as_ref().map(place));
            }
            Directive::IdentitiesOnly(only) => keep(&mut found.identities_only, only),
            Directive::UserKnownHosts(files) => {
                keep(&mut found.user_known_hosts, &files.iter().map(place).collect());
            }
            Directive::GlobalKnownHosts(files) => {
                keep(&mut found.global_known_hosts, &files.iter().map(place).collect());
            }
            Directive::Strict(strict) => keep(&mut found.strict, strict),
            Directive::ConnectTimeout(timeout) => keep(&mut found.connect_timeout, timeout),
            Directive::HostKeyAlias(alias) => keep(&mut found.host_key_alias, alias),
            Directive::HashKnownHosts(hash) => keep(&mut found.hash_known_hosts, hash),
            Directive::IdentityAgent(agent) => keep(&mut found.agent, &place(agent)),
            Directive::Refused(refused) => {
                return Err(bad(format!(
                    "{} applies to {} and is not supported yet; connecting without it could reach or trust the wrong \
                     machine, so remove it for this host or use another file with -F",
                    refused.keyword, self.name
                )));
            }
            _ => {}
        }
        Ok(())
    }
}

fn keep<T: Clone>(slot: &mut Option<T>, value: &T) {
    slot.get_or_insert_with(|| value.clone());
}

impl Found {
    fn finish(
        self,
        config: &SshConfig,
        host: &Host,
        route: &SshRoute,
        defaults: &Defaults,
    ) -> Result<Resolved, ConfigError> {
        let name = host.name.to_string();
        let host_name = self.host_name.unwrap_or_else(|| name.clone()).to_ascii_lowercase();
        let user = self.user.unwrap_or_else(|| defaults.user.clone());
        let port = self.port.unwrap_or(22);
        let home = config.home.to_string_lossy().into_owned();
        let (port_text, uid) = (port.to_string(), nix::unistd::getuid().to_string());
        let tokens = [
            ('d', home.as_str()),
            ('h', &host_name),
            ('i', &uid),
            ('k', self.host_key_alias.as_deref().unwrap_or(&name)),
            ('n', &name),
            ('p', &port_text),
            ('r', &user),
            ('u', &defaults.user),
        ];
        let path = |(text, file, line): &Placed| {
            let expanded = expand(text, &tokens).and_then(|text| absolute(&text, &config.home));
            expanded.map_err(|what| ConfigError::Line { file: file.clone(), line: *line, what })
        };
        let paths = |files: &[Placed]| files.iter().map(path).collect::<Result<Vec<_>, _>>();
        let ssh = config.home.join(".ssh");

        let mut identities: Vec<PathBuf> = Vec::new();
        for identity in if route.identity.is_empty() { paths(&self.identities)? } else { route.identity.clone() } {
            let whole = absolute(&identity.to_string_lossy(), &config.home)
                .map_err(|what| ConfigError::Inventory { origin: host.origin.clone(), what })?;
            if !identities.contains(&whole) {
                identities.push(whole);
            }
        }
        let identities_are_default = route.identity.is_empty() && !self.identities_named;
        if identities_are_default {
            identities.extend(["id_ed25519", "id_ecdsa", "id_rsa"].map(|file| ssh.join(file)));
        }
        let agent = match &self.agent {
            None => defaults.agent.clone(),
            Some((text, ..)) if text == "none" => None,
            Some((text, ..)) if text == "SSH_AUTH_SOCK" => defaults.agent.clone(),
            Some((text, file, line)) if text.starts_with('$') => {
                return Err(ConfigError::Line {
                    file: file.clone(),
                    line: *line,
                    what: format!("IdentityAgent {text}: variables are not supported yet; write the path"),
                });
            }
            Some(placed) => Some(path(placed)?),
        };
        let user_known_hosts = match &self.user_known_hosts {
            Some(files) => paths(files)?,
            None => vec![ssh.join("known_hosts"), ssh.join("known_hosts2")],
        };
        let global_known_hosts = match &self.global_known_hosts {
            Some(files) => paths(files)?,
            None => ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"].map(PathBuf::from).to_vec(),
        };
        Ok(Resolved {
            connect_timeout: host
                .connect_timeout
                .or(self.connect_timeout.flatten())
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(defaults.connect_timeout),
            host_key_alias: self.host_key_alias.clone(),
            name,
            host_name,
            port,
            user,
            identities,
            identities_are_default,
            identities_only: self.identities_only.unwrap_or(false),
            agent,
            user_known_hosts,
            global_known_hosts,
            strict: self.strict.unwrap_or(Strict::Ask),
            hash_known_hosts: self.hash_known_hosts.unwrap_or(false),
            route: Way::Direct(Default::default()),
            connection_attempts: 1,
            alive: None,
            compression: false,
            algorithms: Algorithms { rsa_bits: 1024, ..Algorithms::default() },
            revoked_host_keys: None,
            check_host_ip: false,
            trust_localhost: false,
            certificates: Vec::new(),
            methods: vec![Method::PublicKey, Method::KeyboardInteractive, Method::Password],
            password_prompts: 3,
            env: Vec::new(),
        })
    }
}

/// Puts the values of `%` tokens into `text`.
fn expand(text: &str, tokens: &[(char, &str)]) -> Result<String, String> {
    if text.contains("${") {
        return Err(format!("variables as in \"{text}\" are not supported yet; write the value"));
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(token) => match tokens.iter().find(|(t, _)| *t == token) {
                Some((_, value)) => out.push_str(value),
                None => return Err(format!("%{token} in \"{text}\" is not supported here; write the value")),
            },
            None => return Err(format!("\"{text}\" ends with a single %; write %% for a percent sign")),
        }
    }
    Ok(out)
}

fn absolute(text: &str, home: &Path) -> Result<PathBuf, String> {
    match text.strip_prefix('~') {
        None => Ok(PathBuf::from(text)),
        Some("") => Ok(home.to_owned()),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) => Ok(home.join(rest)),
            None => Err(format!("{text}: another user's home is not looked up; write the whole path")),
        },
    }
}
