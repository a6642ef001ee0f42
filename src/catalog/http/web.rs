//! One text over HTTP: bounded, redirects judged, and a copy for when the server cannot be reached.

use std::{error::Error, path::PathBuf, time::Duration};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION},
    redirect::Policy,
};

use super::copies::{Copies, Copy};
use crate::vocab::text::{human_bytes, human_duration, printable};

const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
/// Longer than any etag that means something.
const TAG_BYTES: usize = 1000;

/// Gets texts and keeps copies of them.
#[derive(Debug)]
pub struct Web {
    client: Result<Client, String>,
    copies: Copies,
    /// For one text, redirects and all.
    limit: Duration,
}

/// A text, and how it was come by.
#[derive(Debug)]
pub struct Got {
    pub body: Vec<u8>,
    /// It is a copy of this age, and why.
    pub stale: Option<(Duration, String)>,
    /// Something that a person should know.
    pub note: Option<String>,
}

enum Answer {
    Fresh { body: Vec<u8>, etag: Option<String>, last_modified: Option<String> },
    Unchanged,
}

impl Web {
    /// Copies are kept in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("rbee/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| root(&error));
        Self { client, copies: Copies::new(folder), limit: WHOLE }
    }

    /// Gets a text of at most `limit` bytes; what `check` refuses is not kept, and not taken.
    ///
    /// # Errors
    /// A fragment that says why, when there is no copy either.
    pub async fn get(&self, url: &Url, limit: u64, check: &Check<'_>) -> Result<Got, String> {
        let copy = self.copies.read(url.as_str(), limit).filter(|copy| check(&copy.body).is_ok());
        let answered = tokio::time::timeout(self.limit, self.ask(url, limit, copy.as_ref()));
        let late = || Err(format!("no answer within {}", human_duration(self.limit)));
        let answered = answered.await.unwrap_or_else(|_| late());
        let checked = answered.and_then(|answer| match &answer {
            Answer::Fresh { body, .. } => check(body).map(|()| answer),
            Answer::Unchanged => Ok(answer),
        });
        match (checked, copy) {
            (Ok(Answer::Fresh { body, etag, last_modified }), _) => {
                let kept = self.copies.keep(url.as_str(), etag.as_deref(), last_modified.as_deref(), &body);
                Ok(Got { body, stale: None, note: kept.err() })
            }
            (Ok(Answer::Unchanged), Some(copy)) => {
                self.copies.confirm(url.as_str());
                Ok(Got { body: copy.body, stale: None, note: None })
            }
            (Ok(Answer::Unchanged), None) => Err("says that nothing has changed, but there was nothing before".into()),
            (Err(why), Some(copy)) => Ok(Got { body: copy.body, stale: Some((copy.age, why)), note: None }),
            (Err(why), None) => Err(why),
        }
    }

    /// The copy alone, where the server was not to be reached a moment ago.
    pub fn copy(&self, url: &Url, limit: u64, check: &Check<'_>) -> Option<Vec<u8>> {
        self.copies.read(url.as_str(), limit).map(|copy| copy.body).filter(|body| check(body).is_ok())
    }

    async fn ask(&self, url: &Url, limit: u64, copy: Option<&Copy>) -> Result<Answer, String> {
        let client = self.client.as_ref().map_err(|why| format!("cannot use TLS here: {why}"))?;
        let mut visited = vec![url.clone()];
        let mut at = url.clone();
        loop {
            let mut request = client.get(at.clone()).header(ACCEPT, "application/json, text/plain;q=0.9, */*;q=0.1");
            if let Some(etag) = copy.and_then(|copy| copy.etag.as_deref()) {
                request = request.header(IF_NONE_MATCH, etag);
            } else if let Some(date) = copy.and_then(|copy| copy.last_modified.as_deref()) {
                request = request.header(IF_MODIFIED_SINCE, date);
            }
            let response = request.send().await.map_err(|error| reason(&error))?;
            let status = response.status();
            if status == StatusCode::NOT_MODIFIED && copy.is_some() {
                return Ok(Answer::Unchanged);
            }
            if status == StatusCode::OK {
                let (etag, last_modified) = (tag(response.headers(), ETAG), tag(response.headers(), LAST_MODIFIED));
                return Ok(Answer::Fresh { body: body(response, limit).await?, etag, last_modified });
            }
            if !status.is_redirection() {
                return Err(format!("answered {status}"));
            }
            at = redirected(&at, response.headers())?;
            if visited.contains(&at) {
                return Err("redirects in a circle".into());
            }
            visited.push(at.clone());
            if visited.len() > REDIRECTS + 1 {
                return Err(format!("redirects more than {REDIRECTS} times"));
            }
        }
    }
}

/// Says what is wrong with a text.
pub type Check<'a> = dyn Fn(&[u8]) -> Result<(), String> + Send + Sync + 'a;

/// Where a redirect leads, if it may be followed.
fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, String> {
    let said = headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or("redirects to nowhere")?;
    let to = from.join(said).map_err(|_| "redirects to what is no address".to_owned())?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(format!("redirects from https to http ({})", shown(&to))),
        (_, "http" | "https") if to.username().is_empty() && to.password().is_none() => Ok(to),
        _ => Err(format!("redirects to {}, which is not followed", shown(&to))),
    }
}

async fn body(mut response: Response, limit: u64) -> Result<Vec<u8>, String> {
    let too_large = || Err(format!("is larger than {}", human_bytes(limit)));
    if response.content_length().is_some_and(|length| length > limit) {
        return too_large();
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > limit {
            return too_large();
        }
    }
    Ok(body)
}

fn tag(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= TAG_BYTES).then(|| text.to_owned())
}

fn reason(error: &reqwest::Error) -> String {
    match error {
        error if error.is_timeout() && error.is_connect() => {
            format!("no connection within {}", human_duration(CONNECT))
        }
        error if error.is_connect() => format!("cannot be reached: {}", root(error)),
        error if error.is_body() || error.is_decode() => format!("broke off: {}", root(error)),
        error => root(error),
    }
}

/// What stands at the bottom of an error; what is above only repeats the address.
fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    printable(&error.to_string()).chars().take(300).collect()
}

fn shown(url: &Url) -> String {
    printable(url.as_str()).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_server_that_says_nothing_costs_its_limit_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/workers", listener.local_addr().unwrap())).unwrap();
        let web = Web { limit: Duration::from_millis(300), ..Web::new(dir.path().to_owned()) };
        let said = web.get(&url, 100, &|_| Ok(())).await.unwrap_err();
        assert_eq!(said, "no answer within 0.3s");
        web.copies.keep(url.as_str(), None, None, b"kept").unwrap();
        let got = web.get(&url, 100, &|_| Ok(())).await.unwrap();
        assert_eq!((got.body.as_slice(), got.stale.is_some()), (&b"kept"[..], true));
        // A copy that would be refused as an answer is none.
        assert!(web.get(&url, 100, &|_| Err("no".into())).await.is_err());
    }

    #[test]
    fn a_redirect_leads_to_no_weaker_place() {
        let from = |from: &str, to: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(to));
            redirected(&Url::parse(from).unwrap(), &headers).map(String::from)
        };
        assert_eq!(from("https://a.example/x/y", "../z").unwrap(), "https://a.example/z");
        assert_eq!(from("http://a.example/", "https://b.example/").unwrap(), "https://b.example/");
        assert!(from("https://a.example/", "http://a.example/").unwrap_err().contains("from https to http"));
        assert!(from("https://a.example/", "//b.example/x").is_ok());
        for to in ["file:///etc/passwd", "ftp://b.example/", "https://me:secret@b.example/", "javascript:1"] {
            assert!(from("https://a.example/", to).unwrap_err().contains("not followed"), "{to}");
        }
        assert!(redirected(&Url::parse("https://a.example").unwrap(), &HeaderMap::new()).is_err());
    }
}
