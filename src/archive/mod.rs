//! Unpacks somebody else's archive, and nothing of it lands outside of its folder.
//!
//! # Theory of operation
//! What a file is, its first bytes say: gzip, xz or zstd around a tar or around one program, a zip, or a program as it
//! is. Every path must be plain and relative; a thing that comes twice, a device or a name with control characters is an
//! error, not a surprise. Links are made last, so that no file is ever written through one, and only if they are
//! relative and stay inside. All that comes out is counted, so that a small bomb stays small.

mod tarball;
mod zipped;

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use crate::vocab::text::printable;

/// What an archive may come to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: u64,
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 << 30, items: 40_000 }
    }
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("{0} is not supported; gzip, xz, zstd and zip are")]
    Unsupported(&'static str),
    #[error("{0:?} in it leads out of its folder, or has no usable name")]
    Name(String),
    #[error("{0:?} is in it twice")]
    Twice(String),
    #[error("the link {path:?} in it leads out of its folder, to {target:?}")]
    Link { path: String, target: String },
    #[error("{0:?} in it is neither a file, a folder nor a link")]
    Special(String),
    #[error("it unpacks to more than {} MB or to too many files", .0 >> 20)]
    TooLarge(u64),
}

/// Unpacks `file` into the existing, empty folder `into`; a program that is no archive is put there as `bare`.
///
/// # Errors
/// Names what is wrong with it; what was unpacked by then is the caller's to remove.
pub fn unpack(file: &mut File, into: &Path, bare: &str, limits: Limits) -> Result<(), ArchiveError> {
    let mut head = [0; 6];
    let got = read_up_to(file, &mut head)?;
    file.seek(SeekFrom::Start(0))?;
    let mut room = Room::new(into, limits);
    let input = BufReader::with_capacity(256 << 10, &mut *file);
    match &head[..got] {
        [0x1f, 0x8b, ..] => inner(flate2::read::MultiGzDecoder::new(input), &mut room, bare)?,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            inner(lzma_rust2::XzReader::new_mem_limit(input, true, 512 << 10), &mut room, bare)?
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(input);
            let decoder = decoder.map_err(|error| ArchiveError::Damaged(one_line(&error)))?;
            inner(decoder, &mut room, bare)?;
        }
        [b'P', b'K', 3 | 5, 4 | 6, ..] => {
            drop(input);
            zipped::unpack(file, &mut room)?;
        }
        [b'B', b'Z', b'h', ..] => return Err(ArchiveError::Unsupported("bzip2")),
        [b'7', b'z', 0xbc, 0xaf, ..] => return Err(ArchiveError::Unsupported("7z")),
        _ => inner(input, &mut room, bare)?,
    }
    room.finish()
}

/// Whether a file is one that [`unpack`] takes apart, by its first 512 bytes.
pub fn is_archive(head: &[u8]) -> bool {
    let packed = [&[0x1f, 0x8b][..], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd], b"PK\x03\x04", b"BZh", b"7z\xbc\xaf"];
    packed.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

/// A tar, or one program, after what was around it.
fn inner(mut input: impl Read, room: &mut Room<'_>, bare: &str) -> Result<(), ArchiveError> {
    let mut head = vec![0; 512];
    let got = read_up_to(&mut input, &mut head).map_err(damaged)?;
    head.truncate(got);
    let is_tar = head.get(257..262) == Some(b"ustar");
    let whole = io::Cursor::new(head).chain(input);
    match is_tar {
        true => tarball::unpack(whole, room),
        false => room.file(bare, true, whole),
    }
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

fn one_line(error: &impl ToString) -> String {
    printable(error.to_string().lines().next().unwrap_or_default()).chars().take(200).collect()
}

fn damaged(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::PermissionDenied => error.into(),
        _ => ArchiveError::Damaged(one_line(&error)),
    }
}

/// The folder that is filled, and how much of it may still be.
struct Room<'a> {
    into: &'a Path,
    limits: Limits,
    left: u64,
    items: usize,
    files: HashSet<String>,
    folders: HashSet<String>,
    links: Vec<(String, String)>,
}

impl<'a> Room<'a> {
    fn new(into: &'a Path, limits: Limits) -> Self {
        Self {
            into,
            limits,
            left: limits.bytes,
            items: 0,
            files: HashSet::new(),
            folders: HashSet::new(),
            links: Vec::new(),
        }
    }

    /// A path of the archive as it may be used: plain, relative, without `.` at its head and `/` at its end.
    fn name(&mut self, path: &str) -> Result<Option<String>, ArchiveError> {
        let name = || ArchiveError::Name(printable(path).chars().take(200).collect());
        self.items += 1;
        if self.items > self.limits.items {
            return Err(ArchiveError::TooLarge(self.limits.bytes));
        }
        if path.starts_with('/') || path.len() > 1000 || path.chars().any(|c| c.is_control() || c == '\\') {
            return Err(name());
        }
        let mut parts = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(name()),
                part if part.len() > 255 => return Err(name()),
                part => parts.push(part),
            }
        }
        if parts.len() > 40 {
            return Err(name());
        }
        Ok(Some(parts.join("/")).filter(|path| !path.is_empty()))
    }

    fn folder(&mut self, path: &str) -> Result<(), ArchiveError> {
        let Some(path) = self.name(path)? else { return Ok(()) };
        self.make(&path)
    }

    /// Makes a folder and those above it, none of which may be a file.
    fn make(&mut self, path: &str) -> Result<(), ArchiveError> {
        let mut at = 0;
        while at < path.len() {
            at = path[at..].find('/').map_or(path.len(), |end| at + end);
            let folder = &path[..at];
            if !self.folders.contains(folder) {
                if self.files.contains(folder) {
                    return Err(ArchiveError::Twice(folder.to_owned()));
                }
                fs::DirBuilder::new().mode(0o755).create(self.into.join(folder))?;
                self.folders.insert(folder.to_owned());
            }
            at += 1;
        }
        Ok(())
    }

    /// Takes a path that nothing has yet.
    fn take(&mut self, path: &str) -> Result<(String, PathBuf), ArchiveError> {
        let Some(name) = self.name(path)? else { return Err(ArchiveError::Name(path.to_owned())) };
        if let Some((above, _)) = name.rsplit_once('/') {
            self.make(above)?;
        }
        if self.folders.contains(&name) || !self.files.insert(name.clone()) {
            return Err(ArchiveError::Twice(name));
        }
        let place = self.into.join(&name);
        Ok((name, place))
    }

    fn file(&mut self, path: &str, executable: bool, mut content: impl Read) -> Result<(), ArchiveError> {
        let (_, place) = self.take(path)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(place)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let got = content.read(&mut buffer).map_err(damaged)?;
            if got == 0 {
                return Ok(());
            }
            self.left = self.left.checked_sub(got as u64).ok_or(ArchiveError::TooLarge(self.limits.bytes))?;
            file.write_all(&buffer[..got])?;
        }
    }

    /// Another name of a file that came before.
    fn same(&mut self, path: &str, of: &str) -> Result<(), ArchiveError> {
        let bad = || ArchiveError::Link { path: printable(path).into_owned(), target: printable(of).into_owned() };
        let of = self.name(of)?.filter(|of| self.files.contains(of)).ok_or_else(bad)?;
        if self.links.iter().any(|(link, _)| *link == of) {
            return Err(bad());
        }
        let (_, place) = self.take(path)?;
        Ok(fs::hard_link(self.into.join(of), place)?)
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), ArchiveError> {
        let bad = || ArchiveError::Link { path: printable(path).into_owned(), target: printable(target).into_owned() };
        if target.is_empty() || target.starts_with('/') || target.len() > 1000 || target.chars().any(char::is_control) {
            return Err(bad());
        }
        let (name, _) = self.take(path)?;
        let mut depth = name.split('/').count() - 1;
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => depth = depth.checked_sub(1).ok_or_else(bad)?,
                _ => depth += 1,
            }
        }
        self.links.push((name, target.to_owned()));
        Ok(())
    }

    fn finish(self) -> Result<(), ArchiveError> {
        for (path, target) in &self.links {
            symlink(target, self.into.join(path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
