//! Numbers, times, sizes, and keywords that mix them with words.

use super::one;

/// A whole number from 0 to 2147483647.
pub(super) fn whole(text: &str) -> Result<i32, String> {
    // As the C library reads it: a blank or a sign may come first.
    let digits = text.trim_ascii_start();
    match digits.parse::<i64>() {
        Ok(number @ 0..=0x7fff_ffff) => Ok(number as i32),
        _ => Err(format!("\"{text}\" is no number from 0 to 2147483647")),
    }
}

/// Seconds; `90`, `1m30s`, `2h`.
pub(super) fn time(text: &str) -> Result<i32, String> {
    let bad = || format!("\"{text}\" is no time: write seconds, or 1m30s");
    if text.is_empty() {
        return Err(bad());
    }
    let mut total: i32 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let unsigned = rest.trim_ascii_start();
        let unsigned = unsigned.strip_prefix('+').unwrap_or(unsigned);
        let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
        let number: i32 = unsigned[..digits].parse().map_err(|_| bad())?;
        rest = &unsigned[digits..];
        let factor = match rest.bytes().next().map(|b| b.to_ascii_lowercase()) {
            None | Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86400,
            Some(b'w') => 7 * 86400,
            Some(_) => return Err(bad()),
        };
        rest = rest.get(1..).unwrap_or_default();
        total = number.checked_mul(factor).and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
    }
    Ok(total)
}

/// A port, or the name of a TCP service.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let number = match text.trim_ascii_start().parse::<u16>() {
        Ok(number) => Some(number),
        Err(_) => service(text),
    };
    number.filter(|port| *port > 0).ok_or_else(|| format!("bad port \"{text}\": it must be a number from 1 to 65535"))
}

/// The port of a service of `/etc/services`.
fn service(name: &str) -> Option<u16> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b));
    if !plain || name.is_empty() || name.bytes().all(|b| b.is_ascii_digit() || b == b'+' || b == b'-') {
        return None;
    }
    let services = std::fs::read_to_string("/etc/services").ok()?;
    services.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let first = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        let named = first == name || words.any(|alias| alias == name);
        (protocol == "tcp" && named).then(|| port.parse().ok()).flatten()
    })
}

/// `RekeyLimit`: bytes, and a time where one is given.
pub(in super::super) fn rekey_limit(args: &[String]) -> Result<Vec<String>, String> {
    let (size, time_text) = match args {
        [size] => (size, None),
        [size, time] => (size, Some(time)),
        [] => return Err("a size is missing".to_owned()),
        _ => return Err("a size and a time are all that it takes".to_owned()),
    };
    let bytes = if size == "default" { 0 } else { scaled(size)? };
    if bytes != 0 && bytes < 16 {
        return Err(format!("\"{size}\" is less than 16 bytes"));
    }
    let mut words = vec![bytes.to_string()];
    if let Some(text) = time_text.filter(|text| *text != "none") {
        words.push(time(text)?.to_string());
    }
    Ok(words)
}

/// `64K`, `1.5G`.
fn scaled(text: &str) -> Result<i64, String> {
    let bad = || format!("\"{text}\" is no size: write bytes, or 64K, 100M, 1G");
    if text.is_empty() {
        return Err(bad());
    }
    let number = text.trim_ascii_start();
    let number = number.strip_prefix('+').unwrap_or(number);
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let (digits, unit) = number.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.contains('.') || whole.len() >= 18 {
        return Err(bad());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let mut unit = unit.chars();
    let factor = match unit.next().map(|c| c.to_ascii_uppercase()) {
        None => return Ok(whole),
        Some('B') => 1i64,
        Some('K') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        Some('T') => 1 << 40,
        Some('P') => 1 << 50,
        Some('E') => 1 << 60,
        Some(_) => return Err(bad()),
    };
    if unit.next().is_some_and(|c| c.is_ascii_alphanumeric()) {
        return Err(bad());
    }
    let mut part: i64 = 0;
    if !fraction.is_empty() {
        let shown = &fraction[..fraction.len().min(9)];
        let tenths = 10i128.pow(shown.len() as u32);
        let value = i128::from(shown.parse::<i64>().map_err(|_| bad())?) * i128::from(factor) / tenths;
        part = i64::try_from(value).map_err(|_| bad())?;
    }
    whole.checked_mul(factor).and_then(|n| n.checked_add(part)).ok_or_else(bad)
}

/// `ControlPersist`: yes, no, or a time.
pub(in super::super) fn control_persist(args: &[String]) -> Result<Vec<String>, String> {
    let word = one(args)?;
    let printed = match word.as_str() {
        "no" | "false" => "no".to_owned(),
        "yes" | "true" => "yes".to_owned(),
        text => match time(text)? {
            0 => "yes".to_owned(),
            seconds => seconds.to_string(),
        },
    };
    Ok(vec![printed])
}

/// `AddKeysToAgent`: yes, no, ask, confirm, a time, or `confirm` and a time.
pub(in super::super) fn add_keys(args: &[String]) -> Result<Vec<String>, String> {
    let choice = |word: &str| {
        let lower = word.to_ascii_lowercase();
        Some(match lower.as_str() {
            "yes" | "true" => "true",
            "no" | "false" => "false",
            "ask" => "ask",
            "confirm" => "confirm",
            _ => return None,
        })
    };
    let lifetime = |text: &str, before: &[&str]| -> Result<Vec<String>, String> {
        let seconds = time(text)?;
        let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        if seconds > 0 {
            words.push(seconds.to_string());
        } else if words.is_empty() {
            words.push("true".to_owned());
        }
        Ok(words)
    };
    match args {
        [] => Err("an argument is missing".to_owned()),
        [word] => match choice(word) {
            Some(word) => Ok(vec![word.to_owned()]),
            None => lifetime(word, &[]),
        },
        [word, text] if choice(word) == Some("confirm") => lifetime(text, &["confirm"]),
        _ => Err("only confirm is followed by a time".to_owned()),
    }
}

/// `EscapeChar`: a character, `^` and one, or none.
pub(in super::super) fn escape_char(args: &[String]) -> Result<Vec<String>, String> {
    let word = one(args)?;
    let byte = match word.as_bytes() {
        b"none" => return Ok(vec![word]),
        [byte] => *byte,
        [b'^', byte @ 64..128] => byte & 31,
        _ => return Err(format!("\"{word}\" is no escape character: write one character, ^ and a letter, or none")),
    };
    Ok(vec![match byte {
        b' ' => "\\040".to_owned(),
        b'\t' => "\\011".to_owned(),
        b'\n' => "\\012".to_owned(),
        b'\\' => "\\\\".to_owned(),
        0..32 | 127 => format!("\\^{}", char::from(byte ^ 0x40)),
        byte => char::from(byte).to_string(),
    }])
}

/// `StreamLocalBindMask`, in octal digits.
pub(in super::super) fn mask(args: &[String]) -> Result<Vec<String>, String> {
    let word = one(args)?;
    let digits: String = word.trim_ascii_start().chars().take_while(|c| ('0'..'8').contains(c)).collect();
    match u32::from_str_radix(&digits, 8) {
        Ok(mask @ 0..=0o777) => Ok(vec![format!("0{mask:o}")]),
        _ => Err(format!("\"{word}\" is no mask: write octal digits, as 0177")),
    }
}

/// `TunnelDevice`: `local[:remote]`, each a number or any.
pub(in super::super) fn tunnel_device(args: &[String]) -> Result<Vec<String>, String> {
    let word = one(args)?;
    let device = |text: &str| match text {
        any if any.eq_ignore_ascii_case("any") => Ok("any".to_owned()),
        text => match whole(text) {
            Ok(number) if number <= 0x7fff_fffd => Ok(number.to_string()),
            _ => Err(format!("\"{text}\" is no tunnel device: write a number or any")),
        },
    };
    let (local, remote) = word.split_once(':').unwrap_or((&word, "any"));
    Ok(vec![format!("{}:{}", device(local)?, device(remote)?)])
}

/// `IPQoS`: one class for all, or one for terminals and one for bulk.
pub(in super::super) fn ip_qos(args: &[String]) -> Result<Vec<String>, String> {
    let class = |text: &String| {
        let named = CLASSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some((name, _)) => return Ok((*name).to_owned()),
            None => c_number(text).filter(|n| *n < 256),
        };
        let value = value.ok_or_else(|| format!("\"{text}\" is no class of service"))?;
        let name = CLASSES.iter().find(|(_, class)| *class == value).map(|(name, _)| (*name).to_owned());
        Ok(name.unwrap_or_else(|| format!("0x{value:02x}")))
    };
    match args {
        [] => Err("an argument is missing".to_owned()),
        [both] => class(both).map(|class| vec![class.clone(), class]),
        [terminal, bulk] => Ok(vec![class(terminal)?, class(bulk)?]),
        _ => Err("two classes are all that it takes".to_owned()),
    }
}

/// Decimal, `0` octal or `0x` hexadecimal.
pub(in super::super) fn c_number(text: &str) -> Option<u32> {
    let radix = |digits: &str, radix| match digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => u32::from_str_radix(digits, radix).ok(),
        false => None,
    };
    match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => radix(&text[2..], 16),
        [b'0', _, ..] => radix(&text[1..], 8),
        _ => radix(text, 10),
    }
}

const CLASSES: &[(&str, u32)] = &[
    ("none", u32::MAX),
    ("af11", 0x28),
    ("af12", 0x30),
    ("af13", 0x38),
    ("af21", 0x48),
    ("af22", 0x50),
    ("af23", 0x58),
    ("af31", 0x68),
    ("af32", 0x70),
    ("af33", 0x78),
    ("af41", 0x88),
    ("af42", 0x90),
    ("af43", 0x98),
    ("cs0", 0x00),
    ("cs1", 0x20),
    ("cs2", 0x40),
    ("cs3", 0x60),
    ("cs4", 0x80),
    ("cs5", 0xa0),
    ("cs6", 0xc0),
    ("cs7", 0xe0),
    ("ef", 0xb8),
    ("le", 0x04),
    ("lowdelay", 0x10),
    ("throughput", 0x08),
    ("reliability", 0x04),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn numbers_and_times() {
        assert_eq!(whole("0012"), Ok(12));
        assert!(whole("-1").is_err() && whole("1x").is_err() && whole("2147483648").is_err());
        assert_eq!(time("1h30m"), Ok(5400));
        assert_eq!(time("1W2d"), Ok(9 * 86400));
        for bad in ["", "x", "1x", "-1", "m", "99999999999", "3551w"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(port("0022"), Ok(22));
        assert!(port("0").is_err() && port("65536").is_err() && port("no such service").is_err());
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("1024", 1024), ("64K", 65536), ("1.5k", 1536), ("2G", 2 << 30), ("7.9", 7)] {
            assert_eq!(scaled(text), Ok(bytes), "{text}");
        }
        for bad in ["", "K9", "1..2", "1Kb", "9E9", "x", "99999999999999999999"] {
            assert!(scaled(bad).is_err(), "{bad}");
        }
        assert_eq!(rekey_limit(&words("1G 1h")), Ok(words("1073741824 3600")));
        assert!(rekey_limit(&words("8")).is_err());
    }

    #[test]
    fn mixed_ones() {
        assert_eq!(control_persist(&words("10m")), Ok(words("600")));
        assert_eq!(add_keys(&words("confirm 5m")), Ok(words("confirm 300")));
        assert!(add_keys(&words("yes 5m")).is_err());
        assert_eq!(escape_char(&words("^[")), Ok(words("\\^[")));
        assert_eq!(mask(&words("0007")), Ok(words("07")));
        assert_eq!(tunnel_device(&words("3")), Ok(words("3:any")));
        assert_eq!(ip_qos(&words("0x10")), Ok(words("lowdelay lowdelay")));
        assert_eq!(ip_qos(&words("AF21 0x3")), Ok(words("af21 0x03")));
    }
}
