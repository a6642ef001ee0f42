//! Requests and their answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    ClientError,
    endpoint::{Endpoint, Words},
};
use crate::{
    vocab::{RunId, text::printable},
    wire::{capabilities::Capabilities, job::JobForm, submission::Submission},
};

/// For an answer that comes at once; looking at a machine takes the longest of them.
const ANSWER: Duration = Duration::from_secs(60);
/// The longest document that is read.
const LONGEST: usize = 64 << 20;

/// A hive, or a run in progress.
#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub response: Response<Incoming>,
    pub words: Words,
}

impl Client {
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    pub fn place(&self) -> String {
        self.endpoint.to_string()
    }

    /// Whether somebody answers.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.document_text(Method::GET, "/health", None, ANSWER).await.map(drop)
    }

    /// Starts a job; yields its id.
    ///
    /// # Errors
    /// The hive cannot be reached or refuses.
    pub async fn submit(&self, submission: &Submission) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Submitted {
            job_id: String,
        }
        let body = submission.to_value().to_string();
        let submitted: Submitted = self.document(Method::POST, "/v1/jobs", Some(body), ANSWER).await?;
        self.check_id(&submitted.job_id)?;
        Ok(submitted.job_id)
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn list(&self) -> Result<Vec<JobForm>, ClientError> {
        #[derive(Deserialize)]
        struct List {
            jobs: Vec<JobForm>,
        }
        Ok(self.document::<List>(Method::GET, "/v1/jobs", None, ANSWER).await?.jobs)
    }

    /// One job.
    ///
    /// # Errors
    /// As [`Client::submit`]; there may be none ([`ClientError::is_absent`]).
    pub async fn get(&self, id: &str) -> Result<JobForm, ClientError> {
        self.document(Method::GET, &self.path(id, "")?, None, ANSWER).await
    }

    /// Asks for a job's end, and waits up to `limit` for what was confirmed.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn cancel(&self, id: &str, limit: Duration) -> Result<Value, ClientError> {
        self.document(Method::DELETE, &self.path(id, "")?, None, limit).await
    }

    /// What the machine is and has.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn capabilities(&self) -> Result<Capabilities, ClientError> {
        self.document(Method::GET, "/v1/capabilities", None, ANSWER).await
    }

    /// Ends the hive, after its jobs or with them.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn shutdown(&self, now: bool) -> Result<Value, ClientError> {
        let body = format!("{{\"now\":{now}}}");
        self.document(Method::POST, "/v1/shutdown", Some(body), ANSWER).await
    }

    /// Opens a job's stream behind event `seen`; `None` when there is nothing behind it.
    pub(super) async fn stream(&self, id: &str, seen: u64) -> Result<Option<Answer>, ClientError> {
        let mut request = self.request(Method::GET, &self.path(id, "/stream")?, None);
        if seen > 0 {
            request.headers_mut().insert("last-event-id", HeaderValue::from(seen));
        }
        let answer = self.within(ANSWER, self.send(request)).await?;
        match answer.response.status() {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NO_CONTENT => Ok(None),
            _ => Err(self.refusal(answer).await),
        }
    }

    /// An id from elsewhere goes into a path only if it is one.
    fn path(&self, id: &str, tail: &str) -> Result<String, ClientError> {
        match RunId::new(id) {
            Ok(id) => Ok(format!("/v1/jobs/{id}{tail}")),
            Err(error) => Err(ClientError::Refused { status: 404, detail: error.to_string(), hint: None }),
        }
    }

    fn check_id(&self, id: &str) -> Result<(), ClientError> {
        RunId::new(id).map(drop).map_err(|error| self.garbled(error.to_string()))
    }

    async fn document<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let text = self.document_text(method, path, body, limit).await?;
        serde_json::from_slice(&text).map_err(|error| self.garbled(error.to_string()))
    }

    async fn document_text(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        limit: Duration,
    ) -> Result<Bytes, ClientError> {
        let request = self.request(method, path, body);
        self.within(limit, async {
            let answer = self.send(request).await?;
            if !answer.response.status().is_success() {
                return Err(self.refusal(answer).await);
            }
            self.body(answer).await
        })
        .await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = || ClientError::Late { place: self.place(), limit };
        tokio::time::timeout(limit, step).await.unwrap_or_else(|_| Err(late()))
    }

    fn request(&self, method: Method, path: &str, body: Option<String>) -> Request<Full<Bytes>> {
        let has_body = body.is_some();
        let mut request = Request::new(Full::new(Bytes::from(body.unwrap_or_default())));
        *request.method_mut() = method;
        // Paths are made here, of checked parts.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let mut set = |name, value: &str| {
            if let Ok(mut value) = HeaderValue::from_str(value) {
                value.set_sensitive(name == header::AUTHORIZATION);
                headers.insert(name, value);
            }
        };
        set(header::HOST, &self.endpoint.host());
        set(header::USER_AGENT, concat!("rbee/", env!("CARGO_PKG_VERSION")));
        if has_body {
            set(header::CONTENT_TYPE, "application/json");
        }
        if let Endpoint::Tcp { token, .. } = &self.endpoint {
            set(header::AUTHORIZATION, &format!("Bearer {}", token.expose()));
        }
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let (wire, words) = self.endpoint.connect().await?;
        let failed = |error: hyper::Error, words: &Words| ClientError::Unreachable {
            place: self.place(),
            why: words.last().unwrap_or_else(|| error.to_string()),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(wire)).await.map_err(|error| failed(error, &words))?;
        // It ends with the answer's body, or when that is dropped.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        match sender.send_request(request).await {
            Ok(response) => Ok(Answer { response, words }),
            Err(error) => {
                // What stood on the way may still be saying why.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(failed(error, &words))
            }
        }
    }

    async fn body(&self, answer: Answer) -> Result<Bytes, ClientError> {
        let body = Limited::new(answer.response.into_body(), LONGEST);
        match body.collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(self.garbled("it is too long")),
            Err(error) => Err(ClientError::Unreachable { place: self.place(), why: error.to_string() }),
        }
    }

    async fn refusal(&self, answer: Answer) -> ClientError {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
            hint: Option<String>,
        }
        let status = answer.response.status();
        let body = self.body(answer).await.unwrap_or_default();
        let said = serde_json::from_slice::<Problem>(&body).ok();
        let clean = |text: String| printable(&text).into_owned();
        match said {
            Some(Problem { detail, hint }) => {
                ClientError::Refused { status: status.as_u16(), detail: clean(detail), hint: hint.map(clean) }
            }
            None => ClientError::Refused {
                status: status.as_u16(),
                detail: format!("{}: {status}", self.place()),
                hint: None,
            },
        }
    }

    pub(super) fn garbled(&self, why: impl Into<String>) -> ClientError {
        ClientError::Garbled { place: self.place(), why: printable(&why.into()).into_owned() }
    }
}
