//! What can be wrong with a catalog, said with file and line.

use std::path::PathBuf;

use crate::vocab::{InvalidName, text::human_bytes};

/// Why a catalog or a recipe cannot be used; nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("cannot read {}: {error}", .path.display())]
    Read { path: PathBuf, error: std::io::Error },
    /// The text of a file is wrong; `line` counts from 1.
    #[error("{file}:{line}: {text}")]
    Entry { file: String, line: usize, text: String },
    /// A file or folder is not what a recipe may hold.
    #[error("{}: {why}", .path.display())]
    Refused { path: PathBuf, why: String },
    #[error("{} has more than {files} files or {}; is it the recipe's own folder?", .path.display(), human_bytes(*.bytes))]
    TooLarge { path: PathBuf, files: usize, bytes: u64 },
    #[error("{} is not a recipe: it has no PKGBUILD", .0.display())]
    NoRecipe(PathBuf),
    #[error("there is no worker {id:?} in the catalog; {hint}")]
    Unknown { id: String, hint: String },
    /// What an HTTP catalog said, or did not say.
    #[error("{url}: {why}")]
    Remote { url: String, why: String },
    /// A recipe of an HTTP catalog that is not here, and why.
    #[error("{0}")]
    Unfetched(String),
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// The one of `known` that `typed` may have been meant to be.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The measure is quadratic, and nobody mistypes a name of this length.
    if typed.len() > 128 {
        return None;
    }
    let far = (typed.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
