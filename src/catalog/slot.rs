//! Where a worker's recipe lies, its entry read and the rest when it is wanted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};

use super::{
    CatalogError,
    depends::depends,
    entry::{Entry, parse_entry},
    folder::{read_folder, read_text},
    http::Remote,
    offer::Offer,
    srcinfo::{SrcInfo, parse_srcinfo},
};
use crate::vocab::{RecipeMeta, WorkerId, WorkerMeta, recipe::RecipeFile};

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/pkgbuilds");

/// The recipe that is no worker's.
const OWN: &str = "rbee";

const TEXT_BYTES: u64 = 1 << 20;
/// Folders looked at in one catalog.
const WORKERS: usize = 2000;

/// A worker as the catalog lists it, without its recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub worker: WorkerMeta,
    pub offer: Offer,
    /// From `.SRCINFO`.
    pub version: Option<String>,
    /// "built in", or the folder it came from.
    pub origin: String,
}

/// A worker and the place of its recipe.
#[derive(Debug)]
pub(super) struct Slot {
    pub listed: Listed,
    pub place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    BuiltIn(&'static Dir<'static>),
    Folder(PathBuf),
    Http(Box<Remote>),
}

impl Slot {
    /// Reads the whole recipe.
    ///
    /// # Errors
    /// What is wrong with its files, or why they could not be had.
    pub fn read(&self) -> Result<RecipeMeta, CatalogError> {
        let files = match &self.place {
            Place::BuiltIn(folder) => built_in_files(folder),
            Place::Folder(path) => read_folder(path)?,
            Place::Http(remote) => match &remote.recipe {
                Some(Ok(files)) => files.clone(),
                Some(Err(why)) => return Err(CatalogError::Unfetched(why.clone())),
                None => return Err(CatalogError::Unfetched(format!("{} was not asked for", remote.origin()))),
            },
        };
        let Listed { mut worker, version, origin, .. } = self.listed.clone();
        worker.needs.packages = depends(&files, &worker.id);
        Ok(RecipeMeta { worker, version, origin, files })
    }
}

impl From<Remote> for Slot {
    fn from(remote: Remote) -> Self {
        Self { listed: listed(&remote), place: Place::Http(Box::new(remote)) }
    }
}

/// What is known of a worker of an HTTP catalog by now.
pub(super) fn listed(remote: &Remote) -> Listed {
    let Entry { worker, offer } = remote.found.entry.clone();
    Listed { worker, offer, version: remote.found.version.clone(), origin: remote.origin() }
}

/// The workers that came with the program.
pub(super) fn built_in() -> impl Iterator<Item = Result<Slot, CatalogError>> {
    BUILT_IN.dirs().filter(|folder| folder.path() != Path::new(OWN)).map(of_ours)
}

fn of_ours(folder: &'static Dir<'static>) -> Result<Slot, CatalogError> {
    let text = |name: &str| folder.get_file(folder.path().join(name)).and_then(|file| file.contents_utf8());
    let name = folder.path().display().to_string();
    let id = || Ok(WorkerId::new(&name)?);
    let entry = parse_entry(&format!("{name}/worker.toml"), text("worker.toml").unwrap_or(""), id)?;
    let info = text(".SRCINFO").map(parse_srcinfo).unwrap_or_default();
    let Entry { worker, offer } = entry;
    let offer = info.over(offer);
    let listed = Listed { worker, offer, version: info.version, origin: "built in".to_owned() };
    Ok(Slot { listed, place: Place::BuiltIn(folder) })
}

fn built_in_files(folder: &Dir<'static>) -> Vec<RecipeFile> {
    fn collect(folder: &Dir<'static>, root: &Path, files: &mut Vec<RecipeFile>) {
        for file in folder.files() {
            let path = file.path().strip_prefix(root).unwrap_or(file.path()).display().to_string();
            files.push(RecipeFile { path, executable: false, content: file.contents().to_vec() });
        }
        folder.dirs().for_each(|inner| collect(inner, root, files));
    }
    let mut files = Vec::new();
    collect(folder, folder.path(), &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// rbee's own recipe, as it is built in.
pub(super) fn own() -> Result<RecipeMeta, CatalogError> {
    let missing = || CatalogError::NoRecipe(OWN.into());
    of_ours(BUILT_IN.get_dir(OWN).ok_or_else(missing)?)?.read()
}

/// The subfolders of a catalog that are recipes; hidden ones, plain files and other folders are not.
pub(super) fn recipe_folders(catalog: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let failed = |error| CatalogError::Read { path: catalog.to_owned(), error };
    let mut folders = Vec::new();
    for (count, entry) in fs::read_dir(catalog).map_err(failed)?.enumerate() {
        let entry = entry.map_err(failed)?;
        if count == WORKERS {
            return Err(CatalogError::TooLarge { path: catalog.to_owned(), files: WORKERS, bytes: 0 });
        }
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().first() == Some(&b'.');
        let has = |name: &str| fs::symlink_metadata(path.join(name)).is_ok();
        if is_hidden || !path.is_dir() || !(has("PKGBUILD") || has("worker.toml")) {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_symlink() {
            let why = "is a symbolic link, which a catalog must not hold".to_owned();
            return Err(CatalogError::Refused { path, why });
        }
        folders.push(path);
    }
    folders.sort();
    Ok(folders)
}

/// Reads the entry of a recipe's folder; within a catalog, the folder's name is the id.
pub(super) fn on_disk(folder: &Path, in_catalog: bool) -> Result<Slot, CatalogError> {
    let failed = |error| CatalogError::Read { path: folder.to_owned(), error };
    // A link to a recipe's folder is fine when a person names it.
    let folder = fs::canonicalize(folder).map_err(failed)?;
    if !folder.is_dir() || fs::symlink_metadata(folder.join("PKGBUILD")).is_err() {
        return Err(CatalogError::NoRecipe(folder));
    }
    let info = read_text(&folder, ".SRCINFO", TEXT_BYTES)?.map(|text| parse_srcinfo(&text)).unwrap_or_default();
    let entry = read_text(&folder, "worker.toml", TEXT_BYTES)?;
    let file = folder.join("worker.toml");
    let id = || default_id(&folder, &info, in_catalog);
    let Entry { worker, offer } = parse_entry(&file.display().to_string(), entry.as_deref().unwrap_or(""), id)?;
    if in_catalog && folder.file_name() != Some(worker.id.as_str().as_ref()) {
        let why = format!("its id {:?} is not the folder's name", worker.id.as_str());
        return Err(CatalogError::Refused { path: file, why });
    }
    let offer = info.over(offer);
    let listed = Listed { worker, offer, version: info.version, origin: folder.display().to_string() };
    Ok(Slot { listed, place: Place::Folder(folder) })
}

fn default_id(folder: &Path, info: &SrcInfo, in_catalog: bool) -> Result<WorkerId, CatalogError> {
    let base = info.base.as_deref().filter(|_| !in_catalog).and_then(|base| WorkerId::new(base).ok());
    match base {
        Some(id) => Ok(id),
        None => {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            WorkerId::new(&name).map_err(|error| CatalogError::Refused {
                path: folder.to_owned(),
                why: format!("{error}; rename the folder, or write `id = \"…\"` into its worker.toml"),
            })
        }
    }
}
