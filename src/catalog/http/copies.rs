//! What was got before, kept on disk: a line of JSON about it, then the text as it came.
//!
//! A file is named by the digest of its address, so nothing that a server says becomes a path. When the text was last
//! confirmed is the file's modification time.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::vocab::Digest;

const HEAD_BYTES: u64 = 16 << 10;
/// Parts that a killed process left.
const DEBRIS: Duration = Duration::from_secs(86_400);

/// A folder of copies.
#[derive(Debug)]
pub struct Copies {
    folder: PathBuf,
}

/// A text as it was got, with what the server calls this state of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    pub body: Vec<u8>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Since the server last said that it is so.
    pub age: Duration,
}

#[derive(Serialize, Deserialize)]
struct Head {
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    sha256: String,
}

impl Copies {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The copy of `url`, if there is one, whole and of at most `limit` bytes.
    pub fn read(&self, url: &str, limit: u64) -> Option<Copy> {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(self.path(url)).ok()?;
        let data = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let mut text = Vec::new();
        file.take(HEAD_BYTES + limit + 1).read_to_end(&mut text).ok()?;
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&text[..end]).ok()?;
        let body = text.split_off(end + 1);
        if head.url != url || body.len() as u64 > limit || head.sha256 != sha256(&body) {
            return None;
        }
        let age = data.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default();
        Some(Copy { body, etag: head.etag, last_modified: head.last_modified, age })
    }

    /// Keeps a text, all at once.
    ///
    /// # Errors
    /// Says what could not be written.
    pub fn keep(&self, url: &str, etag: Option<&str>, last_modified: Option<&str>, body: &[u8]) -> Result<(), String> {
        let head = Head {
            url: url.to_owned(),
            etag: etag.map(str::to_owned),
            last_modified: last_modified.map(str::to_owned),
            sha256: sha256(body),
        };
        let head = serde_json::to_string(&head).map_err(|error| error.to_string())?;
        let path = self.path(url);
        self.write(&path, &[head.as_bytes(), b"\n", body])
            .map_err(|error| format!("cannot keep a copy in {}: {error}", self.folder.display()))
    }

    /// The server has said that the copy is still right.
    pub fn confirm(&self, url: &str) {
        if let Ok(file) = File::options().write(true).open(self.path(url)) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.sweep();
        let part = self.folder.join(format!(".part-{:016x}", rand::random::<u64>()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            parts.iter().try_for_each(|part| file.write_all(part))?;
            file.sync_all()?;
            fs::rename(&part, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }

    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let old = entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
            if entry.file_name().as_encoded_bytes().starts_with(b".part-") && old.is_some_and(|age| age > DEBRIS) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, url: &str) -> PathBuf {
        self.folder.join(sha256(url.as_bytes()))
    }
}

fn sha256(bytes: &[u8]) -> String {
    Digest::new(Sha256::digest(bytes).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_not_whole_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::new(dir.path().join("a/b"));
        let url = "https://x/../../../etc/passwd";
        assert_eq!(copies.read(url, 100), None);
        copies.keep(url, Some("\"1\""), None, b"text\nwith lines").unwrap();
        let copy = copies.read(url, 100).unwrap();
        assert_eq!((copy.body.as_slice(), copy.etag.as_deref()), (&b"text\nwith lines"[..], Some("\"1\"")));
        assert_eq!(copies.read("https://x/other", 100), None);
        assert_eq!(copies.read(url, 3), None, "larger than may be");
        let path = copies.path(url);
        assert_eq!(path.parent(), Some(copies.folder.as_path()));
        let mut text = fs::read(&path).unwrap();
        *text.last_mut().unwrap() = b'S';
        fs::write(&path, text).unwrap();
        assert_eq!(copies.read(url, 100), None);
        fs::write(&path, "no head").unwrap();
        assert_eq!(copies.read(url, 100), None);
    }

    #[test]
    fn an_age_counts_from_the_last_confirmation() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::new(dir.path().to_owned());
        copies.keep("u", None, None, b"x").unwrap();
        let old = SystemTime::now() - Duration::from_secs(7200);
        File::options().write(true).open(copies.path("u")).unwrap().set_modified(old).unwrap();
        assert!(copies.read("u", 9).unwrap().age >= Duration::from_secs(7200));
        copies.confirm("u");
        assert!(copies.read("u", 9).unwrap().age < Duration::from_secs(3600));
    }
}
