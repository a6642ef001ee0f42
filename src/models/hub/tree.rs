//! Which files a model has, at the commit that its revision means now.

use futures_util::StreamExt;
use hf_hub::HFError;
use reqwest::{Method, Url, header};
use serde::Deserialize;
use serde_json::Value;

use super::{ANSWER, Hub, HubError};
use crate::{
    models::{
        manifest::{BlobId, ModelFile, Tree},
        patience::{Patience, Trouble},
        reference::{ModelRef, RepoId},
    },
    scope::Scope,
};

/// No repository has more files; one that says so is hostile.
const MOST_FILES: usize = 100_000;
/// Nor is one page of its tree longer.
const MOST_BYTES: usize = 16 << 20;

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
        let mut patience = Patience::default();
        let (commit, gated) = loop {
            let trouble = match scope.race(self.info(model)).await? {
                Ok(info) => break info,
                Err(error) => self.judge(error, &model.repo, Some(&model.revision))?,
            };
            self.wait(scope, &mut patience, trouble).await?;
        };
        let files = self.files(scope, &model.repo, &commit).await?;
        Ok(Tree { repo: model.repo.clone(), commit, gated, files })
    }

    async fn info(&self, model: &ModelRef) -> Result<(String, bool), HFError> {
        let (owner, name) = model.repo.as_str().split_once('/').unwrap_or(("", model.repo.as_str()));
        let info = self.api.model(owner, name).info().revision(&model.revision).send().await?;
        let commit = info.sha.ok_or_else(|| HFError::malformed_response("the commit"))?;
        Ok((commit, !matches!(info.gated, None | Some(Value::Null | Value::Bool(false)))))
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
        let home = next.as_ref().map(Url::origin);
        while let Some(url) = next.take() {
            let page = self.ask(scope, Method::GET, url.clone(), repo, "").await?;
            next = page.headers().get(header::LINK).and_then(|link| next_page(link.to_str().ok()?, &url));
            // The token goes along.
            if next.as_ref().is_some_and(|next| Some(next.origin()) != home) {
                return Err(odd("its list goes on at another address"));
            }
            let mut text = Vec::new();
            let mut body = page.bytes_stream();
            while let Ok(Some(chunk)) = scope.race(tokio::time::timeout(ANSWER, body.next())).await? {
                text.extend_from_slice(&chunk.map_err(|error| HubError::Odd(Trouble::of(&error).why))?);
                if text.len() > MOST_BYTES {
                    return Err(odd("a list of files without an end"));
                }
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
