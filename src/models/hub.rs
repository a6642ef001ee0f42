//! What the controller asks of the hub: the files of a model at one commit, and links to them.
//!
//! # Theory of operation
//! Repository info (which commit, gated or not) comes through the `hf-hub` crate. The tree does not: its 1.0.0 drops the
//! `oid` of a large file, which is the sha256 that everything here is checked against. Nor do links: it follows
//! redirects, and what is wanted is where one leads. So both are asked here. All is asked with [`Patience`]: a hub that
//! says 429 is left alone for as long as it says, beyond the five minutes of its window. Nothing here depends on how
//! many hosts a download is for, and the token goes to the hub and nowhere else.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use hf_hub::{HFClient, HFError};
use reqwest::{Method, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{
    manifest::{BlobId, ModelFile, Tree},
    patience::{Patience, Trouble, waits_of},
    reference::{ModelRef, RepoId},
};
use crate::{
    scope::{Scope, Stop},
    vocab::{Level, Secret, text::human_duration},
};

/// No repository has more files; one that says so is hostile.
const MOST_FILES: usize = 100_000;
/// Nor is one page of its tree longer.
const MOST_BYTES: usize = 16 << 20;
/// One request, from its first packet to the end of its headers.
const ANSWER: Duration = Duration::from_secs(30);

/// Where the hub is, and who asks.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// `https://huggingface.co`, without a slash at its end.
    pub endpoint: String,
    pub token: Option<Secret>,
    /// Nothing may be asked.
    pub offline: bool,
}

/// The hub, as this machine sees it.
#[derive(Debug)]
pub struct Hub {
    settings: HubSettings,
    api: HFClient,
    plain: reqwest::Client,
}

/// A link to the bytes of a file; whoever has it can fetch them for a while.
#[derive(Debug, Clone)]
pub struct Link {
    /// A secret: its query is a signature.
    pub url: Secret,
    /// `https://cdn.example`, fit to be shown.
    pub origin: String,
}

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

/// Why the hub did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Stopped(#[from] Stop),
    #[error("{0} is not known yet, and HF_HUB_OFFLINE is set")]
    Offline(String),
    #[error("{endpoint} is no address of a hub: {why}")]
    Endpoint { endpoint: String, why: String },
    #[error("access to {repo} has to be asked for{}", if *.known { ": this token may not read it" } else { ", and no token is set" })]
    Gated { repo: RepoId, known: bool, page: String },
    #[error("the hub does not take this token")]
    Token,
    #[error("there is no model {0}, or it is private")]
    NoRepo(RepoId),
    #[error("{repo} has no revision {revision}")]
    NoRevision { repo: RepoId, revision: String },
    #[error("{repo} has no file {path} any more")]
    NoFile { repo: RepoId, path: String },
    #[error("the hub at {endpoint} is still out of reach after {}: {why}", human_duration(*.waited))]
    Unreachable { endpoint: String, why: String, waited: Duration },
    #[error("the hub said something that cannot be: {0}")]
    Odd(String),
    #[error("cannot write {path}: {error}")]
    Write { path: String, error: std::io::Error },
}

impl HubError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gated { page, known: false, .. } => {
                format!("accept its terms at {page}, then set HF_TOKEN, or log in with: hf auth login")
            }
            Self::Gated { page, .. } => format!("ask for access at {page} with the account of this token"),
            Self::Token => "set HF_TOKEN to one that is valid, or log in with: hf auth login".into(),
            Self::NoRepo(_) => "check its name; a private one wants HF_TOKEN".into(),
            Self::Unreachable { .. } => "HF_ENDPOINT says where the hub is".into(),
            _ => return None,
        })
    }
}

impl Hub {
    /// # Errors
    /// The endpoint is no address.
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        let bad = |why: String| HubError::Endpoint { endpoint: redacted(&settings.endpoint), why };
        let url = Url::parse(&settings.endpoint).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("it must begin with https:// or http://".into()));
        }
        let agent = concat!("rbee/", env!("CARGO_PKG_VERSION"));
        let client = || reqwest::Client::builder().user_agent(agent).connect_timeout(Duration::from_secs(10));
        let built = |client: reqwest::ClientBuilder| client.build().map_err(|error| bad(error.to_string()));
        let api = built(client().timeout(ANSWER))?;
        let plain = built(client().redirect(reqwest::redirect::Policy::none()))?;
        // It would look for a token by itself; the front door has done so already.
        let token = settings.token.as_ref().map_or("", |token| token.expose());
        let builder =
            HFClient::builder().endpoint(&settings.endpoint).client(api).user_agent(agent).cache_enabled(false);
        let builder = builder.retry_max_attempts(0);
        let builder = if token.is_empty() { builder } else { builder.token(token) };
        let api = builder.build().map_err(|error| bad(redacted(&error.to_string())))?;
        Ok(Self { settings, api, plain })
    }

    /// Where it is, fit to be shown.
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// The page of a repository, for people.
    pub fn page(&self, repo: &RepoId) -> String {
        format!("{}/{repo}", self.settings.endpoint)
    }

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

    /// What an error of the hub's means: an end, or a wait.
    fn judge(&self, error: HFError, repo: &RepoId, revision: Option<&str>) -> Result<Trouble, HubError> {
        let context = match &error {
            HFError::Http { context } | HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                Some(context)
            }
            HFError::RateLimited { retry_after, .. } => {
                return Ok(Trouble { limited: true, wait: *retry_after, why: "it asks for a pause (429)".into() });
            }
            HFError::RepoNotFound { .. } => return Err(HubError::NoRepo(repo.clone())),
            // It takes every 404 for this one; the hub's own word says which.
            HFError::RevisionNotFound { context: Some(context), .. }
                if context.error_code.as_deref() != Some("RevisionNotFound") =>
            {
                Some(context)
            }
            HFError::RevisionNotFound { .. } => {
                return Err(HubError::NoRevision {
                    repo: repo.clone(),
                    revision: revision.unwrap_or_default().to_owned(),
                });
            }
            HFError::Request { source, .. } => return Ok(Trouble::of(source)),
            HFError::Json(_) | HFError::MalformedResponse { .. } => {
                return Err(HubError::Odd(redacted(&error.to_string())));
            }
            _ => None,
        };
        match context {
            Some(context) => {
                self.refused(context.status, context.error_code.as_deref(), repo, None, &Default::default())
            }
            None => Err(HubError::Odd(redacted(&error.to_string()))),
        }
    }

    /// What a status that is no success means.
    fn refused(
        &self,
        status: StatusCode,
        code: Option<&str>,
        repo: &RepoId,
        path: Option<&str>,
        headers: &header::HeaderMap,
    ) -> Result<Trouble, HubError> {
        let known = self.settings.token.is_some();
        match (status.as_u16(), code) {
            (429, _) => Ok(Trouble { limited: true, wait: waits_of(headers), why: "it asks for a pause (429)".into() }),
            (408 | 500..=599, _) => {
                Ok(Trouble { limited: false, wait: waits_of(headers), why: format!("it says {status}") })
            }
            (_, Some("GatedRepo")) => Err(HubError::Gated { repo: repo.clone(), known, page: self.page(repo) }),
            (404, Some("EntryNotFound")) => {
                Err(HubError::NoFile { repo: repo.clone(), path: path.unwrap_or_default().to_owned() })
            }
            (401, _) if known => Err(HubError::Token),
            (401 | 403 | 404, _) => Err(HubError::NoRepo(repo.clone())),
            _ => Err(HubError::Odd(format!("status {status}"))),
        }
    }

    async fn wait(&self, scope: &Scope, patience: &mut Patience, trouble: Trouble) -> Result<(), HubError> {
        let why = trouble.why.clone();
        match patience.next(&trouble, rand::random()) {
            Some(pause) => {
                if trouble.limited || pause > Duration::from_secs(5) {
                    scope.notice(
                        Level::Warning,
                        format!("the hub: {why}; asking again in {}", human_duration(pause)),
                        None,
                    );
                }
                Ok(scope.race(tokio::time::sleep(pause)).await?)
            }
            None => {
                let endpoint = redacted(&self.settings.endpoint);
                Err(HubError::Unreachable { endpoint, why, waited: patience.waited() })
            }
        }
    }

    /// The endpoint with these parts behind it, each encoded.
    fn url<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Result<Url, HubError> {
        let odd = || HubError::Odd("an address that is none".to_owned());
        let mut url = Url::parse(&self.settings.endpoint).map_err(|_| odd())?;
        url.path_segments_mut().map_err(|()| odd())?.pop_if_empty().extend(parts);
        Ok(url)
    }

    fn resolve_url(&self, repo: &RepoId, commit: &str, path: &str) -> Result<Url, HubError> {
        self.url(repo.as_str().split('/').chain(["resolve", commit]).chain(path.split('/')))
    }

    /// One answer of the hub's own server that is no refusal; the token goes there only.
    async fn ask(
        &self,
        scope: &Scope,
        method: Method,
        url: Url,
        repo: &RepoId,
        path: &str,
    ) -> Result<reqwest::Response, HubError> {
        let mut patience = Patience::default();
        loop {
            let request = self.plain.request(method.clone(), url.clone()).header(header::ACCEPT_ENCODING, "identity");
            let request = match &self.settings.token {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            };
            let answer = async {
                let late = |_| Trouble { limited: false, wait: None, why: "it does not answer".into() };
                match tokio::time::timeout(ANSWER, request.send()).await.map_err(late)? {
                    Ok(response) => Ok(response),
                    Err(error) => Err(Trouble::of(&error)),
                }
            };
            let trouble = match scope.race(answer).await? {
                Ok(response) if response.status().is_success() || response.status().is_redirection() => {
                    return Ok(response);
                }
                Ok(response) => {
                    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
                    self.refused(response.status(), header("x-error-code"), repo, Some(path), response.headers())?
                }
                Err(trouble) => trouble,
            };
            self.wait(scope, &mut patience, trouble).await?;
        }
    }

    /// A fresh link to a large file.
    ///
    /// # Errors
    /// As [`HubError`]; also when the hub has another file there by now.
    pub async fn link(&self, scope: &Scope, repo: &RepoId, commit: &str, file: &ModelFile) -> Result<Link, HubError> {
        if self.settings.offline {
            return Err(HubError::Offline(file.path.clone()));
        }
        let url = self.resolve_url(repo, commit, &file.path)?;
        let answer = self.ask(scope, Method::HEAD, url.clone(), repo, &file.path).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(etag) = header("x-linked-etag") {
            let etag = etag.trim_start_matches("W/").trim_matches('"');
            if etag != file.blob.as_str() {
                return Err(HubError::Odd(format!("{} is another file now", file.path)));
            }
        }
        let target = match header("location") {
            Some(location) if answer.status().is_redirection() => {
                url.join(location).map_err(|_| HubError::Odd(format!("a link to {} that is none", file.path)))?
            }
            _ if self.settings.token.is_none() => url,
            // A hub that sends the bytes itself wants the token with each request: hosts do not get it.
            _ => return Err(HubError::Odd(format!("no link to {}, only the file itself; use --via relay", file.path))),
        };
        if !matches!(target.scheme(), "http" | "https") || target.as_str().contains(['"', '\\', '\n', '\r']) {
            return Err(HubError::Odd(format!("a link to {} that is none", file.path)));
        }
        Ok(Link { origin: target.origin().ascii_serialization(), url: Secret::new(target.as_str()) })
    }

    /// Fetches a small file whole to `to`, a new file, and proves it.
    ///
    /// # Errors
    /// As [`HubError`].
    pub async fn fetch(
        &self,
        scope: &Scope,
        repo: &RepoId,
        commit: &str,
        file: &ModelFile,
        to: &Path,
    ) -> Result<(), HubError> {
        let mut patience = Patience::default();
        loop {
            match self.fetch_once(scope, repo, commit, file, to).await? {
                Ok(()) => return Ok(()),
                Err(trouble) => self.wait(scope, &mut patience, trouble).await?,
            }
        }
    }

    async fn fetch_once(
        &self,
        scope: &Scope,
        repo: &RepoId,
        commit: &str,
        file: &ModelFile,
        to: &Path,
    ) -> Result<Result<(), Trouble>, HubError> {
        let write = |error| HubError::Write { path: to.display().to_string(), error };
        let mut url = self.resolve_url(repo, commit, &file.path)?;
        let home = url.origin();
        for _ in 0..5 {
            let answer = if url.origin() == home {
                self.ask(scope, Method::GET, url.clone(), repo, &file.path).await?
            } else {
                match scope.race(self.plain.get(url.clone()).send()).await? {
                    Ok(answer) => answer,
                    Err(error) => return Ok(Err(Trouble::of(&error))),
                }
            };
            if answer.status().is_redirection() {
                let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                let next = location.and_then(|location| url.join(location).ok());
                url = next.ok_or_else(|| HubError::Odd(format!("a link to {} that is none", file.path)))?;
                continue;
            }
            let out = tokio::fs::File::create(to).await.map_err(write)?;
            let mut out = tokio::io::BufWriter::new(out);
            let mut proof = super::proof::Proof::new(&file.blob, file.size);
            let mut body = answer.bytes_stream();
            while let Some(chunk) = scope.race(tokio::time::timeout(ANSWER, body.next())).await?.unwrap_or(None) {
                match chunk {
                    Ok(bytes) if proof.update(&bytes) => out.write_all(&bytes).await.map_err(write)?,
                    Ok(_) => break,
                    Err(error) => return Ok(Err(Trouble::of(&error))),
                }
            }
            out.flush().await.map_err(write)?;
            return Ok(match proof.holds() {
                true => Ok(()),
                false => {
                    Err(Trouble { limited: false, wait: None, why: format!("{} came with wrong bytes", file.path) })
                }
            });
        }
        Err(HubError::Odd(format!("{} leads from one address to the next", file.path)))
    }
}

/// The address behind `rel="next"` of a Link header.
fn next_page(link: &str, base: &Url) -> Option<Url> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    base.join(next.trim().strip_prefix('<')?.split_once('>')?.0).ok()
}

/// The same text with what stands behind a `?` of an address left out: signatures do.
pub fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let end = rest[at..].find(|c: char| c.is_whitespace() || "\"')>".contains(c)).map_or(rest.len(), |n| at + n);
        let address = &rest[..end];
        match address[at..].find('?') {
            Some(n) => {
                out.push_str(&address[..at + n]);
                out.push_str("?…");
            }
            None => out.push_str(address),
        }
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_not_shown() {
        let text = "error for (https://cdn.x/a?sig=1&b=2), and http://y/?q \"http://z/p?k\" end?";
        assert_eq!(redacted(text), "error for (https://cdn.x/a?…), and http://y/?… \"http://z/p?…\" end?");
    }

    #[test]
    fn an_address_must_be_one() {
        let hub = |endpoint: &str| Hub::new(HubSettings { endpoint: endpoint.into(), token: None, offline: false });
        assert!(hub("http://127.0.0.1:1").is_ok());
        for bad in ["", "huggingface.co", "file:///etc", "ssh://x"] {
            assert!(hub(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_stays_one() {
        let hub = Hub::new(HubSettings { endpoint: "http://h/base/".into(), token: None, offline: false }).unwrap();
        let url = hub.resolve_url(&RepoId::new("a/b").unwrap(), "c0", "x y/ü?#.gguf").unwrap();
        assert_eq!(url.as_str(), "http://h/base/a/b/resolve/c0/x%20y/%C3%BC%3F%23.gguf");
    }
}
