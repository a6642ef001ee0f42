//! A stand-in for an HTTP catalog, which can be as hostile as it likes.
#![allow(dead_code, reason = "each binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// What a path answers.
#[derive(Clone)]
pub enum Answer {
    Text(String),
    Status(u16),
    Redirect(String),
    /// Says a length of a gigabyte, and sends it.
    Huge,
    /// Says no length and sends a gigabyte in chunks.
    Endless,
    /// These bytes and nothing else.
    Raw(Vec<u8>),
}

/// What a state of a text is told by.
#[derive(Clone, Copy, PartialEq)]
pub enum Validator {
    ETag,
    Date,
    None,
}

pub struct WebCatalog {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    answers: Mutex<BTreeMap<String, Answer>>,
    validator: Mutex<Validator>,
    /// Path and status of each request.
    hits: Mutex<Vec<(String, u16)>>,
    down: AtomicBool,
}

impl WebCatalog {
    pub fn new() -> Self {
        let state = State {
            answers: Mutex::default(),
            validator: Mutex::new(Validator::ETag),
            hits: Mutex::default(),
            down: AtomicBool::new(true),
        };
        let mut new = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), state: Arc::new(state), thread: None };
        new.up();
        new
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn put(&self, path: &str, answer: Answer) {
        self.state.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub fn text(&self, path: &str, text: impl ToString) {
        self.put(path, Answer::Text(text.to_string()));
    }

    pub fn validator(&self, validator: Validator) {
        *self.state.validator.lock().unwrap() = validator;
    }

    /// What was asked for since the last time.
    pub fn hits(&self) -> Vec<(String, u16)> {
        std::mem::take(&mut self.state.hits.lock().unwrap())
    }

    /// Nobody listens any more.
    pub fn down(&mut self) {
        self.state.down.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// At the same address as before.
    pub fn up(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        self.state.down.store(false, Ordering::SeqCst);
        let state = self.state.clone();
        self.thread = Some(std::thread::spawn(move || {
            while !state.down.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let state = state.clone();
                        std::thread::spawn(move || drop(serve(&state, stream)));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }));
    }
}

impl Drop for WebCatalog {
    fn drop(&mut self) {
        self.down();
    }
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(1 << 16));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let (mut tag, mut since) = (None, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "if-none-match" => tag = Some(value.trim().to_owned()),
            "if-modified-since" => since = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let answer = state.answers.lock().unwrap().get(&path).cloned().unwrap_or(Answer::Status(404));
    let validator = *state.validator.lock().unwrap();
    let hit = |status| state.hits.lock().unwrap().push((path.clone(), status));
    let mut out = stream;
    let zeros = [b' '; 1 << 16];
    match answer {
        Answer::Text(text) => {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let etag = format!("\"{:x}\"", hasher.finish());
            let date = "Wed, 21 Oct 2015 07:28:00 GMT";
            let (known, says) = match validator {
                Validator::ETag => (tag.as_deref() == Some(&etag), format!("ETag: {etag}\r\n")),
                Validator::Date => (since.as_deref() == Some(date), format!("Last-Modified: {date}\r\n")),
                Validator::None => (false, String::new()),
            };
            if known {
                hit(304);
                return write!(out, "HTTP/1.1 304 Not Modified\r\n{says}Connection: close\r\n\r\n");
            }
            hit(200);
            let length = text.len();
            write!(out, "HTTP/1.1 200 OK\r\n{says}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}")
        }
        Answer::Status(status) => {
            hit(status);
            write!(out, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Redirect(to) => {
            hit(302);
            write!(out, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Answer::Huge => {
            hit(200);
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 1 << 30)?;
            (0..1 << 14).try_for_each(|_| out.write_all(&zeros))
        }
        Answer::Endless => {
            hit(200);
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
            (0..1 << 14).try_for_each(|_| {
                write!(out, "{:x}\r\n", zeros.len())?;
                out.write_all(&zeros)?;
                out.write_all(b"\r\n")
            })
        }
        Answer::Raw(bytes) => {
            hit(0);
            out.write_all(&bytes)
        }
    }
}
