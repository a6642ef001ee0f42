//! `ProxyJump`: a chain of `[user@]host[:port]` or `ssh://` hops.

use super::{list::domain, port};

/// One hop, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Parts {
    pub user: Option<String>,
    pub host: String,
    pub port: Option<u16>,
}

/// Reads a chain; the last hop comes in the form in which `ssh -G` prints it.
pub(in super::super) fn read(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok("none".to_owned());
    }
    // What stands behind a blank, ssh does not see.
    let text = text.split('#').next().unwrap_or_default().split_ascii_whitespace().next().unwrap_or_default();
    let (before, last) = match text.rsplit_once(',') {
        Some((before, last)) => (Some(before), last),
        None => (None, text),
    };
    before.map_or(Ok(()), |before| before.split(',').try_for_each(|hop| parts(hop).map(drop)))?;
    let Parts { user, host, port } = parts(last)?;
    let mut printed = before.map(|before| format!("{before},")).unwrap_or_default();
    if let Some(user) = user {
        printed += &format!("{user}@");
    }
    let numeric = host.contains(':') || host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    printed += &if numeric { format!("[{host}]") } else { host };
    if let Some(port) = port {
        printed += &format!(":{port}");
    }
    Ok(printed)
}

/// Takes one hop apart.
pub(in super::super) fn parts(hop: &str) -> Result<Parts, String> {
    let bad = || format!("\"{hop}\" is no jump host: write [user@]host[:port]");
    let (rest, uri) = match hop.strip_prefix("ssh://") {
        Some(rest) => (rest, true),
        None => (hop, false),
    };
    let split = if uri { rest.split_once('@') } else { rest.rsplit_once('@') };
    let (user, rest) = match split {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let user = match user {
        Some("") => return Err(bad()),
        Some(user) if uri => {
            let name = user.split(';').next().unwrap_or_default();
            Some(decoded(name).filter(|name| !name.is_empty()).ok_or_else(bad)?)
        }
        user => user.map(str::to_owned),
    };
    let (host, tail) = match rest.find(']').filter(|_| rest.starts_with('[')) {
        Some(end) => (&rest[..=end], &rest[end + 1..]),
        None if rest.starts_with('[') => return Err(bad()),
        None => rest.split_at(rest.find([':', '/']).unwrap_or(rest.len())),
    };
    let number = match (tail.split_at_checked(1), uri) {
        (None, _) => "",
        (Some((":", number)), false) => number,
        (Some((":", number)), true) => number.strip_suffix('/').unwrap_or(number),
        (Some(("/", "")), true) => "",
        _ => return Err(bad()),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if rest.is_empty() || (uri && domain(host).is_err()) || (host.is_empty() && !rest.starts_with('[')) {
        return Err(bad());
    }
    let number = if number.is_empty() { None } else { Some(port(number)?) };
    Ok(Parts { user, host: host.to_owned(), port: number })
}

/// `%20` and its like, put back.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|b| *b != 0)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_and_printed() {
        for (text, printed) in [
            ("b", "b"),
            ("NONE", "none"),
            ("me@a:22,b:23 # why", "me@a:22,b:23"),
            ("a b,", "a"),
            ("10.0.0.1", "[10.0.0.1]"),
            ("u@[::1]:2", "u@[::1]:2"),
            ("ssh://u@h:5", "u@h:5"),
            ("a@b@c", "a@b@c"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(printed), "{text}");
        }
        for bad in ["", "a,", "@a", "a:0", "[::1", "a/b", ":22", "ssh://a/b", "ssh://@a", "ssh://-a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
