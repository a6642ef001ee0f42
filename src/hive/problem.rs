//! Errors as `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Refused;
use crate::{job::JobError, wire::job::json_line};

/// What went wrong with a request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    hint: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), hint: None }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub fn no_job(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no job {:?}", id.chars().take(80).collect::<String>()))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { status: StatusCode::CONFLICT, detail: refused.text, hint: refused.hint }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let status = match &error {
            JobError::Ending => StatusCode::SERVICE_UNAVAILABLE,
            JobError::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            JobError::Store { .. } => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json_line(&json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "hint": self.hint,
        }));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rbee\""));
        }
        response
    }
}
