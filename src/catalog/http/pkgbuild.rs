//! Whether a text that came as a PKGBUILD can be one, without running any of it.

/// Looks at the text; `names` are those that the worker may have as a package.
///
/// A name that is made by the shell is not judged: only running it would tell.
///
/// # Errors
/// A fragment that says what is wrong with it.
pub fn check(body: &[u8], names: &[&str]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(body) else { return Err("is not UTF-8 text".into()) };
    if is_page(text) {
        return Err("is a web page, not a PKGBUILD".into());
    }
    if text.contains('\0') {
        return Err("is not text: it has a byte of zero".into());
    }
    let found = packages(text).ok_or("is not a PKGBUILD: it has no pkgname")?;
    let plain = |name: &String| !name.contains(['$', '`', '\\']);
    if !found.iter().all(plain) {
        return Ok(());
    }
    // What is built of the newest source, or only unpacked, is called so on Arch.
    let bare = |name: &str| ["-git", "-bin"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned();
    if found.iter().any(|name| names.contains(&name.as_str()) || names.contains(&bare(name).as_str())) {
        return Ok(());
    }
    let found: String = found.join(", ").chars().take(100).collect();
    Err(format!("is the recipe of {found:?}, not of {:?}", names.first().copied().unwrap_or_default()))
}

/// Whether a text is HTML.
pub fn is_page(text: &str) -> bool {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let start: String = start.chars().take(15).collect::<String>().to_ascii_lowercase();
    ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--"].iter().any(|mark| start.starts_with(mark))
}

/// The words of the first `pkgname=` at the beginning of a line.
fn packages(text: &str) -> Option<Vec<String>> {
    let at = if text.starts_with("pkgname=") { 0 } else { text.find("\npkgname=")? + 1 };
    let value = &text[at + "pkgname=".len()..];
    let (array, value) = match value.strip_prefix('(') {
        Some(inside) => (true, inside),
        None => (false, value),
    };
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut inside_word = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), '$' | '`' | '\\') => word.push('?'),
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                inside_word = true;
            }
            (None, '#') if !inside_word => while chars.next().is_some_and(|c| c != '\n') {},
            (None, ')') if array => break,
            (None, c) if c.is_whitespace() || (c == ';' && !array) => {
                if inside_word {
                    words.push(std::mem::take(&mut word));
                    inside_word = false;
                }
                if !array {
                    break;
                }
            }
            (None, c) => {
                word.push(c);
                inside_word = true;
            }
        }
        if words.len() > 64 || word.len() > 1000 {
            break;
        }
    }
    if inside_word {
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_in_every_style_and_judged_only_when_they_are_plain() {
        for text in [
            "pkgname=tool\n",
            "# x\npkgname='tool'\npkgver=1",
            "pkgname=\"tool\" # the tool\n",
            "pkgname=tool-git; pkgver=1",
            "pkgname=('tool' 'tool-data')\n",
            "pkgname=(\n  # first\n  other\n  tool-bin\n)\n",
            "_n=x\npkgname=$_n-cpu\n",
            "pkgname=(\"${_n}-a\")\n",
            "pkgname=`echo x`\n",
        ] {
            assert_eq!(check(text.as_bytes(), &["tool"]), Ok(()), "{text}");
        }
        let said = |text: &str| check(text.as_bytes(), &["tool", "family"]).unwrap_err();
        assert_eq!(said("pkgname=evil\n"), "is the recipe of \"evil\", not of \"tool\"");
        assert_eq!(said("pkgname=(a b)\n"), "is the recipe of \"a, b\", not of \"tool\"");
        assert_eq!(said("pkgname='$x'\n"), "is the recipe of \"?x\", not of \"tool\"");
        assert!(said("pkgname=\u{1b}[31m\n").contains("\\u{1b}"));
        assert_eq!(said("  \n<!DOCTYPE html><p>"), "is a web page, not a PKGBUILD");
        assert!(said("{\"error\": \"x\"}").contains("no pkgname"));
        assert!(said("pkgname=\n").contains("no pkgname"));
        assert!(said("pkgname=tool\n\0").contains("byte of zero"));
        assert!(check(b"pkgname=\xff", &[]).is_err());
        assert_eq!(check(b"pkgname=family\n", &["tool", "family"]), Ok(()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(pkgname=)?[\\PC\\n'\"()#;$ ]{0,200}") {
            let _ = check(text.as_bytes(), &["x"]);
        }
    }
}
