//! What was found for one host, keyword by keyword, with where it stands.

use std::{fmt, path::Path, sync::Arc};

use super::{
    ConfigError,
    keyword::{Key, Kind},
    surroundings::Surroundings,
    tokens::{self, Values},
};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File {
        file: Arc<Path>,
        line: usize,
    },
    /// The inventory, with its own `file:line`.
    Inventory(Arc<str>),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Inventory(place) => write!(f, "inventory {place}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// An error about a value from here.
    pub(super) fn error(&self, what: String) -> ConfigError {
        match self {
            Self::File { file, line } => ConfigError::Line { file: file.to_path_buf(), line: *line, what },
            Self::Inventory(origin) => ConfigError::Inventory { origin: origin.to_string(), what },
            Self::Default => ConfigError::Default { what },
        }
    }
}

/// One value, in the form in which `ssh -G` prints it, word by word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub words: Vec<String>,
    pub origin: Origin,
    /// From the system's files.
    pub(super) system: bool,
}

impl Found {
    /// The first word.
    pub fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// Everything that was found for one host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As it was asked for.
    pub name: String,
    /// What is connected to, in its final form.
    pub host_name: String,
    pub(super) found: Vec<Vec<Found>>,
    pub(super) values: Values,
    pub(super) around: Arc<Surroundings>,
}

impl Settings {
    pub(super) fn new(name: &str, around: Arc<Surroundings>) -> Self {
        Self {
            name: name.to_owned(),
            host_name: name.to_owned(),
            found: vec![Vec::new(); Key::COUNT],
            values: Values::default(),
            around,
        }
    }

    /// What was said about a keyword; empty if nothing was.
    pub fn get(&self, key: Key) -> &[Found] {
        &self.found[key as usize]
    }

    /// The first word that was said about a keyword, or that is its default.
    pub fn word(&self, key: Key) -> Option<&str> {
        let said = self.get(key).first().map(Found::word);
        said.or_else(|| key.about().default.first().copied())
    }

    pub(super) fn is(&self, key: Key, word: &str) -> bool {
        self.word(key) == Some(word)
    }

    pub(super) fn said(&self, key: Key) -> bool {
        !self.get(key).is_empty()
    }

    /// Whether a keyword names something other than `none`.
    pub(super) fn some(&self, key: Key) -> Option<&Found> {
        self.get(key).first().filter(|found| !found.word().eq_ignore_ascii_case("none"))
    }

    /// A number that the reader of the files has checked.
    pub(super) fn number<N: std::str::FromStr + Default>(&self, key: Key) -> N {
        self.word(key).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// A word with home, tokens and variables put in, as far as the keyword has them.
    ///
    /// # Errors
    /// What cannot be put in.
    pub(super) fn expanded(&self, key: Key, word: &str) -> Result<String, String> {
        let about = key.about();
        let whole = if about.expand.tilde { self.around.tilde(word)? } else { word.to_owned() };
        let scope = about.expand.tokens.map(|tokens| self.values.scope(tokens, &self.around));
        tokens::expand(&whole, scope.as_ref(), about.expand.env.then_some(&self.around.env))
    }

    /// The lines that `ssh -G` would print, in the table's order, each with its origin.
    pub fn report(&self) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        let mut add = |key: Key, value: String, origin: &Origin| {
            let about = key.about();
            let several = about.kind.is_lines();
            entries.push(Entry { key, keyword: about.name, value, origin: origin.clone(), several });
        };
        for key in Key::all() {
            let about = key.about();
            let found = self.get(key);
            let silenced = match key {
                Key::ProxyCommand => self.some(Key::ProxyJump).is_some(),
                Key::LocalForward | Key::RemoteForward | Key::DynamicForward => {
                    self.is(Key::ClearAllForwardings, "yes")
                }
                _ => false,
            };
            if silenced || matches!(about.kind, Kind::Structure | Kind::Nothing) {
                continue;
            }
            match found {
                [] => {
                    let lines: Vec<String> = match key {
                        Key::Hostname => vec![self.host_name.clone()],
                        Key::User => vec![self.values.user.clone()],
                        _ => self.default_of(key),
                    };
                    lines.into_iter().for_each(|line| add(key, line, &Origin::Default));
                }
                found => {
                    for found in found {
                        let text = match key {
                            Key::Hostname => self.host_name.clone(),
                            Key::Tunnel if self.is(Key::ClearAllForwardings, "yes") => "false".to_owned(),
                            Key::UpdateHostKeys if self.asks_in_vain() => "false".to_owned(),
                            Key::HostKeyAlias => found.word().to_ascii_lowercase(),
                            Key::RekeyLimit if found.words.len() == 1 => format!("{} 0", found.word()),
                            _ => found.words.join(" "),
                        };
                        if about.none_is_unset && text.eq_ignore_ascii_case("none") {
                            continue;
                        }
                        add(key, text, &found.origin);
                    }
                }
            }
        }
        entries
    }

    /// The default of a keyword that nothing was said about, line by line.
    fn default_of(&self, key: Key) -> Vec<String> {
        let about = key.about();
        match key {
            Key::ServerAliveInterval if self.is(Key::BatchMode, "yes") => vec!["300".to_owned()],
            Key::UpdateHostKeys => {
                let known_elsewhere = self.said(Key::UserKnownHostsFile) || !self.is(Key::VerifyHostKeyDns, "false");
                vec![if known_elsewhere { "false" } else { "true" }.to_owned()]
            }
            Key::UserKnownHostsFile => {
                let home = self.around.home.to_string_lossy();
                vec![about.default.iter().map(|f| f.replacen('~', &home, 1)).collect::<Vec<_>>().join(" ")]
            }
            _ if about.kind.is_lines() => about.default.iter().map(|line| (*line).to_owned()).collect(),
            _ if about.default.is_empty() => Vec::new(),
            _ => vec![about.default.join(" ")],
        }
    }

    /// `UpdateHostKeys ask`, where `ssh` could not ask.
    fn asks_in_vain(&self) -> bool {
        self.is(Key::UpdateHostKeys, "ask")
            && ((!self.is(Key::ControlPersist, "no") && self.some(Key::ControlPath).is_some())
                || self.some(Key::RemoteCommand).is_some()
                || self.is(Key::RequestTty, "false")
                || ["SILENT", "FATAL", "ERROR"].iter().any(|level| self.is(Key::LogLevel, level)))
    }
}

/// One line of `ssh -G`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: Key,
    pub keyword: &'a str,
    pub value: String,
    pub origin: Origin,
    /// The keyword may have any number of lines.
    pub several: bool,
}
