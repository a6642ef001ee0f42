//! Which files a model has, at the commit that its revision means now.

use hf_hub::repository::ModelInfo;
use reqwest::{Url, header};
use serde::Deserialize;
use serde_json::Value;

use super::{Hub, HubError};
use crate::{
    models::{
        manifest::{BlobId, ModelFile, Tree},
        reference::{ModelRef, RepoId},
    },
    scope::Scope,
};

/// No repository has more files; one that says so is hostile.
const MOST_FILES: usize = 100_000;
/// Nor is one page of its tree longer,
const MOST_BYTES: usize = 16 << 20;
/// nor are there more pages.
const MOST_PAGES: usize = 2000;

/// An entry of a tree.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    path: String,
    lfs: Option<Large>,
}

/// Where the bytes are not in git.
#[derive(Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

impl Hub {
    /// The files of a model, at the commit that its revision means now.
    ///
    /// # Errors
    /// As [`HubError`].
    pub async fn tree(&self, scope: &Scope, model: &ModelRef) -> Result<Tree, HubError> {
        if self.settings.offline {
            return Err(HubError::Offline(model.to_string()));
        }
        let info = self.info(scope, model).await.map_err(|error| match error {
            HubError::NoRevision { repo, .. } => HubError::NoRevision { repo, revision: model.revision.clone() },
            error => error,
        })?;
        let commit = info.sha.ok_or_else(|| HubError::Odd("no commit".into()))?;
        let gated = !matches!(info.gated, None | Some(Value::Null | Value::Bool(false)));
        let files = self.files(scope, &model.repo, &commit).await?;
        Ok(Tree { repo: model.repo.clone(), commit, gated, files })
    }

    async fn info(&self, scope: &Scope, model: &ModelRef) -> Result<ModelInfo, HubError> {
        let parts = ["api", "models"].into_iter().chain(model.repo.as_str().split('/'));
        let url = self.url(parts.chain(["revision", &model.revision]))?;
        let (_, _, text) = self.read(scope, url, &model.repo, MOST_BYTES).await?;
        serde_json::from_slice(&text).map_err(|error| HubError::Odd(error.to_string()))
    }

    /// Page after page of the tree.
    async fn files(&self, scope: &Scope, repo: &RepoId, commit: &str) -> Result<Vec<ModelFile>, HubError> {
        let odd = |what: &str| HubError::Odd(what.to_owned());
        let mut files = Vec::new();
        let mut next =
            Some(self.url(["api", "models"].into_iter().chain(repo.as_str().split('/')).chain(["tree", commit]))?);
        if let Some(url) = &mut next {
            url.set_query(Some("recursive=true&expand=false"));
        }
        let mut pages = 0;
        while let Some(url) = next.take() {
            pages += 1;
            if pages > MOST_PAGES {
                return Err(odd("a list of files without an end"));
            }
            let (url, headers, text) = self.read(scope, url, repo, MOST_BYTES).await?;
            next = headers.get(header::LINK).and_then(|link| next_page(link.to_str().ok()?, &url));
            // The token goes along.
            if next.as_ref().is_some_and(|next| next.origin() != url.origin()) {
                return Err(odd("its list goes on at another address"));
            }
            let entries: Vec<Entry> =
                serde_json::from_slice(&text).map_err(|error| HubError::Odd(error.to_string()))?;
            for entry in entries.into_iter().filter(|entry| entry.kind == "file") {
                let (size, blob) = match entry.lfs {
                    Some(lfs) => (lfs.size, lfs.oid),
                    None => (entry.size, entry.oid),
                };
                let blob = BlobId::parse(&blob).ok_or_else(|| odd("a hash that is none"))?;
                files.push(ModelFile { path: entry.path, size, blob });
            }
            if files.len() > MOST_FILES {
                return Err(odd("more files than can be"));
            }
        }
        Ok(files)
    }
}

/// The address behind `rel="next"` of a Link header.
fn next_page(link: &str, base: &Url) -> Option<Url> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    base.join(next.trim().strip_prefix('<')?.split_once('>')?.0).ok()
}
