//! Inventories of others, as one of ours.
//!
//! # Theory of operation
//! A reader gathers a [`Draft`]: hosts with the few things that an inventory says of them. [`Draft::finish`] checks each by
//! the grammar that our own files are read with, so that what is printed can be read back, and keeps a line for
//! everything that it leaves out.

mod ansible;
mod ini;
mod yaml;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
};

pub use self::ansible::{ImportError, ansible};
use super::grammar;
use crate::vocab::HostName;

/// An inventory in the making.
#[derive(Debug, Default)]
pub struct Draft {
    pub hosts: Vec<DraftHost>,
    left_out: Vec<String>,
}

/// A host as it was written down elsewhere; nothing of it is checked yet.
#[derive(Debug, Default, Clone)]
pub struct DraftHost {
    pub name: String,
    pub groups: Vec<String>,
    /// It is the controller itself.
    pub local: bool,
    pub address: Option<String>,
    pub port: Option<String>,
    pub user: Option<String>,
    pub identity: Vec<String>,
    pub jump: Option<String>,
}

impl DraftHost {
    /// A host that only has a name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Draft {
    /// Notes something that cannot be carried over.
    pub fn leave_out(&mut self, line: String) {
        self.left_out.push(line);
    }

    /// The inventory's text, and a line for everything that is not in it.
    pub fn finish(self) -> (String, Vec<String>) {
        let Self { hosts, mut left_out } = self;
        let mut text = String::new();
        let mut seen = BTreeSet::new();
        let mut local = false;
        for host in hosts {
            let name = &host.name;
            let mut leave = |what: &str, value: &str, why: String| {
                left_out.push(format!("host {name}: {what} {value:?} {why}, and is left out"));
            };
            if let Err(error) = HostName::new(name) {
                leave("its name", name, error.why.to_owned());
                continue;
            }
            if !seen.insert(name.clone()) || (host.local && std::mem::replace(&mut local, true)) {
                leave("its name", name, "stands for a host that is there already".to_owned());
                continue;
            }
            if name == "local" && !host.local {
                leave("its name", name, "is kept for the controller itself".to_owned());
                continue;
            }
            let _ = writeln!(text, "{}[hosts.{}]", if text.is_empty() { "" } else { "\n" }, key(name));
            let mut groups = Vec::new();
            for group in &host.groups {
                match grammar::group(group) {
                    Ok(()) if groups.len() < 64 => groups.push(string(group)),
                    Ok(()) => leave("group", group, "is one too many".to_owned()),
                    Err(why) => leave("group", group, why),
                }
            }
            if !groups.is_empty() {
                let _ = writeln!(text, "groups = [{}]", groups.join(", "));
            }
            if host.local {
                text += "local = true\n";
                continue;
            }
            let mut one = |what: &str, value: &Option<String>, check: &dyn Fn(&str) -> Result<(), String>| {
                let value = value.as_deref()?;
                match check(value) {
                    Ok(()) => Some(value.to_owned()),
                    Err(why) => {
                        leave(what, value, why);
                        None
                    }
                }
            };
            let number = |port: &str| match port.parse::<u16>() {
                Ok(1..) => Ok(()),
                _ => Err("is no port".to_owned()),
            };
            if let Some(address) = one("address", &host.address, &grammar::address).filter(|address| address != name) {
                let _ = writeln!(text, "address = {}", string(&address));
            }
            if let Some(port) = one("port", &host.port, &number) {
                let _ = writeln!(text, "port = {}", port.parse::<u16>().unwrap_or(22));
            }
            if let Some(user) = one("user", &host.user, &grammar::user) {
                let _ = writeln!(text, "user = {}", string(&user));
            }
            if let Some(jump) = one("jump", &host.jump, &grammar::jump) {
                let _ = writeln!(text, "jump = {}", string(&jump));
            }
            let file = |file: &str| {
                if file.contains(['%', '$']) {
                    return Err("has a token or a variable".to_owned());
                }
                grammar::identity(file, Path::new("/"), Path::new("/")).map(drop)
            };
            let identity: Vec<String> =
                host.identity.iter().filter_map(|path| one("identity", &Some(path.clone()), &file)).collect();
            if !identity.is_empty() {
                let _ = writeln!(
                    text,
                    "identity = [{}]",
                    identity.iter().map(|f| string(f)).collect::<Vec<_>>().join(", ")
                );
            }
        }
        (text, left_out)
    }
}

fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn key(name: &str) -> String {
    let bare = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { string(name) }
}

/// The most that a foreign file may hold.
const MOST_BYTES: u64 = 4 << 20;

fn read(path: &Path) -> Result<String, ImportError> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| ImportError::Unreadable(error.to_string());
    let mut text = String::new();
    let file = std::fs::File::open(PathBuf::from(path)).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(ImportError::Unreadable(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(text)
}
