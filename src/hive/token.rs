//! The secret that a client on TCP shows.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use subtle::ConstantTimeEq;

use crate::vocab::Secret;

const HEX: usize = 64;

/// Reads the token, or makes it when there is none.
///
/// # Errors
/// It cannot be read or written, others may read it, or it is no token.
pub fn open(path: &Path) -> io::Result<Secret> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        other => other,
    }
}

/// Reads the token that a hive made.
///
/// # Errors
/// As [`open`]; there may be none.
pub fn read(path: &Path) -> io::Result<Secret> {
    let data = fs::symlink_metadata(path)?;
    let bad = |why: &str| {
        Err(io::Error::other(format!("{}: {why}; remove it, and the next start makes a new one", path.display())))
    };
    if !data.is_file() {
        return bad("it is not a plain file");
    }
    if data.mode() & 0o077 != 0 || data.uid() != nix::unistd::geteuid().as_raw() {
        return bad("others may read or write it");
    }
    let text = fs::read_to_string(path)?;
    let token = text.trim_end();
    if token.len() != HEX || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return bad("it is not a token");
    }
    Ok(Secret::new(token))
}

fn make(path: &Path) -> io::Result<Secret> {
    let token: String = (0..HEX / 8).map(|_| format!("{:08x}", rand::random::<u32>())).collect();
    // Whole, and only if nobody else was first: a link fails where a rename would replace.
    let part = path.with_extension(format!("{:08x}", rand::random::<u32>()));
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(format!("{token}\n").as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&part, path)
    })();
    let _ = fs::remove_file(&part);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(error),
        Ok(()) => Ok(Secret::new(token)),
    }
}

/// Whether `shown` is the token; how long that takes tells nothing of it.
pub fn is_right(token: &Secret, shown: &[u8]) -> bool {
    token.expose().as_bytes().ct_eq(shown).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let token = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(open(&path).unwrap().expose(), token.expose());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(is_right(&token, token.expose().as_bytes()));
        for wrong in ["", "x", &"0".repeat(64), &token.expose()[..63], &format!("{}0", token.expose())] {
            assert!(!is_right(&token, wrong.as_bytes()), "{wrong}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("others may read"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short\n").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("not a token"));
    }
}
