//! A `Match` line, read but not yet decided.

use super::line::{self, Line};

/// Its criteria, all of which must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition(pub Vec<Criterion>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Criterion {
    pub negated: bool,
    pub what: Subject,
    /// The patterns or the command; empty for those that take none.
    pub arg: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    All,
    /// `canonical` and `final`: the second pass.
    Again {
        asked: bool,
    },
    Host,
    OriginalHost,
    User,
    LocalUser,
    Tagged,
    LocalNetwork,
    Exec,
    /// Of newer versions, and not decided here.
    Undecided(&'static str),
}

impl Condition {
    /// Whether it has an `exec`.
    pub fn runs_a_command(&self) -> bool {
        self.0.iter().any(|criterion| criterion.what == Subject::Exec)
    }

    /// Reads what follows `match`.
    ///
    /// # Errors
    /// A criterion that ssh does not know, or that lacks its pattern.
    pub fn parse(line: &Line) -> Result<Self, String> {
        let mut rest = Some(line.rest.clone());
        let cut = criteria(|| line::cut(&mut rest));
        // Since 9.9, quotes are those of all other lines. What only that reading understands is meant that way.
        cut.and_then(|read| match rest.as_deref() {
            None | Some("") => Ok(read),
            Some(more) => Err(format!("there is something behind it: \"{more}\"")),
        })
        .or_else(|error| {
            let mut words = line.args.iter().flat_map(|word| match word.split_once('=') {
                Some((name, value)) if subject(name.trim_start_matches('!')).is_some() => vec![name, value],
                _ => vec![word.as_str()],
            });
            criteria(|| words.next().map(str::to_owned)).map_err(|_| error)
        })
    }
}

fn subject(name: &str) -> Option<Subject> {
    Some(match name.to_ascii_lowercase().as_str() {
        "all" => Subject::All,
        "canonical" => Subject::Again { asked: false },
        "final" => Subject::Again { asked: true },
        "host" => Subject::Host,
        "originalhost" => Subject::OriginalHost,
        "user" => Subject::User,
        "localuser" => Subject::LocalUser,
        "tagged" => Subject::Tagged,
        "localnetwork" => Subject::LocalNetwork,
        "exec" => Subject::Exec,
        "command" => Subject::Undecided("command"),
        "version" => Subject::Undecided("version"),
        "sessiontype" => Subject::Undecided("sessiontype"),
        _ => return None,
    })
}

fn criteria(mut next: impl FnMut() -> Option<String>) -> Result<Condition, String> {
    let mut criteria = Vec::new();
    while let Some(word) = next().filter(|word| !word.is_empty()) {
        if word.starts_with('#') {
            while next().is_some() {}
            break;
        }
        let name = word.strip_prefix('!').unwrap_or(&word);
        let what = subject(name).ok_or_else(|| format!("\"{name}\" is no criterion"))?;
        let mut arg = String::new();
        match what {
            Subject::All => {
                let more = next().filter(|word| !word.is_empty());
                if criteria.len() > 1 || more.as_deref().is_some_and(|word| !word.starts_with('#')) {
                    return Err("\"all\" cannot stand with other criteria".to_owned());
                }
                while next().is_some() {}
            }
            Subject::Again { .. } => {}
            _ => {
                let found = next().filter(|word| !word.is_empty() && !word.starts_with('#'));
                arg = found.ok_or_else(|| format!("\"{word}\" lacks what it is compared with"))?;
            }
        }
        criteria.push(Criterion { negated: word.starts_with('!'), what, arg });
    }
    if criteria.is_empty() {
        return Err("there is no criterion".to_owned());
    }
    Ok(Condition(criteria))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<(bool, Subject, String)>, String> {
        let line = line::split(&format!("Match {text}"))?.unwrap();
        Condition::parse(&line).map(|read| read.0.into_iter().map(|c| (c.negated, c.what, c.arg)).collect())
    }

    #[test]
    fn criteria_are_read() {
        let host = (false, Subject::Host, "a,b".to_owned());
        assert_eq!(parse("host a,b").as_deref(), Ok(&[host.clone()][..]));
        assert_eq!(parse("host=a,b # why").as_deref(), Ok(&[host.clone()][..]));
        let run = (true, Subject::Exec, "test -e x".to_owned());
        assert_eq!(parse("host a,b !exec \"test -e x\"").as_deref(), Ok(&[host.clone(), run.clone()][..]));
        assert_eq!(parse("host a,b !exec 'test -e x'").as_deref(), Ok(&[host, run][..]));
        assert!(parse("final all").is_ok() && parse("!all").is_ok() && parse("canonical host x").is_ok());
        for bad in ["host", "all host x", "host a user b all", "nothing x", "user # x", "\"\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
