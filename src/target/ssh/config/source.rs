//! The files, read once with everything they include.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigError,
    condition::Condition,
    glob,
    keyword::{Key, Kind},
    line,
    surroundings::Surroundings,
    value,
};
use crate::vocab::text::printable;

/// What one file may hold; a larger one is not a configuration.
const FILE_LIMIT: u64 = 4 << 20;
/// How many files may be read in all, and how deep they may include each other.
const FILES_LIMIT: usize = 4096;
const DEPTH_LIMIT: usize = 16;

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    pub file: Arc<Path>,
    /// From `/etc`, so a default of the site and not this user's wish.
    pub system: bool,
    pub entries: Vec<Entry>,
}

impl Source {
    /// Whether resolving by it may run a command or look a name up.
    pub(super) fn may_wait(&self) -> bool {
        self.entries.iter().any(|entry| match &entry.item {
            Item::Match(condition) => condition.runs_a_command(),
            Item::Include(sources) => sources.iter().any(Self::may_wait),
            // What they hold is not known before.
            Item::IncludeFor(_) => true,
            Item::Set(key, _) => *key == Key::CanonicalizeHostname,
            Item::Host(_) | Item::Unknown(_) => false,
        })
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub line: usize,
    pub item: Item,
}

#[derive(Debug)]
pub(super) enum Item {
    Host(Vec<String>),
    Match(Condition),
    /// The files that were found for it.
    Include(Vec<Source>),
    /// A pattern with tokens: which files it stands for depends on the host.
    IncludeFor(String),
    Set(Key, Vec<String>),
    /// Wrong, unless `IgnoreUnknown` above it names the keyword.
    Unknown(String),
}

/// Reads files and counts them.
pub(super) struct Reader<'a> {
    pub around: &'a Surroundings,
    pub system: bool,
    pub files: usize,
    /// An `IgnoreUnknown` was seen, so an unknown keyword is judged for each host.
    pub ignores: bool,
    /// The first unknown keyword.
    pub unknown: Option<ConfigError>,
}

impl<'a> Reader<'a> {
    pub fn new(around: &'a Surroundings) -> Self {
        Self { around, system: false, files: 0, ignores: false, unknown: None }
    }

    /// Reads one file; `None` if there is none. `guarded` is one that nobody else may have written.
    pub fn file(&mut self, file: &Path, depth: usize, guarded: bool) -> Result<Option<Source>, ConfigError> {
        let Some(text) = self.text(file, guarded)? else { return Ok(None) };
        let path: Arc<Path> = Arc::from(file);
        let mut entries = Vec::new();
        for (index, text) in text.split('\n').enumerate() {
            let number = index + 1;
            let bad = |what| ConfigError::Line { file: file.to_owned(), line: number, what };
            let Some(line) = line::split(text).map_err(bad)? else { continue };
            let Some(key) = Key::named(&line.keyword) else {
                let keyword = line.keyword;
                if self.unknown.is_none() {
                    self.unknown = Some(bad(unknown(&keyword)));
                }
                entries.push(Entry { line: number, item: Item::Unknown(keyword) });
                continue;
            };
            let item = match key {
                Key::Host if line.args.iter().any(String::is_empty) => {
                    return Err(bad("host: an argument is empty".into()));
                }
                Key::Host => Item::Host(line.args),
                Key::Match => Item::Match(Condition::parse(&line).map_err(|error| bad(format!("match: {error}")))?),
                Key::Include => {
                    for pattern in &line.args {
                        let item = self.include(pattern, depth, &bad)?;
                        entries.push(Entry { line: number, item });
                    }
                    continue;
                }
                key => {
                    self.ignores |= key == Key::IgnoreUnknown;
                    let words = value::read(key, &line, self.around).map_err(bad)?;
                    if words.is_empty() || matches!(key.about().kind, Kind::Nothing) {
                        continue;
                    }
                    Item::Set(key, words)
                }
            };
            entries.push(Entry { line: number, item });
        }
        Ok(Some(Source { file: path, system: self.system, entries }))
    }

    fn include(
        &mut self,
        pattern: &str,
        depth: usize,
        bad: &dyn Fn(String) -> ConfigError,
    ) -> Result<Item, ConfigError> {
        if pattern.is_empty() {
            return Err(bad("include: an argument is empty".to_owned()));
        }
        if pattern.contains('%') {
            return Ok(Item::IncludeFor(pattern.to_owned()));
        }
        // Before 10.0, ssh took a variable as it stands; a file of such a name is not meant.
        let pattern =
            if pattern.contains("${") { self.around.variables(pattern).map_err(bad)? } else { pattern.to_owned() };
        self.included(&pattern, depth, bad).map(Item::Include)
    }

    /// The files that a pattern of an `Include` stands for, in order; none is fine.
    pub fn included(
        &mut self,
        pattern: &str,
        depth: usize,
        bad: &dyn Fn(String) -> ConfigError,
    ) -> Result<Vec<Source>, ConfigError> {
        let whole = match pattern.as_bytes() {
            [b'~', ..] if self.system => {
                return Err(bad(format!("include: {pattern}: a file of the system names nobody's home")));
            }
            // A user that is not there has no files.
            [b'~', ..] => match self.around.tilde(pattern) {
                Ok(whole) => PathBuf::from(whole),
                Err(_) => return Ok(Vec::new()),
            },
            [b'/', ..] => PathBuf::from(pattern),
            _ if self.system => self.around.system.join(pattern),
            _ => self.around.home.join(".ssh").join(pattern),
        };
        let mut sources = Vec::new();
        for path in glob::expand(&whole) {
            if depth >= DEPTH_LIMIT || self.files >= FILES_LIMIT {
                return Err(bad("include: too many or too deeply nested files; does one include itself?".to_owned()));
            }
            sources.extend(self.file(&path, depth + 1, true)?);
        }
        Ok(sources)
    }

    fn text(&mut self, file: &Path, guarded: bool) -> Result<Option<String>, ConfigError> {
        self.files += 1;
        let failed = |what: String| ConfigError::File { file: file.to_owned(), what };
        // `-F <(…)` is a pipe that somebody writes to; any other would be waited for in vain.
        if guarded && file.metadata().is_ok_and(|about| about.file_type().is_fifo()) {
            return Err(failed("it is a pipe".to_owned()));
        }
        let opened = match fs::File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let about = opened.metadata().map_err(|error| failed(error.to_string()))?;
        if guarded && !is_own(&about, self.around.uid) {
            return Err(failed(
                "bad owner or permissions: it must belong to you or root, and nobody else may write it (chmod go-w)"
                    .to_owned(),
            ));
        }
        if about.is_dir() {
            return Ok(Some(String::new()));
        }
        let mut bytes = Vec::new();
        opened.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(failed("it is too large for a configuration".to_owned()));
        }
        // A comment may be in any encoding; names and paths that are not UTF-8 will simply not match.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

pub(super) fn unknown(keyword: &str) -> String {
    let keyword = printable(keyword);
    format!("bad configuration option \"{keyword}\"; correct it, or name it in IgnoreUnknown above")
}

/// Whether a file belongs to root or to `uid` and cannot be written by anybody else.
fn is_own(about: &fs::Metadata, uid: u32) -> bool {
    let owned = about.uid() == 0 || about.uid() == uid;
    if !owned || about.mode() & 0o002 != 0 {
        return false;
    }
    about.mode() & 0o020 == 0 || is_private_group(about.gid(), about.uid(), uid)
}

/// Whether a group has one member only: the user.
fn is_private_group(gid: u32, owner: u32, uid: u32) -> bool {
    let Ok(Some(group)) = nix::unistd::Group::from_gid(gid.into()) else { return false };
    let Ok(Some(owner)) = nix::unistd::User::from_uid(owner.into()) else { return false };
    let mut members = 0;
    // Whose first group it is, is known from the list of users only.
    for line in fs::read_to_string("/etc/passwd").unwrap_or_default().lines() {
        let mut fields = line.split(':').skip(2);
        let (user, first) = (fields.next(), fields.next());
        if first.and_then(|g| g.parse().ok()) == Some(gid) {
            members += 1;
            if user.and_then(|u| u.parse().ok()) != Some(uid) {
                return false;
            }
        }
    }
    match &group.mem[..] {
        [] => members > 0,
        [only] => *only == owner.name,
        _ => false,
    }
}
