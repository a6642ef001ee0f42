//! Loads a file, and knows when to stop.

use std::{
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

use reqwest::{Client, Response, Url, redirect};
use sha2::{Digest as _, Sha256};

use super::PrebuiltError;
use crate::{
    scope::Scope,
    vocab::{Digest, EventKind, text::printable},
};

const CONNECT: Duration = Duration::from_secs(30);
/// Without a byte.
const STALL: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 10;
/// More than any program is.
const MAX_BYTES: u64 = 16 << 30;

/// Whether a way may go on from one address to another: never from https to something else.
pub fn may_follow(from: &Url, to: &Url) -> bool {
    match (from.scheme(), to.scheme()) {
        ("https", to) => to == "https",
        (_, to) => to == "https" || to == "http",
    }
}

pub fn client() -> Result<Client, PrebuiltError> {
    let policy = redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.error("it leads on and on");
        }
        match attempt.previous().last().is_some_and(|from| may_follow(from, attempt.url())) {
            true => attempt.follow(),
            false => attempt.error("it leads from https to an address without"),
        }
    });
    let client = Client::builder().redirect(policy).connect_timeout(CONNECT).read_timeout(STALL);
    let client = client.user_agent(concat!("rbee/", env!("CARGO_PKG_VERSION"))).build();
    client.map_err(|error| PrebuiltError::Load { url: "anything".into(), why: words(&error) })
}

/// The innermost reason, on one line and without the address.
fn words(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = match error.is_timeout() {
        true => "it did not answer in time".to_owned(),
        false => inner.to_string(),
    };
    printable(text.lines().next().unwrap_or_default()).into_owned()
}

async fn open(scope: &Scope, client: &Client, url: &str) -> Result<Response, PrebuiltError> {
    let failed = |why: String| PrebuiltError::Load { url: url.to_owned(), why };
    let response = scope.race(client.get(url).send()).await?.map_err(|error| failed(words(&error)))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(failed(format!("the server says {status}"))),
    }
}

/// Loads a short text.
pub async fn text(scope: &Scope, client: &Client, url: &str, limit: usize) -> Result<String, PrebuiltError> {
    let failed = |why: String| PrebuiltError::Load { url: url.to_owned(), why };
    let mut response = open(scope, client, url).await?;
    let mut text = Vec::new();
    while let Some(chunk) = scope.race(response.chunk()).await?.map_err(|error| failed(words(&error)))? {
        if text.len() + chunk.len() > limit {
            return Err(failed(format!("it is longer than {} kB", limit >> 10)));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).map_err(|_| failed("it is no text".into()))
}

/// Loads a file; `see` gets to see every byte, too.
pub async fn file(
    scope: &Scope,
    client: &Client,
    url: &str,
    into: &mut File,
    mut see: impl FnMut(&[u8]),
) -> Result<Digest, PrebuiltError> {
    let failed = |why: String| PrebuiltError::Load { url: url.to_owned(), why };
    let mut response = open(scope, client, url).await?;
    let total = response.content_length();
    let too_large = || failed(format!("it has more than {} GB", MAX_BYTES >> 30));
    if total.is_some_and(|total| total > MAX_BYTES) {
        return Err(too_large());
    }
    let (mut sum, mut done, mut told) = (Sha256::new(), 0u64, Instant::now());
    while let Some(chunk) = scope.race(response.chunk()).await?.map_err(|error| failed(words(&error)))? {
        done += chunk.len() as u64;
        if done > MAX_BYTES {
            return Err(too_large());
        }
        sum.update(&chunk);
        see(&chunk);
        into.write_all(&chunk).map_err(|error| failed(error.to_string()))?;
        if told.elapsed() > Duration::from_millis(500) {
            told = Instant::now();
            progress(scope, done, total);
        }
    }
    Ok(Digest::new(sum.finalize().into()))
}

fn progress(scope: &Scope, done: u64, total: Option<u64>) {
    scope.events().emit(EventKind::Progress {
        done,
        total,
        unit: crate::vocab::Unit::Bytes,
        forecast: None,
        source: None,
    });
}
