//! Unix sockets in a folder that only this user can enter.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// The name of a hive's socket.
pub const HIVE: &str = "hive.sock";

/// A socket that is listened on, and removed when this is dropped.
#[derive(Debug)]
pub struct Socket {
    pub listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another process may have taken the name meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|data| data.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes the folder, or sees that it is ours alone.
///
/// # Errors
/// It cannot be made, is no folder, or others may enter it.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let data = fs::symlink_metadata(dir)?;
    let bad = |why: &str| Err(io::Error::other(format!("{}: {why}", dir.display())));
    if !data.is_dir() {
        return bad("it is not a folder");
    }
    if data.uid() != nix::unistd::geteuid().as_raw() {
        return bad("it belongs to another user");
    }
    if data.mode() & 0o077 != 0 {
        return bad("others may enter it; its mode must be 0700");
    }
    Ok(())
}

/// Listens on `name` in `dir`; what is left of a dead process gives way.
///
/// # Errors
/// Somebody listens there ([`ErrorKind::AddrInUse`]), or the socket cannot be made.
pub fn listen(dir: &Path, name: &str) -> io::Result<Socket> {
    make_dir(dir)?;
    let path = dir.join(name);
    if is_stale(&path) {
        let _ = fs::remove_file(&path);
    }
    let listener = UnixListener::bind(&path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => io::Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{}: a socket's path may have some 100 characters; set XDG_RUNTIME_DIR to a shorter folder",
                path.display()
            ),
        ),
        _ => error,
    })?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&path)?.ino();
    Ok(Socket { listener, path, inode })
}

/// The sockets in `dir` that somebody listens on; stale ones are removed.
pub fn live(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "sock")).collect();
    found.retain(|path| {
        if is_stale(path) {
            let _ = fs::remove_file(path);
            return false;
        }
        is_socket(path)
    });
    found.sort();
    found
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket())
}

/// Whether nobody listens on this socket any more.
fn is_stale(path: &Path) -> bool {
    is_socket(path)
        && matches!(std::os::unix::net::UnixStream::connect(path), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_dead_give_way_and_the_living_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run");
        let socket = listen(&place, HIVE).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(listen(&place, HIVE).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(live(&place), [place.join(HIVE)]);
        // As a process that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(place.join("dead.sock")).unwrap());
        fs::write(place.join("file.sock"), "").unwrap();
        assert_eq!(live(&place), [place.join(HIVE)]);
        assert!(!place.join("dead.sock").exists() && place.join("file.sock").exists());
        drop(socket);
        assert!(!place.join(HIVE).exists());
        drop(std::os::unix::net::UnixListener::bind(place.join(HIVE)).unwrap());
        drop(listen(&place, HIVE).unwrap());
        fs::set_permissions(&place, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(listen(&place, HIVE).unwrap_err().to_string().contains("0700"));
    }
}
