//! The tar of a tree that somebody else packed: looked at before it goes on.

use std::{collections::HashSet, io::Read, io::Seek, path::Path};

use super::{
    Item, Kind,
    rules::{TreeError, check},
};

/// Checks that a tar has nothing but what may be in a tree, each thing once, and every folder before what is in it; so
/// that unpacking it writes below its own folder, whoever does that.
///
/// # Errors
/// Names what may not be there.
pub fn check_tar(file: impl Read + Seek) -> Result<(), TreeError> {
    let read = |error| TreeError::Read { path: "the package".to_owned(), error };
    let mut archive = ::tar::Archive::new(file);
    let mut items: Vec<Item> = Vec::new();
    let (mut folders, mut seen) = (HashSet::new(), HashSet::new());
    for entry in archive.entries_with_seek().map_err(read)? {
        let entry = entry.map_err(read)?;
        let text = |path: &Path| path.to_str().map(|path| path.trim_end_matches('/').to_owned());
        let path = entry.path().map_err(read)?;
        let path = text(&path).ok_or_else(|| TreeError::Name(path.display().to_string()))?;
        let kind = match entry.header().entry_type() {
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Regular => Kind::File { executable: false },
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(read)?.unwrap_or_default();
                Kind::Link(target.to_str().ok_or_else(|| TreeError::Name(path.clone()))?.to_owned())
            }
            // A second name of a file before it.
            tar::EntryType::Link => {
                let target = entry.link_name().map_err(read)?.unwrap_or_default();
                let target = text(&target).unwrap_or_default();
                if !items.iter().any(|item| item.path == target && matches!(item.kind, Kind::File { .. })) {
                    return Err(TreeError::Escapes { path, target });
                }
                Kind::File { executable: false }
            }
            _ => return Err(TreeError::Special(path)),
        };
        let above = path.rsplit_once('/').map(|(above, _)| above);
        if !seen.insert(path.clone()) || above.is_some_and(|above| !folders.contains(above)) {
            return Err(TreeError::Name(path));
        }
        if kind == Kind::Folder {
            folders.insert(path.clone());
        }
        items.push(Item { path, kind });
        if items.len() > 40_000 {
            return Err(TreeError::TooMany);
        }
    }
    check(&items)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// `d:bin`, `f:bin/x`, `l:bin/y>x`, `h:bin/z>bin/x`, `c:bin/null`, whatever the names are.
    fn tar_of(text: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for word in text.split(' ') {
            let (kind, rest) = word.split_once(':').unwrap();
            let (path, target) = rest.split_once('>').unwrap_or((rest, ""));
            let mut head = tar::Header::new_gnu();
            head.set_size(0);
            head.set_mode(0o755);
            head.set_entry_type(match kind {
                "d" => tar::EntryType::Directory,
                "f" => tar::EntryType::Regular,
                "l" => tar::EntryType::Symlink,
                "h" => tar::EntryType::Link,
                _ => tar::EntryType::Char,
            });
            // The library itself does not write such names.
            let old = head.as_old_mut();
            old.name[..path.len()].copy_from_slice(path.as_bytes());
            old.linkname[..target.len()].copy_from_slice(target.as_bytes());
            head.set_cksum();
            builder.append(&head, std::io::empty()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_hostile_tar_is_refused() {
        let said = |text: &str| check_tar(Cursor::new(tar_of(text))).map_err(|error| error.to_string());
        assert_eq!(said("d:bin/ f:bin/x l:bin/y>x h:bin/z>bin/x d:lib l:lib/a>../bin"), Ok(()));
        for (text, error) in [
            ("d:bin f:bin/../../x", "cannot be installed"),
            ("f:/etc/passwd", "cannot be installed"),
            ("d:etc f:etc/x", "it has etc"),
            ("d:bin c:bin/null", "neither a file, a folder nor a link"),
            ("d:bin l:bin/x>/etc", "leads out of it"),
            ("d:lib l:lib/x>../bin f:lib/x/y", "cannot be installed"),
            ("d:bin l:bin/x>y f:bin/x", "cannot be installed"),
            ("d:bin h:bin/x>/etc/shadow", "leads out of it"),
            ("d:bin l:bin/y>x h:bin/x>bin/y", "leads out of it"),
            ("f:bin/x", "cannot be installed"),
        ] {
            assert!(said(text).is_err_and(|said| said.contains(error)), "{text}: {:?}", said(text));
        }
        assert!(check_tar(Cursor::new(b"no tar at all, but longer than nothing".to_vec())).is_err());
    }
}
