//! What the controller asks of the hub: the files of a model at one commit, and links to them.
//!
//! # Theory of operation
//! What a repository's info looks like says the `hf-hub` crate. It is not what asks: its 1.0.0 reads an answer of any
//! length into memory, drops the `oid` of a large file, which is the sha256 that everything here is checked against, and
//! follows redirects where it is wanted where one leads. All is asked here, with bounds and with [`Patience`]: a hub that
//! says 429 is left alone for as long as it says, beyond the five minutes of its window. Nothing here depends on how
//! many hosts a download is for, and the token goes to the hub and nowhere else.

mod ask;
mod error;
mod fetch;
mod link;
mod redact;
mod tree;

use std::time::Duration;

use reqwest::Url;

pub use error::HubError;
pub use link::Link;
pub use redact::redacted;

use super::reference::RepoId;
use crate::vocab::Secret;

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
    plain: reqwest::Client,
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
        if !url.username().is_empty() || url.password().is_some() {
            let why = "it must have neither user nor password in it; a token goes into HF_TOKEN".into();
            return Err(HubError::Endpoint { endpoint: url.host_str().unwrap_or_default().to_owned(), why });
        }
        let agent = concat!("rbee/", env!("CARGO_PKG_VERSION"));
        let client = reqwest::Client::builder().user_agent(agent).connect_timeout(Duration::from_secs(10));
        let client = client.redirect(reqwest::redirect::Policy::none());
        let plain = client.build().map_err(|error| bad(error.to_string()))?;
        Ok(Self { settings, plain })
    }

    /// Where it is, fit to be shown.
    pub fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// The page of a repository, for people.
    pub fn page(&self, repo: &RepoId) -> String {
        format!("{}/{repo}", self.settings.endpoint)
    }

    /// The endpoint with these parts behind it, each encoded.
    pub(super) fn url<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Result<Url, HubError> {
        let odd = || HubError::Odd("an address that is none".to_owned());
        let mut url = Url::parse(&self.settings.endpoint).map_err(|_| odd())?;
        url.path_segments_mut().map_err(|()| odd())?.pop_if_empty().extend(parts);
        Ok(url)
    }

    pub(super) fn resolve_url(&self, repo: &RepoId, commit: &str, path: &str) -> Result<Url, HubError> {
        self.url(repo.as_str().split('/').chain(["resolve", commit]).chain(path.split('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_one() {
        let hub = |endpoint: &str| Hub::new(HubSettings { endpoint: endpoint.into(), token: None, offline: false });
        assert!(hub("http://127.0.0.1:1").is_ok());
        for bad in ["", "huggingface.co", "file:///etc", "ssh://x"] {
            assert!(hub(bad).is_err(), "{bad}");
        }
        let said = hub("https://me:secret@h/").unwrap_err().to_string();
        assert!(said.starts_with("h is no address of a hub") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn a_path_stays_one() {
        let hub = Hub::new(HubSettings { endpoint: "http://h/base/".into(), token: None, offline: false }).unwrap();
        let url = hub.resolve_url(&RepoId::new("a/b").unwrap(), "c0", "x y/ü?#.gguf").unwrap();
        assert_eq!(url.as_str(), "http://h/base/a/b/resolve/c0/x%20y/%C3%BC%3F%23.gguf");
    }
}
