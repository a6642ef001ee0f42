//! Which hosts a pattern means, in the inventory and beside it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Inventory,
    pattern::{Join, Login, Pattern, PatternError, Term, What},
    suggest::{did_you_mean, quoted},
};
use crate::vocab::{ExitCode, Host, HostName, Route, host::SshRoute};

/// Whether a command only looks or also changes: decides what no pattern means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    Read,
    Change,
}

/// Why a selection has no hosts.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectError {
    #[error("the pattern {pattern} {error}")]
    Pattern { pattern: String, error: PatternError },
    /// One host was asked for in two ways.
    #[error("{host} is selected twice, as {first} and as {second}")]
    Twice { host: HostName, first: String, second: String },
    /// A changing command without a pattern and without a default.
    #[error("no hosts were selected; name them with --hosts, all for all of them: {hosts}")]
    NothingSelected { hosts: String },
    /// No pattern, and nothing to select from.
    #[error(
        "there are no hosts yet: write inventory/hosts.toml, name one as in `rbee fleet install --hosts user@host`, \
         or try `rbee sandbox up`"
    )]
    Empty { intent: Intent },
    /// A term, or the whole pattern, matches nothing.
    #[error("{text}")]
    NoMatch { text: String, hint: Option<String> },
}

impl SelectError {
    /// "No hosts" where the selection is sound and matches nothing, else a usage error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoMatch { .. } | Self::Empty { intent: Intent::Read } => ExitCode::NoHosts,
            _ => ExitCode::Usage,
        }
    }

    /// What to do next, where the sentence does not say it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoMatch { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

/// A host of the inventory, or one that the pattern brought; the order is that of the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pick {
    Listed(usize),
    Brought(usize),
}

impl Inventory {
    /// Selects hosts by `pattern`, else by `defaults.hosts`, else all of them for a command that only reads.
    ///
    /// `known` says whether a name is a concrete `Host` of ssh_config. Hosts of the inventory come first, in its order,
    /// then the others as they were typed; each comes once.
    ///
    /// # Errors
    /// A pattern that breaks the grammar, any term of it that matches nothing, and no pattern where one is needed.
    pub fn select(
        &self,
        pattern: Option<&str>,
        intent: Intent,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Host>, SelectError> {
        if let Some(text) = pattern {
            let parsed = Pattern::parse(text).map_err(|error| SelectError::Pattern { pattern: quoted(text), error })?;
            return self.evaluate(&parsed, "--hosts", known);
        }
        if let Some(default) = &self.defaults.hosts {
            let origin = self.defaults.hosts_place.as_ref().map(ToString::to_string).unwrap_or_default();
            return self.evaluate(default, &origin, known).map_err(|error| match error {
                SelectError::NoMatch { text, hint } => SelectError::NoMatch { text: format!("{origin}: {text}"), hint },
                other => other,
            });
        }
        match intent {
            _ if self.hosts.is_empty() => Err(SelectError::Empty { intent }),
            Intent::Read => Ok(self.hosts.clone()),
            Intent::Change => Err(SelectError::NothingSelected { hosts: self.listing() }),
        }
    }

    fn evaluate(
        &self,
        pattern: &Pattern,
        origin: &str,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Host>, SelectError> {
        let mut lookup = Lookup {
            inventory: self,
            known,
            origin,
            brought: Vec::new(),
            index: HashMap::new(),
            users: BTreeMap::new(),
        };
        let mut selected = BTreeSet::new();
        for (join, term) in &pattern.terms {
            let found = lookup.term(term)?;
            // A term that finds nothing is a mistake, whatever the others find: it must never shrink or, excluding,
            // widen a selection in silence.
            if found.is_empty() {
                return Err(self.nothing(term));
            }
            match join {
                Join::Add => selected.extend(found),
                Join::Keep => selected.retain(|pick| found.contains(pick)),
                Join::Drop => selected.retain(|pick| !found.contains(pick)),
            }
        }
        if selected.is_empty() {
            let text = format!("no host is left of the pattern {}", quoted(pattern.as_str()));
            return Err(SelectError::NoMatch { text, hint: None });
        }
        Ok(selected.into_iter().map(|pick| lookup.host(pick)).collect())
    }

    /// What to say about a term that found nothing.
    fn nothing(&self, term: &Term) -> SelectError {
        let text = match &term.what {
            What::All => "all matches nothing: the inventory has no hosts".to_owned(),
            What::Group(name) if self.groups.contains(name) => format!("group {} has no hosts", quoted(name)),
            What::Group(name) => {
                format!("there is no group {}{}", quoted(name), did_you_mean(name, self.groups()))
            }
            _ => format!("no host of the inventory matches {}", quoted(&term.text)),
        };
        SelectError::NoMatch { text, hint: None }
    }

    /// The names, as many as fit into a sentence.
    fn listing(&self) -> String {
        const MOST: usize = 20;
        let names: Vec<&str> = self.hosts.iter().take(MOST).map(|host| host.name.as_str()).collect();
        match self.hosts.len().saturating_sub(MOST) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// Finds the hosts of terms, and keeps those that the inventory does not have.
struct Lookup<'a> {
    inventory: &'a Inventory,
    known: &'a dyn Fn(&str) -> bool,
    origin: &'a str,
    brought: Vec<Host>,
    index: HashMap<HostName, usize>,
    /// Users that were typed for hosts of the inventory.
    users: BTreeMap<usize, String>,
}

impl Lookup<'_> {
    fn term(&mut self, term: &Term) -> Result<BTreeSet<Pick>, SelectError> {
        let where_host = |matches: &dyn Fn(&Host) -> bool| {
            let hosts = self.inventory.hosts.iter().enumerate();
            hosts.filter(|(_, host)| matches(host)).map(|(at, _)| Pick::Listed(at)).collect()
        };
        match &term.what {
            What::All => Ok(where_host(&|_| true)),
            What::Group(group) => Ok(where_host(&|host| host.groups.contains(group))),
            What::Glob(glob) => Ok(where_host(&|host| glob_match::glob_match(glob, host.name.as_str()))),
            What::Names(names) => names.iter().map(|name| self.name(name, term)).collect(),
            What::Logins(logins) => logins.iter().map(|login| self.login(login)).collect(),
        }
    }

    fn name(&mut self, name: &HostName, term: &Term) -> Result<Pick, SelectError> {
        if let Some(at) = self.inventory.position(name.as_str()) {
            return Ok(Pick::Listed(at));
        }
        if let Some(at) = self.index.get(name).copied() {
            return Ok(Pick::Brought(at));
        }
        if name.as_str() == "local" {
            return Ok(self.bring(Host::local()));
        }
        if (self.known)(name.as_str()) {
            return Ok(self.bring(Host::named(name.clone(), Route::Ssh(SshRoute::default()), "ssh_config")));
        }
        let names = self.inventory.hosts.iter().map(|host| host.name.as_str());
        let guess = did_you_mean(name.as_str(), names.chain(["local", "all"]));
        let of = if term.text == name.as_str() { String::new() } else { format!(" of {}", quoted(&term.text)) };
        Err(SelectError::NoMatch {
            text: format!("{}{of} is neither in the inventory nor a Host of ssh_config{guess}", quoted(name.as_str())),
            hint: Some(format!("a host that no file knows is written with its user: user@{name}")),
        })
    }

    fn login(&mut self, login: &Login) -> Result<Pick, SelectError> {
        let twice = |first: &str| SelectError::Twice {
            host: login.name.clone(),
            first: first.to_owned(),
            second: format!("{}@{}", login.user, login.name),
        };
        if let Some(at) = self.inventory.index.get(login.name.as_str()).copied() {
            if self.inventory.hosts[at].route == Route::Local {
                return Err(twice("the controller itself"));
            }
            return match self.users.insert(at, login.user.clone()) {
                Some(user) if user != login.user => Err(twice(&format!("{user}@{}", login.name))),
                _ => Ok(Pick::Listed(at)),
            };
        }
        let (address, port) = login.endpoint.clone().unzip();
        let route = Route::Ssh(SshRoute { address, port, user: Some(login.user.clone()), ..SshRoute::default() });
        let Some(at) = self.index.get(&login.name).copied() else {
            return Ok(self.bring(Host::named(login.name.clone(), route, self.origin)));
        };
        let host = &mut self.brought[at];
        // First by its name alone, which ssh_config knows, then with a user: the more exact word counts.
        if host.route == Route::Ssh(SshRoute::default()) {
            host.route = route;
            return Ok(Pick::Brought(at));
        }
        match &host.route {
            same if *same == route => Ok(Pick::Brought(at)),
            Route::Ssh(SshRoute { user: Some(user), .. }) if *user != login.user => {
                Err(twice(&format!("{user}@{}", login.name)))
            }
            _ => Err(twice("another address that is written the same")),
        }
    }

    fn bring(&mut self, host: Host) -> Pick {
        self.index.insert(host.name.clone(), self.brought.len());
        self.brought.push(host);
        Pick::Brought(self.brought.len() - 1)
    }

    fn host(&self, pick: Pick) -> Host {
        match pick {
            Pick::Brought(at) => self.brought[at].clone(),
            Pick::Listed(at) => {
                let mut host = self.inventory.hosts[at].clone();
                if let (Route::Ssh(route), Some(user)) = (&mut host.route, self.users.get(&at)) {
                    route.user = Some(user.clone());
                }
                host
            }
        }
    }
}
