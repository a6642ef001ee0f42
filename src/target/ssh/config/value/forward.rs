//! `LocalForward`, `RemoteForward` and `DynamicForward`: read to be printed, never carried out.

use super::{super::surroundings::Surroundings, port};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Forward {
    Local,
    Remote,
    Dynamic,
}

/// One field between colons, and whether it is a path.
type Field = (String, bool);

/// The longest path of a socket.
const LONGEST_PATH: usize = 108;

pub(super) fn read(direction: Forward, args: &[String], around: &Surroundings) -> Result<Vec<String>, String> {
    let (text, dynamic) = match (args, direction) {
        ([], _) => return Err("an argument is missing".to_owned()),
        ([first, ..], _) if first.is_empty() => return Err("the argument is empty".to_owned()),
        ([listen], Forward::Dynamic | Forward::Remote) => (listen.clone(), true),
        ([_], Forward::Local) => return Err("the target is missing".to_owned()),
        ([listen, target], Forward::Local | Forward::Remote) => (format!("{listen}:{target}"), false),
        ([_, more, ..], _) => return Err(format!("there is something behind it: \"{more}\"")),
    };
    let bad = || format!("\"{}\" is no forwarding", args.join(" "));
    let text = around.variables(&text)?;
    let fields = fields(text.trim_ascii_start()).ok_or_else(bad)?;
    let remote = direction == Forward::Remote;
    let (listen, target) = ends(&fields, dynamic, remote).ok_or_else(bad)?;
    match direction {
        Forward::Dynamic => Ok(vec![listen]),
        _ => Ok(vec![listen, target]),
    }
}

/// The fields of `a:b:[c:d]:e`; `None` when there are more than four or a bracket is not closed.
fn fields(text: &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && fields.len() < 4 {
        if let Some(inner) = rest.strip_prefix('[') {
            let (field, after) = inner.split_once(']')?;
            rest = match after.strip_prefix(':') {
                Some(after) => after,
                None if after.is_empty() => after,
                None => return None,
            };
            fields.push((field.to_owned(), field.contains('/')));
            continue;
        }
        let (mut field, mut path, mut end) = (String::new(), false, rest.len());
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => field.push(chars.next()?.1),
                ':' => {
                    end = at + 1;
                    break;
                }
                c => {
                    path |= c == '/';
                    field.push(c);
                }
            }
        }
        rest = &rest[end..];
        fields.push((field, path));
    }
    rest.is_empty().then_some(fields)
}

/// Where it listens and where it leads, as they are printed.
fn ends(fields: &[Field], dynamic: bool, remote: bool) -> Option<(String, String)> {
    // Remotely, any free port may be asked for.
    let number = |text: &str| match port(text) {
        Ok(port) => Some(port),
        Err(_) if remote && text.trim_start_matches('0').is_empty() && !text.is_empty() => Some(0),
        Err(_) => None,
    };
    let path = |field: &Field| (field.0.len() < LONGEST_PATH).then(|| field.0.clone());
    let at = |host: &str, port: u16| format!("[{host}]:{port}");
    let target = |host: &Field, to: &Field| Some(at(&host.0, port(&to.0).ok()?));
    let listen = |on: &Field| Some(number(&on.0)?.to_string());
    let listen_at = |host: &Field, on: &Field| Some(at(&host.0, number(&on.0)?));
    let socks = || "[socks]:0".to_owned();
    Some(match (fields, dynamic) {
        ([on], true) if on.1 => (path(on)?, socks()),
        ([on], true) => (listen(on)?, socks()),
        ([from, to], true) if from.1 && to.1 => (path(from)?, path(to)?),
        ([on, to], true) if to.1 => (listen(on)?, path(to)?),
        ([host, on], true) => (listen_at(host, on)?, socks()),
        ([from, to], false) if from.1 && to.1 => (path(from)?, path(to)?),
        ([on, to], false) if to.1 => (listen(on)?, path(to)?),
        ([from, host, to], false) if from.1 => (path(from)?, target(host, to)?),
        ([host, on, to], false) if to.1 => (listen_at(host, on)?, path(to)?),
        ([on, host, to], false) => (listen(on)?, target(host, to)?),
        ([own, on, host, to], false) => (listen_at(own, on)?, target(host, to)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn forward(direction: Forward, text: &str) -> Result<String, String> {
        let args: Vec<String> = text.split(' ').map(str::to_owned).collect();
        read(direction, &args, &Surroundings::new(Path::new("/home/me"))).map(|words| words.join(" "))
    }

    #[test]
    fn ends_are_printed_as_ssh_does() {
        for (text, printed) in [
            ("8080 web:80", "8080 [web]:80"),
            ("*:8080 [::1]:80", "[*]:8080 [::1]:80"),
            ("/run/s /run/t", "/run/s /run/t"),
            ("8080 /run/t", "8080 /run/t"),
            ("/run/s web:80", "/run/s [web]:80"),
        ] {
            assert_eq!(forward(Forward::Local, text).as_deref(), Ok(printed), "{text}");
        }
        assert_eq!(forward(Forward::Dynamic, "localhost:1080").as_deref(), Ok("[localhost]:1080"));
        assert_eq!(forward(Forward::Remote, "1080").as_deref(), Ok("1080 [socks]:0"));
        assert_eq!(forward(Forward::Remote, "0 web:80").as_deref(), Ok("0 [web]:80"));
        for bad in ["0 web:80", "8080 web", "8080 web:0", "[a 1:2", "1:2:3 4:5", "8080", "1 ${NO}:3"] {
            assert!(forward(Forward::Local, bad).is_err(), "{bad}");
        }
    }
}
