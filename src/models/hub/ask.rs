//! One question at a time, asked again for as long as there is patience.

use std::time::Duration;

use hf_hub::HFError;
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
    /// What an error of the hub's means: an end, or a wait.
    pub(super) fn judge(&self, error: HFError, repo: &RepoId, revision: Option<&str>) -> Result<Trouble, HubError> {
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
}
