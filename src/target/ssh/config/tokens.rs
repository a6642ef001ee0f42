//! `%` tokens and `${NAME}` in values.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};

use super::{keyword::Tokens, surroundings::Surroundings};

/// What one connection's tokens stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    /// `%h`
    pub host: String,
    /// `%n`
    pub name: String,
    /// `%k`
    pub key_alias: String,
    /// `%p`
    pub port: String,
    /// `%r`
    pub user: String,
    /// `%u`
    pub local_user: String,
    /// `%j`
    pub jump: String,
}

/// The tokens that may stand in a text, with their values.
pub(super) struct Scope<'a> {
    values: &'a Values,
    around: &'a Surroundings,
    allowed: &'static str,
}

impl Values {
    /// These values where only `tokens` may stand.
    pub fn scope<'a>(&'a self, tokens: Tokens, around: &'a Surroundings) -> Scope<'a> {
        Scope { values: self, around, allowed: tokens.letters() }
    }

    /// `%C`: stands for the whole connection in the name of a file.
    fn hash(&self, machine: &str) -> String {
        let mut sha1 = Sha1::new();
        for part in [machine, &self.host, &self.port, &self.user, &self.jump] {
            sha1.update(part.as_bytes());
        }
        sha1.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Scope<'_> {
    fn value(&self, token: char) -> Option<String> {
        if !self.allowed.contains(token) {
            return None;
        }
        let Self { values, around, .. } = self;
        Some(match token {
            'C' => values.hash(&around.machine),
            'd' => around.home.to_string_lossy().into_owned(),
            'h' => values.host.clone(),
            'i' => around.uid.to_string(),
            'j' => values.jump.clone(),
            'k' => values.key_alias.clone(),
            'L' => around.machine.split('.').next().unwrap_or_default().to_owned(),
            'l' => around.machine.clone(),
            'n' => values.name.clone(),
            'p' => values.port.clone(),
            'r' => values.user.clone(),
            'u' => values.local_user.clone(),
            _ => return None,
        })
    }
}

/// What one value may grow to.
const LIMIT: usize = 64 << 10;

/// Puts values in the place of tokens, of variables, or of both.
///
/// # Errors
/// A token that may not stand here, a variable that is not set, an end in the middle of one.
pub(super) fn expand(
    text: &str,
    tokens: Option<&Scope<'_>>,
    env: Option<&BTreeMap<String, String>>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, tokens, env) {
            ('$', _, Some(env)) if rest.starts_with('{') => {
                let Some((name, after)) = rest[1..].split_once('}').filter(|(name, _)| !name.is_empty()) else {
                    return Err(format!("\"{text}\": a variable is written ${{NAME}}"));
                };
                let value = env.get(name).ok_or_else(|| format!("\"{text}\": the variable {name} is not set"))?;
                out.push_str(value);
                rest = after;
            }
            ('%', Some(scope), _) => {
                let Some(token) = rest.chars().next() else {
                    return Err(format!("\"{text}\" ends with a single %; write %% for a percent sign"));
                };
                rest = &rest[token.len_utf8()..];
                match token {
                    '%' => out.push('%'),
                    token => out.push_str(&scope.value(token).ok_or_else(|| {
                        format!("\"{text}\": %{token} has no meaning here; write %% for a percent sign")
                    })?),
                }
            }
            _ => out.push(c),
        }
        if out.len() > LIMIT {
            return Err("the value becomes too long when its tokens are put in".to_owned());
        }
    }
    Ok(out)
}
