//! What is meant where something was left out: taken if there is exactly one, else the choices are listed.

use super::SpawnError;
use crate::{
    models::{
        ModelRef, RepoId,
        cache::{CachedRepo, Revision},
        gguf,
    },
    vocab::{Manifest, WorkerId, text::printable},
};

/// A model as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelArg {
    /// What the host's cache has.
    Ref(ModelRef),
    /// A file or a folder there; absolute.
    Path(String),
}

/// A model that was found in a host's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: String,
    /// "org/repo:file".
    pub name: String,
}

/// The installed worker that is meant; `families` says which family a worker is of.
///
/// # Errors
/// A sentence with the choices.
pub fn worker<'a>(
    installed: &'a [Manifest],
    named: Option<&str>,
    family: impl Fn(&WorkerId) -> Option<String>,
) -> Result<&'a Manifest, SpawnError> {
    let mut found: Vec<&Manifest> = installed.iter().collect();
    // Of one that is installed twice, the first is the one that its name leads to.
    let mut seen = Vec::new();
    found.retain(|manifest| !seen.contains(&&manifest.worker) && (seen.push(&manifest.worker), true).1);
    if let Some(name) = named {
        let exact: Vec<_> = found.iter().copied().filter(|manifest| manifest.worker.as_str() == name).collect();
        let related = |manifest: &&Manifest| family(&manifest.worker).as_deref() == Some(name);
        found = if exact.is_empty() { found.into_iter().filter(related).collect() } else { exact };
    }
    match (&found[..], named) {
        ([one], _) => Ok(one),
        ([], Some(name)) => Err(SpawnError::choice(
            format!("{} is not installed here", printable(name)),
            "rbee worker install brings it; rbee worker list shows what is there",
        )),
        ([], None) => {
            Err(SpawnError::choice("no worker is installed here", "rbee worker available lists those that can be"))
        }
        (many, _) => {
            let names: Vec<_> = many.iter().map(|manifest| manifest.worker.as_str()).collect();
            Err(SpawnError::choice(
                format!("several workers are installed here: {}", names.join(", ")),
                "say which one: --worker ID",
            ))
        }
    }
}

/// The model that is meant, out of a cache in `folder`; `formats` are those that the worker reads, none when it does not say.
///
/// # Errors
/// A sentence with the choices, or what is wrong with the only one.
pub fn model(
    folder: &str,
    repos: &[CachedRepo],
    named: Option<&ModelRef>,
    formats: &[String],
) -> Result<Found, SpawnError> {
    let Some(named) = named else {
        let whole: Vec<Found> = repos.iter().filter_map(|repo| of_repo(folder, repo, None, formats).ok()).collect();
        return match &whole[..] {
            [one] => Ok(one.clone()),
            [] => Err(SpawnError::choice(
                "it needs a model, and none that it could read is here",
                "rbee model download fetches one; --model names a file",
            )),
            many => {
                let names: Vec<_> = many.iter().map(|found| found.name.as_str()).collect();
                Err(SpawnError::choice(
                    format!("several models are here: {}", names.join(", ")),
                    "say which one: --model org/repo, or org/repo:file",
                ))
            }
        };
    };
    let absent =
        || SpawnError::choice(format!("{named} is not here"), format!("rbee model download {named} fetches it"));
    let repo = repos.iter().find(|repo| repo.repo == named.repo).ok_or_else(absent)?;
    of_repo(folder, repo, Some(named), formats)
}

/// The file, or the folder, that stands for a repository in a cache.
fn of_repo(folder: &str, repo: &CachedRepo, named: Option<&ModelRef>, formats: &[String]) -> Result<Found, SpawnError> {
    let wrong =
        |what: String| SpawnError::choice(what, format!("rbee model download {} fetches what is missing", repo.repo));
    let commits: Vec<&String> = match named {
        Some(named) => repo.commits_of(&named.revision),
        // Without a word about it, the newest that a ref leads to.
        None => repo.revisions.iter().filter(|(_, known)| !known.refs.is_empty()).map(|(commit, _)| commit).collect(),
    };
    let Some(commit) = commits.first() else {
        return Err(wrong(format!("{} is here, but not that revision", repo.repo)));
    };
    let revision = &repo.revisions[*commit];
    let snapshot = format!("{folder}/{}/snapshots/{commit}", RepoId::folder(&repo.repo));
    let whole = |path: &str| here(repo, revision, path);
    let file = |path: &str| Found { path: format!("{snapshot}/{path}"), name: format!("{}:{path}", repo.repo) };
    if let Some(path) = named.and_then(|named| named.file.as_deref()) {
        if !revision.files.iter().any(|(name, _)| name == path) || !whole(path) {
            return Err(wrong(format!("{}:{path} is not here", repo.repo)));
        }
        return Ok(file(path));
    }
    let reads = |format: &str| formats.is_empty() || formats.iter().any(|known| known == format);
    let files = revision.files.iter().filter(|(path, _)| whole(path));
    let sized = files.map(|(path, blob)| (path.as_str(), repo.blobs.get(blob).copied().unwrap_or(0)));
    let variants = gguf::variants(sized.clone());
    if reads("gguf") {
        let (there, parts): (Vec<_>, Vec<_>) = variants.iter().partition(|variant| variant.missing == 0);
        if let Some(first) = there.first().and_then(|variant| variant.files.first()) {
            return Ok(file(first));
        }
        if let Some(part) = parts.first() {
            return Err(wrong(format!("{}: {} of its shards are not here", repo.repo, part.missing)));
        }
    }
    let tensors = sized.clone().any(|(path, _)| path.ends_with(".safetensors"));
    if (formats.is_empty() && sized.clone().next().is_some()) || (reads("safetensors") && tensors) {
        return Ok(Found { path: snapshot, name: repo.repo.to_string() });
    }
    Err(wrong(format!("{} has nothing that this worker reads ({})", repo.repo, formats.join(", "))))
}

/// Whether a file of a revision is there; small ones may be no links to blobs.
fn here(repo: &CachedRepo, revision: &Revision, path: &str) -> bool {
    let blob = revision.files.iter().find(|(name, _)| name == path).map(|(_, blob)| blob.as_str());
    blob.is_some_and(|blob| blob.len() <= 1 || repo.blobs.contains_key(blob))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{BuildKey, Digest};

    fn manifest(worker: &str) -> Manifest {
        Manifest {
            worker: WorkerId::new(worker).unwrap(),
            version: "1.0".into(),
            key: BuildKey(Digest::new([1; 32])),
            class: None,
            digest: Digest::new([1; 32]),
            size: 7,
            path: format!("/usr/local/bin/{worker}"),
            entry: None,
            origin: "built in".into(),
            run: "RUN".into(),
            installed_at: String::new(),
            previous: None,
        }
    }

    fn pick(installed: &[&str], named: Option<&str>) -> Result<String, String> {
        let installed: Vec<_> = installed.iter().map(|name| manifest(name)).collect();
        let family = |id: &WorkerId| id.as_str().rsplit_once('-').map(|(family, _)| family.to_owned());
        let found = worker(&installed, named, family).map(|manifest| manifest.worker.to_string());
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_worker_is_meant_and_several_are_listed() {
        assert_eq!(pick(&["a-cpu"], None).unwrap(), "a-cpu");
        assert_eq!(pick(&["a-cpu", "a-cpu"], None).unwrap(), "a-cpu", "in both scopes");
        assert_eq!(pick(&["a-cpu", "b-cpu"], None).unwrap_err(), "several workers are installed here: a-cpu, b-cpu");
        assert_eq!(pick(&["a-cpu", "b-cpu"], Some("b-cpu")).unwrap(), "b-cpu");
        assert_eq!(pick(&["a-cpu", "b-cpu"], Some("b")).unwrap(), "b-cpu");
        assert_eq!(
            pick(&["a-cpu", "a-cuda"], Some("a")).unwrap_err(),
            "several workers are installed here: a-cpu, a-cuda"
        );
        assert_eq!(pick(&["a-cpu"], Some("c")).unwrap_err(), "c is not installed here");
        assert_eq!(pick(&[], None).unwrap_err(), "no worker is installed here");
    }

    fn repo(name: &str, files: &[(&str, bool)]) -> CachedRepo {
        let blob = |n: usize| format!("{n:064x}");
        let files: Vec<_> = files.iter().enumerate().map(|(n, (path, there))| (blob(n), *path, *there)).collect();
        let revision = Revision {
            refs: vec!["main".into()],
            files: files.iter().map(|(blob, path, _)| ((*path).to_owned(), blob.clone())).collect(),
        };
        CachedRepo {
            repo: RepoId::new(name).unwrap(),
            revisions: [("c".repeat(40), revision)].into(),
            blobs: files.iter().filter(|(.., there)| *there).map(|(blob, ..)| (blob.clone(), 5)).collect(),
            parts: Default::default(),
        }
    }

    fn find(repos: &[CachedRepo], named: Option<&str>, formats: &[&str]) -> Result<String, String> {
        let formats: Vec<_> = formats.iter().map(|format| (*format).to_owned()).collect();
        let named: Option<ModelRef> = named.map(|text| text.parse().unwrap());
        let found = model("/hub", repos, named.as_ref(), &formats).map(|found| found.path).map_err(|e| e.to_string());
        found.map(|path| path.replace(&"c".repeat(40), "C"))
    }

    #[test]
    fn a_model_is_a_file_that_is_there() {
        let two = [
            repo("o/g", &[("g-Q8_0.gguf", true), ("g-Q4_K_M.gguf", true), ("README.md", true)]),
            repo("o/t", &[("model.safetensors", true), ("config.json", true)]),
        ];
        // What is not said is taken by what the worker reads, and by the order in which quantisations are.
        assert_eq!(find(&two, None, &["gguf"]).unwrap(), "/hub/models--o--g/snapshots/C/g-Q4_K_M.gguf");
        assert_eq!(
            find(&two, Some("o/g:g-Q8_0.gguf"), &["gguf"]).unwrap(),
            "/hub/models--o--g/snapshots/C/g-Q8_0.gguf"
        );
        assert_eq!(find(&two, None, &["safetensors"]).unwrap(), "/hub/models--o--t/snapshots/C");
        let several = find(&two, None, &["gguf", "safetensors"]).unwrap_err();
        assert_eq!(several, "several models are here: o/g:g-Q4_K_M.gguf, o/t");
        assert_eq!(find(&two, Some("o/t"), &["gguf"]).unwrap_err(), "o/t has nothing that this worker reads (gguf)");
        assert_eq!(find(&two, Some("o/x"), &[]).unwrap_err(), "o/x is not here");
        assert_eq!(find(&two, Some("o/g@v2"), &[]).unwrap_err(), "o/g is here, but not that revision");
        assert_eq!(find(&two, Some("o/g:g-Q2_K.gguf"), &[]).unwrap_err(), "o/g:g-Q2_K.gguf is not here");
    }

    #[test]
    fn half_a_model_is_none() {
        let shards = [("g-Q8_0-00001-of-00002.gguf", true), ("g-Q8_0-00002-of-00002.gguf", false)];
        let half = [repo("o/g", &shards)];
        assert_eq!(find(&half, Some("o/g"), &["gguf"]).unwrap_err(), "o/g: 1 of its shards are not here");
        assert!(find(&half, None, &["gguf"]).unwrap_err().contains("none that it could read is here"));
        let whole = [repo("o/g", &shards.map(|(path, _)| (path, true)))];
        assert!(find(&whole, None, &["gguf"]).unwrap().ends_with("/g-Q8_0-00001-of-00002.gguf"));
    }
}
