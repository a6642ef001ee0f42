//! The folder of a sandbox: who may use it, what is where, and the keys in it.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

use super::SandboxError;

pub(super) fn hosts(dir: &Path) -> PathBuf {
    dir.join("hosts")
}

pub(super) fn host(dir: &Path, name: &str) -> PathBuf {
    hosts(dir).join(name)
}

/// The key that may log in to every host.
pub(super) fn user_key(dir: &Path) -> PathBuf {
    dir.join("id_ed25519")
}

pub(super) fn log(dir: &Path) -> PathBuf {
    dir.join("sandbox.log")
}

fn lock_file(dir: &Path) -> PathBuf {
    dir.join("sandbox.lock")
}

/// Makes or takes over the folder, for this user only, and returns its real path.
///
/// # Errors
/// It has something else in it, or a path that ssh's own files cannot carry.
pub(super) fn prepare(dir: &Path) -> Result<PathBuf, SandboxError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(SandboxError::file("create", dir))?;
    let dir = dir.canonicalize().map_err(SandboxError::file("find", dir))?;
    let refuse = |why| Err(SandboxError::Folder { dir: dir.clone(), why });
    match dir.to_str() {
        None => return refuse("its path is not UTF-8"),
        // ssh_config has no way to quote them all in all its keywords.
        Some(path) if path.chars().any(|c| c.is_control() || "\"\\$".contains(c)) => {
            return refuse("its path has a quote, a backslash, '$' or a control character");
        }
        Some(_) => {}
    }
    let lock = lock_file(&dir);
    if !lock.exists() {
        let mut entries = dir.read_dir().map_err(SandboxError::file("read", &dir))?;
        if entries.next().is_some() {
            return refuse("it is not empty, and no sandbox was in it before");
        }
        // From here on the folder is known as ours.
        write(&lock, "", 0o600)?;
    }
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).map_err(SandboxError::file("protect", &dir))?;
    Ok(dir)
}

/// Holds the folder for as long as the file lives; `None` when another sandbox does.
pub(super) fn lock(dir: &Path) -> Result<Option<File>, SandboxError> {
    let path = lock_file(dir);
    let file = OpenOptions::new().write(true).open(&path).map_err(SandboxError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(SandboxError::file("lock", &path)(e)),
    }
}

/// Writes beside, then renames: a reader sees the old text or the new one.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), SandboxError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = || -> io::Result<()> {
        // One that a crash left behind may have another mode.
        let _ = std::fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    written().map_err(SandboxError::file("write", path))
}

/// Reads the ed25519 key at `path`, or makes one there.
pub(super) fn key(path: &Path, comment: &str) -> Result<PrivateKey, SandboxError> {
    let bad = |why: String| SandboxError::Key { path: path.to_owned(), why };
    match std::fs::read(path) {
        Ok(text) => {
            let key = PrivateKey::from_openssh(text).map_err(|e| bad(e.to_string()))?;
            if key.is_encrypted() {
                return Err(bad("it has a passphrase".to_owned()));
            }
            Ok(key)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&rand::random()));
            key.set_comment(comment);
            let text = key.to_openssh(LineEnding::LF).map_err(|e| bad(e.to_string()))?;
            write(path, &text, 0o600)?;
            Ok(key)
        }
        Err(e) => Err(SandboxError::file("read", path)(e)),
    }
}
