//! Which of two versions is the newer one, as Arch's package manager sees it.

use std::cmp::Ordering;

/// Compares `[EPOCH:]VERSION[-RELEASE]` as pacman's `vercmp` does; releases count only where both have one.
pub fn vercmp(one: &str, two: &str) -> Ordering {
    if one == two {
        return Ordering::Equal;
    }
    let (one, two) = (Parts::of(one.as_bytes()), Parts::of(two.as_bytes()));
    let releases = || match (one.release, two.release) {
        (Some(one), Some(two)) => segments(one, two),
        _ => Ordering::Equal,
    };
    segments(one.epoch, two.epoch).then_with(|| segments(one.version, two.version)).then_with(releases)
}

struct Parts<'a> {
    epoch: &'a [u8],
    version: &'a [u8],
    release: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8]) -> Self {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (epoch, rest) = match text.get(digits) {
            Some(b':') if digits == 0 => (&b"0"[..], &text[1..]),
            Some(b':') => (&text[..digits], &text[digits + 1..]),
            _ => (&b"0"[..], text),
        };
        match rest.iter().rposition(|byte| *byte == b'-') {
            Some(dash) => Self { epoch, version: &rest[..dash], release: Some(&rest[dash + 1..]) },
            None => Self { epoch, version: rest, release: None },
        }
    }
}

/// Compares runs of digits and runs of letters in turn; what stands between them only counts by its length.
fn segments(mut one: &[u8], mut two: &[u8]) -> Ordering {
    if one == two {
        return Ordering::Equal;
    }
    let head = |text: &[u8], is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    while !one.is_empty() && !two.is_empty() {
        let (skip_one, skip_two) =
            (head(one, |b| !b.is_ascii_alphanumeric()), head(two, |b| !b.is_ascii_alphanumeric()));
        (one, two) = (&one[skip_one..], &two[skip_two..]);
        if one.is_empty() || two.is_empty() {
            break;
        }
        if skip_one != skip_two {
            return skip_one.cmp(&skip_two);
        }
        let numeric = one[0].is_ascii_digit();
        let is: fn(&u8) -> bool = if numeric { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
        let ((run_one, rest_one), (run_two, rest_two)) = (one.split_at(head(one, is)), two.split_at(head(two, is)));
        if run_two.is_empty() {
            // A number is newer than a word.
            return if numeric { Ordering::Greater } else { Ordering::Less };
        }
        let order = if numeric {
            let (run_one, run_two) = (significant(run_one), significant(run_two));
            run_one.len().cmp(&run_two.len()).then_with(|| run_one.cmp(run_two))
        } else {
            run_one.cmp(run_two)
        };
        if order.is_ne() {
            return order;
        }
        (one, two) = (rest_one, rest_two);
    }
    // A word that is left over makes a version older ("1.0rc" before "1.0"), anything else makes it newer.
    match (one.first(), two.first()) {
        (None, None) => Ordering::Equal,
        (None, Some(left)) if !left.is_ascii_alphabetic() => Ordering::Less,
        (Some(left), _) if left.is_ascii_alphabetic() => Ordering::Less,
        _ => Ordering::Greater,
    }
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What pacman's own program says.
    fn oracle(one: &str, two: &str) -> Ordering {
        let ran = Command::new("vercmp").args([one, two]).output();
        let ran = ran.unwrap_or_else(|error| panic!("vercmp: {error}; install makepkg (Debian) or pacman"));
        String::from_utf8(ran.stdout).unwrap().trim().parse::<i32>().unwrap().cmp(&0)
    }

    const VERSIONS: [&str; 44] = [
        "1",
        "1.0",
        "1.0.0",
        "1.00",
        "1.0a",
        "1.0rc",
        "1.0rc1",
        "1.0.rc1",
        "1.0-1",
        "1.0-2",
        "1.0-1.1",
        "1:1.0",
        "0:1.0",
        ":1.0",
        "2:0.9-1",
        "01:1.0",
        "1.10",
        "1.9",
        "1.9.",
        "1..9",
        "1_9",
        "1+9",
        "1.9~rc1",
        "a",
        "a1",
        "A",
        "1a2",
        "1.a",
        "",
        "-",
        "-1",
        "1-",
        "1--1",
        ":",
        "1:",
        "0",
        "00",
        "3.25.1",
        "3.25.1-rc2",
        "12.4",
        "1.2.3.4.5",
        "é1",
        "r12.abc",
        "20240101",
    ];

    #[test]
    fn every_pair_is_judged_as_vercmp_judges_it() {
        for one in VERSIONS {
            for two in VERSIONS {
                // It takes a leading dash for an option.
                if one.starts_with('-') || two.starts_with('-') {
                    continue;
                }
                assert_eq!(vercmp(one, two), oracle(one, two), "{one:?} {two:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_version_is_judged_as_vercmp_judges_it(one in "[0-2a:][0-2ab.:+_~-]{0,6}", two in "[0-2a:][0-2ab.:+_~-]{0,6}") {
            prop_assert_eq!(vercmp(&one, &two), oracle(&one, &two), "{:?} {:?}", one, two);
        }
    }

    proptest! {
        #[test]
        fn no_text_does_harm(one in any::<String>(), two in any::<String>()) {
            prop_assert_eq!(vercmp(&one, &one), Ordering::Equal);
            vercmp(&one, &two);
        }
    }
}
