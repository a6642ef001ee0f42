//! Through the files for one host, line by line.
//!
//! # Theory of operation
//! What the inventory says is set first, as a command line's options are. Then the files are gone through in order, the
//! first value of each keyword staying, with a few keywords that add up ([`Walk::set`]). If a `Match final` was met or
//! names are made canonical, the files are gone through once more with the final name in the place of the one asked for.
//! At the end, tokens are put into those values in which `ssh -G` shows them put in.

use std::net::IpAddr;

use super::{
    super::pattern,
    ConfigError, Defaults, SshConfig, canonical,
    condition::{Condition, Subject},
    keyword::{Key, Kind, Tokens},
    settings::{Found, Origin, Settings},
    source::{self, Entry, Item, Reader, Source},
    tokens, value,
};

/// What is asked for: a name, and what stands over the files.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    pub name: &'a str,
    /// Of the inventory's entry, or what else introduced the host.
    pub origin: &'a str,
    pub address: Option<&'a str>,
    pub port: Option<u16>,
    pub user: Option<&'a str>,
    pub identities: Vec<&'a str>,
    pub jump: Option<&'a str>,
}

/// The most identities, and the most certificates.
const MOST: usize = 100;
/// Settled before the second pass.
const SETTLED: [Key; 3] = [Key::CanonicalizeHostname, Key::CanonicalizeMaxDots, Key::CanonicalizeFallbackLocal];

impl SshConfig {
    /// Finds everything that is said about a host.
    ///
    /// # Errors
    /// What ssh itself would refuse, with file and line.
    pub fn look_up(&self, asked: &Asked<'_>, defaults: &Defaults) -> Result<Settings, ConfigError> {
        let inventory = Origin::Inventory(asked.origin.into());
        if let Some(bad) = bad_in_name(asked.name) {
            return Err(inventory.error(format!("the host name \"{}\" has {bad}", asked.name.escape_debug())));
        }
        let mut walk = Walk {
            config: self,
            defaults,
            settings: Settings::new(asked.name, self.around.clone()),
            host: asked.name.to_owned(),
            again: false,
            wants_again: false,
        };
        let mut over = |key, word: String| walk.set(key, &[word], &inventory, false);
        // A zone of an address is no token.
        asked.address.map_or(Ok(()), |address| over(Key::Hostname, address.replace('%', "%%")))?;
        asked.port.map_or(Ok(()), |port| over(Key::Port, port.to_string()))?;
        asked.user.map_or(Ok(()), |user| over(Key::User, user.replace('%', "%%")))?;
        for identity in &asked.identities {
            over(Key::IdentityFile, identity.replace('%', "%%"))?;
        }
        if let Some(jump) = asked.jump {
            let read = value::jump_chain(jump).map_err(|error| inventory.error(error))?;
            over(Key::ProxyJump, read)?;
        }
        walk.files()?;
        walk.host = walk.named()?;
        let place = |settings: &Settings| {
            let found = settings.get(Key::CanonicalizeHostname).first().or(settings.get(Key::Hostname).first());
            found.map_or(Origin::Default, |found| found.origin.clone())
        };
        walk.host =
            canonical::canonical(&walk.settings, &walk.host).map_err(|error| place(&walk.settings).error(error))?;
        if walk.wants_again || !walk.settings.is(Key::CanonicalizeHostname, "false") {
            walk.again = true;
            walk.files()?;
        }
        walk.finish()
    }
}

struct Walk<'a> {
    config: &'a SshConfig,
    defaults: &'a Defaults,
    settings: Settings,
    /// What `Host` lines are compared with: the name asked for, and in the second pass the final one.
    host: String,
    again: bool,
    wants_again: bool,
}

impl Walk<'_> {
    fn files(&mut self) -> Result<(), ConfigError> {
        self.config.sources.iter().try_for_each(|source| self.source(source, true))
    }

    /// One file. Where `outer` does not apply, nothing in it does.
    fn source(&mut self, source: &Source, outer: bool) -> Result<(), ConfigError> {
        let mut active = outer;
        for entry in &source.entries {
            let origin = || Origin::File { file: source.file.clone(), line: entry.line };
            match &entry.item {
                Item::Host(patterns) => {
                    active = outer && pattern::list_fits(patterns.iter().map(String::as_str), &self.host);
                }
                Item::Match(condition) => {
                    active = self.decide(condition, outer).map_err(|what| origin().error(what))?
                }
                Item::Include(files) => files.iter().try_for_each(|file| self.source(file, active))?,
                Item::IncludeFor(pattern) if active => self.include_for(pattern, source, entry)?,
                Item::IncludeFor(_) => {}
                Item::Unknown(keyword) => {
                    let ignored = self.settings.word(Key::IgnoreUnknown).unwrap_or_default().to_ascii_lowercase();
                    if !pattern::list_fits(ignored.split(','), keyword) {
                        return Err(origin().error(source::unknown(keyword)));
                    }
                }
                Item::Set(key, words) => {
                    // These two, ssh takes wherever they stand, and of the first the last.
                    if active || matches!(key, Key::SyslogFacility | Key::StreamLocalBindMask) {
                        self.set(*key, words, &origin(), source.system)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn include_for(&mut self, pattern: &str, source: &Source, entry: &Entry) -> Result<(), ConfigError> {
        let bad = |what| ConfigError::Line { file: source.file.to_path_buf(), line: entry.line, what };
        let around = self.config.around.clone();
        let values = self.values().map_err(bad)?;
        let scope = values.scope(Tokens::Client, &around);
        let whole = tokens::expand(pattern, Some(&scope), Some(&around.env)).map_err(bad)?;
        let mut reader = Reader { system: source.system, ..Reader::new(&around) };
        for file in reader.included(&whole, 1, &bad)? {
            self.source(&file, true)?;
        }
        Ok(())
    }

    /// Keeps a value that applies.
    fn set(&mut self, key: Key, words: &[String], origin: &Origin, system: bool) -> Result<(), ConfigError> {
        if self.again && SETTLED.contains(&key) {
            return Ok(());
        }
        let found = &mut self.settings.found;
        let new = |words: &[String]| Found { words: words.to_vec(), origin: origin.clone(), system };
        let is_flag = |words: &[String]| matches!(words, [word] if word == "yes" || word == "no");
        let flags = |slot: &[Found]| slot.first().is_some_and(|found| is_flag(&found.words));
        let proxied = !found[Key::ProxyCommand as usize].is_empty();
        let slot = &mut found[key as usize];
        match (key.about().kind, key) {
            (Kind::Gather, _) => {
                if slot.len() >= MOST {
                    return Err(origin.error(format!("there are more than {MOST} of {}", key.about().name)));
                }
                if !slot.iter().any(|known| known.words == words && known.system == system) {
                    slot.push(new(words));
                }
            }
            (Kind::Forward(_), _) if slot.iter().any(|known| known.words == words) => {}
            (Kind::Forward(_), _) => slot.push(new(words)),
            (Kind::SendEnv, _) => {
                for word in words {
                    match word.strip_prefix('-') {
                        Some(pattern) => slot.retain(|known| !pattern::fits(pattern, known.word())),
                        None => slot.push(new(std::slice::from_ref(word))),
                    }
                }
            }
            (Kind::SetEnv, _) if slot.is_empty() => slot.extend(words.chunks(1).map(new)),
            (_, Key::StreamLocalBindMask) => *slot = vec![new(words)],
            // A path counts even after a yes.
            (_, Key::ForwardAgent) if flags(slot) && !is_flag(words) => *slot = vec![new(words)],
            (_, Key::RekeyLimit) => match slot.first_mut() {
                None => slot.push(new(words)),
                // A time may come later than the size.
                Some(known) if known.words.len() == 1 => known.words.extend(words.get(1).cloned()),
                Some(_) => {}
            },
            // A jump that comes first also settles that there is no command, and the other way round.
            (_, Key::ProxyJump) if !slot.is_empty() || (proxied && words != ["none"]) => {}
            (_, Key::ProxyJump) => {
                slot.push(new(words));
                if words != ["none"] {
                    found[Key::ProxyCommand as usize].push(new(&["none".to_owned()]));
                }
            }
            _ if slot.is_empty() => slot.push(new(words)),
            _ => {}
        }
        Ok(())
    }

    fn decide(&mut self, condition: &Condition, outer: bool) -> Result<bool, String> {
        let mut holds = true;
        for criterion in &condition.0 {
            let arg = criterion.arg.as_str();
            let fits = |text: &str| pattern::list_fits(arg.split(','), text);
            let name_fits = |name: &str| {
                let (patterns, name) = (arg.to_ascii_lowercase(), name.to_ascii_lowercase());
                pattern::list_fits(patterns.split(','), &name)
            };
            let fits = match criterion.what {
                Subject::All => true,
                Subject::Again { asked } => {
                    self.wants_again |= asked;
                    self.again
                }
                Subject::Host => name_fits(&self.named_so_far()?),
                Subject::OriginalHost => name_fits(&self.settings.name),
                Subject::User => fits(self.settings.word(Key::User).unwrap_or(&self.defaults.user)),
                Subject::LocalUser => fits(&self.defaults.user),
                Subject::Tagged => fits(self.settings.word(Key::Tag).unwrap_or_default()),
                // Nothing is run, and nothing decided, for a line that cannot apply.
                _ if !holds || !outer => continue,
                Subject::LocalNetwork => in_network(arg)?,
                Subject::Exec => {
                    let values = self.values()?;
                    let around = &self.config.around;
                    let scope = values.scope(Tokens::Client, around);
                    let command = tokens::expand(arg, Some(&scope), None)?;
                    self.config.answers.ask(&command, around)?
                }
                Subject::Undecided(name) => {
                    return Err(format!(
                        "whether \"Match {name}\" applies to {} is not decided here; use Host, another criterion, or \
                         another file with -F",
                        self.settings.name
                    ));
                }
            };
            holds &= fits != criterion.negated;
        }
        Ok(holds && outer)
    }

    /// The name that is connected to, as far as it is known by now.
    fn named_so_far(&self) -> Result<String, String> {
        match self.settings.word(Key::Hostname) {
            _ if self.again => Ok(self.host.clone()),
            Some(name) => {
                let values = tokens::Values { host: self.settings.name.clone(), ..Default::default() };
                tokens::expand(name, Some(&values.scope(Tokens::Name, &self.config.around)), None)
            }
            None => Ok(self.settings.name.clone()),
        }
    }

    fn named(&self) -> Result<String, ConfigError> {
        let found = self.settings.get(Key::Hostname).first();
        self.named_so_far().map_err(|error| found.map_or(&Origin::Default, |f| &f.origin).error(error))
    }

    /// The values of tokens, as far as they are known by now.
    fn values(&self) -> Result<tokens::Values, String> {
        let host = self.named_so_far()?;
        let settings = &self.settings;
        Ok(tokens::Values {
            key_alias: settings.word(Key::HostKeyAlias).unwrap_or(&host).to_owned(),
            host,
            name: settings.name.clone(),
            port: settings.word(Key::Port).unwrap_or("22").to_owned(),
            user: settings.word(Key::User).unwrap_or(&self.defaults.user).to_owned(),
            local_user: self.defaults.user.clone(),
            jump: self.jump()?.map(|jump| jump.host).unwrap_or_default(),
        })
    }

    /// The last hop, which is the next to the host.
    fn jump(&self) -> Result<Option<value::Parts>, String> {
        let last = self.settings.some(Key::ProxyJump).and_then(|found| found.word().rsplit(',').next());
        last.map(value::parts).transpose()
    }

    /// Checks what belongs together, and puts tokens in.
    fn finish(mut self) -> Result<Settings, ConfigError> {
        let known = |key: Key, settings: &Settings| {
            settings.get(key).first().map_or(Origin::Default, |found| found.origin.clone())
        };
        let mut values = self.values().map_err(|error| known(Key::ProxyJump, &self.settings).error(error))?;
        values.host = self.host.clone();
        values.key_alias = match self.settings.word(Key::HostKeyAlias) {
            Some(alias) => alias.to_ascii_lowercase(),
            None => self.settings.name.clone(),
        };
        let jump = self.jump().map_err(|error| known(Key::ProxyJump, &self.settings).error(error))?;
        if let Some(jump) = jump {
            let port = jump.port.unwrap_or(22).to_string();
            let user = jump.user.unwrap_or_else(|| values.user.clone());
            if jump.host == values.host && port == values.port && user == values.user {
                let what = format!("{} is reached through itself; say ProxyJump none for it, above", values.host);
                return Err(known(Key::ProxyJump, &self.settings).error(what));
            }
        }
        if self.settings.is(Key::ConnectionAttempts, "0") {
            return Err(
                known(Key::ConnectionAttempts, &self.settings).error("there must be at least one attempt".into())
            );
        }
        self.settings.host_name = std::mem::take(&mut self.host);
        self.settings.values = values;
        for key in EXPANDED {
            let mut found = std::mem::take(&mut self.settings.found[*key as usize]);
            for found in &mut found {
                let untouched = |word: &str| {
                    let lower = word.to_ascii_lowercase();
                    // A yes, a none, or the two ends of a forwarding that are no paths.
                    (!matches!(key, Key::RemoteCommand) && matches!(lower.as_str(), "none" | "yes" | "no"))
                        || (key.about().kind.is_lines() && !word.contains('/'))
                        || (word.starts_with('[') && key.about().kind.is_lines())
                };
                if (key.about().none_is_unset && found.word().eq_ignore_ascii_case("none")) || found.words.is_empty() {
                    continue;
                }
                for word in found.words.iter_mut().filter(|word| !untouched(word)) {
                    *word = self.settings.expanded(*key, word).map_err(|error| found.origin.error(error))?;
                }
            }
            self.settings.found[*key as usize] = found;
        }
        Ok(self.settings)
    }
}

/// Keywords in which `ssh -G` shows tokens put in.
const EXPANDED: &[Key] = &[
    Key::RemoteCommand,
    Key::ControlPath,
    Key::IdentityAgent,
    Key::ForwardAgent,
    Key::UserKnownHostsFile,
    Key::LocalForward,
    Key::RemoteForward,
    Key::DynamicForward,
];

/// What a host's name must not have, because it could end up in a command.
pub(super) fn bad_in_name(name: &str) -> Option<&'static str> {
    if name.starts_with('-') {
        return Some("a '-' at its beginning");
    }
    let bad = |c: char| "'`\"$\\;&<>|(){},".contains(c) || c.is_ascii_whitespace() || c.is_control();
    name.contains(bad).then_some("a character that no host name has")
}

/// Whether this machine has an address in one of these networks.
fn in_network(networks: &str) -> Result<bool, String> {
    let own: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
        .map_err(|error| format!("localnetwork: {error}"))?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
        })
        .collect();
    let mut inside = false;
    for network in networks.split(',') {
        let (negated, network) = network.strip_prefix('!').map_or((false, network), |rest| (true, rest));
        let bad = || format!("localnetwork: \"{network}\" is no network: write ADDRESS/BITS");
        let (base, bits) = network.split_once('/').ok_or_else(bad)?;
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(bad)?;
        if own.iter().any(|address| same_network(*address, base, bits)) {
            if negated {
                return Ok(false);
            }
            inside = true;
        }
    }
    Ok(inside)
}

fn same_network(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    let head = |number: u128, most: u32| if bits == 0 { 0 } else { number >> (most - bits) };
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => head(u32::from(a).into(), 32) == head(u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => head(a.into(), 128) == head(b.into(), 128),
        _ => false,
    }
}
