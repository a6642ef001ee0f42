//! A worker without a model: answers every prompt with the prompt.
//!
//! It stands in for a real inference server wherever only the way there is of interest: trying rbee, tests, new hosts.
//! One thread a connection, at most 64 of them; requests are bounded in size and time.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const VERSION: &str = "echo-worker 0.1.0";
const USAGE: &str = "usage: echo-worker [--model PATH] [--host ADDRESS] [--port PORT] [--version] [--help]";
const CONNECTIONS: usize = 64;
const LINE_BYTES: u64 = 8 << 10;
const HEADER_LINES: usize = 100;
const BODY_BYTES: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

struct Options {
    address: SocketAddr,
    model: String,
}

fn main() -> ExitCode {
    let options = match parse(env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned())) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("echo-worker: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-worker: cannot listen on {}: {error}", options.address);
            ExitCode::FAILURE
        }
    }
}

/// `None` when the arguments only asked for a text.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let (mut host, mut port, mut model) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 8080, None);
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (argument, None),
        };
        let mut value = || inline.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--version" | "-V" => {
                println!("{VERSION}");
                return Ok(None);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(None);
            }
            "--model" | "-m" => model = Some(value()?),
            "--host" => {
                let text = value()?;
                let text = if text == "localhost" { "127.0.0.1" } else { &text };
                host = text.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
            }
            "--port" => {
                let text = value()?;
                port = text.parse().map_err(|_| format!("{text:?} is not a port"))?;
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    if let Some(path) = &model {
        std::fs::File::open(path).map_err(|error| format!("cannot read the model {path:?}: {error}"))?;
    }
    let model = model.unwrap_or_else(|| "echo".to_owned());
    Ok(Some(Options { address: SocketAddr::new(host, port), model }))
}

fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind(options.address)?;
    // The port may have been 0: this line says which one it became.
    eprintln!("echo-worker: listening on http://{}", listener.local_addr()?);
    let open = Arc::new(AtomicUsize::new(0));
    let model: Arc<str> = options.model.as_str().into();
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: some connection will end.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let (open, model) = (open.clone(), model.clone());
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            let _ = answer(&stream, &Reply::error(503, "too many connections"), false);
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let guard = Guard(open);
        // A thread that cannot be started drops its closure, and with it guard and connection.
        let _ = thread::Builder::new().spawn(move || {
            let _guard = guard;
            let _ = converse(&stream, &model);
        });
    }
}

struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
    keep_alive: bool,
}

struct Reply {
    status: u16,
    body: String,
}

impl Reply {
    fn error(status: u16, what: &str) -> Self {
        Self { status, body: format!("{{\"error\":{{\"message\":{}}}}}", quote(what)) }
    }
}

fn converse(stream: &TcpStream, model: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        match read_request(&mut reader)? {
            None => return Ok(()),
            Some(Err(refusal)) => return answer(stream, &refusal, false),
            Some(Ok(request)) => {
                answer(stream, &reply_to(&request, model), request.keep_alive)?;
                if !request.keep_alive {
                    return Ok(());
                }
            }
        }
    }
}

/// `None` when the client has nothing more to say.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Result<Request, Reply>>> {
    let refuse = |status, what| Ok(Some(Err(Reply::error(status, what))));
    let Some(first) = read_line(reader)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path), Some(protocol), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return refuse(400, "not an HTTP request line");
    };
    if !protocol.starts_with("HTTP/1.") || !path.starts_with('/') {
        return refuse(400, "not an HTTP/1 request");
    }
    let mut keep_alive = protocol == "HTTP/1.1";
    let mut length = 0;
    for count in 0.. {
        let Some(line) = read_line(reader)? else { return refuse(400, "the request ends within its headers") };
        if line.is_empty() {
            break;
        }
        if count == HEADER_LINES {
            return refuse(431, "too many headers");
        }
        let Some((name, value)) = line.split_once(':') else { return refuse(400, "not a header") };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => match value.parse() {
                Ok(bytes) => length = bytes,
                Err(_) => return refuse(400, "bad Content-Length"),
            },
            "transfer-encoding" => return refuse(411, "send a Content-Length"),
            "connection" if value.eq_ignore_ascii_case("close") => keep_alive = false,
            _ => {}
        }
    }
    if length > BODY_BYTES {
        return refuse(413, "the body is larger than 1 MiB");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Ok(Request { method: method.to_owned(), path: path.to_owned(), body, keep_alive })))
}

/// A line without its end; `None` at the end of the stream. Longer lines and other bytes than UTF-8 come back cut or
/// marked, so that the request is refused for what it then is.
fn read_line(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        return Ok(Some("line too long or cut off".to_owned()));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn reply_to(request: &Request, model: &str) -> Reply {
    let path = request.path.split('?').next().unwrap_or_default();
    match (request.method.as_str(), path) {
        ("GET", "/health") => Reply { status: 200, body: "{\"status\":\"ok\"}".to_owned() },
        ("POST", "/v1/completions") => {
            let Ok(text) = std::str::from_utf8(&request.body) else { return Reply::error(400, "the body is not UTF-8") };
            match prompt_of(text) {
                Ok(prompt) => completion(model, &prompt),
                Err(what) => Reply::error(400, what),
            }
        }
        (_, "/health" | "/v1/completions") => Reply::error(405, "method not allowed"),
        _ => Reply::error(404, "no such path"),
    }
}

fn completion(model: &str, prompt: &str) -> Reply {
    let tokens = prompt.split_whitespace().count();
    Reply {
        status: 200,
        body: format!(
            "{{\"id\":\"cmpl-echo\",\"object\":\"text_completion\",\"model\":{},\"choices\":[{{\"index\":0,\"text\":{},\
             \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{tokens},\"completion_tokens\":{tokens},\
             \"total_tokens\":{}}}}}",
            quote(model),
            quote(prompt),
            2 * tokens
        ),
    }
}

fn answer(mut stream: &TcpStream, reply: &Reply, keep_alive: bool) -> io::Result<()> {
    let reason = match reply.status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let text = format!(
        "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{}",
        reply.status,
        reply.body.len(),
        reply.body
    );
    stream.write_all(text.as_bytes())
}

fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The string under `"prompt"` of a JSON object; everything else in it is read and left alone.
fn prompt_of(text: &str) -> Result<String, &'static str> {
    let mut json = Json { rest: text, depth: 0 };
    json.expect('{')?;
    let mut prompt = None;
    if !json.eat('}') {
        loop {
            let key = json.string()?;
            json.expect(':')?;
            if key == "prompt" {
                prompt = Some(json.string().map_err(|_| "\"prompt\" is not a string")?);
            } else {
                json.skip()?;
            }
            if !json.eat(',') {
                break;
            }
        }
        json.expect('}')?;
    }
    if !json.rest.trim().is_empty() {
        return Err("something follows the JSON object");
    }
    prompt.ok_or("\"prompt\" is missing")
}

struct Json<'a> {
    rest: &'a str,
    depth: usize,
}

const NOT_JSON: &str = "the body is not a JSON object";

impl Json<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), &'static str> {
        if self.eat(wanted) { Ok(()) } else { Err(NOT_JSON) }
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.expect('"')?;
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or(NOT_JSON)? {
                '"' => break,
                '\\' => out.push(match chars.next().ok_or(NOT_JSON)? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => unicode(&mut chars)?,
                    c @ ('"' | '\\' | '/') => c,
                    _ => return Err(NOT_JSON),
                }),
                c if c < ' ' => return Err(NOT_JSON),
                c => out.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(out)
    }

    fn skip(&mut self) -> Result<(), &'static str> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("the JSON is nested too deeply");
        }
        if self.eat('{') {
            if !self.eat('}') {
                loop {
                    self.string()?;
                    self.expect(':')?;
                    self.skip()?;
                    if !self.eat(',') {
                        break;
                    }
                }
                self.expect('}')?;
            }
        } else if self.eat('[') {
            if !self.eat(']') {
                loop {
                    self.skip()?;
                    if !self.eat(',') {
                        break;
                    }
                }
                self.expect(']')?;
            }
        } else if self.rest.starts_with('"') {
            self.string()?;
        } else {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
            let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            if !matches!(word, "true" | "false" | "null") && word.parse::<f64>().is_err() {
                return Err(NOT_JSON);
            }
            self.rest = rest;
        }
        self.depth -= 1;
        Ok(())
    }
}

/// The character after `\u`, of one escape or of a pair of surrogates.
fn unicode(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    let first = code_unit(chars)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).ok_or(NOT_JSON);
    }
    if chars.next() != Some('\\') || chars.next() != Some('u') {
        return Err(NOT_JSON);
    }
    let second = code_unit(chars)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(NOT_JSON);
    }
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(NOT_JSON)
}

fn code_unit(chars: &mut std::str::Chars<'_>) -> Result<u32, &'static str> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next().and_then(|c| c.to_digit(16)).ok_or(NOT_JSON)?;
    }
    Ok(unit)
}
