//! Takes a tar stream of packages apart, believing nothing of it.
//!
//! # Theory of operation
//! Links are data: they are made last, as they are, so that nothing can be written through one. Every path must begin
//! with a package's name and go down only; folders are 0700 until everything is in them, and get their modes and times
//! at the end. What is neither file, folder nor link is refused, and so is what is too much.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    },
    path::{Component, Path, PathBuf},
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::TimeSpec,
};
use tar::{Archive, Entry, EntryType};

use crate::vocab::text::{human_bytes, printable};

/// Bytes of a name that does not fit into a header, or of what is said beside one.
const EXTENSION: u64 = 1 << 16;

/// More than what any tar writes behind the end of an archive.
const PADDING: u64 = 1 << 20;

/// How much is taken, and how.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// All files together, in bytes.
    pub bytes: u64,
    /// Files, folders and links together.
    pub entries: usize,
    /// Keep the bits that let a program run as its owner, who is here somebody else than there.
    pub keep_set_id: bool,
}

impl Rules {
    /// For packages of this machine, or of a host.
    pub const fn new(local: bool) -> Self {
        Self { bytes: 32 << 30, entries: 1_000_000, keep_set_id: local }
    }
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// The packages' own folders, whose modes and times are still to be set.
    pub tops: Vec<Top>,
    pub files: usize,
    pub bytes: u64,
    /// Files that lost a bit that let them run as their owner.
    pub without_set_id: Vec<String>,
}

/// A package's folder: a folder that may not be written to could not be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    pub name: String,
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Why a stream is no packages'.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("cannot write {path}: {error}")]
    Write { path: String, error: io::Error },
    #[error("the archive of the packages is cut off or broken: {0}")]
    Broken(io::Error),
    #[error("the packages hold {path:?}, which leads out of them")]
    Escape { path: String },
    #[error("the packages hold {path:?}, a link to {to:?}, which is no file in them")]
    HardLink { path: String, to: String },
    #[error("the packages hold {path:?}, which is a {what}; only files, folders and links are taken")]
    Special { path: String, what: &'static str },
    #[error("the packages hold {path:?} twice")]
    Twice { path: String },
    #[error("the packages have more than {}", human_bytes(*.0))]
    TooLarge(u64),
    #[error("the packages have more than {0} files")]
    TooMany(usize),
    #[error("the package {0} is missing in the archive")]
    Missing(String),
}

/// Reads a stream to its end, and makes what it holds below `root`.
///
/// # Errors
/// The first thing that has no place in a package; what was made until then stays for the caller to remove.
pub fn unpack(stream: impl Read, root: &Path, names: &[String], rules: &Rules) -> Result<Unpacked, UnpackError> {
    let mut work = Work {
        root,
        names,
        rules,
        links: BTreeMap::new(),
        folders: BTreeMap::new(),
        files: BTreeSet::new(),
        done: Unpacked::default(),
    };
    let mut archive = Archive::new(stream);
    let (mut long_path, mut long_link, mut records) = (None, None, BTreeMap::new());
    let mut count = 0;
    for entry in archive.entries().map_err(UnpackError::Broken)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Broken)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => long_path = Some(text(&mut entry)?),
            EntryType::GNULongLink => long_link = Some(text(&mut entry)?),
            EntryType::XHeader => records = pax(&mut entry)?,
            // Holds for all that comes, and has nothing that matters here.
            EntryType::XGlobalHeader => drop(pax(&mut entry)?),
            _ => {
                count += 1;
                if count > rules.entries {
                    return Err(UnpackError::TooMany(rules.entries));
                }
                let header = entry.header();
                let path =
                    records.remove("path").or(long_path.take()).unwrap_or_else(|| header.path_bytes().into_owned());
                let link = records.remove("linkpath").or(long_link.take());
                let link = link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                let time = records.remove("mtime").and_then(|text| seconds(&text));
                records.clear();
                work.entry(&mut entry, &path, link.as_deref().unwrap_or_default(), time)?;
            }
        }
    }
    // What pads the archive must be read, too; whoever writes it would get an error else.
    let padding = io::copy(&mut archive.into_inner().take(PADDING), &mut io::sink()).map_err(UnpackError::Broken)?;
    if padding == PADDING {
        return Err(UnpackError::Broken(io::Error::other("it goes on behind its end")));
    }
    work.finish()
}

/// What an entry says beside another one; more than a name is not even read.
fn text(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, UnpackError> {
    if entry.size() > EXTENSION {
        return Err(UnpackError::Broken(io::Error::other("a name in it is too long")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(UnpackError::Broken)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// The records of a POSIX header: "LENGTH KEY=VALUE\n".
fn pax(entry: &mut Entry<'_, impl Read>) -> Result<BTreeMap<&'static str, Vec<u8>>, UnpackError> {
    let bytes = text(entry)?;
    let broken = |what: &str| UnpackError::Broken(io::Error::other(what.to_owned()));
    let mut records = BTreeMap::new();
    let mut rest = &bytes[..];
    while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|text| text.parse::<usize>().ok());
        let record = length.and_then(|length| rest.get(blank + 1..length));
        let (Some(length), Some(record)) = (length, record) else { return Err(broken("a header in it is garbled")) };
        rest = &rest[length..];
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let Some(equals) = record.iter().position(|byte| *byte == b'=') else { continue };
        let value = record[equals + 1..].to_vec();
        match &record[..equals] {
            b"path" => drop(records.insert("path", value)),
            b"linkpath" => drop(records.insert("linkpath", value)),
            b"mtime" => drop(records.insert("mtime", value)),
            b"size" => return Err(broken("a file in it has more than 8 GB")),
            _ => {}
        }
    }
    Ok(records)
}

fn seconds(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.split('.').next()?.parse().ok()
}

struct Work<'a> {
    root: &'a Path,
    names: &'a [String],
    rules: &'a Rules,
    /// To be made at the end, with target and time.
    links: BTreeMap<PathBuf, (Vec<u8>, i64)>,
    /// Mode and time of each.
    folders: BTreeMap<PathBuf, (u32, i64)>,
    files: BTreeSet<PathBuf>,
    done: Unpacked,
}

impl Work<'_> {
    fn entry(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        path: &[u8],
        link: &[u8],
        time: Option<i64>,
    ) -> Result<(), UnpackError> {
        let header = entry.header();
        let mode = header.mode().map_err(UnpackError::Broken)? & 0o7777;
        let time = time.unwrap_or_else(|| header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0));
        let kind = header.entry_type();
        let path = self.inside(path)?;
        if self.links.contains_key(&path) || self.files.contains(&path) {
            return Err(UnpackError::Twice { path: shown(&path) });
        }
        match kind {
            EntryType::Directory => {
                self.folder(&path)?;
                self.folders.insert(path, (mode, time));
            }
            EntryType::Regular | EntryType::Continuous => {
                self.above(&path)?;
                self.file(entry, &path, mode, time)?;
                self.files.insert(path);
            }
            EntryType::Symlink => {
                self.above(&path)?;
                if self.folders.contains_key(&path) {
                    return Err(UnpackError::Twice { path: shown(&path) });
                }
                self.links.insert(path, (link.to_vec(), time));
            }
            EntryType::Link => {
                let first = self.inside(link)?;
                self.above(&path)?;
                if let Some(same) = self.links.get(&first).cloned() {
                    self.links.insert(path, same);
                } else if self.files.contains(&first) {
                    fs::hard_link(self.root.join(&first), self.root.join(&path))
                        .map_err(|error| unwritten(&path, error))?;
                    self.files.insert(path);
                } else {
                    return Err(UnpackError::HardLink { path: shown(&path), to: shown(&first) });
                }
            }
            other => {
                let what = match other {
                    EntryType::Char | EntryType::Block => "device",
                    EntryType::Fifo => "pipe",
                    _ => "thing of an unknown kind",
                };
                return Err(UnpackError::Special { path: shown(&path), what });
            }
        }
        Ok(())
    }

    /// A path that begins with a package's name and only goes down.
    fn inside(&self, path: &[u8]) -> Result<PathBuf, UnpackError> {
        let given = Path::new(std::ffi::OsStr::from_bytes(path));
        let escape = || UnpackError::Escape { path: shown(given) };
        let mut plain = PathBuf::new();
        for part in given.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => plain.push(name),
                _ => return Err(escape()),
            }
        }
        let first = plain.components().next().and_then(|part| part.as_os_str().to_str());
        if path.contains(&0) || !first.is_some_and(|first| self.names.iter().any(|name| name == first)) {
            return Err(escape());
        }
        Ok(plain)
    }

    /// Makes the folders above a path, as far as the stream has not.
    fn above(&mut self, path: &Path) -> Result<(), UnpackError> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.folder(parent),
            // A package is a folder.
            _ => Err(UnpackError::Special { path: shown(path), what: "package, and no folder" }),
        }
    }

    fn folder(&mut self, path: &Path) -> Result<(), UnpackError> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        if path.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) {
            self.above(path)?;
        }
        if self.links.contains_key(path) || self.files.contains(path) {
            return Err(UnpackError::Twice { path: shown(path) });
        }
        fs::DirBuilder::new().mode(0o700).create(self.root.join(path)).map_err(|error| unwritten(path, error))?;
        self.folders.insert(path.to_owned(), (0o755, 0));
        Ok(())
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path, mode: u32, time: i64) -> Result<(), UnpackError> {
        let size = entry.size();
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > self.rules.bytes {
            return Err(UnpackError::TooLarge(self.rules.bytes));
        }
        let place = self.root.join(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&place)
            .map_err(|error| unwritten(path, error))?;
        // Reading and writing fail alike; which one it was, the length tells.
        let copied = io::copy(entry, &mut file).map_err(|error| unwritten(path, error))?;
        if copied != size {
            return Err(UnpackError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let kept = if self.rules.keep_set_id { mode } else { mode & 0o1777 };
        if kept != mode {
            self.done.without_set_id.push(shown(path));
        }
        file.set_permissions(Permissions::from_mode(kept)).map_err(|error| unwritten(path, error))?;
        drop(file);
        set_time(&place, time).map_err(|error| unwritten(path, error))?;
        self.done.files += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for (path, (target, time)) in &self.links {
            let place = self.root.join(path);
            symlink(std::ffi::OsStr::from_bytes(target), &place)
                .and_then(|()| set_time(&place, *time))
                .map_err(|error| unwritten(path, error))?;
        }
        // From below: a folder that may not be written to, or entered, comes after what is in it.
        for (path, (mode, time)) in self.folders.iter().rev() {
            let mode = if self.rules.keep_set_id { *mode } else { mode & 0o1777 };
            if path.components().count() == 1 {
                let name = shown(path);
                self.done.tops.push(Top { name, mode, mtime: *time });
                continue;
            }
            let place = self.root.join(path);
            fs::set_permissions(&place, Permissions::from_mode(mode))
                .and_then(|()| set_time(&place, *time))
                .map_err(|error| unwritten(path, error))?;
        }
        match self.names.iter().find(|name| !self.done.tops.iter().any(|top| top.name == **name)) {
            Some(missing) => Err(UnpackError::Missing(missing.clone())),
            None => Ok(self.done),
        }
    }
}

/// Sets when a file was changed; of a link, the link's own.
pub(super) fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let time = TimeSpec::new(seconds, 0);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(io::Error::from)
}

fn unwritten(path: &Path, error: io::Error) -> UnpackError {
    UnpackError::Write { path: shown(path), error }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).chars().take(200).collect()
}

#[cfg(test)]
mod tests;
