//! Who may speak.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Extension,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{problem::Problem, token};
use crate::vocab::Secret;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// A process on this machine whose user was looked at.
    Unix { uid: u32, pid: Option<i32> },
    /// Anybody on this machine.
    Tcp { address: SocketAddr, token: Arc<Secret> },
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix { uid, pid: Some(pid) } => write!(f, "uid {uid}, pid {pid}"),
            Self::Unix { uid, pid: None } => write!(f, "uid {uid}"),
            Self::Tcp { address, .. } => write!(f, "{address} with the token"),
        }
    }
}

/// Lets a request through, or not.
pub async fn guard(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    if let Peer::Tcp { token, .. } = &peer {
        if !names_this_machine(request.headers()) {
            return Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host header must be localhost, 127.0.0.1 or [::1]",
            )
            .into_response();
        }
        if request.uri().path() != "/health" && !shows(token, request.headers()) {
            return Problem::new(StatusCode::UNAUTHORIZED, "this needs the hive's token")
                .hint("send it as Authorization: Bearer TOKEN; rbee hive token prints it")
                .into_response();
        }
    }
    next.run(request).await
}

fn shows(token: &Secret, headers: &HeaderMap) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else { return false };
    let Some((scheme, shown)) = value.as_bytes().split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && token::is_right(token, shown)
}

/// Whether the one Host header is a name that no DNS answer can make.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(Ok(host)), None) = (hosts.next().map(|host| host.to_str()), hosts.next()) else { return false };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        let port = match host.split_at_checked(name.len()) {
            Some((head, tail)) if head.eq_ignore_ascii_case(name) => tail,
            _ => return false,
        };
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        let host = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, text.parse().unwrap());
            names_this_machine(&headers)
        };
        for good in ["localhost", "localhost:7835", "127.0.0.1", "127.0.0.1:1", "[::1]:7835", "LOCALHOST:80"] {
            assert!(host(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:7835",
            "localhost:",
            "localhost:x",
            "127.0.0.2",
            "localhost@evil",
        ] {
            assert!(!host(bad), "{bad}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
        let mut two = HeaderMap::new();
        two.append(header::HOST, "localhost".parse().unwrap());
        two.append(header::HOST, "evil.example".parse().unwrap());
        assert!(!names_this_machine(&two));
    }

    #[test]
    fn the_token_is_one_exact_header() {
        let token = Secret::new("ab12");
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            shows(&token, &headers)
        };
        assert!(with(&["Bearer ab12"]) && with(&["bearer ab12"]));
        for bad in [
            &[][..],
            &["ab12"],
            &["Bearer ab1"],
            &["Bearer ab12 "],
            &["Basic ab12"],
            &["Bearer ab12", "Bearer ab12"],
            &["Bearer "],
        ] {
            assert!(!with(bad), "{bad:?}");
        }
    }
}
