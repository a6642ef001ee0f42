//! Submitting, showing and ending jobs.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bench, Door, guard::Peer, problem::Problem};
use crate::{
    job::Job,
    scope::CancelReason,
    vocab::RunId,
    wire::{
        VERSION,
        job::{JobForm, JobState, json_line},
        submission::Submission,
    },
};

/// No document here is longer.
const BODY: usize = 1 << 20;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

/// JSON that is fit to be shown on a terminal.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], json_line(value)).into_response()
}

pub fn find(door: &Door, id: &str) -> Result<Arc<Job>, Problem> {
    let known = RunId::new(id).ok().and_then(|id| door.registry().get(id.as_str()));
    known.ok_or_else(|| Problem::no_job(id))
}

fn bench(door: &Door) -> Result<&dyn Bench, Problem> {
    door.0.bench.as_deref().ok_or_else(|| {
        Problem::new(StatusCode::FORBIDDEN, "this is a run in progress: it has one job and takes no other")
            .hint("start a hive: rbee hive serve")
    })
}

/// Reads a body within its limits.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let too_long = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY} bytes"));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY as u64) {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIME, Limited::new(body, BODY).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body did not come to its end")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// As [`read`], and it is JSON by its own word: a web page cannot say so without asking first.
async fn read_json(request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON")
            .hint("send Content-Type: application/json"));
    }
    read(&head.headers, body).await
}

/// `POST /v1/jobs`
pub async fn submit(
    State(door): State<Door>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    let bench = bench(&door)?;
    let body = read_json(request).await?;
    let bad = |error: crate::wire::operation::NotASubmission| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.0);
    let submission = Submission::parse(&body).map_err(bad)?;
    let order = bench.prepare(&submission).await?;
    let job = door.registry().submit(order)?;
    tracing::info!(job = %job.id(), by = %peer, verb = job.form().verb, "submitted");
    let (id, place) = (job.id(), format!("/v1/jobs/{}", job.id()));
    let body = json!({
        "v": VERSION, "job_id": id.as_str(), "sse_url": format!("{place}/stream"), "status": job.state().as_str(),
    });
    let mut response = json(StatusCode::CREATED, &body);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /v1/jobs`: the newest first, without their results.
pub async fn list(State(door): State<Door>) -> Response {
    let jobs: Vec<JobForm> = door.registry().list().iter().map(|job| JobForm { result: None, ..job.form() }).collect();
    json(StatusCode::OK, &json!({ "v": VERSION, "jobs": jobs }))
}

/// `GET /v1/jobs/{id}`
pub async fn show(State(door): State<Door>, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &find(&door, &id)?.form()))
}

/// `DELETE /v1/jobs/{id}` and `POST /v1/jobs/{id}/cancel`
///
/// The end is asked for before anything is awaited: a client that goes away afterwards takes nothing back.
pub async fn cancel(
    State(door): State<Door>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let job = find(&door, &id)?;
    let form =
        door.registry().cancel(job.id().as_str(), &peer.to_string()).await.ok_or_else(|| Problem::no_job(&id))?;
    Ok(json(StatusCode::OK, &cancelled(&form)))
}

fn cancelled(form: &JobForm) -> Value {
    let remains = form.remains.clone().unwrap_or_default();
    json!({
        "v": VERSION, "job_id": form.job_id, "status": form.state, "reason": form.reason,
        "cancelled_by": form.cancelled_by, "confirmed": remains.confirmed, "dead": remains.dead,
        "dead_unlisted": remains.dead_unlisted, "survivors": remains.survivors, "hosts": remains.hosts,
    })
}

/// `GET /v1/capabilities`: looked at anew each time, so that it is current whoever changed the machine.
pub async fn capabilities(State(door): State<Door>) -> Result<Response, Problem> {
    let mut found = bench(&door)?.capabilities().await.map_err(|refused| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("this machine could not be looked at: {}", refused.text))
    })?;
    found.pid = std::process::id();
    found.uptime_s = door.0.opened.elapsed().as_secs();
    Ok(json(StatusCode::OK, &found))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shutdown {
    /// Cancel what runs instead of waiting for it.
    #[serde(default)]
    now: bool,
    /// Only if there is nothing to cancel or to wait for.
    #[serde(default)]
    idle: bool,
}

/// `POST /v1/shutdown`
pub async fn shutdown(
    State(door): State<Door>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    bench(&door)?;
    let empty = request.headers().get(header::CONTENT_TYPE).is_none();
    let asked = if empty {
        let (head, body) = request.into_parts();
        if !read(&head.headers, body).await?.is_empty() {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be JSON"));
        }
        Shutdown::default()
    } else {
        let bad = |error: serde_json::Error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        serde_json::from_slice(&read_json(request).await?).map_err(bad)?
    };
    let registry = door.registry();
    if !asked.idle {
        registry.stop_taking();
    } else if let Some(left) = registry.stop_if_idle() {
        let text = format!("it was to end only without jobs, and {left} have not ended");
        return Err(Problem::new(StatusCode::CONFLICT, text).hint("wait for them, or send {\"now\": true}"));
    }
    tracing::info!(by = %peer, now = asked.now, "shutdown");
    if asked.now {
        registry.cancel_all(&peer.to_string(), CancelReason::Client);
    }
    let states = registry.states();
    let count = |state| states.get(&state).copied().unwrap_or_default();
    let left = count(JobState::Queued) + count(JobState::Running);
    Ok(json(StatusCode::ACCEPTED, &json!({ "v": VERSION, "status": "stopping", "jobs_left": left })))
}
