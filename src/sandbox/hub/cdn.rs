//! The CDN's answers: whole files and ranges of them, for those whose link is good.

use std::sync::{Arc, atomic::Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use super::{
    Shared,
    answer::{Request, Response, answer as with, plain},
    content::Content,
    faults::Faults,
    link,
};

/// What a CDN says with status 200 when it is not well.
const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code></Error>\n";

pub fn answer(shared: &Arc<Shared>, request: &Request) -> Response {
    let parts = request.parts();
    let blob = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["repos", org, name, sha256] => shared.repos.blob(&format!("{org}/{name}"), sha256),
        _ => None,
    };
    let Some(content) = blob else { return plain(404, "NoSuchKey") };
    if !link::is_good(shared, request) {
        let page = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>\n";
        return with(403, &[("content-type", "application/xml".into())], page.into());
    }
    let (unavailable, page, flip, no_ranges) = {
        let mut faults = shared.faults();
        let unavailable = Faults::take(&mut faults.unavailable);
        let page = !unavailable && Faults::take(&mut faults.error_pages);
        let flip = !unavailable && !page && request.method == "GET" && Faults::take(&mut faults.flips);
        (unavailable, page, flip, faults.no_ranges)
    };
    if unavailable {
        return plain(503, "Service Unavailable");
    }
    if page {
        return with(200, &[("content-type", "application/xml".into())], PAGE.into());
    }
    send(shared, request, &content, !no_ranges, flip)
}

/// The bytes of a large file, counted.
pub fn send(shared: &Arc<Shared>, request: &Request, content: &Content, ranges: bool, flip: bool) -> Response {
    let range = request.range.as_deref().filter(|_| ranges);
    // Of the CDN's own making, and not the name of the blob.
    let etag = ("etag", format!("\"{:x}-1\"", content.len()));
    let counted = Arc::clone(shared);
    let watch = move |chunk: Bytes| {
        counted.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        chunk
    };
    respond(range, content, &[etag], ranges, flip, watch)
}

/// A file, or the range of it that was asked for.
pub fn file(range: Option<&str>, content: &Content, headers: &[(&'static str, String)]) -> Response {
    respond(range, content, headers, true, false, |chunk| chunk)
}

fn respond(
    range: Option<&str>,
    content: &Content,
    headers: &[(&'static str, String)],
    ranges: bool,
    flip: bool,
    mut watch: impl FnMut(Bytes) -> Bytes + Send + 'static,
) -> Response {
    let len = content.len();
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/octet-stream".to_owned()));
    if ranges {
        headers.push(("accept-ranges", "bytes".to_owned()));
    }
    let (status, from, to) = match range.and_then(|range| parse_range(range, len)) {
        None => (200, 0, len),
        Some(None) => {
            headers.push(("content-range", format!("bytes */{len}")));
            return with(416, &headers, Body::empty());
        }
        Some(Some((from, to))) => {
            headers.push(("content-range", format!("bytes {from}-{}/{len}", to - 1)));
            (206, from, to)
        }
    };
    headers.push(("content-length", (to - from).to_string()));
    let (mut at, wrong) = (from, from + (to - from) / 2);
    let chunks = content.chunks(from, to).map(move |chunk| {
        let (start, end) = (at, at + chunk.len() as u64);
        at = end;
        if !flip || !(start..end).contains(&wrong) {
            return watch(chunk);
        }
        let mut bytes = chunk.to_vec();
        bytes[(wrong - start) as usize] ^= 1;
        watch(bytes.into())
    });
    with(status, &headers, Body::from_stream(stream::iter(chunks.map(Ok::<_, std::convert::Infallible>))))
}

/// `bytes=FROM-[TO]` or `bytes=-LAST` as a half-open range; `Some(None)` is beyond the end, `None` is no single range.
fn parse_range(text: &str, len: u64) -> Option<Option<(u64, u64)>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let last: u64 = to.parse().ok()?;
        return Some((last > 0 && len > 0).then(|| (len.saturating_sub(last), len)));
    }
    let from: u64 = from.parse().ok()?;
    let to = if to.is_empty() { len } else { to.parse::<u64>().ok()?.saturating_add(1).min(len) };
    Some((from < to).then_some((from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open_and_within() {
        assert_eq!(parse_range("bytes=0-0", 10), Some(Some((0, 1))));
        assert_eq!(parse_range("bytes=5-", 10), Some(Some((5, 10))));
        assert_eq!(parse_range("bytes=5-99", 10), Some(Some((5, 10))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Some((7, 10))));
        assert_eq!(parse_range("bytes=10-", 10), Some(None));
        assert_eq!(parse_range("bytes=18446744073709551615-18446744073709551615", 10), Some(None));
        assert_eq!(parse_range("lines=1-2", 10), None);
    }
}
