//! What a download is about: the files of a model at one commit, with sizes and hashes, before a byte of them moves.

use std::fmt;

use super::{
    gguf::{self, Variant},
    reference::{ModelRef, RepoId, check_path, is_commit},
    wildcard::matches,
};
use crate::vocab::text::human_bytes;

/// The name of a blob, which is also what its bytes are checked against.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlobId {
    /// A large file: the sha256 of its bytes.
    Sha256(String),
    /// A small one: what git calls it, the sha1 of `blob LEN\0` and its bytes.
    Git(String),
}

impl BlobId {
    /// A name as it stands in a cache: 64 hex digits, or 40.
    pub fn parse(name: &str) -> Option<Self> {
        let hex = name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match name.len() {
            64 if hex => Some(Self::Sha256(name.to_owned())),
            40 if hex => Some(Self::Git(name.to_owned())),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    pub fn is_large(&self) -> bool {
        matches!(self, Self::Sha256(_))
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// In the repository; checked to stay below a folder.
    pub path: String,
    pub size: u64,
    pub blob: BlobId,
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub repo: RepoId,
    /// 40 hex digits.
    pub commit: String,
    /// Access has to be asked for.
    pub gated: bool,
    pub files: Vec<ModelFile>,
}

/// Files of one model that are wanted, at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub repo: RepoId,
    /// As it was asked for.
    pub revision: String,
    pub commit: String,
    pub gated: bool,
    /// Each path once, in the order of the repository.
    pub files: Vec<ModelFile>,
    /// Why these files, when somebody else than the user chose.
    pub chosen: Option<String>,
}

/// What of a repository is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// A quantisation by name.
    pub quant: Option<String>,
    /// The largest that fits into so many bytes of memory, and whose that is.
    pub fits: Option<Room>,
}

/// The memory that a model must fit into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub bytes: u64,
    /// "the GPU of gpu-box", "the memory of mac-mini".
    pub whose: String,
}

/// Why no manifest could be made of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error("{repo} has no file {file:?}{}", meant(.near))]
    NoFile { repo: RepoId, file: String, near: Option<String> },
    #[error("nothing in {repo} matches --include and --exclude")]
    NothingMatches { repo: RepoId },
    #[error("{repo} has no files")]
    Empty { repo: RepoId },
    #[error("{repo} has no quantisation {quant}; it has {}", .known.join(", "))]
    NoQuant { repo: RepoId, quant: String, known: Vec<String> },
    #[error("{repo} has no GGUF files, so there is no quantisation to choose")]
    NoGguf { repo: RepoId },
    #[error("{file} of {repo} lacks {missing} of its shards")]
    Shards { repo: RepoId, file: String, missing: u32 },
    #[error("no quantisation of {repo} fits {whose}: the smallest, {quant}, wants {}, and there are {}", human_bytes(*.wants), human_bytes(*.has))]
    DoesNotFit { repo: RepoId, quant: String, wants: u64, has: u64, whose: String },
    #[error("{repo} {what}")]
    Hostile { repo: RepoId, what: String },
}

/// No file is longer, in bytes: what is counted together stays a number.
const MOST: u64 = 1 << 46;

fn meant(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default()
}

/// What context and buffers take beside the weights: a tenth, and 300 MB.
pub fn memory_for(weights: u64) -> u64 {
    weights.saturating_add(weights / 10).saturating_add(300_000_000)
}

impl Tree {
    /// Checks what came from elsewhere: no path may leave its folder, and none may be another's folder.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self) -> Result<(), ChoiceError> {
        let bad = |what: String| Err(ChoiceError::Hostile { repo: self.repo.clone(), what });
        if !is_commit(&self.commit) {
            return bad("has no commit that could be one".into());
        }
        let mut paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        paths.sort_unstable();
        for pair in paths.windows(2) {
            let inside = pair[1].strip_prefix(pair[0]).is_some_and(|rest| rest.starts_with('/'));
            if pair[0] == pair[1] || inside {
                return bad(format!("names the path {:?} twice", pair[0]));
            }
        }
        for file in &self.files {
            if file.size > MOST {
                return bad(format!("has a file {:?} of {} bytes, which cannot be", file.path, file.size));
            }
            if let Err(why) = check_path(&file.path) {
                return bad(format!("has a file {:?} that {why}", file.path));
            }
        }
        Ok(())
    }

    /// Takes what is wanted: the file that was named, what include and exclude leave, and of GGUF files one
    /// quantisation with all its shards.
    ///
    /// # Errors
    /// Nothing of it is there, or it does not fit.
    pub fn choose(self, asked: &ModelRef, wish: &Wish) -> Result<Manifest, ChoiceError> {
        self.check()?;
        let repo = self.repo.clone();
        if self.files.is_empty() {
            return Err(ChoiceError::Empty { repo });
        }
        let (names, chosen): (Vec<String>, Option<String>) = match &asked.file {
            Some(file) => (self.with_shards(file)?, None),
            None => {
                let wanted = |path: &str| {
                    (wish.include.is_empty() || wish.include.iter().any(|glob| matches(glob, path)))
                        && !wish.exclude.iter().any(|glob| matches(glob, path))
                };
                let kept: Vec<&ModelFile> = self.files.iter().filter(|file| wanted(&file.path)).collect();
                if kept.is_empty() {
                    return Err(ChoiceError::NothingMatches { repo });
                }
                let variants = gguf::variants(kept.iter().map(|file| (file.path.as_str(), file.size)));
                match self.variant(&variants, wish)? {
                    Some((variant, why)) => {
                        let other = |path: &str| variants.iter().any(|v| v.files.iter().any(|file| file == path));
                        let paths = kept.iter().map(|file| file.path.clone());
                        (paths.filter(|path| variant.files.contains(path) || !other(path)).collect(), why)
                    }
                    None => (kept.iter().map(|file| file.path.clone()).collect(), None),
                }
            }
        };
        let files = self.files.into_iter().filter(|file| names.contains(&file.path)).collect();
        let Self { repo, commit, gated, .. } = self;
        Ok(Manifest { repo, revision: asked.revision.clone(), commit, gated, files, chosen })
    }

    /// The named file and, if it is a shard, all others.
    fn with_shards(&self, name: &str) -> Result<Vec<String>, ChoiceError> {
        if !self.files.iter().any(|file| file.path == name) {
            let near = self.files.iter().map(|file| &file.path);
            let near = near.max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let near = near.filter(|near| strsim::jaro_winkler(near, name) > 0.8).cloned();
            return Err(ChoiceError::NoFile { repo: self.repo.clone(), file: name.to_owned(), near });
        }
        let files = self.files.iter().map(|file| (file.path.as_str(), file.size));
        match gguf::variants(files).into_iter().find(|variant| variant.files.iter().any(|file| file == name)) {
            Some(variant) => self.whole(variant).map(|variant| variant.files),
            None => Ok(vec![name.to_owned()]),
        }
    }

    fn whole(&self, variant: Variant) -> Result<Variant, ChoiceError> {
        match variant.missing {
            0 => Ok(variant),
            missing => Err(ChoiceError::Shards { repo: self.repo.clone(), file: variant.files[0].clone(), missing }),
        }
    }

    /// The one variant that is wanted, and why it was taken; `None` where all files are.
    fn variant(&self, variants: &[Variant], wish: &Wish) -> Result<Option<(Variant, Option<String>)>, ChoiceError> {
        let repo = || self.repo.clone();
        let known = || variants.iter().map(|variant| variant.quant.clone()).filter(|quant| !quant.is_empty()).collect();
        if let Some(quant) = &wish.quant {
            if variants.is_empty() {
                return Err(ChoiceError::NoGguf { repo: repo() });
            }
            let found = variants.iter().find(|variant| variant.quant.eq_ignore_ascii_case(quant));
            let found =
                found.ok_or_else(|| ChoiceError::NoQuant { repo: repo(), quant: quant.clone(), known: known() })?;
            return self.whole(found.clone()).map(|variant| Some((variant, None)));
        }
        if let Some(room) = &wish.fits {
            let mut whole: Vec<&Variant> = variants.iter().filter(|variant| variant.missing == 0).collect();
            whole.sort_by_key(|variant| variant.size);
            let Some(smallest) = whole.first() else { return Err(ChoiceError::NoGguf { repo: repo() }) };
            let fits = whole.iter().rfind(|variant| memory_for(variant.size) <= room.bytes);
            let Some(fits) = fits else {
                return Err(ChoiceError::DoesNotFit {
                    repo: repo(),
                    quant: smallest.quant.clone(),
                    wants: memory_for(smallest.size),
                    has: room.bytes,
                    whose: room.whose.clone(),
                });
            };
            let why = format!(
                "{} ({}) is the largest that fits {} ({})",
                name(fits),
                human_bytes(fits.size),
                room.whose,
                human_bytes(room.bytes)
            );
            return Ok(Some(((*fits).clone(), Some(why))));
        }
        // Who names files by a glob means them all.
        if !wish.include.is_empty() || variants.len() < 2 {
            return Ok(None);
        }
        let first = variants.iter().find(|variant| variant.missing == 0).unwrap_or(&variants[0]).clone();
        let others = variants.len() - 1;
        let why = format!(
            "{} of {} quantisations (--quant takes another of: {})",
            name(&first),
            others + 1,
            listed(variants)
        );
        self.whole(first).map(|variant| Some((variant, Some(why))))
    }
}

fn name(variant: &Variant) -> &str {
    if variant.quant.is_empty() { &variant.files[0] } else { &variant.quant }
}

fn listed(variants: &[Variant]) -> String {
    let mut names: Vec<&str> = variants.iter().map(name).collect();
    names.dedup();
    names.join(", ")
}

impl Manifest {
    /// Bytes, each blob counted once.
    pub fn size(&self) -> u64 {
        self.blobs().iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// A file for each blob: two files may have the same bytes.
    pub fn blobs(&self) -> Vec<&ModelFile> {
        let mut seen = std::collections::HashSet::new();
        self.files.iter().filter(|file| seen.insert(&file.blob)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u64)]) -> Tree {
        let file = |(n, (path, size)): (usize, &(&str, u64))| ModelFile {
            path: (*path).to_owned(),
            size: *size,
            blob: BlobId::Sha256(format!("{n:064x}")),
        };
        Tree {
            repo: RepoId::new("a/b").unwrap(),
            commit: "0".repeat(40),
            gated: false,
            files: files.iter().enumerate().map(file).collect(),
        }
    }

    const GGUF: &[(&str, u64)] = &[
        ("README.md", 1),
        ("m.Q2_K.gguf", 2_000_000_000),
        ("m.Q4_K_M.gguf", 4_000_000_000),
        ("m.Q8_0-00001-of-00002.gguf", 4_000_000_000),
        ("m.Q8_0-00002-of-00002.gguf", 4_000_000_000),
    ];

    fn choose(files: &[(&str, u64)], asked: &str, wish: &Wish) -> Result<Vec<String>, ChoiceError> {
        let manifest = tree(files).choose(&asked.parse().unwrap(), wish)?;
        Ok(manifest.files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn one_quantisation_is_taken_with_what_belongs_to_all() {
        let wish = Wish::default();
        assert_eq!(choose(GGUF, "a/b", &wish).unwrap(), ["README.md", "m.Q4_K_M.gguf"]);
        let quant = Wish { quant: Some("q8_0".into()), ..Wish::default() };
        assert_eq!(choose(GGUF, "a/b", &quant).unwrap().len(), 3);
        let quant = Wish { quant: Some("Q5_K_M".into()), ..Wish::default() };
        let error = choose(GGUF, "a/b", &quant).unwrap_err().to_string();
        assert_eq!(error, "a/b has no quantisation Q5_K_M; it has Q4_K_M, Q8_0, Q2_K");
        let include = Wish { include: vec!["*.gguf".into()], exclude: vec!["*Q8*".into()], ..Wish::default() };
        assert_eq!(choose(GGUF, "a/b", &include).unwrap(), ["m.Q2_K.gguf", "m.Q4_K_M.gguf"]);
        let plain = [("model-00001-of-00002.safetensors", 5), ("config.json", 1)];
        assert_eq!(choose(&plain, "a/b", &wish).unwrap().len(), 2);
    }

    #[test]
    fn a_named_file_brings_its_shards_and_nothing_else() {
        let wish = Wish::default();
        assert_eq!(choose(GGUF, "a/b:m.Q2_K.gguf", &wish).unwrap(), ["m.Q2_K.gguf"]);
        assert_eq!(choose(GGUF, "a/b:m.Q8_0-00002-of-00002.gguf", &wish).unwrap().len(), 2);
        let error = choose(GGUF, "a/b:m.q2_k.gguf", &wish).unwrap_err().to_string();
        assert!(error.contains("did you mean"), "{error}");
        assert!(matches!(choose(&GGUF[..4], "a/b:m.Q8_0-00001-of-00002.gguf", &wish), Err(ChoiceError::Shards { .. })));
    }

    #[test]
    fn the_largest_that_fits_is_taken_and_says_so() {
        let fits = |bytes| Wish { fits: Some(Room { bytes, whose: "the GPU of box".into() }), ..Wish::default() };
        let taken = |bytes| tree(GGUF).choose(&"a/b".parse().unwrap(), &fits(bytes)).unwrap();
        assert_eq!(taken(24_000_000_000).files.len(), 3);
        let four = taken(6_000_000_000);
        assert_eq!(four.files[1].path, "m.Q4_K_M.gguf");
        let why = four.chosen.unwrap();
        assert_eq!(why, "Q4_K_M (4.0 GB) is the largest that fits the GPU of box (6.0 GB)");
        let error = choose(GGUF, "a/b", &fits(1_000_000_000)).unwrap_err().to_string();
        assert!(error.contains("the smallest, Q2_K, wants 2.5 GB"), "{error}");
    }

    #[test]
    fn a_hostile_tree_is_refused() {
        for files in [&[("../x", 1)][..], &[("/x", 1)], &[("a\nb", 1)], &[("a", 1), ("a/b", 1)], &[("a", 1), ("a", 1)]]
        {
            assert!(matches!(choose(files, "a/b", &Wish::default()), Err(ChoiceError::Hostile { .. })), "{files:?}");
        }
        let endless = choose(&[("a", u64::MAX), ("b", 2)], "a/b", &Wish::default());
        assert!(matches!(endless, Err(ChoiceError::Hostile { .. })));
        assert!(matches!(choose(&[], "a/b", &Wish::default()), Err(ChoiceError::Empty { .. })));
        assert_eq!(BlobId::parse("../../etc/passwd"), None);
        assert_eq!(BlobId::parse(&"A".repeat(64)), None);
    }
}
