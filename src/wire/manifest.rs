//! The record beside an installed program, as TOML.
//!
//! Keys may be added, and a reader passes over those it does not know, so that an older version can still tell what a
//! newer one installed. A missing key is an error: a manifest that says half is no manifest.

use serde::{Deserialize, Serialize};

use crate::vocab::{BuildKey, Digest, InvalidName, Manifest, WorkerId, text::printable};

/// Longer than any manifest that was written here.
pub const MAX_BYTES: usize = 16 << 10;

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ManifestError {
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Syntax(String),
    #[error("{0}")]
    Name(#[from] InvalidName),
    #[error("{key} {why}")]
    Value { key: &'static str, why: &'static str },
}

#[derive(Serialize, Deserialize)]
struct Form {
    worker: String,
    version: String,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    digest: String,
    size: u64,
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<String>,
    origin: String,
    run: String,
    installed_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

/// Writes `manifest` as TOML, a line a key.
///
/// # Errors
/// [`ManifestError::TooLong`] or [`ManifestError::Value`] for what [`read`] would not take back.
pub fn write(manifest: &Manifest) -> Result<String, ManifestError> {
    let form = Form {
        worker: manifest.worker.to_string(),
        version: manifest.version.clone(),
        key: manifest.key.to_string(),
        class: manifest.class.clone(),
        digest: manifest.digest.to_string(),
        size: manifest.size,
        path: manifest.path.clone(),
        entry: manifest.entry.clone(),
        origin: manifest.origin.clone(),
        run: manifest.run.clone(),
        installed_at: manifest.installed_at.clone(),
        previous: manifest.previous.map(|d| d.to_string()),
    };
    let text = toml::to_string(&form).map_err(|e| ManifestError::Syntax(e.to_string()))?;
    read(&text)?;
    Ok(text)
}

/// Reads a manifest; keys that are not known are passed over.
///
/// # Errors
/// Says which key is missing or wrong.
pub fn read(text: &str) -> Result<Manifest, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLong);
    }
    let form: Form = toml::from_str(text)
        .map_err(|e| ManifestError::Syntax(printable(e.message().lines().next().unwrap_or("not TOML")).into_owned()))?;
    let line = |key, value: String| match value.chars().any(char::is_control) {
        true => Err(ManifestError::Value { key, why: "has a control character" }),
        false => Ok(value),
    };
    if !form.path.starts_with('/') || form.path.split('/').any(|part| part == "..") {
        return Err(ManifestError::Value { key: "path", why: "is not an absolute path" });
    }
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    if form.entry.as_deref().is_some_and(|entry| !entry.strip_prefix("bin/").is_some_and(plain)) {
        return Err(ManifestError::Value { key: "entry", why: "is not a program in bin" });
    }
    Ok(Manifest {
        worker: WorkerId::new(&form.worker)?,
        version: line("version", form.version)?,
        key: BuildKey(Digest::parse(&form.key)?),
        class: form.class.map(|class| line("class", class)).transpose()?,
        digest: Digest::parse(&form.digest)?,
        size: form.size,
        entry: form.entry.map(|entry| line("entry", entry)).transpose()?,
        path: line("path", form.path)?,
        origin: line("origin", form.origin)?,
        run: line("run", form.run)?,
        installed_at: line("installed_at", form.installed_at)?,
        previous: form.previous.as_deref().map(Digest::parse).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            worker: WorkerId::new("echo-worker").unwrap(),
            version: "0.1.0-1".into(),
            key: BuildKey(Digest::new([0xab; 32])),
            class: None,
            digest: Digest::new([0x01; 32]),
            size: 4096,
            path: "/usr/local/bin/echo-worker".into(),
            entry: None,
            origin: "built in".into(),
            run: "20260102-030405-abcdef".into(),
            installed_at: "2026-01-02T03:04:05Z".into(),
            previous: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut one = manifest();
        assert_eq!(read(&write(&one).unwrap()), Ok(one.clone()));
        one.previous = Some(Digest::new([2; 32]));
        one.class = Some("linux-x86_64 glibc 2.36 x86-64-v3".into());
        one.entry = Some("bin/echo-worker".into());
        one.origin = "a \"catalog\" of 'ours'".into();
        assert_eq!(read(&write(&one).unwrap()), Ok(one));
    }

    #[test]
    fn the_form_is_pinned() {
        insta::assert_snapshot!(write(&manifest()).unwrap(), @r#"
        worker = "echo-worker"
        version = "0.1.0-1"
        key = "abababababababababababababababababababababababababababababababab"
        digest = "0101010101010101010101010101010101010101010101010101010101010101"
        size = 4096
        path = "/usr/local/bin/echo-worker"
        origin = "built in"
        run = "20260102-030405-abcdef"
        installed_at = "2026-01-02T03:04:05Z"
        "#);
    }

    #[test]
    fn a_newer_key_is_passed_over() {
        let text = format!("{}colour = \"blue\"\n[extra]\nx = 1\n", write(&manifest()).unwrap());
        assert_eq!(read(&text), Ok(manifest()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = write(&manifest()).unwrap();
        let error = |from: &str, to: &str| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            read(&changed).unwrap_err().to_string()
        };
        assert_eq!(error("key = ", "kee = "), "missing field `key`");
        assert!(error("echo-worker\"\nversion", "../x\"\nversion").starts_with("worker id \"../x\""));
        assert!(error("digest = \"01", "digest = \"zz").starts_with("sha256 \"zz01"));
        assert_eq!(error("/usr/local/bin", "/usr/../bin"), "path is not an absolute path");
        assert_eq!(error("built in", "a\\u001b[2J"), "origin has a control character");
        assert_eq!(error("size = 4096", "size = -1").lines().count(), 1);
        assert_eq!(read(&"#".repeat(MAX_BYTES + 1)), Err(ManifestError::TooLong));
        assert!(read("worker = [").is_err());
    }

    #[test]
    fn a_bad_manifest_is_not_written() {
        for bad in [
            Manifest { path: "bin/x".into(), ..manifest() },
            Manifest { entry: Some("lib/echo-worker".into()), ..manifest() },
            Manifest { entry: Some("bin/../echo-worker".into()), ..manifest() },
            Manifest { entry: Some("bin/..".into()), ..manifest() },
        ] {
            assert!(write(&bad).is_err(), "{bad:?}");
        }
    }
}
