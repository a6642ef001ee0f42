use std::collections::BTreeSet;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode},
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::*;
use crate::{
    hive::{Door, guard::Peer, routes::router},
    job::{Limits, Registry},
};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

/// Every path that the router was given, as its source says it.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../routes.rs");
    let paths = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let paths: BTreeSet<String> = paths.collect();
    assert!(paths.len() > 5, "{paths:?}");
    paths
}

async fn ask(method: &Method, path: &str) -> (StatusCode, String, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let door = Door::of_run(Registry::empty(dir.path().join("none"), Limits::default()));
    let mut request =
        Request::builder().method(method).uri(path.replace("{id}", "absent")).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Peer::Unix { uid: 0, pid: None });
    let response = TowerToHyperService::new(router(&door)).call(request).await.unwrap();
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    let status = response.status();
    (status, kind.unwrap_or_default(), to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, routes());
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let operation = item.get(method.as_str().to_ascii_lowercase());
            let (status, kind, body) = ask(&method, path).await;
            let Some(operation) = operation else {
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path} is not described");
                continue;
            };
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let response = operation["responses"].get(status.as_str());
            let response = response.unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
            let kind = kind.split(';').next().unwrap();
            assert!(response["content"].get(kind).is_some(), "{method} {path}: {status} as {kind:?}");
            if kind == "application/problem+json" {
                let problem: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(problem["status"], status.as_u16());
                assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
            }
        }
    }
    assert_eq!(ask(&Method::GET, "/v1/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&Method::GET, "/v1/jobs/..%2F..%2Fetc").await.0, StatusCode::NOT_FOUND);
}

#[test]
fn every_operation_is_described_as_it_is_read() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let described = document["components"]["schemas"]["Submission"]["oneOf"].as_array().unwrap();
    let names: Vec<_> = described.iter().map(|one| one["properties"]["operation"]["const"].as_str().unwrap()).collect();
    let error = crate::wire::submission::Submission::parse(br#"{"operation":"?"}"#).unwrap_err().to_string();
    let known: Vec<_> = error.split('`').skip(3).step_by(2).collect();
    assert_eq!(names, known, "{error}");
    // What only the required fields have is taken, and a field more is not.
    for one in described {
        let mut value = serde_json::Map::new();
        for name in one["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
            let example = match name {
                "operation" => one["properties"]["operation"]["const"].clone(),
                "command" => serde_json::json!(["true"]),
                "worker_id" | "which" => "echo-worker".into(),
                "model" => "a/b".into(),
                other => panic!("no example of {other}"),
            };
            value.insert(name.into(), example);
        }
        let parse = |value: &serde_json::Map<String, Value>| {
            crate::wire::submission::Submission::parse(Value::Object(value.clone()).to_string().as_bytes())
        };
        parse(&value).unwrap();
        value.insert("bogus".into(), true.into());
        assert!(parse(&value).is_err(), "{value:?}");
    }
}

#[test]
fn what_excludes_each_other_is_described() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let described = document["components"]["schemas"]["Submission"]["oneOf"].as_array().unwrap();
    let download = described.iter().find(|one| one["properties"]["operation"]["const"] == "model_download").unwrap();
    let never = serde_json::json!({
        "properties": { "quant": { "type": "string" }, "fits": { "const": true } }, "required": ["quant", "fits"],
    });
    assert_eq!(download["not"], never);
    let is_taken = |quant: Value, fits: bool| {
        let text = serde_json::json!({ "operation": "model_download", "model": "a/b", "quant": quant, "fits": fits });
        crate::wire::submission::Submission::parse(text.to_string().as_bytes()).is_ok()
    };
    assert!(!is_taken("Q8_0".into(), true));
    assert!(is_taken("Q8_0".into(), false) && is_taken(Value::Null, true));
}
