//! Reads a recipe's folder whole, believing nothing of it.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::CatalogError;
use crate::vocab::recipe::RecipeFile;

const FILES: usize = 2000;
const BYTES: u64 = 64_000_000;
const DEPTH: usize = 16;
const PATH_BYTES: usize = 512;

/// What makepkg and git leave in a recipe's folder; none of it can be a source.
const LEFT_BEHIND: [&str; 3] = ["src", "pkg", ".git"];

/// Reads every file below `root`, sorted by path.
pub(super) fn read_folder(root: &Path) -> Result<Vec<RecipeFile>, CatalogError> {
    read_all_but(root, None)
}

/// The same without one folder.
pub(super) fn read_all_but(root: &Path, except: Option<&Path>) -> Result<Vec<RecipeFile>, CatalogError> {
    let mut found = Found { root, except, files: Vec::new(), entries: 0, bytes: 0 };
    found.walk("", 0)?;
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found.files)
}

/// Reads one file of a folder, if it is there; the same rules hold for it.
pub(super) fn read_text(root: &Path, name: &str, limit: u64) -> Result<Option<String>, CatalogError> {
    let path = root.join(name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CatalogError::Read { path, error }),
        Ok(_) => {}
    }
    let (content, _) = read_file(&path, limit)?;
    let text = String::from_utf8(content);
    text.map(Some).map_err(|_| CatalogError::Refused { path, why: "is not UTF-8 text".to_owned() })
}

struct Found<'a> {
    root: &'a Path,
    except: Option<&'a Path>,
    files: Vec<RecipeFile>,
    entries: usize,
    bytes: u64,
}

impl Found<'_> {
    fn walk(&mut self, below: &str, depth: usize) -> Result<(), CatalogError> {
        let folder = self.root.join(below);
        let entries = fs::read_dir(&folder).map_err(|error| CatalogError::Read { path: folder.clone(), error })?;
        for entry in entries {
            let entry = entry.map_err(|error| CatalogError::Read { path: folder.clone(), error })?;
            self.entries += 1;
            if self.entries > FILES {
                return Err(self.too_large());
            }
            let path = entry.path();
            let refuse = |why: &str| Err(CatalogError::Refused { path: path.clone(), why: why.to_owned() });
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain(name)) else {
                return refuse("its name has control characters, a backslash, or is not UTF-8");
            };
            if depth == 0 && (LEFT_BEHIND.contains(&name) || name.contains(".pkg.tar")) {
                continue;
            }
            if self.except == Some(path.as_path()) {
                continue;
            }
            let relative = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            if relative.len() > PATH_BYTES {
                return refuse("its path is too long");
            }
            let kind = entry.file_type().map_err(|error| CatalogError::Read { path: path.clone(), error })?;
            if kind.is_dir() {
                if depth == DEPTH {
                    return refuse("is nested too deeply");
                }
                self.walk(&relative, depth + 1)?;
            } else {
                let (content, executable) = read_file(&path, BYTES - self.bytes).map_err(|error| match error {
                    CatalogError::TooLarge { .. } => self.too_large(),
                    other => other,
                })?;
                self.bytes += content.len() as u64;
                self.files.push(RecipeFile { path: relative, executable, content });
            }
        }
        Ok(())
    }

    fn too_large(&self) -> CatalogError {
        CatalogError::TooLarge { path: self.root.to_owned(), files: FILES, bytes: BYTES }
    }
}

/// Whether a single name can be a file of a recipe everywhere.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.chars().any(|c| c.is_control() || "/\\".contains(c))
}

/// Reads a regular file of at most `limit` bytes; a link, a pipe or a device is refused, not opened.
fn read_file(path: &Path, limit: u64) -> Result<(Vec<u8>, bool), CatalogError> {
    let failed = |error| CatalogError::Read { path: path.to_owned(), error };
    let refuse = |why: &str| Err(CatalogError::Refused { path: path.to_owned(), why: why.to_owned() });
    // Looked at before it is opened, because opening a device can do things; and again after, because it may change.
    let kind = fs::symlink_metadata(path).map_err(failed)?.file_type();
    if kind.is_symlink() {
        return refuse("is a symbolic link, which a recipe must not hold");
    }
    if !kind.is_file() {
        return refuse("is neither a file nor a folder");
    }
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return refuse("is neither a file nor a folder");
    }
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(CatalogError::TooLarge { path: path.to_owned(), files: 1, bytes: limit });
    }
    Ok((content, metadata.mode() & 0o111 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("PKGBUILD"), "pkgname=x\n").unwrap();
        folder
    }

    #[test]
    fn files_come_sorted_and_leftovers_do_not_come() {
        let folder = folder();
        for dir in ["src", "pkg", ".git", "b/src"] {
            fs::create_dir_all(folder.path().join(dir)).unwrap();
            fs::write(folder.path().join(dir).join("f"), "x").unwrap();
        }
        fs::write(folder.path().join("a"), "").unwrap();
        fs::write(folder.path().join("x-1-1-any.pkg.tar.zst"), "").unwrap();
        let paths: Vec<_> = read_folder(folder.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["PKGBUILD", "a", "b/src/f"]);
    }

    #[test]
    fn links_pipes_and_control_characters_are_refused() {
        let with = |make: &dyn Fn(&Path)| {
            let folder = folder();
            make(folder.path());
            read_folder(folder.path()).unwrap_err().to_string()
        };
        let link = with(&|path| std::os::unix::fs::symlink("/etc/passwd", path.join("main.rs")).unwrap());
        assert!(link.contains("main.rs: is a symbolic link"), "{link}");
        let dir = with(&|path| std::os::unix::fs::symlink("/etc", path.join("etc")).unwrap());
        assert!(dir.contains("is a symbolic link"), "{dir}");
        let pipe = with(&|path| nix::unistd::mkfifo(&path.join("p"), nix::sys::stat::Mode::S_IRWXU).unwrap());
        assert!(pipe.contains("neither a file nor a folder"), "{pipe}");
        let name = with(&|path| fs::write(path.join("a\nb"), "").unwrap());
        assert!(name.contains("control characters"), "{name}");
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many = folder();
        (0..FILES).for_each(|n| fs::write(many.path().join(n.to_string()), "").unwrap());
        assert!(read_folder(many.path()).unwrap_err().to_string().contains("more than 2000 files"));
        let large = folder();
        // A hole: nothing is written, and nothing beyond the bound is read.
        File::create(large.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
        assert!(read_folder(large.path()).unwrap_err().to_string().contains("64.0 MB"));
        assert!(matches!(read_text(large.path(), "hole", 10), Err(CatalogError::TooLarge { .. })));
    }
}
