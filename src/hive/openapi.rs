//! The description of the routes, as it is served.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

/// OpenAPI 3.1.
const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /v1/openapi.json`
pub async fn show() -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests;
