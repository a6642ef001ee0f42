//! The worker that everybody can build.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command as Process, Stdio},
};

use rbee::catalog::{Catalog, CatalogSource};

use crate::bench::{Bench, sha256};

#[tokio::test]
async fn the_echo_worker_is_built_and_answers() {
    let bench = Bench::new("");
    let recipe = Catalog::open(&[CatalogSource::BuiltIn]).unwrap().resolve("echo-worker").unwrap();
    let ended = bench.build_recipe(&recipe).await;
    let built = ended.built();
    let content = fs::read(&built.path).unwrap();
    assert_eq!((built.program.as_str(), built.version.as_str()), ("echo-worker", "0.1.0"));
    assert_eq!((built.size, built.digest.to_string()), (content.len() as u64, sha256(&content)));
    let version = Process::new(&built.path).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(version.stdout).unwrap(), "echo-worker 0.1.0\n");

    let mut child = Process::new(&built.path).args(["--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit('/').next().unwrap().to_owned();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    let post = |body: &str| {
        let head = "POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length:";
        ask(&format!("{head} {}\r\n\r\n{body}", body.len()))
    };
    // A connection that says nothing keeps nobody else from being served.
    let _silent = TcpStream::connect(&address).unwrap();
    let health = ask("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("{\"status\":\"ok\"}"), "{health}");
    let body = post(r#"{"model": {"a": [1, null, "x"]}, "prompt": "say \"h\u00e9\" \ud83d\ude00\n", "n": -1.5e3}"#);
    let json: serde_json::Value = serde_json::from_str(body.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(json["choices"][0]["text"], "say \"hé\" 😀\n");
    for (body, said) in [
        ("", "not a JSON object"),
        ("{\"prompt\": 3}", "not a string"),
        ("{\"n\": 3}", "missing"),
        ("{\"prompt\": \"\\ud83d\\u0020\"}", "not a string"),
        ("{\"prompt\": \"x\"} y", "follows"),
        (&format!("{{\"a\":{}", "[".repeat(100_000)), "too deeply"),
    ] {
        let answer = post(body);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(said), "{answer}");
    }
    assert!(ask("GET /nothing HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(ask("DELETE /health HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(ask("POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").starts_with("HTTP/1.1 413 "));
    Process::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(!child.wait().unwrap().success());
}
