//! Links to large files: what the hub redirects to.

use reqwest::Method;

use super::{Hub, HubError};
use crate::{
    models::{manifest::ModelFile, reference::RepoId},
    scope::Scope,
    vocab::Secret,
};

/// A link to the bytes of a file; whoever has it can fetch them for a while.
#[derive(Debug, Clone)]
pub struct Link {
    /// A secret: its query is a signature.
    pub url: Secret,
    /// `https://cdn.example`, fit to be shown.
    pub origin: String,
    /// The address is the hub's own: who has the link goes on from there, with this token if there is one.
    pub door: Option<Option<Secret>>,
}

impl Link {
    /// What a host is told on the script's stdin: the address, and at the hub's own the token behind it.
    pub fn line(&self) -> Secret {
        match &self.door {
            Some(Some(token)) => Secret::new(format!("{} {}", self.url.expose(), token.expose())),
            _ => self.url.clone(),
        }
    }
}

/// Addresses that lead from one to the next.
const HOPS: usize = 5;

impl Hub {
    /// A fresh link to a large file.
    ///
    /// A hub that hands out none sends the bytes itself, and to those it knows: its own address is the link then.
    ///
    /// # Errors
    /// As [`HubError`]; also when the hub has another file there by now.
    pub async fn link(&self, scope: &Scope, repo: &RepoId, commit: &str, file: &ModelFile) -> Result<Link, HubError> {
        if self.settings.offline {
            return Err(HubError::Offline(file.path.clone()));
        }
        let bad = || HubError::Odd(format!("a link to {} that is none", file.path));
        let mut url = self.resolve_url(repo, commit, &file.path)?;
        let home = url.origin();
        for _ in 0..HOPS {
            let answer = self.ask(scope, Method::HEAD, url.clone(), repo, &file.path).await?;
            let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
            let etag = header("x-linked-etag").map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
            let size = header("x-linked-size").and_then(|size| size.parse::<u64>().ok());
            if etag.is_some_and(|etag| etag != file.blob.as_str()) || size.is_some_and(|size| size != file.size) {
                return Err(HubError::Odd(format!("{} is another file now", file.path)));
            }
            let Some(location) = header("location").filter(|_| answer.status().is_redirection()) else {
                return self.door(repo, commit, file);
            };
            let next = url.join(location).map_err(|_| bad())?;
            // Of a model that was renamed, the hub first says where it is now.
            if etag.is_some() || next.origin() != home {
                if !matches!(next.scheme(), "http" | "https") || next.as_str().contains(['"', '\\', '\n', '\r']) {
                    return Err(bad());
                }
                let origin = next.origin().ascii_serialization();
                return Ok(Link { origin, url: Secret::new(next.as_str()), door: None });
            }
            url = next;
        }
        Err(HubError::Odd(format!("{} leads from one address to the next", file.path)))
    }

    /// The hub's own address of a file, and what it wants to know: for a host to which links are of no use.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub fn door(&self, repo: &RepoId, commit: &str, file: &ModelFile) -> Result<Link, HubError> {
        let url = self.resolve_url(repo, commit, &file.path)?;
        let origin = url.origin().ascii_serialization();
        Ok(Link { origin, url: Secret::new(url.as_str()), door: Some(self.settings.token.clone()) })
    }
}
