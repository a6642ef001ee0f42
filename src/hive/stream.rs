//! A job's log as server-sent events.

use std::{convert::Infallible, future::ready, io::Write, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{Door, jobs, metrics::Counted, problem::Problem};
use crate::job::{Batch, Cursor, Log, gap_line};

/// A comment goes out when nothing else did for so long.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The highest number that JSON has for everybody.
const LAST: u64 = (1 << 53) - 1;
/// What a client is told to wait before it comes back.
const RETRY: &str = "retry: 1000\n\n";

/// `GET /v1/jobs/{id}/stream`
pub async fn show(State(door): State<Door>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let job = jobs::find(&door, &id)?;
    let seen = seen(&headers)?;
    let log = job.log().clone();
    if log.has_ended() && seen >= log.last() {
        // What ends a reader that would come back for ever.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reading = Reading { id, log, cursor: Cursor::after(seen), _counted: door.0.meters.reader() };
    // Made as it is taken, by whoever writes to the connection: a slow reader costs no memory, and its work is not the job's.
    let first = stream::once(ready(Bytes::from_static(RETRY.as_bytes())));
    let body = first.chain(stream::unfold(reading, |mut reading| async {
        let text = reading.next().await?;
        Some((text, reading))
    }));
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(([kind], Body::from_stream(body.map(Ok::<_, Infallible>))).into_response())
}

/// One reader of a job.
struct Reading {
    id: String,
    log: Arc<Log>,
    cursor: Cursor,
    _counted: Counted,
}

impl Reading {
    /// The next events, or a comment when there are none for a while; `None` behind the last one.
    async fn next(&mut self) -> Option<Bytes> {
        let Ok(batch) = timeout(KEEPALIVE, self.log.next(&mut self.cursor)).await else {
            return Some(Bytes::from_static(b": there\n\n"));
        };
        let mut text = Vec::new();
        match batch? {
            Batch::Gap { last, lost } => event(&mut text, last, gap_line(&self.id, last, lost).as_bytes()),
            Batch::Lines { first, text: lines } => {
                text.reserve(lines.len() + lines.len() / 4);
                let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                for (number, line) in (first..).zip(lines) {
                    event(&mut text, number, line);
                }
            }
        }
        Some(text.into())
    }
}

/// Where the reader was.
fn seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.filter(|seen| *seen <= LAST).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "Last-Event-ID must be the number of the last event that was seen")
    })
}

/// One event; its data is one line of JSON, so nothing in it can end it.
fn event(text: &mut Vec<u8>, number: u64, line: &[u8]) {
    let _ = write!(text, "id: {number}\ndata: ");
    text.extend_from_slice(line);
    text.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::{
        job::{Ended, Limits, Order, Registry},
        vocab::ExitCode,
    };

    #[tokio::test(start_paused = true)]
    async fn a_silent_job_shows_that_somebody_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path().join("jobs"), Limits::default()).unwrap();
        let work = |scope: crate::scope::Scope| async move {
            scope.cancel().cancelled().await;
            Ended { exit: ExitCode::Interrupted, error: None, result: None }
        };
        let order = Order {
            verb: "exec".into(),
            submission: json!({}),
            hosts: Vec::new(),
            limit: None,
            work: Box::new(move |scope| Box::pin(work(scope))),
        };
        let job = registry.submit(order).unwrap();
        let door = Door::of_run(registry.clone());
        let answer = show(State(door), Path(job.id().to_string()), HeaderMap::new()).await.unwrap();
        let mut body = answer.into_body();
        let (mut seen, start) = (Vec::new(), tokio::time::Instant::now());
        while String::from_utf8_lossy(&seen).matches(": there\n\n").count() < 3 {
            seen.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        let took = start.elapsed();
        assert!(took >= 3 * KEEPALIVE && took < 4 * KEEPALIVE, "{took:?}");
        registry.cancel(job.id().as_str(), "a test").await;
        let rest = body.collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&rest).contains("job_finished"), "{rest:?}");
    }
}
