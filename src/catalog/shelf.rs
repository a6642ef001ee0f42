//! The workers that can be had, and their recipes when they are wanted.

use std::{
    collections::{BTreeMap, btree_map},
    fs,
    path::{Path, PathBuf},
};

use include_dir::{Dir, include_dir};

use super::{
    CatalogError,
    choose::{self, Pick},
    depends::depends,
    entry::{Entry, parse_entry},
    error::nearest,
    folder::{read_folder, read_text},
    http::{Index, Remote, Web},
    offer::Offer,
    srcinfo::{SrcInfo, parse_srcinfo},
};
use crate::vocab::{Facts, RecipeMeta, WorkerId, WorkerMeta, recipe::RecipeFile};

static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/pkgbuilds");

/// The recipe that is no worker's.
const OWN: &str = "rbee";

const TEXT_BYTES: u64 = 1 << 20;
/// Folders looked at in one catalog.
const WORKERS: usize = 2000;

/// One place to look for workers; an earlier one wins.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogSource {
    /// What came with the program.
    BuiltIn,
    /// A folder whose subfolders are recipes.
    Folder(PathBuf),
    /// The list of an HTTP catalog.
    Http(Box<Index>),
}

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

/// Workers by id, of all sources.
#[derive(Debug, Default)]
pub struct Catalog {
    slots: BTreeMap<WorkerId, Slot>,
    /// Of a worker that an earlier source has.
    shadowed: Vec<Listed>,
    problems: Vec<CatalogError>,
}

#[derive(Debug)]
struct Slot {
    listed: Listed,
    place: Place,
}

#[derive(Debug)]
enum Place {
    BuiltIn(&'static Dir<'static>),
    Folder(PathBuf),
    Http(Box<Remote>),
}

impl Catalog {
    /// Reads the entries of all sources; where two have the same id, the earlier one has it.
    ///
    /// # Errors
    /// The first thing that is wrong with any of them: a catalog is right as a whole or refused.
    pub fn open(sources: &[CatalogSource]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for source in sources {
            match source {
                CatalogSource::BuiltIn => {
                    for folder in BUILT_IN.dirs().filter(|folder| folder.path() != Path::new(OWN)) {
                        catalog.add(built_in(folder)?);
                    }
                }
                CatalogSource::Folder(path) => {
                    for folder in recipe_folders(path)? {
                        catalog.add(on_disk(&folder, true)?);
                    }
                }
                CatalogSource::Http(index) => {
                    catalog.problems.extend(index.problems());
                    index.workers().for_each(|remote| catalog.add(Slot::from(remote)));
                }
            }
        }
        Ok(catalog)
    }

    fn add(&mut self, slot: Slot) {
        match self.slots.entry(slot.listed.worker.id.clone()) {
            btree_map::Entry::Vacant(place) => drop(place.insert(slot)),
            btree_map::Entry::Occupied(_) => self.shadowed.push(slot.listed),
        }
    }

    /// The same worker in later sources.
    pub fn shadowed(&self, id: &WorkerId) -> impl Iterator<Item = &Listed> {
        self.shadowed.iter().filter(move |listed| listed.worker.id == *id)
    }

    /// Entries that were left out, and why.
    pub fn problems(&self) -> &[CatalogError] {
        &self.problems
    }

    /// Fetches the recipes that lie in HTTP catalogs, of the workers and families that are named; yields what a person
    /// should know of it. What could not be fetched is said by [`Catalog::get`].
    pub async fn fetch(&mut self, web: &Web, names: &[&str]) -> Vec<String> {
        let mut notices = Vec::new();
        for slot in self.slots.values_mut() {
            let worker = &slot.listed.worker;
            let wanted = names.iter().any(|name| *name == worker.id.as_str() || *name == worker.family);
            let Place::Http(remote) = &mut slot.place else { continue };
            if wanted && remote.recipe.is_none() {
                remote.fetch(web).await;
                notices.append(&mut remote.notices);
                slot.listed = listed(remote);
            }
        }
        notices
    }

    /// All workers, by id.
    pub fn list(&self) -> impl Iterator<Item = &Listed> {
        self.slots.values().map(|slot| &slot.listed)
    }

    /// Reads the whole recipe of `id`.
    ///
    /// # Errors
    /// [`CatalogError::Unknown`] with the nearest id; or what is wrong with the recipe's folder.
    pub fn get(&self, id: &WorkerId) -> Result<RecipeMeta, CatalogError> {
        self.slots.get(id).ok_or_else(|| self.unknown(id.as_str()))?.read()
    }

    /// Finds what a WORKER argument means: a recipe's folder if it has a `/` or starts with `.`, else an id.
    ///
    /// # Errors
    /// As [`Catalog::get`]; [`CatalogError::Name`] for what can be no id.
    pub fn resolve(&self, argument: &str) -> Result<RecipeMeta, CatalogError> {
        if is_path(argument) {
            return on_disk(Path::new(argument), false)?.read();
        }
        self.get(&WorkerId::new(argument)?)
    }

    /// The workers of one family.
    pub fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a WorkerMeta> {
        self.list().map(|listed| &listed.worker).filter(move |worker| worker.family == name)
    }

    /// Decides which worker a host gets that was asked for by family or by id; pure.
    ///
    /// # Errors
    /// A sentence: why this host cannot have it, or that there is no such worker.
    pub fn pick(&self, family_or_id: &str, facts: &Facts) -> Result<Pick, String> {
        if let Some(slot) = self.slots.get(family_or_id) {
            choose::fits(&slot.listed.worker, facts)?;
            return Ok(Pick { worker: slot.listed.worker.id.clone(), why: "as asked".to_owned() });
        }
        let variants: Vec<_> = self.family(family_or_id).collect();
        if variants.is_empty() {
            return Err(self.unknown(family_or_id).to_string());
        }
        choose::choose(family_or_id, &variants, facts)
    }

    /// The variants of a family that a host can run and would get, best first, if only it could build them; each with
    /// what stands against that.
    pub fn unbuildable<'a>(&'a self, family: &'a str, facts: &Facts) -> Vec<(&'a WorkerMeta, String)> {
        match self.slots.contains_key(family) {
            true => Vec::new(),
            false => choose::unbuildable(&self.family(family).collect::<Vec<_>>(), facts),
        }
    }

    fn unknown(&self, id: &str) -> CatalogError {
        // An entry that was left out is there all the same.
        let quoted = format!("worker {id:?}: ");
        let left_out = self.problems.iter().map(ToString::to_string).find(|problem| problem.contains(&quoted));
        if let Some(why) = left_out {
            return CatalogError::Unknown { id: id.to_owned(), hint: format!("it was left out: {why}") };
        }
        let variants: Vec<_> = self.family(id).map(|worker| worker.id.as_str()).collect();
        if !variants.is_empty() {
            let hint = format!("it is a family, of {}", variants.join(", "));
            return CatalogError::Unknown { id: id.to_owned(), hint };
        }
        let families = self.list().map(|listed| listed.worker.family.as_str());
        let known = self.slots.keys().map(WorkerId::as_str).chain(families);
        let hint = match nearest(id, known) {
            Some(name) => format!("did you mean {name:?}?"),
            None => "`rbee worker available` lists them".to_owned(),
        };
        CatalogError::Unknown { id: id.to_owned(), hint }
    }
}

/// Whether a WORKER argument names a folder and not an id.
fn is_path(argument: &str) -> bool {
    argument.contains('/') || argument.starts_with('.')
}

impl Slot {
    fn read(&self) -> Result<RecipeMeta, CatalogError> {
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

fn listed(remote: &Remote) -> Listed {
    let Entry { worker, offer } = remote.found.entry.clone();
    Listed { worker, offer, version: remote.found.version.clone(), origin: remote.origin() }
}

fn built_in(folder: &'static Dir<'static>) -> Result<Slot, CatalogError> {
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
    built_in(BUILT_IN.get_dir(OWN).ok_or_else(missing)?)?.read()
}

/// The subfolders of a catalog that are recipes; hidden ones, plain files and other folders are not.
fn recipe_folders(catalog: &Path) -> Result<Vec<PathBuf>, CatalogError> {
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
fn on_disk(folder: &Path, in_catalog: bool) -> Result<Slot, CatalogError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(root: &Path, name: &str, entry: &str) {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join("PKGBUILD"), "pkgname=x\n").unwrap();
        fs::write(root.join(name).join("worker.toml"), entry).unwrap();
    }

    #[test]
    fn the_built_in_workers_are_there_and_whole() {
        let catalog = Catalog::open(&[CatalogSource::BuiltIn]).unwrap();
        let ids: Vec<_> = catalog.list().map(|listed| listed.worker.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "echo-worker",
                "llama-server-cpu",
                "llama-server-cuda",
                "llama-server-metal",
                "llm-worker-rbee-cpu",
                "llm-worker-rbee-cuda",
                "llm-worker-rbee-metal"
            ]
        );
        for listed in catalog.list() {
            assert!(listed.version.is_some() && !listed.worker.description.is_empty(), "{listed:?}");
            assert!(!listed.worker.needs.tools.is_empty() && listed.worker.needs.disk > 0, "{listed:?}");
            let accelerator = listed.worker.accelerator.as_str();
            assert!(listed.worker.id.as_str().ends_with(accelerator) || listed.worker.id.as_str() == "echo-worker");
        }
        let echo = catalog.resolve("echo-worker").unwrap();
        let paths: Vec<_> = echo.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".SRCINFO", "PKGBUILD", "main.rs", "worker.toml"]);
        assert_eq!((echo.version.as_deref(), echo.origin.as_str()), (Some("0.1.0"), "built in"));
    }

    #[test]
    fn an_earlier_source_wins() {
        let dir = tempfile::tempdir().unwrap();
        recipe(dir.path(), "echo-worker", "name = 'mine'");
        fs::create_dir(dir.path().join("notes")).unwrap();
        fs::write(dir.path().join("README"), "").unwrap();
        let sources = [CatalogSource::Folder(dir.path().to_owned()), CatalogSource::BuiltIn];
        let mine = Catalog::open(&sources).unwrap().resolve("echo-worker").unwrap();
        assert_eq!(mine.worker.name, "mine");
        assert!(mine.origin.ends_with("/echo-worker"), "{}", mine.origin);
        assert_eq!(Catalog::open(&sources).unwrap().list().count(), 7);
    }

    #[test]
    fn a_path_is_a_recipe_with_or_without_an_entry() {
        let dir = tempfile::tempdir().unwrap();
        recipe(dir.path(), "mine", "");
        let path = dir.path().join("mine");
        let catalog = Catalog::default();
        let id = || catalog.resolve(path.to_str().unwrap()).unwrap().worker.id.as_str().to_owned();
        assert_eq!(id(), "mine");
        fs::write(path.join(".SRCINFO"), "pkgbase = based\n\tpkgver = 2\n").unwrap();
        assert_eq!(id(), "based");
        fs::write(path.join("worker.toml"), "id = 'said'").unwrap();
        assert_eq!(id(), "said");
    }

    #[test]
    fn what_is_no_recipe_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let said = |argument: &str| {
            Catalog::open(&[CatalogSource::BuiltIn]).unwrap().resolve(argument).unwrap_err().to_string()
        };
        assert!(said(dir.path().to_str().unwrap()).contains("is not a recipe: it has no PKGBUILD"));
        assert!(said("./nowhere").contains("cannot read ./nowhere"));
        assert!(said("ecko-worker").contains("did you mean \"echo-worker\"?"));
        assert!(said("something-else-entirely").contains("rbee worker available"));
        assert!(said("-o").contains("must not start with"));
        recipe(dir.path(), "a", "id = 'b'");
        let open = || Catalog::open(&[CatalogSource::Folder(dir.path().to_owned())]).unwrap_err().to_string();
        assert!(open().contains("its id \"b\" is not the folder's name"), "{}", open());
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        recipe(dir.path(), "Upper Case", "");
        assert!(open().contains("rename the folder"), "{}", open());
        fs::remove_dir_all(dir.path().join("Upper Case")).unwrap();
        std::os::unix::fs::symlink(
            env!("CARGO_MANIFEST_DIR").to_owned() + "/pkgbuilds/echo-worker",
            dir.path().join("l"),
        )
        .unwrap();
        assert!(open().contains("symbolic link"), "{}", open());
    }
}
