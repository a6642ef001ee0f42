//! rbee's own recipe, with a source that was named.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{CatalogError, slot};
use crate::vocab::{Digest, RecipeMeta, recipe::RecipeFile, text::sh_quote};

/// What a build of rbee needs of its checkout; the last two hold crates, for hosts without a registry.
const PARTS: [&str; 7] = ["Cargo.toml", "Cargo.lock", "README.md", "src", "pkgbuilds", "vendor", ".cargo"];
/// More than the source has by far.
const BYTES: u64 = 512_000_000;
const DEPTH: usize = 32;

/// Where rbee's source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnSource {
    Folder(PathBuf),
    /// As a PKGBUILD names it.
    Address(String),
}

impl OwnSource {
    /// Reads `--source`.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::Folder(text.into())) };
        let known = ["https", "http", "git+https", "git+http", "git+ssh", "git+file", "file"];
        let plain = |c: char| c.is_ascii_graphic() && !"'\"\\`$<>".contains(c);
        if !known.contains(&scheme) || rest.is_empty() || !rest.chars().all(plain) {
            return Err(format!("{text:?} is no address of a source: write https://…tar.gz or git+https://…"));
        }
        Ok(Self::Address(text.to_owned()))
    }
}

/// The recipe `rbee` for this source.
///
/// # Errors
/// The source cannot be read, or is not rbee's.
pub fn own_recipe(source: &OwnSource) -> Result<RecipeMeta, CatalogError> {
    let mut recipe = slot::own()?;
    let (name, sum) = match source {
        OwnSource::Address(address) => (address.clone(), None),
        OwnSource::Folder(folder) => {
            let failed = |error| CatalogError::Read { path: folder.clone(), error };
            let content = pack(folder).map_err(failed)?;
            let sum = Digest::new(Sha256::digest(&content).into());
            recipe.files.push(RecipeFile { path: "rbee.tar".into(), executable: false, content });
            recipe.files.sort_by(|a, b| a.path.cmp(&b.path));
            ("rbee.tar".to_owned(), Some(sum.to_string()))
        }
    };
    recipe.origin = match source {
        OwnSource::Address(address) => address.clone(),
        OwnSource::Folder(folder) => folder.display().to_string(),
    };
    for file in recipe.files.iter_mut().filter(|file| file.path == "PKGBUILD") {
        let text = String::from_utf8_lossy(&file.content).into_owned();
        let lines = text.lines().map(|line| match line.starts_with("source=(") {
            true => format!("source=({})\n", quoted(&name)),
            false => format!("{line}\n"),
        });
        let text: String = lines.collect();
        let text = sum.iter().fold(text, |text, sum| text.replace("('SKIP')", &format!("('{sum}')")));
        file.content = text.into_bytes();
    }
    // Which one it is, is known when it is built.
    recipe.version = None;
    Ok(recipe)
}

fn quoted(word: &str) -> String {
    match sh_quote(word) {
        bare if bare.starts_with('\'') => bare.into_owned(),
        bare => format!("'{bare}'"),
    }
}

/// The same bytes for the same files, so that what was built of them is known again.
fn pack(folder: &Path) -> io::Result<Vec<u8>> {
    if !folder.join("Cargo.toml").is_file() || !folder.join("src").is_dir() {
        return Err(io::Error::other("it is no checkout of rbee: it has no Cargo.toml, or no src"));
    }
    let mut archive = tar::Builder::new(Bounded { bytes: Vec::new() });
    for part in PARTS {
        add(&mut archive, folder, Path::new(part), 0)?;
    }
    Ok(archive.into_inner()?.bytes)
}

fn add(archive: &mut tar::Builder<Bounded>, root: &Path, below: &Path, depth: usize) -> io::Result<()> {
    let path = root.join(below);
    let data = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth == 0 => return Ok(()),
        other => other?,
    };
    if data.is_dir() {
        if depth == DEPTH {
            return Err(io::Error::other(format!("{} lies too deep", below.display())));
        }
        let mut names = fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        return names.iter().try_for_each(|name| add(archive, root, &below.join(name), depth + 1));
    }
    if !data.is_file() {
        return Err(io::Error::other(format!("{} is neither a file nor a folder", below.display())));
    }
    let content = fs::read(&path)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(if data.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
    // Any moment in the past; tar warns of the very first ones.
    header.set_mtime(1_000_000_000);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, Path::new("rbee").join(below), content.as_slice())
}

/// Memory with an end.
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > BYTES {
            return Err(io::Error::other("it is larger than 512 MB; is there something else in it?"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_folder_or_an_address() {
        assert_eq!(OwnSource::parse("../rbee").unwrap(), OwnSource::Folder("../rbee".into()));
        for address in ["https://example.org/rbee-1.tar.gz", "git+https://example.org/rbee.git#tag=v1"] {
            assert_eq!(OwnSource::parse(address).unwrap(), OwnSource::Address(address.into()));
        }
        for bad in ["ftp://x", "https://", "https://x/'; rm", "https://x/$(id)", "https://x/a b"] {
            assert!(OwnSource::parse(bad).is_err(), "{bad}");
        }
    }

    fn text(recipe: &RecipeMeta) -> String {
        let file = recipe.files.iter().find(|file| file.path == "PKGBUILD").unwrap();
        String::from_utf8(file.content.clone()).unwrap()
    }

    #[test]
    fn its_recipe_takes_the_source_that_was_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = OwnSource::Folder(dir.path().to_owned());
        assert!(own_recipe(&folder).unwrap_err().to_string().contains("no checkout"));
        fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        fs::create_dir_all(dir.path().join("target")).unwrap();
        for (name, said) in [("Cargo.toml", "[package]"), ("src/deep/a.rs", ""), ("target/large", "no")] {
            fs::write(dir.path().join(name), said).unwrap();
        }
        let recipe = own_recipe(&folder).unwrap();
        let packed = &recipe.files.iter().find(|file| file.path == "rbee.tar").unwrap().content;
        let mut archive = tar::Archive::new(packed.as_slice());
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["rbee/Cargo.toml", "rbee/src/deep/a.rs"]);
        assert!(!text(&recipe).contains("SKIP") && text(&recipe).contains("source=('rbee.tar')"));
        assert_eq!(own_recipe(&folder).unwrap(), recipe, "the same files are the same recipe");
        let address = OwnSource::Address("https://example.org/r.tar.gz".into());
        let recipe = own_recipe(&address).unwrap();
        assert!(text(&recipe).contains("source=('https://example.org/r.tar.gz')\nsha256sums=('SKIP')"));
        let version = format!("\npkgver={}\n", env!("CARGO_PKG_VERSION"));
        assert!(text(&recipe).contains(&version), "pkgbuilds/rbee/PKGBUILD has another version than Cargo.toml");
    }
}
