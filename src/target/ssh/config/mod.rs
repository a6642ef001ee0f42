//! `~/.ssh/config` and the system's file, read as OpenSSH reads them.
//!
//! # Theory of operation
//! The files are read once, with everything they include, into a tree of checked directives. Resolving a host walks that
//! tree in order and keeps the first value of each setting (identities add up). A `Match` whose conditions cannot be
//! decided here makes the lines below it *perhaps* active: harmless ones are passed over, one that matters is an error,
//! because guessing either way could connect to the wrong place or trust the wrong key.

mod directive;
mod line;
mod resolve;
mod resolved;

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use directive::Directive;
pub use resolve::Defaults;
pub use resolved::{
    AlgorithmList, Algorithms, Alive, Family, Hop, Method, Resolved, Route, Source as BindSource, Strict,
};

use super::pattern;

/// Where the system's own file lies.
const SYSTEM_CONFIG: &str = "/etc/ssh/ssh_config";
/// What one file may hold; a larger one is not a configuration.
const FILE_LIMIT: u64 = 1 << 20;
/// How many files may be read in all, and how deep they may include each other.
const FILES_LIMIT: usize = 512;
const DEPTH_LIMIT: usize = 16;

/// Everything that the ssh_config files say.
#[derive(Debug, Clone, Default)]
pub struct SshConfig {
    home: PathBuf,
    sources: Vec<Source>,
}

/// What is wrong with the configuration, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{}:{line}: {what}", file.display())]
    Line { file: PathBuf, line: usize, what: String },
    #[error("cannot read {}: {what}", file.display())]
    File { file: PathBuf, what: String },
    /// The inventory, not ssh_config, asks for it.
    #[error("{origin}: {what}")]
    Inventory { origin: String, what: String },
}

/// One file.
#[derive(Debug, Clone)]
struct Source {
    file: PathBuf,
    /// From /etc, so a default of the site and not this user's wish.
    system: bool,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    line: usize,
    directive: Directive,
    /// The files that an `Include` stands for.
    included: Vec<Source>,
}

impl SshConfig {
    /// Reads `user` alone (as `ssh -F`; `none` reads nothing), or else `~/.ssh/config` and the system's file.
    ///
    /// # Errors
    /// A file that cannot be read or understood; one of the two standard files may be missing.
    pub fn load(user: Option<&Path>, home: &Path) -> Result<Self, ConfigError> {
        match user {
            Some(file) if file == Path::new("none") => Ok(Self { home: home.to_owned(), sources: Vec::new() }),
            Some(file) => Self::read(&[(file, false, true)], home),
            None => {
                Self::read(&[(&home.join(".ssh/config"), false, false), (Path::new(SYSTEM_CONFIG), true, false)], home)
            }
        }
    }

    /// Reads `(file, system, required)` in order.
    fn read(files: &[(&Path, bool, bool)], home: &Path) -> Result<Self, ConfigError> {
        let mut sources = Vec::new();
        for &(file, system, required) in files {
            let mut reader = Reader { home, system, ignored: Vec::new(), files: 0 };
            match reader.file(file, 0) {
                Ok(Some(source)) => sources.push(source),
                Ok(None) if required => {
                    return Err(ConfigError::File { file: file.to_owned(), what: "no such file".into() });
                }
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { home: home.to_owned(), sources })
    }

    /// Whether `name` stands in a `Host` line as it is, without a wildcard: a host that may be named without an inventory.
    pub fn is_concrete_host(&self, name: &str) -> bool {
        fn anywhere(sources: &[Source], name: &str) -> bool {
            sources.iter().flat_map(|source| &source.entries).any(|entry| match &entry.directive {
                Directive::Host(patterns) => patterns.iter().any(|p| p == name && pattern::is_literal(p)),
                _ => anywhere(&entry.included, name),
            })
        }
        anywhere(&self.sources, name)
    }
}

struct Reader<'a> {
    home: &'a Path,
    system: bool,
    /// `IgnoreUnknown`, as far as it was read.
    ignored: Vec<String>,
    files: usize,
}

impl Reader<'_> {
    fn file(&mut self, file: &Path, depth: usize) -> Result<Option<Source>, ConfigError> {
        let Some(text) = self.text(file)? else { return Ok(None) };
        let mut entries = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            let bad = |what| ConfigError::Line { file: file.to_owned(), line, what };
            let Some((keyword, args)) = line::split(text).map_err(bad)? else { continue };
            let Some(directive) = directive::parse(&keyword, args).map_err(bad)? else {
                if pattern::list_fits(self.ignored.iter().map(String::as_str), &keyword) {
                    continue;
                }
                let keyword = crate::vocab::text::printable(&keyword).into_owned();
                return Err(bad(format!(
                    "bad configuration option \"{keyword}\"; correct it, or name it in IgnoreUnknown above"
                )));
            };
            let mut included = Vec::new();
            match &directive {
                Directive::IgnoreUnknown(patterns) => {
                    self.ignored.extend(patterns.iter().map(|p| p.to_ascii_lowercase()));
                }
                Directive::Include(patterns) => {
                    for pattern in patterns {
                        for path in self.expand(pattern).map_err(bad)? {
                            if depth >= DEPTH_LIMIT || self.files >= FILES_LIMIT {
                                return Err(bad("too many or too deeply nested includes".to_owned()));
                            }
                            included.extend(self.file(&path, depth + 1)?);
                        }
                    }
                }
                _ => {}
            }
            entries.push(Entry { line, directive, included });
        }
        Ok(Some(Source { file: file.to_owned(), system: self.system, entries }))
    }

    fn text(&mut self, file: &Path) -> Result<Option<String>, ConfigError> {
        self.files += 1;
        let failed = |what: String| ConfigError::File { file: file.to_owned(), what };
        let opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut bytes = Vec::new();
        opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(failed("it is too large for a configuration".to_owned()));
        }
        // A comment may be in any encoding; names and paths that are not UTF-8 will simply not match.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The files that a pattern of an `Include` stands for, in order; none is fine.
    fn expand(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        if pattern.contains('[') || pattern.contains("${") {
            return Err(format!("\"Include {pattern}\" is not supported: of wildcards only * and ? are"));
        }
        let absolute = match pattern.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None if pattern.starts_with('~') => {
                return Err(format!("\"Include {pattern}\" is not supported: write the whole path"));
            }
            None if self.system => Path::new("/etc/ssh").join(pattern),
            None => self.home.join(".ssh").join(pattern),
        };
        let mut found = vec![PathBuf::new()];
        for part in absolute.components() {
            let part = part.as_os_str();
            let Some(wild) = part.to_str().filter(|p| p.contains(['*', '?'])) else {
                found.iter_mut().for_each(|path| path.push(part));
                continue;
            };
            let mut next = Vec::new();
            for folder in &found {
                let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
                let fitting = names.filter(|name| {
                    name.to_str().is_some_and(|n| n.starts_with('.') == wild.starts_with('.') && pattern::fits(wild, n))
                });
                next.extend(fitting.map(|name| folder.join(name)));
            }
            next.sort();
            found = next;
        }
        found.retain(|path| path.exists());
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
