//! Durations as people type them: `10s`, `5m`, `1h30m`, `500ms`.

use std::time::Duration;

use super::InvalidName;

/// The longest duration that can be asked for; adding it to a clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Units from large to small, each with its milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads whole numbers with units (`d`, `h`, `m`, `s`, `ms`), largest unit first: `1h30m`.
///
/// Zero is a duration; whoever cannot use it says so.
///
/// # Errors
/// Says what is missing or too much.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidName> {
    let bad = |why| InvalidName { what: "duration", name: text.to_owned(), why };
    let form = "must be written like 10s, 5m, 1h30m or 500ms";
    let (mut rest, mut units, mut total) = (text, &UNITS[..], Duration::ZERO);
    if rest.is_empty() {
        return Err(bad(form));
    }
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len()));
        if digits.is_empty() {
            return Err(bad(form));
        }
        if unit.is_empty() && tail.is_empty() {
            return Err(bad("needs a unit, as in 10s, 5m, 1h30m or 500ms"));
        }
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(|| bad(form))?;
        let long = || bad("is longer than a year");
        let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(units[at].1)).ok_or_else(long)?;
        total = total.saturating_add(Duration::from_millis(millis));
        if total > LONGEST {
            return Err(long());
        }
        (rest, units) = (tail, &units[at + 1..]);
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_read() {
        for (text, millis) in [
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1m0s250ms", 60_250),
            ("365d", 31_536_000_000),
            ("0s", 0),
            ("007s", 7000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (text, why) in [
            ("10", "needs a unit, as in 10s, 5m, 1h30m or 500ms"),
            ("1m30", "needs a unit, as in 10s, 5m, 1h30m or 500ms"),
            ("", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("1.5s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("-1s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("10 s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("1s1m", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("1s1s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("10S", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("10sec", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("١s", "must be written like 10s, 5m, 1h30m or 500ms"),
            ("366d", "is longer than a year"),
            ("365d1ms", "is longer than a year"),
            ("99999999999999999999s", "is longer than a year"),
            ("18446744073709551615h", "is longer than a year"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().why, why, "{text}");
        }
    }
}
