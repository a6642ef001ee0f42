//! Hubs that lie, loop and never end, and caches in which something is in the way.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha1::Digest as _;

use crate::{
    fleet::{cache, programs, sandbox, words},
    stage::{Ran, Stage, files, sound_blobs},
    stops::blob_of,
};

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// A request: its path with the query, and its headers with their names in small letters.
struct Asked {
    path: String,
    headers: HashMap<String, String>,
}

/// Answers each connection once with whatever `say` makes of it, and goes on for as long as the test lives.
fn server(say: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let say = Arc::new(say);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let say = say.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { return };
                let pair = |line: String| {
                    let (name, value) = line.split_once(':')?;
                    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
                };
                let headers = lines.take_while(|line| !line.is_empty()).filter_map(pair).collect();
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                say(&Asked { path, headers }, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Write);
                // What is closed with something unread is reset.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = stream.read(&mut [0; 64]);
            });
        }
    });
    address
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn json_answer(stream: &mut TcpStream, headers: &str, body: &Value) {
    answer(stream, "200 OK", &format!("content-type: application/json\r\n{headers}"), body.to_string().as_bytes());
}

fn git_sha1(bytes: &[u8]) -> String {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hub with one repository `a/b`; what its tree says is given, and `say` answers whatever is neither info nor tree.
fn hub(tree: Value, say: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> String {
    server(move |asked, stream| {
        if asked.path.contains("/revision/") {
            json_answer(stream, "", &json!({ "id": "a/b", "sha": COMMIT, "gated": false, "siblings": [] }));
        } else if asked.path.contains("/tree/") {
            json_answer(stream, "", &tree);
        } else {
            say(asked, stream);
        }
    })
}

fn small(path: &str, text: &str) -> Value {
    json!({ "type": "file", "oid": git_sha1(text.as_bytes()), "size": text.len(), "path": path })
}

fn large(path: &str, size: u64) -> Value {
    let oid = "a".repeat(64);
    json!({ "type": "file", "oid": "0".repeat(40), "size": size, "path": path, "lfs": { "oid": oid, "size": size } })
}

fn download(stage: &Stage, endpoint: &str, flags: &str) -> Ran {
    let mut command = stage.command(&format!("model download a/b {flags}"));
    let ran = Ran(command.env("HF_ENDPOINT", endpoint).output().unwrap());
    assert!(!ran.to_string().contains('\u{1b}'), "a control character came through: {ran}");
    ran
}

#[test]
fn a_tree_that_lies_is_refused_before_anything_is_made() {
    let stage = Stage::new(&[]);
    let nothing = |_: &Asked, stream: &mut TcpStream| answer(stream, "500 No", "", b"");
    for path in ["../../../x", "/etc/x", "a/../../x", "x\u{1b}[2Jy", "x\ny", "x\\y", ""] {
        let endpoint = hub(json!([small(path, "x"), small("ok", "y")]), nothing);
        download(&stage, &endpoint, "").exits(5).says("has a file");
    }
    let endpoint = hub(json!([small("a", "x"), small("a/b", "y")]), nothing);
    download(&stage, &endpoint, "").exits(5).says("twice");
    let endpoint = hub(json!([large("a", u64::MAX), large("b", u64::MAX)]), nothing);
    download(&stage, &endpoint, "--force-disk").exits(5).says("which cannot be");
    let endpoint = hub(json!([{ "type": "file", "oid": "../../x", "size": 1, "path": "a" }]), nothing);
    download(&stage, &endpoint, "").exits(5).says("a hash that is none");
    assert_eq!(files(stage.dir.path()).iter().filter(|path| path.ends_with("x")).count(), 0);
    assert!(!stage.cache().exists());
}

#[test]
fn what_has_no_end_ends() {
    let stage = Stage::new(&[]);
    let info = |stream: &mut TcpStream| json_answer(stream, "", &json!({ "id": "a/b", "sha": COMMIT }));
    // Page after page, each with the address of the next.
    let pages = server(move |asked, stream| match asked.path.contains("/tree/") {
        true => json_answer(stream, &format!("link: <{}>; rel=\"next\"\r\n", asked.path), &json!([])),
        false => info(stream),
    });
    download(&stage, &pages, "").exits(5).says("a list of files without an end");
    // From one address to the next.
    let turns = server(|asked, stream| answer(stream, "307 On", &format!("location: {}\r\n", asked.path), b""));
    download(&stage, &turns, "").exits(5);
    let turns = server(move |asked, stream| match asked.path.contains("/tree/") {
        true => answer(stream, "307 On", &format!("location: {}\r\n", asked.path), b""),
        false => info(stream),
    });
    download(&stage, &turns, "").exits(5).says("leads from one address to the next");
    let turn = |asked: &Asked, stream: &mut TcpStream| {
        answer(stream, "302 On", &format!("location: {}\r\n", asked.path), b"");
    };
    download(&stage, &hub(json!([large("m", 9_000_000)]), turn), "")
        .exits(5)
        .says("leads from one address to the next");
    download(&stage, &hub(json!([small("s", "x")]), turn), "").exits(5).says("leads from one address to the next");
    // Elsewhere, where this machine's token must not go.
    let away = server(move |asked, stream| match asked.path.contains("/tree/") {
        true => json_answer(stream, "link: <http://127.0.0.1:9/x>; rel=\"next\"\r\n", &json!([])),
        false => info(stream),
    });
    download(&stage, &away, "").exits(5).says("goes on at another address");
    // An answer that goes on and on.
    let endless = server(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n[\"");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    download(&stage, &endless, "").exits(5).says("an answer without an end");
}

#[test]
fn a_small_file_that_is_a_page_is_none() {
    let stage = Stage::new(&[]);
    let page = |_: &Asked, stream: &mut TcpStream| answer(stream, "200 OK", "", b"<html>log in</html>");
    let started = Instant::now();
    download(&stage, &hub(json!([small("config.json", "{}")]), page), "")
        .says("came twice with bytes that are not the hub's");
    assert!(started.elapsed() < Duration::from_secs(40), "a wrong file was asked for again and again");
    assert_eq!(sound_blobs(&stage.cache()), 0);
}

/// Takes `%2F` and its like back.
fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || (bytes.next().unwrap() as char).to_digit(16).unwrap() as u8;
        out.push(if byte == b'%' { digit() * 16 + digit() } else { byte });
    }
    out
}

#[test]
fn names_are_taken_as_they_are() {
    let stage = Stage::new(&[]);
    let names = [" begins", "ends ", "a  b/ c ", "-rf", "$(x) `y` ;'\"", "*", "ü \u{1f41d}", "s.0", ".rbee"];
    let tree: Vec<Value> = names.iter().map(|name| small(name, name)).collect();
    let endpoint = hub(json!(tree), move |asked, stream| {
        let path = asked.path.split(&format!("{COMMIT}/")).nth(1).unwrap_or_default();
        answer(stream, "200 OK", "", &decoded(path));
    });
    download(&stage, &endpoint, "").exits(0);
    let snapshot = stage.cache().join("models--a--b/snapshots").join(COMMIT);
    for name in names {
        assert_eq!(fs::read_to_string(snapshot.join(name)).unwrap_or_default(), name);
    }
    download(&stage, &endpoint, "").exits(0).says("unchanged");
    let get = |words: &str| Ran(stage.command(words).output().unwrap());
    get("model verify").exits(0).says("9 blobs hold");
    get("model remove a/b").exits(0);
    assert!(!stage.cache().join("models--a--b").exists());
}

/// A hub whose large file is at its own address, sent by `say`.
fn sends(size: u64, say: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> String {
    hub(json!([large("m.bin", size)]), say)
}

#[test]
fn more_than_was_asked_for_is_not_kept() {
    let stage = Stage::new(&[]);
    // The right range in its header, and bytes without an end.
    let endpoint = sends(20_000_000, |asked, stream| {
        let range = asked.headers.get("range").map(|range| range.replace("bytes=", "bytes "));
        let Some(range) = range else { return answer(stream, "200 OK", "", b"") };
        let head = format!("HTTP/1.1 206 Some\r\ncontent-range: {range}/20000000\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(&[7; 65536]).is_ok() {}
    });
    let ran = download(&stage, &endpoint, "--connections 2").exits(1).says("m.bin could not be fetched");
    let bytes: u64 = files(&stage.cache()).iter().map(|path| fs::symlink_metadata(path).unwrap().len()).sum();
    assert!(bytes < 45_000_000, "{bytes} bytes are on the disk\n{ran}");
    assert_eq!(sound_blobs(&stage.cache()), 0);
}

#[test]
fn a_length_that_is_not_the_files_is_seen() {
    let stage = Stage::new(&[]);
    let other = |_: &Asked, stream: &mut TcpStream| {
        let etag = "a".repeat(64);
        let headers = format!("location: http://127.0.0.1:9/x\r\nx-linked-etag: \"{etag}\"\r\nx-linked-size: 7\r\n");
        answer(stream, "302 On", &headers, b"");
    };
    download(&stage, &sends(20_000_000, other), "").exits(5).says("is another file now");
    // Shorter than promised, again and again.
    let short = |asked: &Asked, stream: &mut TcpStream| match asked.headers.get("range") {
        Some(_) => answer(stream, "206 Some", "content-range: bytes 0-9/10\r\n", &[0; 10]),
        None => answer(stream, "200 OK", "", b""),
    };
    download(&stage, &sends(20_000_000, short), "").exits(1).says("sends a page instead of it");
    assert_eq!(sound_blobs(&stage.cache()), 0);
}

/// The folder of a repository that was fetched and of which this was taken away again.
fn without(stage: &Stage, what: impl Fn(&PathBuf) -> bool) -> PathBuf {
    stage.rbee("model download rbee/safetensors").exits(0);
    let path = files(&stage.cache()).into_iter().find(what).unwrap();
    fs::remove_file(&path).unwrap();
    path
}

#[test]
fn what_is_in_the_way_is_named_or_replaced() {
    let stage = Stage::new(&[]);
    let blob = |path: &PathBuf| path.parent().unwrap().ends_with("blobs") && path.file_name().unwrap().len() == 64;
    let link = |path: &PathBuf| path.ends_with("config.json");
    let reference = |path: &PathBuf| path.ends_with("refs/main");
    for what in [&blob as &dyn Fn(&PathBuf) -> bool, &link, &reference] {
        let path = without(&stage, what);
        fs::create_dir(&path).unwrap();
        let ran = stage.rbee("model download rbee/safetensors").exits(1).says("a folder is in the way");
        assert_eq!(files(&path), [] as [PathBuf; 0], "{ran}");
        fs::remove_dir(&path).unwrap();
        // A link, to nowhere or to a folder, is replaced and not followed.
        for to in ["/nowhere/at/all", stage.dir.path().to_str().unwrap()] {
            let elsewhere = fs::read_dir(stage.dir.path()).unwrap().count();
            let path = without(&stage, what);
            symlink(to, &path).unwrap();
            let ran = stage.rbee("model download rbee/safetensors").exits(0);
            assert_eq!(sound_blobs(&stage.cache()), 7, "{ran}");
            assert!(fs::metadata(&path).unwrap().is_file(), "{}\n{ran}", path.display());
            assert_eq!(fs::read_dir(stage.dir.path()).unwrap().count(), elsewhere, "{ran}");
        }
    }
    stage.rbee("model verify").exits(0);
}

#[test]
fn locks_of_others_are_kept_and_broken_ones_hold_nobody_up() {
    let stage = Stage::new(&[]);
    let repo = "models--sized--9MB";
    // As the hub's own clients do it.
    let locks = stage.cache().join(".locks").join(repo);
    fs::create_dir_all(&locks).unwrap();
    let blob = blob_of(&stage, "sized/9MB");
    let lock = fs::File::create(locks.join(format!("{blob}.lock"))).unwrap();
    lock.lock().unwrap();
    let child = stage.start("model download sized/9MB");
    // The small file is there long before; nothing of the large one comes as long as the lock is held.
    crate::support::eventually_sync("the lease", || stage.hub.asked().iter().any(|asked| asked.method == "HEAD"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stage.hub.sent(), 0);
    // What that client leaves has the right length, and nobody has looked at more.
    fs::write(stage.cache().join(repo).join("blobs").join(&blob), vec![0; 9_000_000]).unwrap();
    lock.unlock().unwrap();
    let ran = Ran(child.wait_with_output().unwrap()).exits(0);
    ran.says("another client of the hub is fetching it already").says("its digest is");
    assert_eq!(sound_blobs(&stage.cache()), 2);
    // A file system without locks.
    let sandbox = sandbox(&stage, 1);
    let path = programs(&stage.dir.path().join("bin"), &[], &[("flock", "#!/bin/sh\nexit 71\n")]);
    sandbox_env(&sandbox, &format!("PATH = \"{path}\""));
    stage.rbee(&words(&sandbox, "download sized/9MB")).exits(0);
    // One without symbolic links.
    let text = "#!/bin/sh\ncase $1 in -s*) echo 'ln: not permitted' >&2; exit 1 ;; esac\nexec /bin/ln \"$@\"\n";
    let path = programs(&stage.dir.path().join("linkless"), &[], &[("ln", text)]);
    sandbox_env(&sandbox, &format!("PATH = \"{path}\""));
    let sent = stage.hub.sent();
    for model in ["sized/8MB", "rbee/many"] {
        stage.rbee(&words(&sandbox, &format!("download {model}"))).exits(1).says("no symbolic links can be made");
    }
    assert_eq!(stage.hub.sent(), sent, "it was fetched for nothing");
    assert_eq!(sound_blobs(&cache(&sandbox, "sandbox-1")), 2);
    stage.runtime.block_on(sandbox.shutdown());
}

fn sandbox_env(sandbox: &rbee::sandbox::Sandbox, env: &str) {
    let inventory = sandbox.dir().join("inventory.toml");
    let text: String = fs::read_to_string(&inventory)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("env = "))
        .map(|line| match line.starts_with("[hosts.") {
            true => format!("{line}\nenv = {{ {env} }}\n"),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(inventory, text).unwrap();
}
