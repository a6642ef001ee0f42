//! What the values of an inventory, and the logins of a pattern, may look like.
//!
//! Every check answers with the end of a sentence that starts with the value: "is empty", "has a space".

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

/// Checks a host's address: a DNS name, an IPv4 address, or an IPv6 address without brackets.
pub(super) fn address(text: &str) -> Result<(), String> {
    let v6 = |text: &str| text.split('%').next().is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok());
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.contains('@') {
        return Err("has a user in it; that goes into the key \"user\"".into());
    }
    if text.starts_with('[') {
        return Err("is in brackets; an IPv6 address is written without them".into());
    }
    if text.matches(':').count() == 1 {
        return Err("has a port in it; that goes into the key \"port\"".into());
    }
    if text.contains(':') {
        let zone = text.split_once('%').is_none_or(|(_, zone)| plain_word(zone));
        return if zone && v6(text) { Ok(()) } else { Err("is not an IPv6 address".into()) };
    }
    if text.len() > 253 {
        return Err("is longer than 253 characters".into());
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
        return Err("is no address: a name may only have letters, digits and -._".into());
    }
    if text.starts_with(['-', '.']) || text.contains("..") {
        return Err("is no address: each part of a name needs a letter or a digit first".into());
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.parse::<Ipv4Addr>().is_err() {
        return Err("is not an IPv4 address".into());
    }
    Ok(())
}

fn plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Checks a login name; `@` and `\` are for those of a directory service.
pub(super) fn user(text: &str) -> Result<(), String> {
    match text {
        "" => Err("is empty".into()),
        _ if text.len() > 255 => Err("is longer than 255 characters".into()),
        _ if text.starts_with('-') => Err("must not start with '-'".into()),
        _ if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+@\\".contains(&b)) || text.ends_with('\\') => {
            Err("is no user name: it may only have letters, digits and -._+@\\".into())
        }
        _ => Ok(()),
    }
}

/// Checks the name of a group.
pub(super) fn group(text: &str) -> Result<(), String> {
    match text {
        "" => Err("is empty".into()),
        "all" => Err("is taken: the pattern all means every host".into()),
        _ if text.len() > 64 => Err("is longer than 64 characters".into()),
        _ if text.starts_with('@') => Err("starts with '@', which belongs into patterns only".into()),
        _ if text.starts_with(['-', '.']) => Err("must not start with '-' or '.'".into()),
        _ if !plain_word(text) => Err("may only have letters, digits and -._".into()),
        _ => Ok(()),
    }
}

/// Checks the name of an environment variable.
pub(super) fn variable(text: &str) -> Result<(), String> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err("is no variable name: it needs letters, digits and '_', and no digit first".into())
}

/// Makes a path of a key file: `~/` is the user's home, a relative one starts at the inventory's folder.
pub(super) fn identity(text: &str, home: &Path, folder: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character".into());
    }
    match text.strip_prefix('~') {
        Some("") => Err("is a folder, not a key".into()),
        Some(rest) => match rest.strip_prefix('/') {
            Some(rest) => Ok(home.join(rest.trim_start_matches('/'))),
            None => Err("names another user's home; only ~/ is understood".into()),
        },
        None => Ok(folder.join(text)),
    }
}

/// Checks the hops of a jump: `[user@]host[:port]`, separated by commas.
pub(super) fn jump(text: &str) -> Result<(), String> {
    text.split(',')
        .try_for_each(|hop| {
            let (name, host) = match hop.rsplit_once('@') {
                Some((name, host)) => (Some(name), host),
                None => (None, hop),
            };
            name.map_or(Ok(()), user)?;
            endpoint(host).map(drop)
        })
        .map_err(|why| format!("is no jump host (it {why})"))
}

/// Takes `host`, `host:port`, an IPv6 address, or `[v6]:port` apart.
pub(super) fn endpoint(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or("has a '[' without its ']'")?;
            if !host.contains(':') || address(host).is_err() {
                return Err("has brackets around something that is not an IPv6 address".into());
            }
            match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if tail.is_empty() => (host, None),
                None => return Err("has something other than :port after its ']'".into()),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    address(host)?;
    let number = |port: &str| match port.bytes().all(|b| b.is_ascii_digit()) {
        true => port.parse::<u16>().ok().filter(|port| *port > 0),
        false => None,
    };
    match port {
        Some(port) => number(port).map(|n| (host, Some(n))).ok_or("has a port that is not between 1 and 65535".into()),
        None => Ok((host, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["gpu-box", "a.b.example", "192.0.2.20", "2001:db8::1", "fe80::1%eth0", "host_1", "a.example."] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "192.0.2.300",
            "1.2.3",
            "[::1]",
            "a:22",
            "::g",
            "fe80::1%",
            "fe80::1%a/b",
            "-o",
            ".a",
            "a..b",
            "root@a",
            "ü",
            "a\n",
            "a/b",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn endpoints() {
        for (text, host, port) in [
            ("gpu", "gpu", None),
            ("gpu:22", "gpu", Some(22)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:2222", "::1", Some(2222)),
        ] {
            assert_eq!(endpoint(text), Ok((host, port)), "{text}");
        }
        for bad in ["", ":22", "a:", "a:0", "a:65536", "a:+1", "[a]:22", "[::1", "[::1]22", "[::1]:"] {
            assert!(endpoint(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identities_know_home_and_folder() {
        let path = |text| identity(text, Path::new("/home/me"), Path::new("inventory"));
        assert_eq!(path("~/.ssh/id"), Ok("/home/me/.ssh/id".into()));
        assert_eq!(path("~//etc/id"), Ok("/home/me/etc/id".into()));
        assert_eq!(path("/keys/id"), Ok("/keys/id".into()));
        assert_eq!(path("keys/id"), Ok("inventory/keys/id".into()));
        for bad in ["", "~", "~bob/id", "a\0b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn users_groups_variables_and_jumps() {
        for good in ["rbee", "a.b+c", "me@example.org", "CORP\\me"] {
            assert_eq!(user(good), Ok(()));
        }
        for bad in ["", "-l", "a b", "a;b", "a'b", "$(x)", "a\\"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
        assert!(group("lab-1.x").is_ok() && group("@lab").is_err() && group("all").is_err() && group("a b").is_err());
        assert!(variable("CUDA_HOME").is_ok() && variable("1A").is_err() && variable("A=B").is_err());
        assert!(jump("me@bastion:22,[::1]:23").is_ok() && jump("a,").is_err() && jump("-oProxyCommand=x").is_err());
    }
}
