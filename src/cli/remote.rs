//! Which hive is meant, and how it is reached.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use super::{
    Complaint,
    args::{Global, InstallFlags, RunFlags},
    args_hive::RemoteFlags,
    context::Context,
    places::Places,
    terminal,
};
use crate::{
    client::{Client, ClientError, Endpoint, Through},
    hive::{socket, token},
    inventory::Intent,
    scope::{Cancel, Prompt, Scope, events},
    target::ssh::{Connector, People},
    vocab::{ExitCode, Route, RunId},
};

/// What runs on a host: rbee where it is usually installed, whatever PATH a session over SSH has.
const DIAL: &str = "exec /bin/sh -c 'PATH=\"$HOME/.local/bin:${RBEE_PREFIX:-/usr/local}/bin:$PATH\"; export PATH; exec rbee hive dial-stdio'";

/// A hive's refusal as a complaint.
pub fn complain(error: &ClientError) -> Complaint {
    let exit = match error {
        ClientError::Unreachable { .. } | ClientError::Late { .. } => ExitCode::Unreachable,
        ClientError::Refused { status: 400..=499, .. } => ExitCode::Usage,
        ClientError::Refused { .. } | ClientError::Garbled { .. } => ExitCode::Failed,
    };
    Complaint { text: error.to_string(), hint: error.hint().map(str::to_owned), exit }
}

/// The hive that the flags name, if they name one.
pub async fn named(global: &Global, flags: &RemoteFlags) -> Result<Option<Client>, Complaint> {
    let endpoint = match (&flags.hive, &flags.host) {
        (None, None) => return Ok(None),
        (Some(url), _) => by_url(url, flags)?,
        (None, Some(host)) => by_host(global, host).await?,
    };
    Ok(Some(Client::new(endpoint)))
}

/// The socket of this machine's hive.
pub fn hive_socket() -> Result<PathBuf, Complaint> {
    let sockets = sockets()?;
    sockets.into_iter().find(|path| path.file_name().is_some_and(|name| name == socket::HIVE)).ok_or_else(|| {
        Complaint {
            text: "no hive is running on this machine".into(),
            hint: Some("start one: rbee hive serve".into()),
            exit: ExitCode::Unreachable,
        }
    })
}

pub fn hive_here() -> Result<Client, Complaint> {
    Ok(Client::new(Endpoint::Unix(hive_socket()?)))
}

/// Everything of this user that answers on this machine: the hive, and runs in progress.
pub fn sockets() -> Result<Vec<PathBuf>, Complaint> {
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in Places::find()?.all_sockets() {
        for path in socket::live(&dir) {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn by_url(url: &str, flags: &RemoteFlags) -> Result<Endpoint, Complaint> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Endpoint::Unix(path.into()));
    }
    let address = parse_url(url)?;
    let path = match &flags.hive_token_file {
        Some(path) => path.clone(),
        None => Places::find()?.token(),
    };
    let token = token::read(&path).map_err(|error| {
        Complaint::usage(format!("cannot read the hive's token from {}: {error}", path.display()))
            .hint("rbee hive token prints it on the hive's machine; name its file with --hive-token-file")
    })?;
    Ok(Endpoint::Tcp { address, token: Arc::new(token) })
}

/// Loopback and nothing else: the token would travel in the clear.
fn parse_url(url: &str) -> Result<SocketAddr, Complaint> {
    let bad = |why: &str| {
        Complaint::usage(format!("--hive {url:?} {why}"))
            .hint("write http://127.0.0.1:7835 or unix:PATH; a hive on another machine is reached with --host NAME")
    };
    let rest = url.strip_prefix("http://").ok_or_else(|| bad("is neither http:// nor unix:"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| bad("has no port that is one"))?),
        _ => (rest, crate::hive::PORT),
    };
    match host {
        "localhost" | "127.0.0.1" => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        "[::1]" => Ok(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))),
        _ => Err(bad("is not on this machine, and the token would cross the network in the clear")),
    }
}

/// Connects to the host; each request is a session of its own on that connection.
async fn by_host(global: &Global, name: &str) -> Result<Endpoint, Complaint> {
    let context = Context::load(global, &RunFlags::default(), &InstallFlags::default())?;
    let hosts = context.select(Some(name), Intent::Read)?;
    let [host] = &hosts[..] else {
        return Err(Complaint::usage(format!("--host {name:?} means {} hosts; it takes one", hosts.len())));
    };
    if host.route == Route::Local {
        return Ok(Endpoint::Unix(hive_socket()?));
    }
    let prompt = context.settings.interactive.then(|| Prompt::new(terminal::ask));
    let people = People { prompt, password: None, banners: global.verbose > 0 };
    let Some(ssh) = context.ssh else { return Err(Complaint::usage("no ssh_config was read")) };
    let connector = Connector::with_people(&context.settings, ssh, people);
    connector.resolve(host).map_err(|error| Complaint::usage(format!("{}: {error}", host.name)))?;
    let id = RunId::new("dial").map_err(|error| Complaint::usage(error.to_string()))?;
    let (emitter, _receiver) = events(id);
    let scope = Scope::new(Cancel::new(), emitter);
    let connection = connector.connect(&scope, host).await.map_err(|error| Complaint {
        text: format!("{}: {error}", host.name),
        hint: error.hint().map(str::to_owned),
        exit: ExitCode::Unreachable,
    })?;
    // Bastions go with their connector, so it stays for as long as the program does.
    std::mem::forget(connector);
    Ok(Endpoint::Through(Through { opener: Arc::new(connection), command: DIAL.into(), name: host.name.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_the_token() {
        for (url, address) in [
            ("http://127.0.0.1:7835", "127.0.0.1:7835"),
            ("http://localhost", "127.0.0.1:7835"),
            ("http://localhost:80/", "127.0.0.1:80"),
            ("http://[::1]:9", "[::1]:9"),
            ("http://[::1]", "[::1]:7835"),
        ] {
            assert_eq!(parse_url(url).unwrap().to_string(), address, "{url}");
        }
        for url in [
            "https://localhost",
            "http://192.0.2.1:7835",
            "http://localhost.evil.example",
            "http://localhost:x",
            "localhost:7835",
            "http://a@127.0.0.1:1",
            "http://127.0.0.1:7835/v1",
        ] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }
}
