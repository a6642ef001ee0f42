//! The pattern of `--hosts`, parsed; what it selects is decided in `select`.
//!
//! # Grammar
//! Terms are joined by `,` (and also), `&` (and of these only) and `!` before a term (but not), and are read from left
//! to right, without precedence:
//!
//! | pattern | selects |
//! | --- | --- |
//! | `@cuda,mac-mini` | the group cuda, and mac-mini |
//! | `@lab&@cuda` | what is in both groups |
//! | `@lab&!gpu-*` or `@lab,!gpu-*` | the group lab without the hosts whose name starts with `gpu-` |
//! | `all,!node003` or `!node003` | every host of the inventory but one |
//! | `@lab,@cuda&rack1-*` | first lab and cuda together, then of these only `rack1-*` |
//! | `node[001-064]` | sixty-four hosts by name; each of them must exist |
//! | `root@192.0.2.7:2222` | a host that no file knows |
//!
//! A bracket of numbers is a range; beside `*` or `?`, or with other characters in it, it is a set of characters.

use super::{grammar, ranges, suggest::quoted};
use crate::vocab::HostName;

/// Bounds that no one who types a pattern meets.
const LONGEST: usize = 64 << 10;
const MOST_GLOBS: usize = 256;

/// A pattern that keeps the grammar.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    text: String,
    pub(super) terms: Vec<(Join, Term)>,
}

/// What a term does with what was selected before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Add,
    Keep,
    Drop,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub text: String,
    pub what: What,
}

/// What a term names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    All,
    Group(String),
    Glob(String),
    Names(Vec<HostName>),
    Logins(Vec<Login>),
}

/// `user@host[:port]`, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Login {
    /// The host, with the port if one was given.
    pub name: HostName,
    pub user: String,
    /// Host and port, where the name is more than the host.
    pub endpoint: Option<(String, u16)>,
}

/// A pattern that breaks the grammar: the end of a sentence that starts with the pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl PatternError {
    fn term(term: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("has the term {}, which {why}", quoted(term)))
    }
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Says which term breaks the grammar, and how.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.trim().is_empty() {
            return Err(PatternError("is empty; all means every host".into()));
        }
        if text.len() > LONGEST {
            return Err(PatternError(format!("is longer than {} KiB", LONGEST >> 10)));
        }
        let mut terms = Vec::new();
        let mut names = 0;
        for (separator, piece) in split(text)? {
            let piece = piece.trim();
            let (excluded, body) = match piece.strip_prefix('!') {
                Some(body) => (true, body.trim_start()),
                None => (false, piece),
            };
            if body.is_empty() {
                return Err(PatternError("has an empty term; terms are joined by one ',' or '&'".into()));
            }
            let what = what(body)?;
            names += match &what {
                What::Names(names) => names.len(),
                What::Logins(logins) => logins.len(),
                _ => 0,
            };
            let join = match (excluded, separator) {
                (true, _) => Join::Drop,
                (false, '&') => Join::Keep,
                (false, _) => Join::Add,
            };
            if excluded && matches!(what, What::Logins(_)) {
                return Err(PatternError::term(piece, "excludes by user; exclude the host by its name"));
            }
            if excluded && terms.is_empty() {
                terms.push((Join::Add, Term { text: "all".into(), what: What::All }));
            }
            terms.push((join, Term { text: body.to_owned(), what }));
        }
        if names > ranges::MOST_NAMES {
            return Err(PatternError(format!("names more than {} hosts", ranges::MOST_NAMES)));
        }
        if terms.iter().filter(|(_, term)| matches!(term.what, What::Glob(_))).count() > MOST_GLOBS {
            return Err(PatternError(format!("has more than {MOST_GLOBS} terms with wildcards")));
        }
        Ok(Self { text: text.to_owned(), terms })
    }

    /// The pattern as it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The groups that the pattern names.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|(_, term)| match &term.what {
            What::Group(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Cuts at every `,` and `&` outside of brackets; each piece comes with the separator before it.
fn split(text: &str) -> Result<Vec<(char, &str)>, PatternError> {
    let (mut pieces, mut start, mut separator, mut depth) = (Vec::new(), 0, ',', 0u32);
    for (at, c) in text.char_indices() {
        match (c, depth) {
            ('[', 0) => depth = 1,
            (']', 1) => depth = 0,
            ('[' | ']', _) => depth = u32::MAX,
            (',' | '&', 0) => {
                pieces.push((separator, &text[start..at]));
                (start, separator) = (at + 1, c);
            }
            _ => {}
        }
        if depth == u32::MAX {
            break;
        }
    }
    if depth != 0 {
        return Err(PatternError("has a '[' without its ']', or the other way round".into()));
    }
    pieces.push((separator, &text[start..]));
    Ok(pieces)
}

fn what(term: &str) -> Result<What, PatternError> {
    let bad = |why: String| PatternError::term(term, why);
    if term == "all" {
        return Ok(What::All);
    }
    if let Some(group) = term.strip_prefix('@') {
        return match grammar::group(group) {
            Ok(()) => Ok(What::Group(group.to_owned())),
            Err(_) if group == "all" => Err(bad("is no group; every host is all, without the '@'".into())),
            Err(why) => Err(bad(format!("names a group that {why}"))),
        };
    }
    if let Some((user, host)) = term.rsplit_once('@') {
        return logins(user, host).map(What::Logins).map_err(bad);
    }
    let brackets: Vec<&str> = term.split('[').skip(1).filter_map(|tail| tail.split(']').next()).collect();
    if term.contains(['*', '?']) || brackets.iter().any(|inside| !ranges::is_numeric(inside)) {
        return glob(term, &brackets).map(What::Glob).map_err(bad);
    }
    // As a set of characters [13] would be 1 or 3, as a range it is 13: who types it may mean either.
    if let Some(inside) = brackets.iter().find(|inside| inside.len() > 1 && !inside.contains([',', '-'])) {
        return Err(bad(format!("has [{inside}]; write {inside} for the number, or a list like [1,3]")));
    }
    let names = ranges::expand(term).map_err(|error| bad(error.to_string()))?;
    let names = names.iter().map(|name| HostName::new(name).map_err(|error| bad(error.why.into())));
    names.collect::<Result<_, _>>().map(What::Names)
}

/// Checks that a glob has `*`, `?` and sets of characters only, and could match a host's name.
fn glob(term: &str, brackets: &[&str]) -> Result<String, String> {
    if term.len() > 255 {
        return Err("is longer than 255 characters".into());
    }
    if !term.chars().all(|c| c.is_ascii_alphanumeric() || "-._+:%=*?[]!^,".contains(c)) {
        return Err("has a character that no host name has".into());
    }
    for inside in brackets {
        let set = inside.trim_start_matches(['!', '^']);
        if set.is_empty() || inside.len() - set.len() > 1 {
            return Err(format!("has [{inside}], which is no set of characters"));
        }
        let number = set.split('-').any(|end| end.len() > 1);
        if set.contains(',') || ranges::is_numeric(set) && set.contains('-') && number {
            return Err(format!("has the range [{inside}] beside a wildcard; one term has either"));
        }
    }
    let outside = term.split(['[', ']']).step_by(2).any(|part| part.contains(['!', '^', ',']));
    if outside {
        return Err("has a '!' or '^' that is not the start of a set".into());
    }
    // `**` means something about folders to the matcher; here stars are stars.
    let mut pattern = String::with_capacity(term.len());
    for c in term.chars() {
        if c != '*' || !pattern.ends_with('*') {
            pattern.push(c);
        }
    }
    Ok(pattern)
}

fn logins(user: &str, host: &str) -> Result<Vec<Login>, String> {
    grammar::user(user).map_err(|why| format!("has a user that {why}"))?;
    if host.contains(['*', '?']) {
        return Err("has a wildcard after its '@'; there is nothing to compare it with".into());
    }
    let v6 = host.strip_prefix('[').and_then(|rest| rest.split(']').next()).is_some_and(|inside| inside.contains(':'));
    let hosts = if v6 { vec![host.to_owned()] } else { ranges::expand(host).map_err(|error| error.to_string())? };
    hosts.iter().map(|host| login(user, host)).collect()
}

fn login(user: &str, host: &str) -> Result<Login, String> {
    let (bare, port) = grammar::endpoint(host).map_err(|why| match host.matches(':').count() {
        2.. if !host.starts_with('[') => format!("has a host that {why}; with a port it is written [address]:port"),
        _ => format!("has a host that {why}"),
    })?;
    let endpoint = port.map(|port| (bare.to_owned(), port));
    let name = endpoint.as_ref().map_or(bare.to_owned(), |(bare, port)| format!("{bare}:{port}"));
    let name = HostName::new(&name).map_err(|error| error.why)?;
    if name.as_str() == "local" {
        return Err("gives a user to local, which is the controller itself".into());
    }
    Ok(Login { name, user: user.to_owned(), endpoint })
}
