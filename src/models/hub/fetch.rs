//! Small files, which come to this machine first.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use reqwest::{Method, header};
use tokio::io::AsyncWriteExt;

use super::{ANSWER, Hub, HubError};
use crate::{
    models::{
        manifest::ModelFile,
        patience::{Patience, Trouble, waits_of},
        proof::Proof,
        reference::RepoId,
    },
    scope::Scope,
};

/// How one try ended.
enum Came {
    Whole,
    Wrong,
    Not(Trouble),
}

/// A file of this size has come by then, or it is asked for once more.
fn whole(size: u64) -> Duration {
    ANSWER * 2 + Duration::from_secs(size / 20_000)
}

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
        let mut wrong = false;
        loop {
            let came = self.fetch_once(scope, repo, commit, file, to);
            let trouble = match scope.race(tokio::time::timeout(whole(file.size), came)).await? {
                Ok(came) => match came? {
                    Came::Whole => return Ok(()),
                    Came::Wrong if wrong => return Err(HubError::Wrong(file.path.clone())),
                    Came::Wrong => {
                        wrong = true;
                        continue;
                    }
                    Came::Not(trouble) => trouble,
                },
                Err(_) => {
                    Trouble { limited: false, wait: None, why: format!("{} does not come to its end", file.path) }
                }
            };
            self.wait(scope, &mut patience, trouble).await?;
        }
    }

    async fn fetch_once(
        &self,
        scope: &Scope,
        repo: &RepoId,
        commit: &str,
        file: &ModelFile,
        to: &Path,
    ) -> Result<Came, HubError> {
        let not = |error: reqwest::Error| Ok(Came::Not(Trouble::of(&error)));
        let write = |error| HubError::Write { path: to.display().to_string(), error };
        let mut url = self.resolve_url(repo, commit, &file.path)?;
        let home = url.origin();
        for _ in 0..5 {
            let answer = if url.origin() == home {
                self.ask(scope, Method::GET, url.clone(), repo, &file.path).await?
            } else {
                match self.plain.get(url.clone()).send().await {
                    Ok(answer) if answer.status().is_success() || answer.status().is_redirection() => answer,
                    Ok(answer) => {
                        let (limited, wait) = (answer.status().as_u16() == 429, waits_of(answer.headers()));
                        return Ok(Came::Not(Trouble { limited, wait, why: format!("it says {}", answer.status()) }));
                    }
                    Err(error) => return not(error),
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
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(bytes) if proof.update(&bytes) => out.write_all(&bytes).await.map_err(write)?,
                    Ok(_) => break,
                    Err(error) => return not(error),
                }
            }
            out.flush().await.map_err(write)?;
            return Ok(if proof.holds() { Came::Whole } else { Came::Wrong });
        }
        Err(HubError::Odd(format!("{} leads from one address to the next", file.path)))
    }
}
