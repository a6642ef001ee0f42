//! Ranges in names: `node[001-064]`, `rack[1,3,5-7]n[1-8]`.
//!
//! Brackets hold numbers and spans of numbers; several brackets multiply, the last one running fastest. Leading zeros
//! are kept. The number of names is known, and bounded, before the first of them is made.

/// The most names that one text may stand for.
pub(super) const MOST_NAMES: usize = 10_000;

/// Longer texts are refused, so that the bound on names bounds memory too.
const LONGEST: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RangeError {
    #[error("is longer than {LONGEST} characters")]
    TooLong,
    #[error("has a '[' without its ']', or the other way round")]
    Unbalanced,
    #[error("has [{0}], which is no range; ranges are written [1-8], [001-064] or [1,3,5-7]")]
    NotNumbers(String),
    #[error("has [{0}], whose end is below its start")]
    Backwards(String),
    #[error("has [{0}], whose ends have different numbers of leading zeros")]
    Uneven(String),
    #[error("stands for more than {MOST_NAMES} hosts")]
    TooMany,
}

/// Numbers that follow each other, shown with at least `width` digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    width: usize,
}

/// A text cut at its brackets.
enum Part<'t> {
    Fixed(&'t str),
    Numbers(Vec<Span>),
}

/// Whether what stands in a bracket is meant as numbers.
pub(super) fn is_numeric(inside: &str) -> bool {
    !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit() || b == b',' || b == b'-')
}

/// Makes the names that `text` stands for, in order; a text without brackets stands for itself.
pub(super) fn expand(text: &str) -> Result<Vec<String>, RangeError> {
    if text.len() > LONGEST {
        return Err(RangeError::TooLong);
    }
    let parts = cut(text)?;
    let mut count = 1usize;
    for part in &parts {
        if let Part::Numbers(spans) = part {
            let size = spans.iter().try_fold(0u64, |sum, s| sum.checked_add((s.last - s.first).checked_add(1)?));
            let size = size.and_then(|size| usize::try_from(size).ok());
            count = size
                .and_then(|size| count.checked_mul(size))
                .filter(|n| *n <= MOST_NAMES)
                .ok_or(RangeError::TooMany)?;
        }
    }
    let mut names = vec![String::new()];
    for part in parts {
        match part {
            Part::Fixed(fixed) => names.iter_mut().for_each(|name| name.push_str(fixed)),
            Part::Numbers(spans) => names = names.iter().flat_map(|name| numbered(name, &spans)).collect(),
        }
    }
    debug_assert_eq!(names.len(), count);
    Ok(names)
}

fn numbered(name: &str, spans: &[Span]) -> impl Iterator<Item = String> {
    spans.iter().flat_map(move |s| (s.first..=s.last).map(move |n| format!("{name}{n:0width$}", width = s.width)))
}

fn cut(text: &str) -> Result<Vec<Part<'_>>, RangeError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((fixed, tail)) = rest.split_once('[') {
        let (inside, tail) = tail.split_once(']').ok_or(RangeError::Unbalanced)?;
        if fixed.contains(']') || inside.contains('[') {
            return Err(RangeError::Unbalanced);
        }
        let spans = inside.split(',').map(|item| span(item, inside)).collect::<Result<_, _>>()?;
        parts.extend([Part::Fixed(fixed), Part::Numbers(spans)]);
        rest = tail;
    }
    if rest.contains(']') {
        return Err(RangeError::Unbalanced);
    }
    parts.push(Part::Fixed(rest));
    Ok(parts)
}

fn span(item: &str, inside: &str) -> Result<Span, RangeError> {
    let shown = || super::suggest::bare(inside);
    let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
        true => digits.parse::<u64>().map_err(|_| RangeError::NotNumbers(shown())),
        false => Err(RangeError::NotNumbers(shown())),
    };
    let padded = |digits: &str| digits.len() > 1 && digits.starts_with('0');
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let span = Span { first: number(first)?, last: number(last)?, width: if padded(first) { first.len() } else { 0 } };
    if padded(last) && last.len() != first.len() {
        return Err(RangeError::Uneven(shown()));
    }
    if span.last < span.first {
        return Err(RangeError::Backwards(shown()));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_in_order_with_their_zeros() {
        for (text, names) in [
            ("gpu-box", "gpu-box"),
            ("node[001-003]", "node001 node002 node003"),
            ("n[8-11]", "n8 n9 n10 n11"),
            ("n[08-11]x", "n08x n09x n10x n11x"),
            ("n[98-101]", "n98 n99 n100 n101"),
            ("n[099-101]", "n099 n100 n101"),
            ("n[09-101]", &(9..=101).map(|n| format!("n{n:02}")).collect::<Vec<_>>().join(" ")),
            ("r[1,3,5-7]", "r1 r3 r5 r6 r7"),
            ("r[1-2]n[01,10]", "r1n01 r1n10 r2n01 r2n10"),
        ] {
            let got = expand(text).unwrap().join(" ");
            assert_eq!(got, names, "{text}");
        }
        assert_eq!(expand("n[1-10000]").unwrap().len(), MOST_NAMES);
    }

    #[test]
    fn what_is_no_range_is_said() {
        let not = |s: &str| RangeError::NotNumbers(s.into());
        for (text, error) in [
            ("n[1-10001]", RangeError::TooMany),
            ("n[1-101][1-100]", RangeError::TooMany),
            ("n[0-18446744073709551615]", RangeError::TooMany),
            ("n[0-9999999999,0-18446744073709551614]", RangeError::TooMany),
            ("n[0-99999999999999999999]", not("0-99999999999999999999")),
            ("n[3-1]", RangeError::Backwards("3-1".into())),
            ("n[1-010]", RangeError::Uneven("1-010".into())),
            ("n[]", not("")),
            ("n[1-]", not("1-")),
            ("n[1,,2]", not("1,,2")),
            ("n[a-c]", not("a-c")),
            ("n[1-2-3]", not("1-2-3")),
            ("n[+1-2]", not("+1-2")),
            ("n[1", RangeError::Unbalanced),
            ("n1]", RangeError::Unbalanced),
            ("n]1[", RangeError::Unbalanced),
            ("n[[1]]", RangeError::Unbalanced),
        ] {
            assert_eq!(expand(text).unwrap_err(), error, "{text}");
        }
        assert_eq!(expand(&"n".repeat(513)).unwrap_err(), RangeError::TooLong);
    }
}
