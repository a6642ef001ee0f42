//! Names as clients send them, and as they are on this machine.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// A client's path: what is not absolute is below the home folder.
pub(super) fn resolve(home: &Path, path: &str) -> PathBuf {
    home.join(path)
}

/// The real path, also of what does not exist yet, as clients ask it before an upload.
pub(super) fn canonical(home: &Path, path: &str) -> io::Result<String> {
    let path = resolve(home, path);
    let real = match path.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if let Ok(parent) = parent.canonicalize() => parent.join(name),
            _ => lexical(&path),
        },
        found => found?,
    };
    real.into_os_string().into_string().map_err(|_| io::Error::other("the path is not UTF-8"))
}

/// Without `.` and `..`, whatever is there.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_has_a_path_too() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let of = |path: &str| canonical(&home, path).unwrap();
        assert_eq!(of("."), home.to_str().unwrap());
        assert_eq!(of(""), home.to_str().unwrap());
        assert_eq!(of("new"), home.join("new").to_str().unwrap());
        assert_eq!(of("a/../b/./c"), home.join("b/c").to_str().unwrap());
        assert_eq!(of("/../.."), "/");
    }
}
