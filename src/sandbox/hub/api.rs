//! The hub's own answers: info, tree, refs, resolve.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};

use super::{
    Shared,
    answer::{Request, Response, answer as respond, encoded, json as document, plain, refusal},
    link,
    repos::{self, File, Missing, Repo},
};

/// Entries of a tree in one page, as on the real one.
const PAGE: usize = 100;

pub fn answer(shared: &Arc<Shared>, request: &Request) -> Response {
    if let Some(limited) = limited(shared) {
        return limited;
    }
    let parts = request.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some(moved) = renamed(request, &parts) {
        return moved;
    }
    match &parts[..] {
        ["api", "whoami-v2"] => whoami(shared, request),
        ["api", "models", org, name, rest @ ..] => models(shared, request, &format!("{org}/{name}"), rest),
        ["api", "resolve-cache", "models", org, name, commit, path @ ..] => {
            resolve(shared, request, &format!("{org}/{name}"), commit, &path.join("/"), false)
        }
        [org, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            resolve(shared, request, &format!("{org}/{name}"), revision, &path.join("/"), true)
        }
        _ => plain(404, "Not Found"),
    }
}

/// Where a repository is that had another name once.
fn renamed(request: &Request, parts: &[&str]) -> Option<Response> {
    let (["api", "models", org, name, ..] | [org, name, "resolve", ..]) = parts else { return None };
    let now = repos::renamed(&format!("{org}/{name}"))?;
    let mut path = request.path.replacen(&format!("{org}/{name}"), now, 1);
    for (at, (name, value)) in request.query.iter().enumerate() {
        path.push_str(&format!("{}{name}={value}", if at == 0 { '?' } else { '&' }));
    }
    Some(answer_with(307, &[("location", path)], "Temporary Redirect"))
}

/// The 429 that everybody gets for a while.
fn limited(shared: &Shared) -> Option<Response> {
    let faults = shared.faults();
    let until = faults.limited_until.filter(|until| *until > Instant::now())?;
    let left = (until - Instant::now()).as_secs() + 1;
    let headers = [
        ("retry-after", left.min(faults.retry_after).to_string()),
        ("ratelimit", format!("\"api\";r=0;t={left}")),
        ("ratelimit-policy", "\"fixed window\";\"api\";q=500;w=300".to_owned()),
        ("content-type", "text/plain".to_owned()),
    ];
    Some(answer_with(429, &headers, "Too many requests"))
}

fn answer_with(status: u16, headers: &[(&'static str, String)], text: &str) -> Response {
    respond(status, headers, text.to_owned().into())
}

fn whoami(shared: &Shared, request: &Request) -> Response {
    match shared.takes(request.token.as_deref()) {
        true => document(&json!({
            "type": "user", "id": "1", "name": "sandbox", "fullname": "Sandbox", "email": "sandbox@localhost",
            "emailVerified": true, "canPay": false, "isPro": false, "orgs": [],
            "auth": { "accessToken": { "displayName": "sandbox", "role": "read" } },
        })),
        false => refusal(401, "", "Invalid username or password."),
    }
}

#[expect(clippy::result_large_err, reason = "an answer is what it is")]
fn found(shared: &Shared, id: &str, revision: &str) -> Result<std::sync::Arc<Repo>, Response> {
    shared.repos.find(id, revision).map_err(|missing| match missing {
        Missing::Repo => refusal(404, "RepoNotFound", "Repository not found"),
        Missing::Revision => refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}")),
    })
}

fn models(shared: &Shared, request: &Request, id: &str, rest: &[&str]) -> Response {
    let (revision, what): (&str, &[&str]) = match rest {
        [] => ("main", &["info"]),
        ["revision", revision] => (revision, &["info"]),
        ["refs"] => ("main", &["refs"]),
        ["tree", revision, ..] => (revision, &["tree"]),
        _ => return plain(404, "Not Found"),
    };
    let repo = match found(shared, id, revision) {
        Ok(repo) => repo,
        Err(refused) => return refused,
    };
    match what {
        ["refs"] => {
            let branch = |(name, commit): &(String, String)| json!({ "name": name, "ref": format!("refs/heads/{name}"), "targetCommit": commit });
            document(&json!({
                "branches": repo.branches.iter().map(branch).collect::<Vec<_>>(), "converts": [], "tags": [],
            }))
        }
        ["tree"] => tree(shared, request, &repo, &rest[2..].join("/")),
        _ => document(&info(&repo)),
    }
}

fn info(repo: &Repo) -> Value {
    json!({
        "_id": &repo.commit[..24], "id": repo.id, "modelId": repo.id, "author": repo.id.split('/').next(),
        "sha": repo.commit, "private": false, "disabled": false,
        "gated": if repo.gated { json!("manual") } else { json!(false) },
        "lastModified": "2025-01-01T00:00:00.000Z", "createdAt": "2025-01-01T00:00:00.000Z",
        "downloads": 0, "likes": 0, "tags": [],
        "siblings": repo.files.iter().map(|file| json!({ "rfilename": file.path })).collect::<Vec<_>>(),
    })
}

/// One page of the files and folders below `folder`; the next page's address is in the Link header.
fn tree(shared: &Shared, request: &Request, repo: &Repo, folder: &str) -> Response {
    let recursive = request.asked("recursive").is_some_and(|word| word == "true" || word == "True" || word == "1");
    let begin = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut entries: Vec<Value> = Vec::new();
    let mut folders: Vec<&str> = Vec::new();
    for file in repo.files.iter().filter(|file| file.path.starts_with(&begin)) {
        let inner = &file.path[begin.len()..];
        for (at, _) in inner.match_indices('/') {
            let path = &file.path[..begin.len() + at];
            if !folders.contains(&path) && (recursive || !inner[..at].contains('/')) {
                folders.push(path);
                entries.push(json!({ "type": "directory", "oid": repo.commit, "size": 0, "path": path }));
            }
        }
        if recursive || !inner.contains('/') {
            entries.push(entry(file));
        }
    }
    let page = shared.faults().page.unwrap_or(PAGE).max(1);
    let from: usize = request.asked("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let shown: Vec<Value> = entries.iter().skip(from).take(page).cloned().collect();
    let mut response = document(&Value::Array(shown));
    if from.saturating_add(page) < entries.len() {
        let query: String = request
            .query
            .iter()
            .filter(|(name, _)| name != "cursor")
            .map(|(name, value)| format!("{name}={value}&"))
            .collect();
        let next = format!("<{}{}?{query}cursor={}>; rel=\"next\"", request.origin, request.path, from + page);
        if let Ok(next) = next.parse() {
            response.headers_mut().insert("link", next);
        }
    }
    response
}

fn entry(file: &File) -> Value {
    let mut entry = json!({ "type": "file", "oid": file.oid(), "size": file.content.len(), "path": file.path });
    if file.lfs {
        entry["lfs"] = json!({ "oid": file.content.sha256(), "size": file.content.len(), "pointerSize": 134 });
    }
    entry
}

/// `door` is the address that clients know; behind it small files have another.
fn resolve(shared: &Arc<Shared>, request: &Request, id: &str, revision: &str, path: &str, door: bool) -> Response {
    let repo = match found(shared, id, revision) {
        Ok(repo) => repo,
        Err(refused) => return refused,
    };
    if repo.gated && !shared.takes(request.token.as_deref()) {
        let text = match request.token {
            None => format!(
                "Access to model {id} is restricted. You must have access to it and be authenticated to access it. Please log in."
            ),
            Some(_) => format!(
                "Access to model {id} is restricted and you are not in the authorized list. Visit the page to ask for access."
            ),
        };
        return refusal(if request.token.is_none() { 401 } else { 403 }, "GatedRepo", &text);
    }
    let Some(file) = repo.files.iter().find(|file| file.path == path) else {
        return refusal(404, "EntryNotFound", "Entry not found");
    };
    let (etag, len) = (file.etag(), file.content.len());
    let commit = ("x-repo-commit", repo.commit.clone());
    if file.lfs && shared.faults().direct {
        return super::cdn::send(shared, request, &file.content, true, false);
    }
    if file.lfs {
        let location = link::sign(shared, request, &format!("/repos/{}/{etag}", encoded(id)));
        let headers = [
            ("location", location),
            ("x-linked-etag", format!("\"{etag}\"")),
            ("x-linked-size", len.to_string()),
            commit,
            ("content-type", "text/plain".to_owned()),
        ];
        return answer_with(302, &headers, "Found. Redirecting");
    }
    if door {
        let location = format!("/api/resolve-cache/models/{}/{}/{}", encoded(id), repo.commit, encoded(path));
        let headers = [
            ("location", location),
            ("x-linked-etag", format!("\"{etag}\"")),
            ("x-linked-size", len.to_string()),
            ("etag", format!("\"{etag}\"")),
            commit,
            ("content-type", "text/plain".to_owned()),
        ];
        return answer_with(307, &headers, "Temporary Redirect");
    }
    super::cdn::file(request.range.as_deref(), &file.content, &[("etag", format!("\"{etag}\"")), commit])
}
