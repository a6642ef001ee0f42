//! Who gets in, and how much a client may ask for.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Hive, Way, answer};
use crate::{stage::Stage, support::token};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_token_is_asked_on_every_route_but_one() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let (host, token) = (format!("Host: 127.0.0.1:{}", hive.port), hive.token.clone());
    let bearer = format!("Authorization: Bearer {token}");
    let health = hive.ask_tcp("GET /health", &[&host]).is(200);
    assert_eq!(health.body, "ok");
    let document = hive.ask("GET", "/v1/openapi.json", None).is(200).json();
    for (path, item) in document["paths"].as_object().unwrap() {
        if path == "/health" {
            continue;
        }
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let request = format!("{} {}", method.to_ascii_uppercase(), path.replace("{id}", "absent"));
            let wrong = format!("Authorization: Bearer {}", "0".repeat(64));
            let basic = format!("Authorization: Basic {token}");
            let cookie = format!("Cookie: token={token}");
            for headers in [&[][..], &[&wrong], &[&basic], &[&cookie], &[&bearer, &bearer]] {
                let all: Vec<&str> =
                    [host.as_str()].into_iter().chain(headers.iter().map(|header| header.as_str())).collect();
                let refused = hive.ask_tcp(&request, &all).is(401);
                assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
            }
            for query in ["token", "access_token", "authorization"] {
                hive.ask_tcp(&format!("{request}?{query}={token}"), &[&host]).is(401);
            }
        }
    }
    hive.ask_tcp("GET /v1/jobs", &[&host, &bearer]).is(200);
    // Nothing was stopped, started or cancelled by any of it.
    assert_eq!(hive.ask("GET", "/v1/jobs", None).is(200).json()["jobs"], json!([]));
    assert_eq!(stage.rbee("hive token").exits(0).stdout.trim(), token);
    let state = stage.lab.home().join(".local/state/rbee/hive");
    assert_eq!((mode(&state), mode(&state.join("token"))), (0o700, 0o600));
    assert_eq!((mode(hive.socket.parent().unwrap()), mode(&hive.socket)), (0o700, 0o600));
    let ran = hive.end().exits(0);
    assert!(!ran.stderr.contains(&token) && !ran.stdout.contains(&token), "the token is in the log\n{ran}");
    // It stays the same, unless somebody else could have read it.
    let hive = stage.hive("");
    assert_eq!(hive.token, token);
    hive.end();
    fs::set_permissions(state.join("token"), fs::Permissions::from_mode(0o644)).unwrap();
    stage.rbee("hive serve --port 0").exits(2).says("others may read");
}

#[test]
fn a_web_page_gets_nowhere() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let bearer = format!("Authorization: Bearer {}", hive.token);
    for host in ["Host: evil.example", "Host: 127.0.0.1.evil.example", "Host: 192.0.2.1", "Host: "] {
        let refused = hive.ask_tcp("GET /v1/jobs", &[host, &bearer]);
        assert!([400, 421].contains(&refused.status), "{host}: {refused:?}");
        assert_ne!(hive.ask_tcp("GET /health", &[host]).status, 200, "{host}");
    }
    assert_ne!(hive.ask_tcp("GET /health", &[]).status, 200);
    // No answer says that a page may read it, and a page's own kinds of bodies are not taken.
    let host = format!("Host: localhost:{}", hive.port);
    let origin = "Origin: http://evil.example";
    for request in ["OPTIONS /v1/jobs", "GET /health", "GET /v1/jobs"] {
        let answered = hive.ask_tcp(request, &[&host, origin, "Access-Control-Request-Method: POST", &bearer]);
        assert!(!answered.head.contains("access-control-"), "{answered:?}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let kind = format!("Content-Type: {kind}");
        hive.ask_tcp("POST /v1/jobs", &[&host, &bearer, &kind, "Content-Length: 0"]).is(415);
    }
}

#[test]
fn no_other_address_is_listened_on() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let port = format!(":{:04X} ", hive.port);
    let listening = |table: &str| -> Vec<String> {
        let text = fs::read_to_string(table).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains(" 0A ") && line.contains(&port));
        lines.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(listening("/proc/net/tcp"), [format!("0100007F:{:04X}", hive.port)]);
    assert_eq!(listening("/proc/net/tcp6"), [] as [String; 0]);
    for flags in ["--bind 0.0.0.0", "--address 0.0.0.0", "--port 0.0.0.0:80"] {
        stage.rbee(&format!("hive serve {flags}")).exits(2);
    }
}

#[test]
fn paths_and_ids_stay_names() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let victim = stage.lab.dir().join("victim");
    fs::create_dir(&victim).unwrap();
    let shown = victim.display().to_string();
    for id in [&shown, "..", "../../victim", "/etc", "-rf", "a b", "x\u{1b}[2J"] {
        for submission in [
            json!({ "operation": "worker_remove", "worker_id": id, "force": true }),
            json!({ "operation": "worker_install", "worker_id": id }),
            json!({ "operation": "worker_rollback", "worker_id": id }),
        ] {
            let refused = hive.ask("POST", "/v1/jobs", Some(&submission)).is(422);
            assert!(!refused.body.contains('\u{1b}'), "{refused:?}");
        }
    }
    for model in [&shown, "..", "../../victim", "org/..", "org/../victim", "org/repo@../x", "org/repo:file.gguf"] {
        let submission = json!({ "operation": "model_remove", "model": model });
        let refused = hive.ask("POST", "/v1/jobs", Some(&submission));
        assert!([409, 422].contains(&refused.status), "{model}: {refused:?}");
    }
    for id in ["..", "..%2f..%2fvictim", "%2fetc%2fpasswd", "%00", "%ff", "a%20b"] {
        for method in ["GET", "DELETE"] {
            let refused = hive.ask(method, &format!("/v1/jobs/{id}"), None);
            assert!([400, 404].contains(&refused.status), "{id}: {refused:?}");
        }
    }
    assert!(victim.is_dir());
}

#[test]
fn a_body_has_an_end() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let before = hive.live.peak().unwrap();
    // Announced: refused before any of it is read.
    let head = |length: &str| {
        format!("POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
    };
    let mut stream = hive.stream();
    stream.write_all(head("Content-Length: 1073741824").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).status, 413);
    // Not announced: cut at the limit. What is sent beyond it meets a closed door.
    let mut stream = hive.stream();
    stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(chunk.as_bytes()).is_ok() {
        sent += 0x10000;
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!([413, 0].contains(&answer(&mut stream).status));
    assert!(hive.live.peak().unwrap() < before + (64 << 20));
    // Headers have one, too.
    let mut stream = hive.stream();
    let long = format!("GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = stream.write_all(long.as_bytes());
    assert!([431, 0].contains(&answer(&mut stream).status));
    let many: String = (0..500).map(|n| format!("X-{n}: y\r\n")).collect();
    let mut stream = hive.stream();
    let _ = stream.write_all(format!("GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes());
    assert!([431, 0].contains(&answer(&mut stream).status));
    hive.ask("GET", "/health", None).is(200);
}

#[test]
fn slow_clients_are_let_go() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let start = Instant::now();
    // One says nothing, one speaks a letter a second, one never sends its body.
    let dribble = |text: &'static str, pause: Duration| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, hive.port)).unwrap();
        move || {
            stream.set_read_timeout(Some(pause)).unwrap();
            let mut letters = text.bytes();
            let mut got = [0; 512];
            loop {
                if let Some(letter) = letters.next()
                    && stream.write_all(&[letter]).is_err()
                {
                    return;
                }
                match stream.read(&mut got) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error)
                        if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                    Err(_) => return,
                }
                assert!(start.elapsed() < Duration::from_secs(60), "still listened to");
            }
        }
    };
    let threads = [
        std::thread::spawn(dribble("", Duration::from_secs(1))),
        std::thread::spawn(dribble(
            "GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: yes yes yes yes yes yes yes",
            Duration::from_secs(1),
        )),
    ];
    let mut stream = hive.stream();
    let head =
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).status, 408);
    // Meanwhile others are answered.
    hive.ask("GET", "/health", None).is(200);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_it_is_and_does_can_be_read() {
    let stage = Stage::new(&[]);
    let hive = stage.hive("");
    let found = hive.ask("GET", "/v1/capabilities", None).is(200).json();
    assert_eq!(
        (&found["os"], &found["devices"][0]["id"], &found["workers"]),
        (&"linux".into(), &"cpu:0".into(), &json!([]))
    );
    let id = hive.exec("true");
    hive.until_state(&id, "completed");
    let metrics = hive.ask("GET", "/metrics", None).is(200);
    assert!(metrics.head.contains("text/plain"), "{metrics:?}");
    for line in ["rbee_jobs{state=\"completed\"} 1", "rbee_jobs_submitted_total 1", "# TYPE rbee_uptime_seconds gauge"]
    {
        assert!(metrics.body.lines().any(|said| said == line), "{line}: {}", metrics.body);
    }
    let status = stage.rbee("hive status --output json").exits(0).document();
    assert_eq!((&status["hive"]["version"], &status["listed"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
}

#[test]
fn a_run_shows_its_job_and_no_more() {
    let stage = Stage::new(&["one"]);
    let word = token();
    let mut command = stage.command("--output json fleet exec -H one --");
    command.arg(format!("echo here; sleep {word}"));
    let mut live = crate::stage::Live::start(command);
    live.until_line("here");
    let run = fs::read_dir(stage.lab.home().join(".local/state/rbee/run")).unwrap().next().unwrap().unwrap().path();
    let door = Hive { live, way: Way { socket: run, port: 0, token: String::new() } };
    let jobs = door.ask("GET", "/v1/jobs", None).is(200).json();
    let id = jobs["jobs"][0]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(jobs["jobs"][0]["state"], "running");
    for (method, path) in [("POST", "/v1/jobs"), ("POST", "/v1/shutdown"), ("GET", "/v1/capabilities")] {
        let body = (method == "POST").then(|| json!({ "operation": "ping" }));
        door.ask(method, path, body.as_ref()).is(403);
    }
    let answer = door.cancel(&id);
    assert_eq!((&answer["status"], &answer["confirmed"]), (&"cancelled".into(), &true.into()), "{answer:#}");
    // Its own command line has the word, too.
    door.live.end().exits(130);
    assert_eq!(crate::support::processes_with(&word), [] as [u32; 0]);
}
