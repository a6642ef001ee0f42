//! A recipe in the folder of its author: whatever it is called, with or without a `worker.toml`.

use std::{fs, path::Path};

use super::{CatalogError, entry::parse_entry, folder::read_all_but, folder::read_text};
use crate::vocab::{RecipeMeta, WorkerId};

const TEXT_BYTES: u64 = 1 << 20;

/// A recipe, and what is wrong with its entry.
#[derive(Debug)]
pub struct Authored {
    /// With an entry of defaults where its own is wrong.
    pub recipe: RecipeMeta,
    /// The recipe itself can be read all the same.
    pub entry: Result<(), CatalogError>,
}

/// Reads the recipe in `folder`, without what lies in `except`, a folder that may be below it.
///
/// # Errors
/// There is none, or its folder has what a recipe may not hold.
pub fn read_recipe(folder: &Path, except: Option<&Path>) -> Result<Authored, CatalogError> {
    let failed = |error| CatalogError::Read { path: folder.to_owned(), error };
    let root = fs::canonicalize(folder).map_err(failed)?;
    if !root.is_dir() || fs::symlink_metadata(root.join("PKGBUILD")).is_err() {
        return Err(CatalogError::NoRecipe(folder.to_owned()));
    }
    // An id is for catalogs; here a name to speak of is enough.
    let name = root.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let id = || Ok(WorkerId::new(&name).or_else(|_| WorkerId::new("recipe"))?);
    let file = folder.join("worker.toml").display().to_string();
    let entry = read_text(&root, "worker.toml", TEXT_BYTES)
        .and_then(|text| parse_entry(&file, text.as_deref().unwrap_or_default(), id));
    let (worker, entry) = match entry {
        Ok(entry) => (entry.worker, Ok(())),
        Err(error) => (parse_entry(&file, "", id)?.worker, Err(error)),
    };
    let except = except.and_then(|path| fs::canonicalize(path).ok()).filter(|path| *path != root);
    let files = read_all_but(&root, except.as_deref())?;
    Ok(Authored { recipe: RecipeMeta { worker, version: None, origin: folder.display().to_string(), files }, entry })
}
