//! The folder that packages are put into.
//!
//! A package's folder that stands there already is replaced only if it was put there by this program: what was, is
//! written down in a file of the state folder, by device and inode. A stranger of the same name is never touched.

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    arrival,
    unpack::{Top, set_time},
};
use crate::vocab::{Digest, text::printable};

/// Why packages cannot be put into a folder.
#[derive(Debug, thiserror::Error)]
pub enum OutError {
    #[error("{} is not a folder; packages are put into one", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is there and was not put there by rbee recipe build", .0.display())]
    Foreign(PathBuf),
    #[error("cannot {what} {}: {error}", .path.display())]
    Io { what: &'static str, path: PathBuf, error: io::Error },
}

impl OutError {
    /// What to do next, where the sentence does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Foreign(_) => Some("move it away, name another folder, or give --replace, which removes it"),
            _ => None,
        }
    }
}

/// A folder for packages, looked at before anything is built.
#[derive(Debug, Clone)]
pub struct Out {
    path: PathBuf,
    /// What was put into it so far.
    record: PathBuf,
    /// Folders of strangers may be replaced, too.
    replace: bool,
}

impl Out {
    /// Takes a folder, or a place where one can be made; writes nothing.
    ///
    /// # Errors
    /// There is something else.
    pub fn open(path: &Path, state_dir: &Path, replace: bool) -> Result<Self, OutError> {
        let path = std::path::absolute(path).map_err(|error| failed("find", path, error))?;
        let path = match fs::metadata(&path) {
            Ok(data) if data.is_dir() => fs::canonicalize(&path).map_err(|error| failed("find", &path, error))?,
            Ok(_) => return Err(OutError::NoFolder(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => path,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(OutError::NoFolder(path)),
            Err(error) => return Err(failed("look at", &path, error)),
        };
        let key = Digest::new(Sha256::digest(path.as_os_str().as_bytes()).into()).to_string();
        Ok(Self { record: state_dir.join("pkg-out").join(&key[..32]), path, replace })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether packages of these names can be put here.
    ///
    /// # Errors
    /// [`OutError::Foreign`] for what is in the way.
    pub fn look(&self, names: &[String]) -> Result<(), OutError> {
        let ours = self.recorded();
        for name in names {
            let place = self.path.join(name);
            let Ok(data) = fs::symlink_metadata(&place) else { continue };
            let known = ours.contains(&line(&data, name)) || self.replace;
            if !data.is_dir() || !known {
                return Err(OutError::Foreign(place));
            }
        }
        Ok(())
    }

    /// Where the packages of a run arrive; below the folder, so that they can be renamed to their places.
    pub fn arrival(&self, run: &str) -> PathBuf {
        arrival(&self.path, run)
    }

    /// Makes the folder, if it is not there, and the one that packages arrive in.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn prepare(&self, run: &str) -> Result<PathBuf, OutError> {
        fs::create_dir_all(&self.path).map_err(|error| failed("make", &self.path, error))?;
        let arrival = self.arrival(run);
        fs::DirBuilder::new().mode(0o700).create(&arrival).map_err(|error| failed("make", &arrival, error))?;
        Ok(arrival)
    }

    /// Puts packages that have arrived in their places, each at one moment.
    ///
    /// # Errors
    /// Those that are in place stay there.
    pub fn place(&self, arrival: &Path, tops: &[Top]) -> Result<(), OutError> {
        let names: Vec<String> = tops.iter().map(|top| top.name.clone()).collect();
        self.look(&names)?;
        let mut lines = self.recorded();
        for top in tops {
            let (from, to) = (arrival.join(&top.name), self.path.join(&top.name));
            if fs::symlink_metadata(&to).is_ok() {
                let old = arrival.join(".old");
                swap(&from, &to, &old).map_err(|error| failed("replace", &to, error))?;
                remove(&old).map_err(|error| failed("remove what was in", &to, error))?;
            } else {
                fs::rename(&from, &to).map_err(|error| failed("make", &to, error))?;
            }
            fs::set_permissions(&to, Permissions::from_mode(top.mode))
                .and_then(|()| set_time(&to, top.mtime))
                .and_then(|()| fs::symlink_metadata(&to))
                .and_then(|data| {
                    lines.retain(|line| line.splitn(3, ' ').nth(2) != Some(&top.name));
                    lines.push(line(&data, &top.name));
                    self.write(&lines)
                })
                .map_err(|error| failed("keep in mind", &to, error))?;
        }
        remove(arrival).map_err(|error| failed("remove", arrival, error))
    }

    fn recorded(&self) -> Vec<String> {
        fs::read_to_string(&self.record).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) -> io::Result<()> {
        let folder = self.record.parent().unwrap_or(&self.record);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let part = self.record.with_extension("part");
        let mut file = fs::File::create(&part)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        fs::rename(part, &self.record)
    }
}

fn line(data: &fs::Metadata, name: &str) -> String {
    format!("{} {} {name}", data.dev(), data.ino())
}

fn failed(what: &'static str, path: &Path, error: io::Error) -> OutError {
    OutError::Io { what, path: PathBuf::from(printable(&path.to_string_lossy()).into_owned()), error }
}

/// Puts `new` at `place` and what was there at `old`; at one moment where the system can.
fn swap(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    // A folder that may not be written to cannot be moved.
    let data = fs::symlink_metadata(place)?;
    if data.is_dir() && data.mode() & 0o700 != 0o700 {
        fs::set_permissions(place, Permissions::from_mode(data.mode() | 0o700))?;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        if renameat2(AT_FDCWD, new, AT_FDCWD, place, RenameFlags::RENAME_EXCHANGE).is_ok() {
            return fs::rename(new, old);
        }
    }
    fs::rename(place, old)?;
    fs::rename(new, place).inspect_err(|_| {
        let _ = fs::rename(old, place);
    })
}

/// Removes a folder with all that is in it, whatever the modes in it are.
fn remove(path: &Path) -> io::Result<()> {
    fn open(path: &Path) {
        if fs::symlink_metadata(path).is_ok_and(|data| data.is_dir()) {
            let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                open(&entry.path());
            }
        }
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|data| !data.is_dir()) => fs::remove_file(path),
        Err(_) => {
            open(path);
            fs::remove_dir_all(path)
        }
        Ok(()) => Ok(()),
    }
}
