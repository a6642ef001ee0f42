//! What a person writes for a model: `org/repo`, `org/repo:file`, `org/repo@revision`, `hf://…`.

use std::{fmt, str::FromStr};

/// The revision that is meant when none is named.
pub const MAIN: &str = "main";

/// A repository of models, and which of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    pub repo: RepoId,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// One file of it.
    pub file: Option<String>,
}

/// `org/repo`, or `repo` alone for the few that have no owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoId(String);

/// Why a text names no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no model: {why}")]
pub struct InvalidRef {
    pub text: String,
    pub why: String,
}

impl InvalidRef {
    fn new(text: &str, why: impl Into<String>) -> Self {
        // What is shown may have been typed by nobody.
        Self { text: text.chars().take(200).collect(), why: why.into() }
    }
}

/// What a model can look like; shown where none was named.
pub const EXAMPLES: &str = "write it as org/repo, org/repo:file.gguf or org/repo@revision, for instance\n\
                            TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF or Qwen/Qwen3-0.6B@main";

impl RepoId {
    /// # Errors
    /// It breaks a rule of the hub's.
    pub fn new(text: &str) -> Result<Self, InvalidRef> {
        let bad = |why: &str| Err(InvalidRef::new(text, why));
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() > 2 {
            return bad("a repository is org/repo");
        }
        for part in &parts {
            if part.is_empty() {
                return bad("a part of it is empty");
            }
            if part.len() > 96 {
                return bad("a part of it is longer than 96 characters");
            }
            if !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
                return bad("it may only have letters, digits and -_. around one '/'");
            }
            if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
                return bad("no part of it may begin or end with '-' or '.'");
            }
            if part.contains("--") || part.contains("..") {
                return bad("it may not have '--' or '..'");
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its folder in a cache.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The repository that a folder of a cache belongs to.
    pub fn from_folder(name: &str) -> Option<Self> {
        Self::new(&name.strip_prefix("models--")?.replacen("--", "/", 1)).ok()
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ModelRef {
    type Err = InvalidRef;

    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let bad = |why: &str| Err(InvalidRef::new(text, why));
        let mut rest = text.strip_prefix("hf://").unwrap_or(text);
        for kind in ["datasets/", "spaces/", "buckets/"] {
            if rest.starts_with(kind) {
                return bad("only models can be fetched, no data sets and no spaces");
            }
        }
        if text.starts_with("hf://") {
            rest = rest.strip_prefix("models/").unwrap_or(rest);
        }
        if rest.contains("://") {
            return bad("only hf:// is known");
        }
        let (rest, mut file) = match rest.split_once(':') {
            Some((rest, file)) => (rest, Some(file.to_owned())),
            None => (rest, None),
        };
        let (repo, revision) = match rest.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision.to_owned())),
            None => (rest, None),
        };
        // `hf://org/repo[@revision]/path/in/it`: after a revision only a path of it can follow.
        let (repo, revision, path) = match revision {
            Some(revision) if text.starts_with("hf://") => match revision.split_once('/') {
                Some((revision, path)) => (repo, Some(revision.to_owned()), Some(path.to_owned())),
                None => (repo, Some(revision), None),
            },
            None if text.starts_with("hf://") => match repo.match_indices('/').nth(1) {
                Some((at, _)) => (&repo[..at], None, Some(repo[at + 1..].to_owned())),
                None => (repo, None, None),
            },
            revision => (repo, revision, None),
        };
        if let Some(path) = path {
            if file.is_some() {
                return bad("it names two files");
            }
            file = Some(path);
        }
        if let Some(file) = &file {
            check_path(file).map_err(|why| InvalidRef::new(text, format!("its file {why}")))?;
        }
        let revision = revision.unwrap_or_else(|| MAIN.to_owned());
        check_revision(&revision).map_err(|why| InvalidRef::new(text, why))?;
        let repo = RepoId::new(repo).map_err(|error| InvalidRef::new(text, error.why))?;
        Ok(Self { repo, revision, file })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.repo.as_str())?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        match &self.file {
            Some(file) => write!(f, ":{file}"),
            None => Ok(()),
        }
    }
}

/// A path within a repository, which becomes one within a cache: it must stay there.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > 1024 {
        return Err("has an empty path or one of more than 1024 bytes");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("has a backslash or a control character in its path");
    }
    for part in path.split('/') {
        if part.is_empty() || part == "." || part == ".." || part.len() > 255 {
            return Err("has an empty, '.', '..' or too long part in its path");
        }
    }
    Ok(())
}

/// A branch, tag or commit; it becomes a path below `refs/`.
fn check_revision(revision: &str) -> Result<(), &'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./+=".contains(&b);
    if revision.is_empty() || revision.len() > 255 || !revision.bytes().all(plain) {
        return Err("its revision may only have letters, digits and -_./+=");
    }
    if revision.starts_with('-') || revision.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return Err("its revision has an empty part, or one that begins with '.', or begins with '-'");
    }
    if revision.split('/').any(|part| part.ends_with(".lock") || part.ends_with('.')) {
        return Err("no part of its revision may end with '.' or '.lock'");
    }
    Ok(())
}

/// Whether a revision is a commit, which never points elsewhere.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (String, String, Option<String>) {
        let read: ModelRef = text.parse().unwrap_or_else(|error| panic!("{error}"));
        (read.repo.to_string(), read.revision, read.file)
    }

    #[test]
    fn every_form_is_read() {
        let some = |file: &str| Some(file.to_owned());
        assert_eq!(read("a/b"), ("a/b".into(), "main".into(), None));
        assert_eq!(read("gpt2"), ("gpt2".into(), "main".into(), None));
        assert_eq!(read("a/b:c/d.gguf"), ("a/b".into(), "main".into(), some("c/d.gguf")));
        assert_eq!(read("a/b@v1.0"), ("a/b".into(), "v1.0".into(), None));
        assert_eq!(read("a/b@refs/pr/3:x"), ("a/b".into(), "refs/pr/3".into(), some("x")));
        assert_eq!(read("hf://a/b"), ("a/b".into(), "main".into(), None));
        assert_eq!(read("hf://models/a/b"), ("a/b".into(), "main".into(), None));
        assert_eq!(read("hf://a/b/c/d.gguf"), ("a/b".into(), "main".into(), some("c/d.gguf")));
        assert_eq!(read("hf://a/b@v1/c/d.gguf"), ("a/b".into(), "v1".into(), some("c/d.gguf")));
        assert_eq!(read("hf://a/b@v1:c"), ("a/b".into(), "v1".into(), some("c")));
    }

    #[test]
    fn what_could_escape_is_refused() {
        for bad in [
            "",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "../b",
            "a/..",
            "a--b/c",
            "-a/b",
            "a/b-",
            "a b/c",
            "a/b:",
            "a/b:../x",
            "a/b:/x",
            "a/b:x//y",
            "a/b:x\\y",
            "a/b@",
            "a/b@../x",
            "a/b@-x",
            "a/b@x/.y",
            "a/b@x.lock",
            "https://a/b",
            "hf://datasets/a/b",
            "hf://a/b/x:y",
            "a/b@x\ny",
            "ü/b",
        ] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn folders_go_there_and_back() {
        for id in ["a/b", "gpt2", "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF"] {
            let id = RepoId::new(id).unwrap();
            assert_eq!(RepoId::from_folder(&id.folder()), Some(id));
        }
        assert_eq!(RepoId::from_folder("models--../x"), None);
        assert_eq!(RepoId::from_folder("datasets--a--b"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(read) = text.parse::<ModelRef>() {
                prop_assert_eq!(read.to_string().parse::<ModelRef>().unwrap(), read);
            }
        }
    }
}
