//! Small files, which come to this machine first.

use std::path::Path;

use futures_util::StreamExt;
use reqwest::{Method, header};
use tokio::io::AsyncWriteExt;

use super::{ANSWER, Hub, HubError};
use crate::{
    models::{
        manifest::ModelFile,
        patience::{Patience, Trouble},
        proof::Proof,
        reference::RepoId,
    },
    scope::Scope,
};

impl Hub {
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
            let mut proof = Proof::new(&file.blob, file.size);
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
