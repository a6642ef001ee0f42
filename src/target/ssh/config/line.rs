//! One line of ssh_config, split into its keyword and arguments.

/// Splits a line; `None` for an empty one or a comment. The keyword comes in lower case.
///
/// `Keyword value` and `Keyword=value` are the same. Quotes of either kind keep white space together, a backslash takes
/// the next quote, backslash or blank as it is, and a `#` where an argument could begin ends the line.
///
/// # Errors
/// Says what is wrong with the line.
pub(super) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, String> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\u{c}' | '\n');
    let line = line.trim_matches(blank);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c| blank(c) || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches(blank);
    let keyword = keyword.trim_matches('"').to_ascii_lowercase();
    let args = arguments(rest)?;
    if args.is_empty() {
        return Err(format!("no argument after keyword \"{keyword}\""));
    }
    Ok(Some((keyword, args)))
}

fn arguments(text: &str) -> Result<Vec<String>, String> {
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
    use super::split;

    fn ok(line: &str) -> (String, Vec<String>) {
        split(line).unwrap().unwrap()
    }

    #[test]
    fn keyword_and_arguments_in_every_form() {
        for line in ["Port 22", "port=22", "PORT = 22", "  Port\t22  ", "port= 22\r", "Port \"22\"", "Port 22 # why"] {
            assert_eq!(ok(line), ("port".to_owned(), vec!["22".to_owned()]), "{line:?}");
        }
        assert_eq!(ok(r#"IdentityFile "a b" c\ d 'e"f' g\"h"#).1, ["a b", "c d", "e\"f", "g\"h"]);
        assert_eq!(ok("Host a#b #c").1, ["a#b"]);
        assert_eq!(ok("SetEnv A=b").1, ["A=b"]);
        assert_eq!(ok("ProxyCommand ==x").1, ["=x"]);
    }

    #[test]
    fn nothing_and_nonsense() {
        assert_eq!(split("   # comment"), Ok(None));
        assert_eq!(split(""), Ok(None));
        assert!(split("Port").unwrap_err().contains("no argument"));
        assert!(split("Port #").unwrap_err().contains("no argument"));
        assert!(split("Host \"a").unwrap_err().contains("quote"));
    }
}
