//! What may be said about models in an operation.

use serde::{Deserialize, Serialize};

use super::operation::NotASubmission;

/// Longer than any name of a model, and more globs than anybody writes.
const MAX_NAME: usize = 1000;
const MAX_GLOBS: usize = 100;
/// Connections of a host at a time.
const MAX_CONNECTIONS: u32 = 64;

/// Which model, and how it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDownload {
    pub model: String,
    #[serde(default)]
    pub include: Vec<String>,
    #[serde(default)]
    pub exclude: Vec<String>,
    #[serde(default)]
    pub quant: Option<String>,
    #[serde(default)]
    pub fits: bool,
    #[serde(default)]
    pub via: ViaWord,
    /// Of each host, at a time.
    #[serde(default)]
    pub connections: Option<u32>,
    /// Bytes a second for all hosts together.
    #[serde(default)]
    pub limit_rate: Option<u64>,
    #[serde(default)]
    pub force_disk: bool,
    #[serde(default)]
    pub clean: bool,
    #[serde(default)]
    pub dry_run: bool,
}

/// Which way a model comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViaWord {
    #[default]
    Auto,
    Hub,
    Relay,
}

/// What such a name can be at all; whether it is one is for the models to say.
pub(super) fn name(field: &str, text: &str) -> Result<(), NotASubmission> {
    if text.trim().is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(NotASubmission(format!("{field} is empty, too long, or has control characters")));
    }
    Ok(())
}

impl ModelDownload {
    pub(super) fn check(&self) -> Result<(), NotASubmission> {
        name("model", &self.model)?;
        self.quant.as_deref().map_or(Ok(()), |quant| name("quant", quant))?;
        for (field, globs) in [("include", &self.include), ("exclude", &self.exclude)] {
            if globs.len() > MAX_GLOBS {
                return Err(NotASubmission(format!("{field} has more than {MAX_GLOBS} globs")));
            }
            globs.iter().try_for_each(|glob| name(field, glob))?;
        }
        if self.fits && self.quant.is_some() {
            return Err(NotASubmission("quant names one, and fits would choose another".into()));
        }
        if self.connections.is_some_and(|n| n == 0 || n > MAX_CONNECTIONS) {
            return Err(NotASubmission(format!("connections must be from 1 to {MAX_CONNECTIONS}")));
        }
        if self.limit_rate == Some(0) {
            return Err(NotASubmission("limit_rate must be more than nothing".into()));
        }
        Ok(())
    }
}
