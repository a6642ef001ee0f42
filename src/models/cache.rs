//! A hub's cache on a host: what is in it, whether it holds, and how something goes from it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ModelError,
    manifest::{BlobId, Manifest, ModelFile},
    reference::{RepoId, check_path, is_commit},
    said::{End, Listener},
    script,
};
use crate::{scope::Scope, target::Target};

/// A repository in a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRepo {
    pub repo: RepoId,
    /// By commit.
    pub revisions: BTreeMap<String, Revision>,
    /// Blobs and their lengths.
    pub blobs: BTreeMap<String, u64>,
    /// Blobs that are there in part, and bytes of disk that the parts take.
    pub parts: BTreeMap<String, u64>,
}

/// One commit of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    /// Branches and tags that point at it.
    pub refs: Vec<String>,
    /// Path and blob.
    pub files: Vec<(String, String)>,
}

impl CachedRepo {
    /// Bytes of its blobs.
    pub fn size(&self) -> u64 {
        self.blobs.values().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// Bytes of the blobs that a revision's files are.
    pub fn size_of(&self, revision: &Revision) -> u64 {
        let blobs: BTreeSet<&String> = revision.files.iter().map(|(_, blob)| blob).collect();
        blobs.iter().filter_map(|blob| self.blobs.get(*blob)).fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// Blobs that no revision uses.
    pub fn orphans(&self) -> Vec<&String> {
        let used: BTreeSet<&String> = self.revisions.values().flat_map(|r| &r.files).map(|(_, blob)| blob).collect();
        self.blobs.keys().filter(|blob| !used.contains(blob)).collect()
    }

    /// The commits that a revision means: itself, or what its ref points at.
    pub fn commits_of<'a>(&'a self, revision: &'a str) -> Vec<&'a String> {
        let meant =
            |(commit, known): &(&String, &Revision)| *commit == revision || known.refs.iter().any(|r| r == revision);
        self.revisions.iter().filter(meant).map(|(commit, _)| commit).collect()
    }
}

/// Everything in the host's cache, or one repository of it.
///
/// # Errors
/// The host cannot be asked.
pub async fn list(
    scope: &Scope,
    target: &dyn Target,
    only: Option<&RepoId>,
) -> Result<(String, Vec<CachedRepo>), ModelError> {
    let folder = only.map(RepoId::folder).unwrap_or_default();
    let mut listener = Listener::new(None);
    target.run(scope, &script::command("list models", &[("ONLY", &folder)], script::LIST), &mut listener).await?;
    let lines = std::mem::take(&mut listener.others);
    match listener.end() {
        End::Done => Ok(read(&lines)),
        other => Err(ModelError::Host(format!("the cache could not be listed: {other:?}"))),
    }
}

/// Takes apart what the script printed; what it cannot have printed is passed over.
fn read(lines: &[String]) -> (String, Vec<CachedRepo>) {
    let mut cache = String::new();
    let mut repos: Vec<CachedRepo> = Vec::new();
    let mut commit = String::new();
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "cache" => cache = rest.to_owned(),
            "repo" => {
                commit.clear();
                if let Some(repo) = RepoId::from_folder(rest) {
                    let (revisions, blobs, parts) = Default::default();
                    repos.push(CachedRepo { repo, revisions, blobs, parts });
                }
            }
            _ => {
                let Some(repo) = repos.last_mut() else { continue };
                match word {
                    "ref" if is_commit(first) => {
                        repo.revisions.entry(first.to_owned()).or_default().refs.push(second.to_owned());
                    }
                    "snapshot" if is_commit(rest) => {
                        commit = rest.to_owned();
                        repo.revisions.entry(commit.clone()).or_default();
                    }
                    "link" if check_path(second).is_ok() => {
                        if let Some(revision) = repo.revisions.get_mut(&commit) {
                            revision.files.push((second.to_owned(), first.to_owned()));
                        }
                    }
                    "blob" | "parts" if BlobId::parse(first).is_some() => {
                        let Ok(size) = second.parse::<u64>() else { continue };
                        match word {
                            "blob" => repo.blobs.insert(first.to_owned(), size),
                            _ => repo.parts.insert(first.to_owned(), size.saturating_mul(1024)),
                        };
                    }
                    _ => {}
                }
            }
        }
    }
    // A ref alone is no revision that could be used, but it goes with its repository.
    (cache, repos)
}

/// Takes the digests of blobs on the host and yields those that do not hold, with what is wrong; with `mend`, these are
/// removed, and the others remembered as proven.
///
/// # Errors
/// The host cannot be asked.
pub async fn prove(
    scope: &Scope,
    target: &dyn Target,
    manifest: &Manifest,
    files: &[&ModelFile],
    mend: bool,
) -> Result<Vec<(ModelFile, String)>, ModelError> {
    let blobs: Vec<(String, u64)> = files.iter().map(|file| (file.blob.to_string(), file.size)).collect();
    let bad = prove_blobs(scope, target, &manifest.repo, &blobs, mend).await?;
    let named = |(blob, why): (String, String)| {
        Some((files.iter().find(|file| file.blob.as_str() == blob).map(|file| (*file).clone())?, why))
    };
    Ok(bad.into_iter().filter_map(named).collect())
}

/// The same for blobs alone, by name and length.
///
/// # Errors
/// The host cannot be asked.
pub async fn prove_blobs(
    scope: &Scope,
    target: &dyn Target,
    repo: &RepoId,
    blobs: &[(String, u64)],
    mend: bool,
) -> Result<Vec<(String, String)>, ModelError> {
    let mut bad = Vec::new();
    if blobs.is_empty() {
        return Ok(bad);
    }
    for piece in script::pieces(blobs, |_| 90) {
        let listed: Vec<String> = piece.iter().map(|(blob, size)| format!("{blob} {size}")).collect();
        let go = if mend { "yes" } else { "" };
        let values = [("M", repo.folder()), ("BLOBS", listed.join(" ")), ("GO", go.to_owned())];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut listener = Listener::new(None);
        target.run(scope, &script::command("verify", &values, script::PROVE), &mut listener).await?;
        let lines = std::mem::take(&mut listener.others);
        match listener.end() {
            End::Done => {}
            other => return Err(ModelError::Host(format!("the digests could not be taken: {other:?}"))),
        }
        for line in lines {
            let mut words = line.split(' ');
            let (Some(word), Some(blob)) = (words.next(), words.next()) else { continue };
            let more = words.next().unwrap_or_default();
            let why = match word {
                "gone" => "it is not there".to_owned(),
                "short" => format!("it has {more} bytes"),
                "wrong" => format!("its digest is {more}"),
                "unread" => "it cannot be read".to_owned(),
                _ => continue,
            };
            bad.push((blob.to_owned(), why));
        }
    }
    Ok(bad)
}

/// What goes from a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    pub commits: Vec<String>,
    pub refs: Vec<String>,
    pub blobs: Vec<String>,
    pub parts: Vec<String>,
    /// Nothing of the repository stays.
    pub all: bool,
}

impl Removal {
    /// A revision, or with none all of them; blobs that another one uses stay.
    pub fn of(repo: &CachedRepo, revision: Option<&str>) -> Option<Self> {
        let commits: Vec<String> = match revision {
            Some(revision) => repo.commits_of(revision).into_iter().cloned().collect(),
            None => repo.revisions.keys().cloned().collect(),
        };
        if revision.is_some() && commits.is_empty() {
            return None;
        }
        let stays: Vec<&Revision> =
            repo.revisions.iter().filter(|(c, _)| !commits.contains(c)).map(|(_, r)| r).collect();
        let used: BTreeSet<&String> = stays.iter().flat_map(|r| &r.files).map(|(_, blob)| blob).collect();
        let all = stays.is_empty();
        Some(Self {
            refs: commits.iter().filter_map(|c| repo.revisions.get(c)).flat_map(|r| r.refs.clone()).collect(),
            blobs: repo.blobs.keys().filter(|blob| !used.contains(blob)).cloned().collect(),
            parts: if all { repo.parts.keys().cloned().collect() } else { Vec::new() },
            commits,
            all,
        })
    }

    /// What is left over: parts, and with `orphans` blobs that no revision uses.
    pub fn left_over(repo: &CachedRepo, orphans: bool) -> Self {
        let blobs = if orphans { repo.orphans().into_iter().cloned().collect() } else { Vec::new() };
        Self { parts: repo.parts.keys().cloned().collect(), blobs, ..Self::default() }
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes it, and yields the bytes that were freed.
///
/// # Errors
/// Something could not be removed.
pub async fn remove(scope: &Scope, target: &dyn Target, repo: &RepoId, removal: &Removal) -> Result<u64, ModelError> {
    let refs: Vec<&str> = removal.refs.iter().map(String::as_str).filter(|text| check_path(text).is_ok()).collect();
    let values = [
        ("M", repo.folder()),
        ("KILL", removal.commits.join(" ")),
        ("REFS", refs.join("\n")),
        ("FREE", removal.blobs.join(" ")),
        ("PARTS", removal.parts.join(" ")),
        ("ALL", if removal.all { "yes".to_owned() } else { String::new() }),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut listener = Listener::new(None);
    target.run(scope, &script::command("remove a model", &values, script::REMOVE), &mut listener).await?;
    let freed =
        listener.others.iter().filter_map(|line| line.strip_prefix("freed ")).map(|n| match n.strip_suffix('k') {
            Some(n) => n.parse::<u64>().unwrap_or(0).saturating_mul(1024),
            None => n.parse().unwrap_or(0),
        });
    let freed = freed.fold(0, u64::saturating_add);
    match listener.end() {
        End::Done => Ok(freed),
        End::Disk(why) => Err(ModelError::Disk(why)),
        End::Held(who) => Err(ModelError::Held(repo.to_string(), who)),
        other => Err(ModelError::Host(format!("the model could not be removed: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached() -> CachedRepo {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(40));
        let text = format!(
            "cache /c\nrepo models--x--y\nref {one} main\nref {two} v1\nsnapshot {one}\nlink {a} m.gguf\nlink {c} d/config.json\n\
             snapshot {two}\nlink {b} m.gguf\nlink {c} d/config.json\nblob {a} 5\nblob {b} 6\nblob {c} 7\nblob {} 9\nparts {a} 4\n\
             link {a} ../../x\nsnapshot ../x\nrepo models--..--z\n",
            "d".repeat(64)
        );
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (cache, mut repos) = read(&lines);
        assert_eq!((cache.as_str(), repos.len()), ("/c", 1));
        repos.remove(0)
    }

    #[test]
    fn what_another_revision_uses_stays() {
        let repo = cached();
        assert_eq!((repo.size(), repo.orphans().len()), (27, 1));
        let main = Removal::of(&repo, Some("main")).unwrap();
        assert_eq!(main.commits, ["1".repeat(40)]);
        assert_eq!(main.refs, ["main"]);
        assert_eq!(main.blobs, ["a".repeat(64), "d".repeat(64)]);
        assert!(!main.all);
        assert!(Removal::of(&repo, None).unwrap().all);
        assert_eq!(Removal::of(&repo, Some("v2")), None);
        assert_eq!(repo.size_of(&repo.revisions[&"2".repeat(40)]), 13);
    }

    #[test]
    fn cleaning_leaves_what_is_used() {
        let repo = cached();
        assert_eq!(Removal::left_over(&repo, false).blobs, [""; 0]);
        assert_eq!(Removal::left_over(&repo, true).blobs, ["d".repeat(64)]);
    }
}
