//! One question at a time, asked again for as long as there is patience.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Method, StatusCode, Url, header};

use super::{ANSWER, Hub, HubError, redacted};
use crate::{
    models::{
        patience::{Patience, Trouble, waits_of},
        reference::RepoId,
    },
    scope::Scope,
    vocab::{Level, text::human_duration},
};

impl Hub {
    /// What a status that is no success means.
    pub(super) fn refused(
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
            (404, Some("RevisionNotFound")) => {
                Err(HubError::NoRevision { repo: repo.clone(), revision: path.unwrap_or_default().to_owned() })
            }
            (404, Some("EntryNotFound")) => {
                Err(HubError::NoFile { repo: repo.clone(), path: path.unwrap_or_default().to_owned() })
            }
            (401, _) if known => Err(HubError::Token),
            (401 | 403 | 404, _) => Err(HubError::NoRepo(repo.clone())),
            _ => Err(HubError::Odd(format!("status {status}"))),
        }
    }

    pub(super) async fn wait(&self, scope: &Scope, patience: &mut Patience, trouble: Trouble) -> Result<(), HubError> {
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

    /// One answer of the hub's own server that is no refusal; the token goes there only.
    pub(super) async fn ask(
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

    /// The whole of an answer, from wherever on its own server the hub says that it is, and the address that was it.
    pub(super) async fn read(
        &self,
        scope: &Scope,
        mut url: Url,
        repo: &RepoId,
        most: usize,
    ) -> Result<(Url, header::HeaderMap, Vec<u8>), HubError> {
        let mut patience = Patience::default();
        let mut hops = 0;
        loop {
            let answer = self.ask(scope, Method::GET, url.clone(), repo, "").await?;
            if answer.status().is_redirection() {
                let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                let next = location.and_then(|location| url.join(location).ok());
                hops += 1;
                // The token goes along.
                url = match next.filter(|next| next.origin() == url.origin() && hops <= 5) {
                    Some(next) => next,
                    None => return Err(HubError::Odd("it leads from one address to the next".into())),
                };
                continue;
            }
            let headers = answer.headers().clone();
            let whole = async {
                let mut text = Vec::new();
                let mut body = answer.bytes_stream();
                while let Some(chunk) = body.next().await {
                    text.extend_from_slice(&chunk.map_err(|error| Trouble::of(&error))?);
                    if text.len() > most {
                        return Ok(None);
                    }
                }
                Ok(Some(text))
            };
            let late = |_| Trouble { limited: false, wait: None, why: "its answer does not come to its end".into() };
            match scope.race(tokio::time::timeout(ANSWER * 4, whole)).await?.map_err(late).and_then(|read| read) {
                Ok(Some(text)) => return Ok((url, headers, text)),
                Ok(None) => return Err(HubError::Odd("an answer without an end".into())),
                Err(trouble) => self.wait(scope, &mut patience, trouble).await?,
            }
        }
    }
}
