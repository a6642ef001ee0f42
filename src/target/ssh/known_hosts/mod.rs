//! The known_hosts files: read once, matched as OpenSSH matches them, and added to.

mod line;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs, io,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use russh::keys::{PublicKey, ssh_key::public::KeyData};

use line::Line;
pub(super) use line::{Key, Marker, kind_name, kind_of, sound};

/// What one file may hold.
const FILE_LIMIT: u64 = 64 << 20;

/// A key that stands in the files under a host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub place: Place,
    pub marker: Marker,
    pub key: Key,
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// `host`, or `[host]:port` for a port that is not the standard one: how a host is called in these files.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// All files that were asked for so far, shared by every host of a run.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    /// Held while a file is read or written, so that parallel hosts neither read twice nor mix their lines.
    files: Mutex<HashMap<PathBuf, Arc<Vec<Line>>>>,
    /// Keys that were shown and not yet agreed to, by name.
    proposed: Mutex<Vec<(String, KeyData)>>,
}

impl KnownHosts {
    /// What stands in the files under `name`, in order.
    pub(super) fn entries(&self, files: &[PathBuf], name: &str) -> Vec<Entry> {
        let mut found = Vec::new();
        for file in files {
            let lines = lines(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner), file);
            for line in lines.iter().filter(|line| line.fits(name)) {
                let Some(key) = line.key() else { continue };
                let place = Place { file: file.clone(), line: line.number };
                found.push(Entry { place, marker: line.marker, key });
            }
        }
        found
    }

    /// Lets `key` pass for `name` until the end of the run, for what needs no more than an acquaintance.
    pub(super) fn propose(&self, name: &str, key: KeyData) {
        self.proposed.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), key));
    }

    pub(super) fn is_proposed(&self, name: &str, key: &KeyData) -> bool {
        let proposed = self.proposed.lock().unwrap_or_else(PoisonError::into_inner);
        proposed.iter().any(|(n, k)| n == name && k == key)
    }

    /// Adds a line for each `(names, key)` that `file` has not, all at once; a file that is not there is made (0600).
    ///
    /// # Errors
    /// Writing failed.
    pub(super) fn add(&self, file: &Path, hashed: bool, keys: &[(String, KeyData)]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // Another host of this run, or another program, may have written it since.
        files.remove(file);
        let there = lines(&mut files, file);
        files.remove(file);
        let mut text = String::new();
        for (names, key) in keys {
            let known = |line: &Line, name: &str| {
                line.marker == Marker::None
                    && line.fits(name)
                    && line.key().is_some_and(|k| !k.certificate && k.data == *key)
            };
            if names.split(',').all(|name| there.iter().any(|line| known(line, name))) {
                continue;
            }
            let public = PublicKey::new(key.clone(), "");
            let blob = BASE64.encode(public.to_bytes().map_err(io::Error::other)?);
            let mut put = |name: &str| text += &format!("{name} {} {blob}\n", public.algorithm());
            if hashed {
                // An address has a line of its own then.
                for name in names.split(',') {
                    put(&line::hashed(name).ok_or_else(|| io::Error::other("hashing failed"))?);
                }
            } else {
                put(names);
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        append(file, &text)
    }
}

/// One write at the end of the file, so that the lines of several programs stay apart; its mode stays what it was.
fn append(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| folder.ends_with(".ssh") && !folder.exists()) {
        fs::DirBuilder::new().mode(0o700).create(folder)?;
    }
    let mut opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    // A last line without an end would swallow ours.
    let start = if unfinished(file).unwrap_or(false) { "\n" } else { "" };
    opened.write_all(format!("{start}{text}").as_bytes())
}

fn unfinished(file: &Path) -> io::Result<bool> {
    let mut opened = fs::File::open(file)?;
    if opened.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    opened.seek(SeekFrom::End(-1))?;
    opened.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn lines(files: &mut HashMap<PathBuf, Arc<Vec<Line>>>, file: &Path) -> Arc<Vec<Line>> {
    if let Some(lines) = files.get(file) {
        return lines.clone();
    }
    // A file that is missing or cannot be read knows nobody, which refuses; it never lets anybody in.
    let mut bytes = Vec::new();
    let read = fs::File::open(file).and_then(|opened| opened.take(FILE_LIMIT).read_to_end(&mut bytes));
    if let Err(error) = read {
        tracing::debug!(file = %file.display(), %error, "known hosts file not read");
    }
    let lines = Arc::new(line::parse(&bytes));
    files.insert(file.to_owned(), lines.clone());
    lines
}
