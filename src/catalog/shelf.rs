//! The workers that can be had, and their recipes when they are wanted.

use std::{
    collections::{BTreeMap, btree_map},
    path::{Path, PathBuf},
};

use super::{
    CatalogError,
    choose::{self, Pick},
    error::nearest,
    http::{Index, Web},
    slot::{Listed, Place, Slot, built_in, listed, on_disk, recipe_folders},
};
use crate::vocab::{Facts, RecipeMeta, WorkerId, WorkerMeta};

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

/// Workers by id, of all sources.
#[derive(Debug, Default)]
pub struct Catalog {
    slots: BTreeMap<WorkerId, Slot>,
    /// Of a worker that an earlier source has.
    shadowed: Vec<Listed>,
    problems: Vec<CatalogError>,
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
                    for slot in built_in() {
                        catalog.add(slot?);
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

#[cfg(test)]
mod tests {
    use std::fs;

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
