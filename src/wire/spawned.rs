//! The record of a spawned worker, as TOML: what its host keeps, and what a client is shown.
//!
//! Keys may be added, and a reader passes over those it does not know.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::manifest::ManifestError;
use crate::vocab::{Digest, Keeping, SpawnId, Spawned, WorkerId, text::printable};

/// Longer than any record that was written here.
pub const MAX_BYTES: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Form {
    id: String,
    worker: String,
    version: String,
    digest: String,
    argv: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    bind: IpAddr,
    port: u16,
    health: String,
    restart: bool,
    keeping: String,
    run: String,
    spawned_at: String,
}

/// Writes it as TOML.
///
/// # Errors
/// For what [`read`] would not take back.
pub fn write(spawned: &Spawned) -> Result<String, ManifestError> {
    let form = Form {
        id: spawned.id.to_string(),
        worker: spawned.worker.to_string(),
        version: spawned.version.clone(),
        digest: spawned.digest.to_string(),
        argv: spawned.argv.clone(),
        model: spawned.model.clone(),
        bind: spawned.bind,
        port: spawned.port,
        health: spawned.health.clone(),
        restart: spawned.restart,
        keeping: spawned.keeping.as_str().to_owned(),
        run: spawned.run.clone(),
        spawned_at: spawned.spawned_at.clone(),
    };
    let text = toml::to_string(&form).map_err(|e| ManifestError::Syntax(e.to_string()))?;
    read(&text)?;
    Ok(text)
}

/// Reads a record.
///
/// # Errors
/// Says which key is missing or wrong.
pub fn read(text: &str) -> Result<Spawned, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLong);
    }
    let form: Form = toml::from_str(text)
        .map_err(|e| ManifestError::Syntax(printable(e.message().lines().next().unwrap_or("not TOML")).into_owned()))?;
    let wrong = |key, why| Err(ManifestError::Value { key, why });
    let Some(keeping) = Keeping::ALL.into_iter().find(|keeping| keeping.as_str() == form.keeping) else {
        return wrong("keeping", "is none that is known");
    };
    if !form.argv.first().is_some_and(|program| program.starts_with('/')) {
        return wrong("argv", "does not begin with an absolute path");
    }
    if !form.health.starts_with('/') || form.health.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return wrong("health", "is not a path");
    }
    let lines = [&form.version, &form.run, &form.spawned_at].into_iter().chain(&form.model);
    if lines.into_iter().any(|text| text.chars().any(char::is_control)) {
        return wrong("a text", "has a control character");
    }
    Ok(Spawned {
        id: SpawnId::new(&form.id)?,
        worker: WorkerId::new(&form.worker)?,
        version: form.version,
        digest: Digest::parse(&form.digest)?,
        argv: form.argv,
        model: form.model,
        bind: form.bind,
        port: form.port,
        health: form.health,
        restart: form.restart,
        keeping,
        run: form.run,
        spawned_at: form.spawned_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawned() -> Spawned {
        Spawned {
            id: SpawnId::of(0xbee),
            worker: WorkerId::new("echo-worker").unwrap(),
            version: "0.1.0".into(),
            digest: Digest::new([7; 32]),
            argv: vec!["/home/it's me/bin/echo-worker".into(), "--port".into(), "7855".into(), "a\nb \"c\"".into()],
            model: Some("org/repo:file.gguf".into()),
            bind: "127.0.0.1".parse().unwrap(),
            port: 7855,
            health: "/health".into(),
            restart: true,
            keeping: Keeping::Session,
            run: "RUN".into(),
            spawned_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let spawned = spawned();
        let text = write(&spawned).unwrap();
        assert_eq!(read(&text).unwrap(), spawned);
        assert_eq!(read(&format!("colour = 'red'\n{text}")).unwrap(), spawned, "a newer version may say more");
        let everywhere = Spawned { bind: "::".parse().unwrap(), ..spawned };
        assert_eq!(everywhere.url(), "http://[::1]:7855");
    }

    #[test]
    fn what_a_stranger_wrote_is_refused() {
        let text = write(&spawned()).unwrap();
        for (from, to) in [
            ("w00000bee", "../../x"),
            ("echo-worker\"\nv", "Echo Worker\"\nv"),
            ("\"session\"", "\"forever\""),
            ("/home/it's me", "it's me"),
            ("/health", "health"),
            ("\"/health\"", "\"/a b\""),
            ("port = 7855", "port = 78550"),
            ("127.0.0.1", "everywhere"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text, "{from}");
            assert!(read(&other).is_err(), "{to}");
        }
        assert!(read(&"x".repeat(MAX_BYTES + 1)).is_err());
    }
}
