//! What a file may say: `[defaults]`, `[hosts.NAME]` and `[groups.NAME]`, read but not yet joined.

use std::{collections::BTreeMap, path::Path, path::PathBuf, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{
    defaults::Defaults,
    document::{Document, Place, Problems},
    grammar,
    pattern::Pattern,
    section::Section,
    suggest::{bare, quoted},
};
use crate::vocab::{WorkerId, parse_duration};

/// The most bytes that one `env` may have: it is copied to every host it is for.
const MOST_ENV: usize = 16 << 10;

/// What hosts and groups can both say.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub workers: Option<Vec<WorkerId>>,
    pub optional: Option<bool>,
    pub env: BTreeMap<String, String>,
    pub connect_timeout: Option<Duration>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub identity: Option<Vec<PathBuf>>,
    pub jump: Option<String>,
}

impl Options {
    /// Lays what `other` says over what is here; only `env` is merged key by key.
    pub fn overlay(&mut self, other: &Self) {
        fn over<T: Clone>(here: &mut Option<T>, other: &Option<T>) {
            if other.is_some() {
                here.clone_from(other);
            }
        }
        over(&mut self.workers, &other.workers);
        over(&mut self.optional, &other.optional);
        over(&mut self.connect_timeout, &other.connect_timeout);
        over(&mut self.user, &other.user);
        over(&mut self.port, &other.port);
        over(&mut self.identity, &other.identity);
        over(&mut self.jump, &other.jump);
        self.env.extend(other.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// A `[hosts.NAME]`, its ranges not yet expanded.
#[derive(Debug)]
pub(super) struct HostEntry {
    pub place: Place,
    pub name: String,
    /// In the order in which they are laid over each other.
    pub groups: Vec<String>,
    pub address: Option<(Place, String)>,
    pub local: bool,
    pub options: Options,
}

/// A `[groups.NAME]`.
#[derive(Debug)]
pub(super) struct GroupEntry {
    pub place: Place,
    pub name: String,
    pub options: Options,
}

/// A `[defaults]`, with the place of each key that is set.
#[derive(Debug, Default)]
pub(super) struct DefaultsEntry {
    pub places: Vec<(&'static str, Place)>,
    pub values: Defaults,
    pub user: Option<String>,
    pub identity: Option<Vec<PathBuf>>,
}

/// Everything that one file says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub hosts: Vec<HostEntry>,
    pub groups: Vec<GroupEntry>,
    pub defaults: DefaultsEntry,
}

/// Reads one parsed file; `~` in it is `home`.
pub(super) fn read<'d>(doc: &'d Document, table: &'d DeTable<'d>, home: &Path, problems: &mut Problems) -> Said {
    let mut top = Section::new(doc, table, "the inventory");
    let mut said = Said::default();
    if let Some((place, value)) = top.take("defaults") {
        let section = Section::of(doc, &place, value, "defaults".into(), problems);
        said.defaults = section.map(|section| defaults(section, home, problems)).unwrap_or_default();
    }
    for (place, name, value) in top.entries("hosts", problems) {
        if let Some(section) = Section::of(doc, &place, value, format!("host {}", bare(name)), problems) {
            said.hosts.push(host(section, place, name, home, problems));
        }
    }
    for (place, name, value) in top.entries("groups", problems) {
        if let Err(why) = grammar::group(name) {
            problems.add(&place, format!("group {} {why}", quoted(name)));
        }
        if let Some(mut section) = Section::of(doc, &place, value, format!("group {}", bare(name)), problems) {
            let options = options(&mut section, home, problems);
            section.finish(problems);
            said.groups.push(GroupEntry { place, name: name.to_owned(), options });
        }
    }
    top.finish(problems);
    said
}

fn host(mut section: Section<'_>, place: Place, name: &str, home: &Path, problems: &mut Problems) -> HostEntry {
    let address_place = section.take("address").map(|(place, _)| place);
    // The name `local` is the controller, whether the entry says so or not.
    let local = section.flag("local", problems).unwrap_or(name == "local");
    let address = section.text("address", problems, |text| Ok::<_, String>(text.to_owned()));
    let groups = section.texts("groups", "group", problems, |text| grammar::group(text).map(|()| text.to_owned()));
    if name == "local" && !local {
        problems.add(&place, "the name local is kept for the controller itself; give this host another one");
    }
    if local {
        for key in ["address", "port", "user", "identity", "jump"] {
            if let Some((place, _)) = section.take(key) {
                let what = section.what();
                problems.add(&place, format!("{key} in {what} has no meaning: it is the controller itself"));
            }
        }
    }
    let options = options(&mut section, home, problems);
    section.finish(problems);
    HostEntry {
        place,
        name: name.to_owned(),
        groups: groups.unwrap_or_default(),
        address: address_place.zip(address),
        local,
        options,
    }
}

fn options(section: &mut Section<'_>, home: &Path, problems: &mut Problems) -> Options {
    Options {
        workers: section.texts("workers", "worker", problems, |id| WorkerId::new(id).map_err(|error| error.why)),
        optional: section.flag("optional", problems),
        env: env(section, problems),
        connect_timeout: duration(section, "connect_timeout", problems),
        user: user(section, problems),
        port: section.number("port", 1, u16::MAX.into(), problems).and_then(|port| port.try_into().ok()),
        identity: identity(section, home, problems),
        jump: section.text("jump", problems, |text| grammar::jump(text).map(|()| text.to_owned())),
    }
}

fn defaults(mut section: Section<'_>, home: &Path, problems: &mut Problems) -> DefaultsEntry {
    let places = Defaults::KEYS.iter().filter_map(|key| section.take(key).map(|(place, _)| (*key, place))).collect();
    let count = |number: Option<u64>| number.and_then(|n| usize::try_from(n).ok());
    let read = DefaultsEntry {
        places,
        user: user(&mut section, problems),
        identity: identity(&mut section, home, problems),
        values: Defaults {
            hosts: section.text("hosts", problems, Pattern::parse),
            hosts_place: None,
            connect_timeout: duration(&mut section, "connect_timeout", problems),
            step_timeout: duration(&mut section, "step_timeout", problems),
            install_timeout: duration(&mut section, "install_timeout", problems),
            build_idle: duration(&mut section, "build_idle", problems),
            timeout: duration(&mut section, "timeout", problems),
            grace: section.text("grace", problems, |text| parse_duration(text).map_err(|error| error.why)),
            lease: duration(&mut section, "lease", problems),
            forks: count(section.number("forks", 1, 10_000, problems)),
            max_fail: count(section.number("max_fail", 1, 10_000, problems)),
        },
    };
    section.finish(problems);
    read
}

/// A limit; none at all is not one.
fn duration(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Option<Duration> {
    section.text(key, problems, |text| match parse_duration(text) {
        Ok(limit) if limit.is_zero() => Err("must be longer than nothing"),
        Ok(limit) => Ok(limit),
        Err(error) => Err(error.why),
    })
}

fn user(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    section.text("user", problems, |text| grammar::user(text).map(|()| text.to_owned()))
}

fn identity(section: &mut Section<'_>, home: &Path, problems: &mut Problems) -> Option<Vec<PathBuf>> {
    let folder = section.doc().folder();
    let check = |text: &str| grammar::identity(text, home, folder);
    match section.take("identity")? {
        (_, DeValue::Array(_)) => section.texts("identity", "identity", problems, check),
        (_, DeValue::String(_)) => section.text("identity", problems, check).map(|path| vec![path]),
        (place, other) => section.mistyped(&place, "identity", "a string or a list of strings", other, problems),
    }
}

fn env(section: &mut Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut size = 0;
    for (place, name, value) in section.entries("env", problems) {
        section.checked(&place, "env", name, problems, grammar::variable);
        match value {
            DeValue::String(text) if text.contains('\0') => {
                problems.add(&place, format!("env {} in {} has a NUL in its value", bare(name), section.what()));
            }
            DeValue::String(text) => {
                size += name.len() + text.len();
                env.insert(name.to_owned(), text.clone().into_owned());
            }
            other => {
                section.mistyped::<()>(&place, &format!("env {}", bare(name)), "a string", other, problems);
            }
        }
        if size > MOST_ENV {
            let what = section.what();
            problems.add(&place, format!("env in {what} holds more than {} KiB", MOST_ENV >> 10));
            break;
        }
    }
    env
}
