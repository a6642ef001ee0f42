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
}

impl Hub {
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
}
