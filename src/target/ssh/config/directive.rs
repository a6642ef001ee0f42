//! What a line of ssh_config says, checked for itself and independent of any host.

use std::time::Duration;

use super::resolved::Strict;

/// One meaningful line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Directive {
    Host(Vec<String>),
    Match(Vec<Criterion>),
    /// Patterns of files, read in its place.
    Include(Vec<String>),
    IgnoreUnknown(Vec<String>),
    HostName(String),
    User(String),
    Port(u16),
    /// `None` is `none`.
    IdentityFile(Option<String>),
    IdentitiesOnly(bool),
    UserKnownHosts(Vec<String>),
    GlobalKnownHosts(Vec<String>),
    Strict(Strict),
    /// `None` is the system's own patience.
    ConnectTimeout(Option<Duration>),
    HostKeyAlias(String),
    HashKnownHosts(bool),
    IdentityAgent(String),
    /// Would change the route or what is trusted, and is not supported.
    Refused(Refused),
    /// Changes neither.
    Ignored,
}

/// A directive that must not be passed over where it applies.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refused {
    pub keyword: String,
    /// A list of algorithms: a system-wide one is a site's default and does not concern the algorithms used here.
    pub algorithms: bool,
}

/// One condition of a `Match` line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Criterion {
    pub negated: bool,
    pub what: Subject,
    pub patterns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Subject {
    All,
    Host,
    OriginalHost,
    User,
    LocalUser,
    /// One that cannot be decided here: `exec`, `final`, `canonical` and the like.
    Other(String),
}

/// Reads one line's keyword and arguments; `Ok(None)` when the keyword is unknown.
///
/// # Errors
/// Says what is wrong with the arguments.
pub(super) fn parse(keyword: &str, args: Vec<String>) -> Result<Option<Directive>, String> {
    let one = |args: Vec<String>| -> Result<String, String> {
        match <[String; 1]>::try_from(args) {
            Ok([arg]) if arg.is_empty() => Err(format!("\"{keyword}\" has an empty argument")),
            Ok([arg]) => Ok(arg),
            Err(_) => Err(format!("\"{keyword}\" takes one argument only")),
        }
    };
    Ok(Some(match keyword {
        "host" => Directive::Host(args),
        "match" => Directive::Match(criteria(args)?),
        "include" => Directive::Include(args),
        "ignoreunknown" => Directive::IgnoreUnknown(list(&one(args)?)),
        "hostname" => Directive::HostName(one(args)?),
        "user" => Directive::User(one(args)?),
        "port" => Directive::Port(port(&one(args)?)?),
        "identityfile" => {
            let file = one(args)?;
            Directive::IdentityFile((!file.eq_ignore_ascii_case("none")).then_some(file))
        }
        "identitiesonly" => Directive::IdentitiesOnly(flag(&one(args)?)?),
        "userknownhostsfile" => Directive::UserKnownHosts(files(args)),
        "globalknownhostsfile" => Directive::GlobalKnownHosts(files(args)),
        "stricthostkeychecking" => Directive::Strict(strict(&one(args)?)?),
        "connecttimeout" => Directive::ConnectTimeout(time(&one(args)?)?),
        "hostkeyalias" => Directive::HostKeyAlias(one(args)?),
        "hashknownhosts" => Directive::HashKnownHosts(flag(&one(args)?)?),
        "identityagent" => Directive::IdentityAgent(one(args)?),
        _ if refuses(keyword, &args) => {
            Directive::Refused(Refused { keyword: keyword.to_owned(), algorithms: ALGORITHMS.contains(&keyword) })
        }
        _ if HARMLESS_AS.iter().any(|(k, _)| *k == keyword) || ALGORITHMS.contains(&keyword) => Directive::Ignored,
        _ if HARMLESS.contains(&keyword) => Directive::Ignored,
        _ if keyword.starts_with("gssapi") => Directive::Ignored,
        _ => return Ok(None),
    }))
}

fn refuses(keyword: &str, args: &[String]) -> bool {
    if ALGORITHMS.contains(&keyword) {
        return true;
    }
    if keyword == "preferredauthentications" {
        return !args.iter().any(|a| a.split(',').any(|method| method == "publickey"));
    }
    HARMLESS_AS
        .iter()
        .find(|(k, _)| *k == keyword)
        .is_some_and(|(_, values)| !args.iter().all(|arg| values.iter().any(|v| arg.eq_ignore_ascii_case(v))))
}

/// Directives that choose algorithms.
const ALGORITHMS: &[&str] = &[
    "hostkeyalgorithms",
    "kexalgorithms",
    "ciphers",
    "macs",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "requiredrsasize",
];

/// Directives that change route or trust, with the values that do not.
const HARMLESS_AS: &[(&str, &[&str])] = &[
    ("proxyjump", &["none"]),
    ("proxycommand", &["none"]),
    ("proxyusefdpass", &["no", "false"]),
    ("certificatefile", &["none"]),
    ("bindaddress", &[]),
    ("bindinterface", &[]),
    ("addressfamily", &["any"]),
    ("canonicalizehostname", &["no", "false", "none"]),
    ("revokedhostkeys", &["none"]),
    ("knownhostscommand", &["none"]),
    ("verifyhostkeydns", &["no", "false"]),
    ("nohostauthenticationforlocalhost", &["no", "false"]),
    ("pkcs11provider", &["none"]),
    ("smartcarddevice", &["none"]),
    ("pubkeyauthentication", &["yes", "true", "unbound", "host-bound"]),
    ("tunnel", &["no", "false"]),
    ("refuseconnection", &[]),
];

/// Directives that concern neither the route nor what is trusted.
const HARMLESS: &[&str] = &[
    "addkeystoagent",
    "batchmode",
    "canonicaldomains",
    "canonicalizefallbacklocal",
    "canonicalizemaxdots",
    "canonicalizepermittedcnames",
    "casignaturealgorithms",
    "challengeresponseauthentication",
    "channeltimeout",
    "checkhostip",
    "cipher",
    "clearallforwardings",
    "compression",
    "compressionlevel",
    "connectionattempts",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "dynamicforward",
    "enableescapecommandline",
    "enablesshkeysign",
    "escapechar",
    "exitonforwardfailure",
    "fallbacktorsh",
    "fingerprinthash",
    "forkafterauthentication",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "gatewayports",
    "hostbasedacceptedalgorithms",
    "hostbasedauthentication",
    "hostbasedkeytypes",
    "ipqos",
    "kbdinteractiveauthentication",
    "kbdinteractivedevices",
    "keepalive",
    "localcommand",
    "localforward",
    "loglevel",
    "logverbose",
    "numberofpasswordprompts",
    "obscurekeystroketiming",
    "passwordauthentication",
    "permitlocalcommand",
    "permitremoteopen",
    "preferredauthentications",
    "protocol",
    "rekeylimit",
    "remotecommand",
    "remoteforward",
    "requesttty",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "securitykeyprovider",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "sessiontype",
    "setenv",
    "skeyauthentication",
    "stdinnull",
    "streamlocalbindmask",
    "streamlocalbindunlink",
    "syslogfacility",
    "tag",
    "tcpkeepalive",
    "tunneldevice",
    "updatehostkeys",
    "usekeychain",
    "useprivilegedport",
    "useroaming",
    "versionaddendum",
    "visualhostkey",
    "warnweakcrypto",
    "xauthlocation",
];

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect()
}

fn files(args: Vec<String>) -> Vec<String> {
    args.into_iter().filter(|f| !f.eq_ignore_ascii_case("none")).collect()
}

fn criteria(args: Vec<String>) -> Result<Vec<Criterion>, String> {
    let mut criteria = Vec::new();
    // `host=x` and `host x` are the same.
    let mut words = args
        .into_iter()
        .flat_map(|arg| match arg.split_once('=') {
            Some((key, value)) => vec![key.to_owned(), value.to_owned()],
            None => vec![arg],
        })
        .collect::<Vec<_>>()
        .into_iter();
    while let Some(word) = words.next() {
        let negated = word.starts_with('!');
        let name = word.trim_start_matches('!').to_ascii_lowercase();
        let what = match name.as_str() {
            "all" => Subject::All,
            "host" => Subject::Host,
            "originalhost" => Subject::OriginalHost,
            "user" => Subject::User,
            "localuser" => Subject::LocalUser,
            "canonical" | "final" => Subject::Other(name),
            // What follows belongs to a condition that cannot be decided; the rest of the line is part of it.
            _ => {
                criteria.push(Criterion { negated, what: Subject::Other(name), patterns: Vec::new() });
                break;
            }
        };
        let patterns = match what {
            Subject::All | Subject::Other(_) => Vec::new(),
            _ => list(&words.next().ok_or_else(|| format!("\"Match {word}\" lacks its pattern"))?),
        };
        criteria.push(Criterion { negated, what, patterns });
    }
    Ok(criteria)
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("bad port \"{text}\": it must be a number from 1 to 65535")),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("\"{text}\" must be yes or no")),
    }
}

fn strict(text: &str) -> Result<Strict, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(Strict::Yes),
        "ask" => Ok(Strict::Ask),
        "accept-new" => Ok(Strict::AcceptNew),
        "no" | "false" | "off" => Ok(Strict::No),
        _ => Err(format!("\"{text}\" must be yes, ask, accept-new or no")),
    }
}

/// `90`, `1m30s`, `2h`, `none`.
fn time(text: &str) -> Result<Option<Duration>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let bad = || format!("bad time \"{text}\": write seconds, or 1m30s");
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
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
    if text.is_empty() || total > i32::MAX as u64 {
        return Err(bad());
    }
    Ok(Some(Duration::from_secs(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Directive>, String> {
        let (keyword, args) = super::super::line::split(line).unwrap().unwrap();
        parse(&keyword, args)
    }

    #[test]
    fn values_are_checked() {
        assert_eq!(read("ConnectTimeout 1m30s"), Ok(Some(Directive::ConnectTimeout(Some(Duration::from_secs(90))))));
        assert_eq!(read("StrictHostKeyChecking off"), Ok(Some(Directive::Strict(Strict::No))));
        for bad in ["Port 0", "Port ssh", "Port 22 23", "ConnectTimeout 1x", "ConnectTimeout 99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("IdentitiesOnly maybe").is_err());
        assert!(read("Match user").is_err());
        assert_eq!(read("NoSuchThing 1"), Ok(None));
    }

    #[test]
    fn what_changes_the_route_is_not_ignored() {
        for line in
            ["ProxyJump b", "ProxyCommand nc %h", "HostKeyAlgorithms +ssh-rsa", "PreferredAuthentications password"]
        {
            assert!(matches!(read(line), Ok(Some(Directive::Refused(_)))), "{line}");
        }
        for line in ["ProxyJump none", "Tunnel no", "ForwardAgent yes", "PreferredAuthentications publickey,password"] {
            assert_eq!(read(line), Ok(Some(Directive::Ignored)), "{line}");
        }
    }
}
