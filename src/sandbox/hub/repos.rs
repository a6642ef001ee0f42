//! What the stand-in has: a few repositories of every kind, and one of any size.
//!
//! | repository | what it is for |
//! | --- | --- |
//! | `TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF` | six quantisations of one model, a megabyte or so each |
//! | `rbee/sharded-GGUF` | quantisations in several shards, in folders |
//! | `rbee/safetensors` | weights in two shards, a tokenizer, a folder; two revisions, `main` and `v1` |
//! | `rbee/gated` | wants [`TOKEN`] |
//! | `rbee/renamed` | was the name of `rbee/safetensors` once |
//! | `rbee/many` | 130 small files: several pages of a tree |
//! | `sized/25MB` | one file `model.gguf` of that size; any number of kB, MB, GB, KiB, MiB, GiB up to 1 TB |

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sha1::{Digest as _, Sha1};

use super::{
    content::{Content, hex},
    faults,
};

/// The one token that is taken.
pub const TOKEN: &str = "hf_sandboxsandboxsandboxsandboxsand";

/// No repository of a stated size is larger, in bytes.
const MOST: u64 = 1_000_000_000_000;
/// Repositories of a stated size that are remembered.
const KEPT: usize = 64;

/// One repository at one revision.
#[derive(Debug)]
pub struct Repo {
    pub id: String,
    /// 40 hex digits.
    pub commit: String,
    pub gated: bool,
    /// Branches and what they point at.
    pub branches: Vec<(String, String)>,
    /// By path.
    pub files: Vec<File>,
}

#[derive(Debug)]
pub struct File {
    pub path: String,
    pub content: Content,
    /// Large: its name is a sha256, and the CDN has it.
    pub lfs: bool,
}

impl File {
    fn new(repo: &str, path: &str, len: u64) -> Self {
        Self { path: path.to_owned(), content: Content::made(&format!("{repo} {path}"), len), lfs: true }
    }

    fn text(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), content: Content::text(text), lfs: false }
    }

    /// The object in git: of a large file, that is a pointer to it.
    pub fn oid(&self) -> String {
        if self.lfs { hex(&Sha1::digest(self.content.sha256())) } else { self.content.git_sha1() }
    }

    /// The name of its blob, which is its linked ETag.
    pub fn etag(&self) -> String {
        if self.lfs { self.content.sha256().to_owned() } else { self.content.git_sha1() }
    }
}

/// All repositories; each is made when it is first asked for.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Known>);

/// By name and branch; `None` is known not to be there.
type Known = HashMap<(String, String), Option<Arc<Repo>>>;

/// What was not found.
#[derive(Debug)]
pub enum Missing {
    Repo,
    Revision,
}

impl Shelf {
    /// The repository `id` at a branch or commit.
    pub fn find(&self, id: &str, revision: &str) -> Result<Arc<Repo>, Missing> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > KEPT {
            known.clear();
        }
        let mut at = |branch: &str| {
            let key = (id.to_owned(), branch.to_owned());
            known.entry(key).or_insert_with(|| make(id, branch).map(Arc::new)).clone()
        };
        let main = at("main").ok_or(Missing::Repo)?;
        let branch = main.branches.iter().find(|(name, commit)| name == revision || commit == revision);
        let (name, _) = branch.ok_or(Missing::Revision)?;
        at(name).ok_or(Missing::Revision)
    }

    /// The content that the CDN has under `sha256` in the repository `id`.
    pub fn blob(&self, id: &str, sha256: &str) -> Option<Content> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = known.values().flatten().filter(|repo| repo.id == id).flat_map(|repo| &repo.files);
        files.find(|file| file.lfs && file.content.sha256() == sha256).map(|file| file.content.clone())
    }
}

/// The name that a repository has now.
pub fn renamed(id: &str) -> Option<&'static str> {
    (id == "rbee/renamed").then_some("rbee/safetensors")
}

fn commit(id: &str, branch: &str) -> String {
    hex(&Sha1::digest(format!("{id}@{branch}")))
}

fn make(id: &str, branch: &str) -> Option<Repo> {
    let mut names = vec!["main"];
    let mut gated = false;
    let config = || File::text("config.json", "{\"model_type\": \"llama\"}\n");
    let readme = || File::text("README.md", format!("# {id}\n\nA stand-in: its weights are noise.\n"));
    let mut files = match id {
        "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF" => {
            let sizes = [("Q2_K", 48), ("Q3_K_M", 55), ("Q4_0", 63), ("Q4_K_M", 66), ("Q5_K_M", 78), ("Q8_0", 117)];
            let one = |(quant, size): (&str, u64)| {
                File::new(id, &format!("tinyllama-1.1b-chat-v1.0.{quant}.gguf"), size * 20_000 + 7)
            };
            sizes.into_iter().map(one).chain([config(), readme()]).collect()
        }
        "rbee/sharded-GGUF" => {
            let shards = |quant: &str, of: u64, size: u64| -> Vec<File> {
                let path = |n| format!("{quant}/model-{quant}-{n:05}-of-{of:05}.gguf");
                (1..=of).map(|n| File::new(id, &path(n), size + n)).collect()
            };
            let mut files = shards("Q4_K_M", 3, 700_000);
            files.extend(shards("Q8_0", 5, 800_000));
            files.push(readme());
            files
        }
        "rbee/safetensors" | "rbee/gated" => {
            names.push("v1");
            gated = id == "rbee/gated";
            let mut files = vec![
                File::new(id, "model-00001-of-00002.safetensors", 3_000_001),
                File::new(&format!("{id}@{branch}"), "model-00002-of-00002.safetensors", 1_234_567),
                File::text("tokenizer/tokenizer.json", "{\"tokens\": []}\n".repeat(5000)),
                File::text(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"),
                config(),
                readme(),
            ];
            if branch == "main" {
                files.push(File::text("empty.txt", ""));
            }
            files
        }
        "rbee/many" => (0..130).map(|n| File::text(&format!("parts/{n:03}.txt"), format!("part {n}\n"))).collect(),
        _ => {
            let len = id.strip_prefix("sized/").and_then(faults::size).filter(|len| *len <= MOST)?;
            vec![File::new(id, "model.gguf", len), config()]
        }
    };
    files.sort_by(|a, b| a.path.cmp(&b.path));
    if !names.contains(&branch) {
        return None;
    }
    let branches = names.iter().map(|name| ((*name).to_owned(), commit(id, name))).collect();
    Some(Repo { id: id.to_owned(), commit: commit(id, branch), gated, branches, files })
}
