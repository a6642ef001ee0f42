//! Another place of what stands at a URL.

use std::fmt;

/// Protocols that a mirror can have.
const PROTOCOLS: [&str; 6] = ["https", "http", "ftp", "git", "ssh", "file"];
const URL_BYTES: usize = 1000;

/// Where a URL can be had too: one URL, or all that begin so if it ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mirror {
    prefix: String,
    to: String,
}

/// What cannot be a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMirror {
    #[error("{0:?} is no mirror: write PREFIX=URL, both with their protocol (https://a.example/=https://b.example/a/)")]
    Form(String),
    #[error("{0:?} does not begin with one of https://, http://, ftp://, git://, ssh:// and file://")]
    Url(String),
    #[error("{0:?} is too long, or has control characters or blanks")]
    Text(String),
    #[error("{prefix:?} would be asked for without TLS at {to:?}")]
    Downgrade { prefix: String, to: String },
    #[error("{prefix:?} and {to:?} must both end in '/', or neither")]
    Ends { prefix: String, to: String },
}

impl Mirror {
    /// # Errors
    /// One of both is no URL, or HTTPS would be left for something less safe.
    pub fn new(prefix: &str, to: &str) -> Result<Self, InvalidMirror> {
        let (from, towards) = (protocol(prefix)?, protocol(to)?);
        if from == "https" && !matches!(towards, "https" | "file") {
            return Err(InvalidMirror::Downgrade { prefix: shown(prefix), to: shown(to) });
        }
        // A beginning must end where a name ends, or "https://a.example" would speak for "https://a.example.evil".
        if prefix.ends_with('/') != to.ends_with('/') {
            return Err(InvalidMirror::Ends { prefix: shown(prefix), to: shown(to) });
        }
        Ok(Self { prefix: prefix.to_owned(), to: to.to_owned() })
    }

    /// Reads `PREFIX=URL`.
    ///
    /// # Errors
    /// As [`Mirror::new`].
    pub fn parse(text: &str) -> Result<Self, InvalidMirror> {
        // A URL may have a '=' of its own; a protocol stands only at a beginning.
        let middle = PROTOCOLS.iter().filter_map(|name| text.find(&format!("={name}://"))).min();
        let middle = middle.ok_or_else(|| InvalidMirror::Form(shown(text)))?;
        Self::new(&text[..middle], &text[middle + 1..])
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn to(&self) -> &str {
        &self.to
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", shown(&self.prefix), shown(&self.to))
    }
}

fn protocol(url: &str) -> Result<&str, InvalidMirror> {
    if url.len() > URL_BYTES || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(InvalidMirror::Text(shown(&url.chars().take(URL_BYTES).collect::<String>())));
    }
    match url.split_once("://") {
        Some((name, rest)) if PROTOCOLS.contains(&name) && !rest.is_empty() => Ok(name),
        _ => Err(InvalidMirror::Url(shown(url))),
    }
}

/// Without the name and password that it may carry.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((protocol, rest)) => match rest.split_once('@') {
            Some((user, host)) if !user.contains('/') => format!("{protocol}://{host}"),
            _ => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_never_left_for_less() {
        let mirror = Mirror::parse("https://a.example/x/=https://me:secret@b.example/y?z=1/").unwrap();
        assert_eq!((mirror.prefix(), mirror.to()), ("https://a.example/x/", "https://me:secret@b.example/y?z=1/"));
        assert_eq!(mirror.to_string(), "https://a.example/x/=https://b.example/y?z=1/");
        for good in ["http://a/=https://b/", "https://a/=file:///srv/a/", "https://a/x?b=c=https://d/x"] {
            Mirror::parse(good).unwrap();
        }
        for (bad, said) in [
            ("https://a/=http://b/", "would be asked for without TLS"),
            ("https://a/=ftp://b/", "would be asked for without TLS"),
            ("https://a/=git://b/", "would be asked for without TLS"),
            ("https://a.example=https://b.example/", "must both end in '/'"),
            ("https://a/", "is no mirror"),
            ("", "is no mirror"),
            ("a=https://b/", "does not begin with"),
            ("=https://b/", "does not begin with"),
            ("https://=https://b/", "does not begin with"),
            ("https://a/\n=https://b/", "control characters"),
            ("https://a b/=https://b/", "control characters or blanks"),
        ] {
            let error = Mirror::parse(bad).unwrap_err().to_string();
            assert!(error.contains(said), "{bad}: {error}");
        }
        let long = format!("https://a/=https://{}/", "b".repeat(2000));
        assert!(Mirror::parse(&long).unwrap_err().to_string().len() < 1200);
        assert!(!Mirror::parse("https://u:secret@a/=http://b/").unwrap_err().to_string().contains("secret"));
    }
}
