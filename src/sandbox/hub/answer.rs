//! What is read of a request, and the forms of an answer.

use std::net::IpAddr;

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use super::wire::Peer;

pub type Response = axum::http::Response<Body>;

/// The part of a request that counts here.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// As it came, without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// `http://` and what the client calls this server.
    pub origin: String,
    pub range: Option<String>,
    /// What came as `Authorization: Bearer …`.
    pub token: Option<String>,
    /// Who asks.
    pub peer: Option<IpAddr>,
}

impl Request {
    pub fn of(request: &axum::extract::Request) -> Self {
        let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let pairs = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self {
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            query: pairs.map(pair).collect(),
            origin: format!("http://{}", header(header::HOST).unwrap_or("localhost")),
            range: header(header::RANGE).map(str::to_owned),
            peer: request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0.0),
            token: header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned),
        }
    }

    /// The path's parts, each decoded.
    pub fn parts(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
    }

    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Takes `%2F` and its like back.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => (out.push(byte), at += 3).0,
            None => (out.push(bytes[at]), at += 1).0,
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The other way round; `/` stays.
pub fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An answer with these headers; one that could be none is left out.
pub fn answer(status: u16, headers: &[(&'static str, String)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

pub fn plain(status: u16, text: &str) -> Response {
    answer(status, &[("content-type", "text/plain".into())], text.to_owned().into())
}

pub fn json(value: &serde_json::Value) -> Response {
    answer(200, &[("content-type", "application/json".into())], value.to_string().into())
}

/// A refusal in the hub's form: a code for programs and a sentence for people.
pub fn refusal(status: u16, code: &str, text: &str) -> Response {
    let body = serde_json::json!({ "error": text }).to_string();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("x-error-code", code.to_owned()),
        ("x-error-message", text.to_owned()),
    ];
    answer(status, &headers, body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        assert_eq!(decoded("refs%2Fpr%2F1"), "refs/pr/1");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("a%zz%€"), "a%zz%€");
        assert_eq!(encoded("a b/ü"), "a%20b/%C3%BC");
    }
}
