//! "Did you mean": the nearest of the words that would have been right.

/// Longer words are not typing mistakes, and comparing them costs their square.
const LONGEST: usize = 64;

/// Finds the candidate that is a plausible typing mistake away from `word`.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let typed = word.to_ascii_lowercase();
    // A third of the word may be wrong, so that "x" does not suggest "y".
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST && candidate.len().abs_diff(typed.len()) <= allowed)
        .map(|candidate| (strsim::osa_distance(&typed, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The end of a sentence: `; did you mean "address"?`, or nothing.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|found| format!("; did you mean {found:?}?")).unwrap_or_default()
}

/// Text from a file or a command line as it may stand in a message: escaped, quoted and not endless.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// The same without quotes, for names.
pub(super) fn bare(text: &str) -> String {
    shortened(text).escape_debug().to_string().replace("\\\"", "\"")
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plausible_words_are_suggested() {
        let words = ["address", "port", "user", "a"];
        assert_eq!(nearest("adress", words), Some("address"));
        assert_eq!(nearest("Address", words), Some("address"));
        assert_eq!(nearest("prot", words), Some("port"));
        assert_eq!(nearest("x", words), None);
        assert_eq!(nearest("password", words), None);
        assert_eq!(nearest(&"a".repeat(100_000), words), None);
    }

    #[test]
    fn shown_text_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31m\u{202e}"), r#""a\u{1b}[31m\u{202e}""#);
        assert!(quoted(&"x".repeat(1 << 20)).len() < 120);
    }
}
