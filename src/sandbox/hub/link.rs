//! Links to the CDN: signed, and good for a while only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use super::{Shared, answer::Request, content::hex};

/// How long a link is good for, unless a fault says otherwise.
const LAST: Duration = Duration::from_secs(3600);

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn signature(shared: &Shared, request: &Request, path: &str, expires: u64) -> String {
    let whose = if shared.faults().bound { format!("{:?}", request.peer) } else { String::new() };
    format!("{}{}", shared.mark, hex(&Sha256::digest(format!("{:x} {path} {expires} {whose}", shared.secret))))
}

/// An absolute link to `path` on the CDN.
pub fn sign(shared: &Shared, request: &Request, path: &str) -> String {
    let last = shared.faults().links_last.unwrap_or(LAST);
    let expires = now_ms().saturating_add(u64::try_from(last.as_millis()).unwrap_or(u64::MAX));
    format!(
        "{}{path}?response-content-disposition=inline&Expires={expires}&Key-Pair-Id=SANDBOX&Signature={}",
        shared.cdn,
        signature(shared, request, path, expires)
    )
}

/// Whether a request to the CDN came with a link that is still good.
pub fn is_good(shared: &Shared, request: &Request) -> bool {
    let Some(expires) = request.asked("Expires").and_then(|text| text.parse().ok()) else { return false };
    request.asked("Signature") == Some(&signature(shared, request, &request.path, expires)) && now_ms() < expires
}
