//! Keywords with several words.

use super::port;

/// What a list of domains may have.
const MOST_DOMAINS: usize = 32;
const MOST_FILES: usize = 32;

/// Words of which `none` must stand alone and none is empty.
fn none_alone(args: &[String]) -> Result<(), String> {
    if args.iter().any(String::is_empty) {
        return Err("an argument is empty".to_owned());
    }
    if args.len() > 1 && args.iter().any(|word| word.eq_ignore_ascii_case("none")) {
        return Err("\"none\" must stand alone".to_owned());
    }
    Ok(())
}

pub(super) fn files(args: &[String]) -> Result<Vec<String>, String> {
    none_alone(args)?;
    if args.len() > MOST_FILES {
        return Err(format!("there are more than {MOST_FILES} files"));
    }
    Ok(args.to_vec())
}

pub(super) fn send_env(args: &[String]) -> Result<Vec<String>, String> {
    match args.iter().find(|word| word.is_empty() || word.contains('=')) {
        Some(word) => Err(format!("\"{word}\" is no name of a variable")),
        None => Ok(args.to_vec()),
    }
}

pub(super) fn set_env(args: &[String]) -> Result<Vec<String>, String> {
    let mut kept: Vec<String> = Vec::new();
    for word in args {
        let Some((name, _)) = word.split_once('=') else { return Err(format!("\"{word}\" is not NAME=VALUE")) };
        // Of several values for one name in a line, the first counts.
        if !kept.iter().any(|kept| kept.split_once('=').is_some_and(|(known, _)| known == name)) {
            kept.push(word.clone());
        }
    }
    Ok(kept)
}

/// `CanonicalDomains`.
pub(in super::super) fn domains(args: &[String]) -> Result<Vec<String>, String> {
    none_alone(args)?;
    if args.len() > MOST_DOMAINS {
        return Err(format!("there are more than {MOST_DOMAINS} domains"));
    }
    args.iter().map(|name| domain(name)).collect()
}

/// A domain in lower case and without its last dot.
pub(in super::super) fn domain(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !lower.starts_with(|c: char| c.is_ascii_alphanumeric()) || !lower.chars().all(good) || lower.contains("..") {
        return Err(format!("\"{name}\" is no domain"));
    }
    Ok(lower.strip_suffix('.').map(str::to_owned).unwrap_or(lower))
}

/// `CanonicalizePermittedCNAMEs`: `sources:targets`, `*`, or `none`.
pub(in super::super) fn cnames(args: &[String]) -> Result<Vec<String>, String> {
    if args.len() > 1 && args.iter().any(|word| word.eq_ignore_ascii_case("none")) {
        return Err("\"none\" must stand alone".to_owned());
    }
    if args.len() > MOST_DOMAINS {
        return Err(format!("there are more than {MOST_DOMAINS} rules"));
    }
    let rule = |word: &String| match word.to_ascii_lowercase() {
        none if none == "none" => Ok(none),
        star if star == "*" => Ok("*:*".to_owned()),
        rule if rule.split_once(':').is_some_and(|(_, targets)| !targets.is_empty()) => Ok(rule),
        _ => Err(format!("\"{word}\" is not NAMES:NAMES")),
    };
    args.iter().map(rule).collect()
}

/// `PermitRemoteOpen`: `host:port`, `any` or `none`.
pub(in super::super) fn permit_open(args: &[String]) -> Result<Vec<String>, String> {
    if args.is_empty() {
        return Err("an argument is missing".to_owned());
    }
    for word in args {
        if word.eq_ignore_ascii_case("none") || word.eq_ignore_ascii_case("any") {
            if args.len() > 1 {
                return Err(format!("\"{word}\" must stand alone"));
            }
            continue;
        }
        let rest = match word.strip_prefix('[') {
            Some(inner) => inner.split_once(']').and_then(|(_, rest)| rest.strip_prefix(':')),
            None => word.split_once(':').filter(|(host, _)| !host.contains('/')).map(|(_, rest)| rest),
        };
        match rest {
            Some("*") => {}
            Some(number) => drop(port(number)?),
            None => return Err(format!("\"{word}\" is not HOST:PORT")),
        }
    }
    Ok(args.to_vec())
}

/// `LogVerbose`; ssh keeps the first only.
pub(in super::super) fn log_verbose(args: &[String]) -> Result<Vec<String>, String> {
    none_alone(args)?;
    Ok(args.iter().take(1).cloned().collect())
}

/// `GSSAPIKexAlgorithms`.
pub(in super::super) fn gss_names(args: &[String]) -> Result<Vec<String>, String> {
    let list = super::one(args)?;
    let names = super::super::algorithms::GSS;
    match list.split(',').find(|name| !names.iter().any(|known| name.starts_with(known))) {
        Some(name) => Err(format!("\"{name}\" is no key exchange with GSSAPI")),
        None => Ok(vec![list]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn lists_are_checked() {
        assert!(files(&words("a none")).is_err() && files(&words("none")).is_ok());
        assert_eq!(set_env(&words("A=1 B=2 A=3")), Ok(words("A=1 B=2")));
        assert!(send_env(&words("A=1")).is_err() && send_env(&words("-A LC_*")).is_ok());
        assert_eq!(domains(&words("A.Example. b")), Ok(words("a.example b")));
        assert!(domains(&words("-a")).is_err() && domains(&words("a..b")).is_err());
        assert_eq!(cnames(&words("*.A:*.b *")), Ok(words("*.a:*.b *:*")));
        assert!(cnames(&words("a:")).is_err() && cnames(&words("a")).is_err());
        assert!(permit_open(&words("a:1 [::1]:*")).is_ok());
        for bad in ["a", "a:0", "any a:1", "[::1]", "a/b:1"] {
            assert!(permit_open(&words(bad)).is_err(), "{bad}");
        }
    }
}
