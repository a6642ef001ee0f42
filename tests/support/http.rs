//! A server of one file on loopback that behaves badly on demand, and counts.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What a server does with the next request; the last one stays.
#[derive(Debug, Clone, PartialEq)]
pub enum Manner {
    Good,
    /// Closes after so many bytes of the answer.
    Cut(usize),
    /// Says nothing more after so many bytes of the answer, and waits until the other side is gone.
    Stall(usize),
    /// A few kilobytes at a time.
    Slow,
    /// Does not know ranges.
    Whole,
    /// Sends other bytes than it should.
    Wrong,
    /// Announces so many bytes more than it sends, or fewer.
    Length(i64),
    /// Sends so many bytes that nobody asked for behind the file, without saying how many they are.
    Endless(usize),
    /// Answers with a status and no more.
    Status(u16),
    /// A page for people, with status 200.
    Page,
    /// Sends to another place.
    To(String),
    /// Closes without a word.
    Nothing,
    /// Says nothing that HTTP knows.
    Garbage,
}

pub struct Server {
    /// Without a path.
    pub base: String,
    /// Of a file.
    pub url: String,
    /// The `Range` of each request, as it came.
    pub seen: Arc<Mutex<Vec<Option<String>>>>,
    /// Bytes of bodies that went out.
    pub sent: Arc<AtomicU64>,
}

impl Server {
    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn ranges(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().clone()
    }

    pub fn bytes(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Serves `content` at any path on loopback; ends with the test.
pub fn serve(content: Vec<u8>, manners: &[Manner]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (seen, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
    let (log, count, mut manners) = (seen.clone(), sent.clone(), manners.to_vec());
    let content = Arc::new(content);
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let manner = if manners.len() > 1 { manners.remove(0) } else { manners[0].clone() };
            let (content, log, count) = (content.clone(), log.clone(), count.clone());
            thread::spawn(move || {
                let _ = answer(&stream, &content, &manner, &log, &count);
                // Not before the other side has read it all: what it sends yet would make of our end a reset.
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = (&stream).read(&mut [0; 512]);
            });
        }
    });
    Server { url: format!("{base}/file.bin"), base, seen, sent }
}

fn answer(
    mut stream: &TcpStream,
    content: &[u8],
    manner: &Manner,
    log: &Mutex<Vec<Option<String>>>,
    count: &AtomicU64,
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
    let start = range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    let start = start.filter(|_| *manner != Manner::Whole);
    let mut say = |text: &str| stream.write_all(text.as_bytes());
    let simple = |status: &str, more: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    match manner {
        Manner::Nothing => return Ok(()),
        Manner::Garbage => return say("\0\0 what?\n\n"),
        Manner::Status(status) => return say(&simple(&format!("{status} Told"), "", "told")),
        Manner::Page => return say(&simple("200 OK", "", "<!DOCTYPE html><html>come back later</html>")),
        Manner::To(place) => return say(&simple("302 Found", &format!("Location: {place}\r\n"), "")),
        _ => {}
    }
    if start.is_some_and(|start| start >= content.len()) {
        return say(&simple("416 Range Not Satisfiable", &format!("Content-Range: bytes */{}\r\n", content.len()), ""));
    }
    let mut body = content[start.unwrap_or(0)..].to_vec();
    let announced = match manner {
        Manner::Length(more) => body.len().saturating_add_signed(isize::try_from(*more).unwrap()),
        _ => body.len(),
    };
    let length =
        if matches!(manner, Manner::Endless(_)) { String::new() } else { format!("Content-Length: {announced}\r\n") };
    match start {
        Some(start) => say(&format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n{length}Connection: close\r\n\r\n",
            content.len() - 1,
            content.len(),
        ))?,
        None => say(&format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n"))?,
    }
    match manner {
        Manner::Cut(at) | Manner::Stall(at) => body.truncate(*at),
        Manner::Wrong => body.iter_mut().for_each(|byte| *byte ^= 1),
        Manner::Endless(more) => body.resize(body.len() + more, 0),
        _ => {}
    }
    for piece in body.chunks(if *manner == Manner::Slow { 8 << 10 } else { 64 << 10 }) {
        stream.write_all(piece)?;
        count.fetch_add(piece.len() as u64, Ordering::SeqCst);
        if *manner == Manner::Slow {
            thread::sleep(Duration::from_millis(20));
        }
    }
    if matches!(manner, Manner::Stall(_)) {
        let _ = stream.read(&mut [0; 16]);
    }
    Ok(())
}
