//! One line of ssh_config, taken apart.
//!
//! # Theory of operation
//! OpenSSH takes a line apart twice, by different rules, and both are kept: the keyword (and all of a `Match`) is cut at
//! white space, at one `=` and at double quotes ([`cut`]); what follows is split into arguments as a shell would, with
//! both kinds of quotes, backslashes and a comment at the end ([`arguments`]). Commands take the rest of the line as it is.

/// A line with a keyword.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// In lower case.
    pub keyword: String,
    /// Everything behind the keyword, untouched.
    pub rest: String,
    pub args: Vec<String>,
}

const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// Takes a line apart; `None` for an empty one or a comment.
///
/// # Errors
/// A keyword without anything behind it, or a quote that is not closed.
pub(super) fn split(line: &str) -> Result<Option<Line>, String> {
    let line = line.split('\0').next().unwrap_or_default();
    let line = line.trim_end_matches(|c| BLANK.contains(&c) || c == '\u{c}');
    let mut rest = Some(line.to_owned());
    let mut keyword = cut(&mut rest);
    if keyword.as_deref() == Some("") {
        keyword = cut(&mut rest);
    }
    let Some(keyword) = keyword.filter(|k| !k.is_empty() && !k.starts_with('#')) else { return Ok(None) };
    let keyword = keyword.to_ascii_lowercase();
    let rest = rest.unwrap_or_default().trim_start_matches(BLANK).to_owned();
    if rest.is_empty() {
        return Err(format!("no argument after keyword \"{keyword}\""));
    }
    let args = arguments(&rest)?;
    Ok(Some(Line { keyword, rest, args }))
}

/// Cuts the first word off `rest`, which becomes `None` at its end. A quote that is not closed has no word.
pub(super) fn cut(rest: &mut Option<String>) -> Option<String> {
    let mut text = rest.take()?;
    let Some(at) = text.find(|c| BLANK.contains(&c) || c == '"' || c == '=') else { return Some(text) };
    match text.remove(at) {
        '"' => {
            let end = at + text[at..].find('"')?;
            *rest = Some(text[end + 1..].trim_start_matches(BLANK).to_owned());
            text.truncate(end);
        }
        separator => {
            let mut after = text[at..].trim_start_matches(BLANK);
            // One `=` may stand between two words, with or without blanks.
            if separator != '=' {
                after = after.strip_prefix('=').map_or(after, |after| after.trim_start_matches(BLANK));
            }
            *rest = Some(after.to_owned());
            text.truncate(at);
        }
    }
    Some(text)
}

/// Splits arguments; a `#` where one could begin is a comment.
///
/// # Errors
/// A quote is not closed.
pub(super) fn arguments(text: &str) -> Result<Vec<String>, String> {
    let mut args = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Ok(args);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next() {
            match (c, quote) {
                ('\\', _) => {
                    let escaped = chars.next_if(|&n| matches!(n, '\'' | '"' | '\\') || (quote.is_none() && n == ' '));
                    word.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        args.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> (String, Vec<String>) {
        let line = split(line).unwrap().unwrap();
        (line.keyword, line.args)
    }

    #[test]
    fn keyword_and_arguments_in_every_form() {
        for line in [
            "Port 22",
            "port=22",
            "PORT = 22",
            "  Port\t22  ",
            "port= 22\r",
            "Port \"22\"",
            "Port 22 # why",
            "\"Port\" 22",
            "=Port 22",
        ] {
            assert_eq!(ok(line), ("port".to_owned(), vec!["22".to_owned()]), "{line:?}");
        }
        assert_eq!(ok(r#"IdentityFile "a b" c\ d 'e"f' g\"h"#).1, ["a b", "c d", "e\"f", "g\"h"]);
        assert_eq!(ok("Host a#b #c").1, ["a#b"]);
        assert_eq!(ok("SetEnv A=b").1, ["A=b"]);
        assert_eq!(ok("ProxyCommand ==x").1, ["=x"]);
        assert_eq!(split("ProxyCommand nc \"%h\" %p # x ").unwrap().unwrap().rest, "nc \"%h\" %p # x");
    }

    #[test]
    fn nothing_and_nonsense() {
        for line in ["", "   ", "# Host x", "\t#", "\"Port 22"] {
            assert_eq!(split(line), Ok(None), "{line:?}");
        }
        for line in ["Port", "Port =", "Host \"open", "Host 'open"] {
            assert!(split(line).is_err(), "{line:?}");
        }
        assert_eq!(ok("Port # no").1, [] as [&str; 0]);
    }

    #[test]
    fn words_of_a_match_are_cut_at_blanks_quotes_and_one_equals_sign() {
        let words = |text: &str| {
            let mut rest = Some(text.to_owned());
            std::iter::from_fn(|| cut(&mut rest)).collect::<Vec<_>>()
        };
        assert_eq!(words("host a,b exec \"x  y\" user = z"), ["host", "a,b", "exec", "x  y", "user", "z"]);
        assert_eq!(words("exec a\"b c\" d"), ["exec", "ab c", "d"]);
        assert_eq!(words("exec \"open"), ["exec"]);
    }
}
