//! Downloads: gone on with, checked before they have a name, and never more than asked for.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use crate::bench::{Bench, pkgbuild, sha256};

/// What the server does with the next request; the last one stays.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Good,
    /// Closes after so many bytes of the answer.
    Cut(usize),
    /// Does not know ranges.
    Whole,
    /// Sends other bytes than it should.
    Wrong,
    NotFound,
    Loop,
}

struct Server {
    url: String,
    /// The `Range` of each request, as it came.
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

/// Serves `content` at any path on loopback; ends with the test.
fn serve(content: Vec<u8>, manners: &[Manner]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, mut manners) = (seen.clone(), manners.to_vec());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let manner = if manners.len() > 1 { manners.remove(0) } else { manners[0] };
            let _ = answer(&stream, &content, manner, &log);
        }
    });
    Server { url, seen }
}

fn answer(
    mut stream: &TcpStream,
    content: &[u8],
    manner: Manner,
    log: &Mutex<Vec<Option<String>>>,
) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = Some(value.to_owned());
        }
    }
    log.lock().unwrap().push(range.clone());
    let start =
        range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok()).filter(|_| manner != Manner::Whole);
    let mut body = content[start.unwrap_or(0).min(content.len())..].to_vec();
    let mut say = |text: String| stream.write_all(text.as_bytes());
    match (manner, start) {
        (Manner::NotFound, _) => {
            return say("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone".into());
        }
        (Manner::Loop, _) => {
            return say(
                "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
            );
        }
        (_, Some(start)) => say(format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            content.len() - 1,
            content.len(),
            body.len()
        ))?,
        (_, None) => say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()))?,
    }
    match manner {
        Manner::Cut(at) => body.truncate(at),
        Manner::Wrong => body.iter_mut().for_each(|byte| *byte ^= 1),
        _ => {}
    }
    stream.write_all(&body)
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

fn recipe(url: &str, sum: &str) -> String {
    pkgbuild(&format!("source=('{url}')\nsha256sums=({sum})\nbuild() {{ [ \"$(wc -c < file.bin)\" -eq 1200000 ]; }}"))
}

#[tokio::test]
async fn a_file_is_fetched_once_and_found_from_then_on() {
    let server = serve(content(), &[Manner::Good]);
    let text = recipe(&server.url, &sha256(&content()));
    let first = Bench::new(&text);
    first.build().await.built();
    let second = Bench::new(&text).caching_with(&first);
    let ended = second.build().await;
    ended.built();
    assert!(ended.printed.contains("found file.bin"), "{}", ended.printed);
    assert_eq!(server.seen.lock().unwrap().len(), 1);
    // What lies in the cache is checked each time.
    let cached = std::process::Command::new("find")
        .arg(first.root.path().join("the cache"))
        .args(["-name", "file.bin"])
        .output();
    let cached = String::from_utf8(cached.unwrap().stdout).unwrap();
    std::fs::write(cached.trim(), "spoilt").unwrap();
    Bench::new(&text).caching_with(&first).build().await.built();
    assert_eq!(server.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_cut_is_gone_on_with_by_the_next_run() {
    // Curl tries on its own what it takes for a hiccup; a closed connection in mid-file is none.
    let server = serve(content(), &[Manner::Cut(500_000), Manner::Good]);
    let text = recipe(&server.url, &sha256(&content()));
    let first = Bench::new(&text);
    let error = first.build().await.error();
    assert!(error.contains("cannot download http://127.0.0.1"), "{error}");
    let ended = Bench::new(&text).caching_with(&first).build().await;
    ended.built();
    let seen = server.seen.lock().unwrap().clone();
    assert_eq!(seen, [None, Some("500000-".to_owned())], "{}", ended.printed);
}

#[tokio::test]
async fn a_part_that_does_not_fit_is_thrown_away_and_fetched_anew() {
    for manners in
        [[Manner::Cut(500_000), Manner::Wrong, Manner::Good], [Manner::Cut(500_000), Manner::Whole, Manner::Whole]]
    {
        let server = serve(content(), &manners);
        let text = recipe(&server.url, &sha256(&content()));
        let first = Bench::new(&text);
        first.build().await.error();
        let ended = Bench::new(&text).caching_with(&first).build().await;
        ended.built();
        assert_eq!(server.seen.lock().unwrap().last(), Some(&None), "{}", ended.printed);
    }
}

#[tokio::test]
async fn a_wrong_file_is_no_source_and_leaves_nothing() {
    for (manner, said) in [
        (Manner::Wrong, "checksum of http://127.0.0.1"),
        (Manner::NotFound, "cannot download http://127.0.0.1"),
        (Manner::Loop, "cannot download http://127.0.0.1"),
    ] {
        let server = serve(content(), &[manner]);
        let bench = Bench::new(&recipe(&server.url, &sha256(&content())));
        let error = bench.build().await.error();
        assert!(error.contains(said), "{manner:?}: {error}");
        let left = std::process::Command::new("find")
            .arg(bench.root.path().join("the cache"))
            .args(["-type", "f", "-size", "+0"])
            .output();
        assert_eq!(String::from_utf8(left.unwrap().stdout).unwrap(), "", "{manner:?}");
    }
}

#[tokio::test]
async fn what_nothing_checks_is_fetched_each_time_and_said() {
    let server = serve(content(), &[Manner::Good]);
    let text = recipe(&server.url, "SKIP");
    let first = Bench::new(&text);
    first.build().await.built();
    let ended = Bench::new(&text).caching_with(&first).build().await;
    ended.built();
    assert!(ended.printed.contains("its checksum is SKIP"), "{}", ended.printed);
    assert_eq!(server.seen.lock().unwrap().len(), 2);
}
