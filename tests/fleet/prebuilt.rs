//! Programs that are published ready to run: loaded once, checked, and sent to all.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use sha2::{Digest as _, Sha256};

use crate::stage::{Ran, Stage};

/// Whatever lies in it is served, and everybody who asks is counted.
#[derive(Default)]
struct Shop {
    files: Mutex<HashMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

struct Server {
    shop: Arc<Shop>,
    port: u16,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (shop, port) = (Arc::new(Shop::default()), listener.local_addr().unwrap().port());
        let owned = shop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shop = owned.clone();
                std::thread::spawn(move || answer(stream, &shop));
            }
        });
        Self { shop, port }
    }

    fn put(&self, path: &str, content: impl Into<Vec<u8>>) -> String {
        let content = content.into();
        let sum = hex(&content);
        self.shop.files.lock().unwrap().insert(path.to_owned(), content);
        sum
    }

    /// How often a path was asked for since the last time.
    fn asked(&self, path: &str) -> usize {
        let mut asked = self.shop.asked.lock().unwrap();
        let count = asked.iter().filter(|asked| *asked == path).count();
        asked.retain(|asked| asked != path);
        count
    }
}

fn answer(mut stream: TcpStream, shop: &Shop) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while matches!(reader.read_line(&mut line), Ok(1..)) && !line.ends_with("\r\n\r\n") {}
    shop.asked.lock().unwrap().push(path.clone());
    if path.starts_with("/loop") {
        let head = b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(head);
        return;
    }
    let found = shop.files.lock().unwrap().get(&path).cloned();
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A recipe that counts its builds, and says where it is published.
fn recipe(stage: &Stage, entry: &str) -> String {
    let counter = stage.lab.dir().join("builds");
    let functions = format!(
        "build() {{ echo x >>{}; printf '#!/bin/sh\\necho built\\n' >tool; }}\n\
         package() {{ mkdir -p \"$pkgdir/usr/bin\"; install -m755 tool \"$pkgdir/usr/bin/tool\"; }}\n",
        counter.display()
    );
    let folder = stage.recipe("tool", &functions);
    let head = fs::read_to_string(format!("{folder}/worker.toml")).unwrap();
    stage.file("recipes/tool/worker.toml", head + entry);
    let info = "pkgbase = tool\n\tpkgver = 1.0\n\tpkgrel = 1\n\tarch = x86_64\n\tarch = aarch64\n\npkgname = tool\n";
    stage.file("recipes/tool/.SRCINFO", info);
    folder
}

fn builds(stage: &Stage) -> usize {
    fs::read_to_string(stage.lab.dir().join("builds")).map_or(0, |text| text.lines().count())
}

fn says(stage: &Stage, host: &str) -> String {
    let path = stage.bin(host).join("tool");
    match Command::new(path).arg("--version").output() {
        Ok(said) => String::from_utf8(said.stdout).unwrap().trim().to_owned(),
        Err(error) => error.to_string(),
    }
}

/// An archive of a program with its data, as releases have it.
fn release(stage: &Stage, version: &str) -> Vec<u8> {
    let name = format!("release/tool-{version}");
    let script = "#!/bin/sh\nwhere=$(readlink -f \"$0\")\nexec cat \"${where%/bin/*}/share/version\"\n";
    stage.file(&format!("{name}/bin/tool"), script);
    stage.file(&format!("{name}/share/version"), format!("tool {version}\n"));
    stage.file(&format!("{name}/README.md"), "read me");
    let mut tar = Command::new("tar");
    tar.args(["-czf", "-", "-C"]).arg(stage.lab.dir().join("release")).arg(format!("tool-{version}"));
    tar.output().unwrap().stdout
}

fn machine() -> String {
    format!("linux-{}", std::env::consts::ARCH)
}

#[track_caller]
fn error(ran: &Ran, host: &str) -> String {
    ran.host(host)["error"].as_str().unwrap_or_else(|| panic!("no error\n{ran}")).to_owned()
}

#[test]
fn one_download_serves_all_hosts_and_all_later_runs() {
    let hosts = ["one", "two", "three"];
    let stage = Stage::new(&hosts);
    let server = Server::new();
    let path = format!("/v1.0/tool-1.0-{}-cpu.tar.gz", machine());
    let sum = server.put(&path, release(&stage, "1.0"));
    let entry = format!(
        "[prebuilt]\nurl = \"http://127.0.0.1:{}/v{{version}}/{{name}}-{{version}}-{{os}}-{{arch}}-{{accelerator}}.tar.gz\"\n\
         sha256 = {{ \"{}-cpu\" = \"{sum}\" }}\n",
        server.port,
        machine()
    );
    let recipe = recipe(&stage, &entry);
    let plan = stage.rbee(&format!("fleet plan {recipe} --prebuilt -H all --output json")).exits(0).document();
    assert_eq!((&plan["hosts"][0]["plan"][0]["action"], server.asked(&path)), (&"prebuilt".into(), 0), "{plan}");
    let ran = stage.events(&format!("fleet install {recipe} --prebuilt -H all")).exits(0);
    for host in hosts {
        ran.outcome(host, "changed");
        assert_eq!(says(&stage, host), "tool 1.0");
        stage.is_clean(host, &ran);
    }
    assert_eq!((server.asked(&path), builds(&stage)), (1, 0), "{ran}");
    let ran = stage.events(&format!("fleet install {recipe} --prebuilt -H all")).exits(0);
    ran.outcome("three", "unchanged");
    let status = stage.rbee("fleet status -H one --output json").exits(0).document();
    let worker = &status["hosts"][0]["workers"][0];
    assert_eq!((&worker["state"], &worker["version"]), (&"intact".into(), &"1.0".into()), "{status}");
    // Another host, later: from the cache. A damaged one is loaded anew.
    stage.events("fleet remove tool -H two").exits(0);
    stage.events(&format!("fleet install {recipe} --prebuilt -H two")).exits(0).outcome("two", "changed");
    assert_eq!(server.asked(&path), 0);
    let kept = kept_files(&stage);
    fs::write(kept.iter().find(|path| path.ends_with("share/version")).unwrap(), "tool evil\n").unwrap();
    let ran = stage.events(&format!("fleet install {recipe} --prebuilt --reinstall -H two")).exits(0);
    ran.outcome("two", "changed");
    assert_eq!((server.asked(&path), says(&stage, "two").as_str()), (1, "tool 1.0"));
    // Never: it is built.
    stage.events(&format!("fleet install {recipe} --prebuilt=never -H two")).exits(0).outcome("two", "changed");
    assert_eq!((builds(&stage), says(&stage, "two").as_str()), (1, "built"));
    // What is kept can be seen, and can go.
    stage.rbee("cache list").exits(0).says("published programs: 1, ");
    let pruned = stage.rbee("cache prune --output json").exits(0).document();
    assert_eq!(pruned["stores"]["removed"][0]["store"], "prebuilt", "{pruned}");
    assert_eq!(kept_files(&stage), [] as [PathBuf; 0]);
}

fn kept_files(stage: &Stage) -> Vec<PathBuf> {
    fn walk(folder: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                walk(entry.path(), found);
            } else {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(stage.lab.home().join(".cache/rbee/prebuilt"), &mut found);
    found
}

#[test]
fn what_is_not_right_is_refused_and_nothing_is_kept() {
    let stage = Stage::new(&["one"]);
    let server = Server::new();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let good = server.put("/good", release(&stage, "1.0"));
    let wrong = "ab".repeat(32);
    let escape = server.put("/escape", tar_of("../../../escaped", b"x"));
    let text = server.put("/text", "no program at all\n");
    server.put("/sums", format!("{wrong}  other-1.tar.gz\n{wrong}  other-2.tar.gz\n"));
    let of = |path: &str, sum: &str| {
        format!("[prebuilt]\nurl = \"{}\"\nsha256 = {{ \"{}\" = \"{sum}\" }}\n", url(path), machine())
    };
    for (entry, code, said) in [
        (of("/good", &wrong), 1, format!("has sha256 {good}, not {wrong}")),
        (of("/missing", &wrong), 1, "the server says 404 Not Found".into()),
        (of("/loop", &wrong), 1, "it leads on and on".into()),
        (of("/escape", &escape), 1, "leads out of its folder".into()),
        (of("/text", &text), 1, "neither a program for Linux or macOS nor a script".into()),
        (
            format!("[prebuilt]\nurl = \"{}\"\nsha256 = {{ macos-aarch64 = \"{wrong}\" }}\n", url("/good")),
            5,
            format!("there is no prebuilt tool for {}-cpu, only for macos-aarch64", machine()),
        ),
        (format!("[prebuilt]\nurl = \"{}\"\n", url("/good")), 5, "neither a checksum nor a signature".into()),
        (
            format!("[prebuilt]\nurl = \"{}\"\nsha256_url = \"{}\"\n", url("/good"), url("/sums")),
            1,
            "has no checksum of good; it has other-1.tar.gz, other-2.tar.gz".into(),
        ),
        (
            format!("{}sigstore = {{ identity = \"me\", issuer = \"x\", root = \"absent\" }}\n", of("/good", &good)),
            5,
            "has no file absent, which its sigstore root is".into(),
        ),
        (String::new(), 5, "there is no prebuilt tool: its catalog entry names none".into()),
    ] {
        let recipe = recipe(&stage, &entry);
        let ran = stage.events(&format!("fleet install {recipe} --prebuilt -H one")).exits(code);
        assert!(error(&ran, "one").contains(&said), "{said}\n{ran}");
        assert!(!stage.bin("one").join("tool").exists() && builds(&stage) == 0, "{ran}");
        assert_eq!(kept_files(&stage), [] as [PathBuf; 0], "{said}");
        stage.is_clean("one", &ran);
    }
    assert!(!stage.lab.home().join("escaped").exists() && !stage.lab.dir().join("escaped").exists());
    // With prefer, the same is built, and it is said why.
    for (entry, said) in [
        (of("/missing", &wrong), "no prebuilt tool, so it is built: cannot get"),
        (of("/good", &wrong), "no prebuilt tool, so it is built: "),
        (String::new(), "its catalog entry names none"),
    ] {
        let recipe = recipe(&stage, &entry);
        let before = builds(&stage);
        let ran = stage.events(&format!("fleet install {recipe} --prebuilt=prefer --reinstall -H one")).exits(0);
        let ran = ran.says(said);
        assert_eq!((builds(&stage), says(&stage, "one").as_str()), (before + 1, "built"), "{ran}");
    }
    let half = recipe(&stage, &format!("{}sigstore = {{ identity = \"me\" }}\n", of("/good", &good)));
    stage.rbee(&format!("fleet install {half} --prebuilt -H one")).exits(2).says("needs an identity and an issuer");
    let recipe = recipe(&stage, "[prebuilt]\nurl = \"http://x/{nmae}\"\n");
    stage.rbee(&format!("fleet install {recipe} --prebuilt -H one")).exits(2).says("worker.toml:");
}

/// A tar with one file, whatever its name is.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut head = tar::Header::new_ustar();
    head.set_size(content.len() as u64);
    head.set_mode(0o755);
    head.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    head.set_cksum();
    builder.append(&head, content).unwrap();
    builder.into_inner().unwrap()
}

const PROGRAM: &str = "#!/bin/sh\necho \"tool 1.0\"\n";
const KEY: &str = "RWRvvgp4ub6Z8+X3dWkJN9AUIS4oFqTI3uE5Vr4Ajsie1PNS/9Xbw3PG";
/// Made by minisign, for exactly that program.
const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RURvvgp4ub6Z81R0PrY597INCQLxgqMXKkpwdsNyP7EkP4raV40UhAQYfpTshy9yg+ooMXWrge8XTUurkAod+WnxJMWfo0hr4AQ=
trusted comment: tool 1.0
w77XF5VEp5Kek8VGgRaEtTKAut/W/TNjFTA534gKXZGkj9LXP/BYTSuneUY0brRGVRY+G5+/jf5mtmbWiHksAA==
";

#[test]
fn a_signature_is_enough_and_a_wrong_one_is_not() {
    let stage = Stage::new(&["one"]);
    let server = Server::new();
    server.put("/tool", PROGRAM);
    server.put("/tool.minisig", SIGNATURE);
    let signed =
        |key: &str| format!("[prebuilt]\nurl = \"http://127.0.0.1:{}/tool\"\nminisign = \"{key}\"\n", server.port);
    let install = |entry: &str, code| {
        let recipe = recipe(&stage, entry);
        stage.events(&format!("fleet install {recipe} --prebuilt --reinstall -H one")).exits(code)
    };
    install(&signed(KEY), 0).outcome("one", "changed");
    assert_eq!((says(&stage, "one").as_str(), server.asked("/tool"), builds(&stage)), ("tool 1.0", 1, 0));
    install(&signed(KEY), 0);
    assert_eq!(server.asked("/tool"), 0, "it is known by its signature");

    // Other bytes under the same signature, from a cache that is empty.
    fs::remove_dir_all(stage.lab.home().join(".cache/rbee/prebuilt")).unwrap();
    server.put("/tool", format!("{PROGRAM}echo evil\n"));
    let ran = install(&signed(KEY), 1);
    assert!(error(&ran, "one").contains("/tool is not right"), "{ran}");
    server.put("/tool", PROGRAM);
    server.put("/tool.minisig", SIGNATURE.replacen("tool 1.0", "tool 2.0", 1));
    let ran = install(&signed(KEY), 1);
    assert!(error(&ran, "one").contains("is not right"), "{ran}");
    server.put("/tool.minisig", "nonsense");
    assert!(error(&install(&signed(KEY), 1), "one").contains("is not right"));
    server.put("/tool.minisig", SIGNATURE);
    let other = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    assert!(error(&install(&signed(other), 1), "one").contains("is not right"));
    assert!(error(&install(&signed("nonsense"), 1), "one").contains("is not right"));
    assert_eq!((kept_files(&stage), builds(&stage)), (Vec::new(), 0));
    // A checksum does not make up for a wrong signature.
    server.put("/tool.minisig", "nonsense");
    let both = format!("{}sha256 = {{ \"{}\" = \"{}\" }}\n", signed(KEY), machine(), hex(PROGRAM.as_bytes()));
    assert!(error(&install(&both, 1), "one").contains("is not right"));
    server.put("/tool.minisig", SIGNATURE);
    install(&both, 0);
}

#[test]
fn a_bundle_of_sigstore_is_checked_to_its_root_without_any_network() {
    let stage = Stage::new(&["one"]);
    let server = Server::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigstore");
    let bundle = fs::read(data.join("bundle.json")).unwrap();
    server.put("/tool", PROGRAM);
    server.put("/tool.sigstore.json", bundle.clone());
    let install = |identity: &str, root: bool, code| {
        let root = if root { ", root = \"trusted_root.json\"" } else { "" };
        let entry = format!(
            "[prebuilt]\nurl = \"http://127.0.0.1:{}/tool\"\n\
             sigstore = {{ identity = \"{identity}\", issuer = \"https://accounts.example.org\"{root} }}\n",
            server.port
        );
        let recipe = recipe(&stage, &entry);
        fs::copy(data.join("trusted_root.json"), Path::new(&recipe).join("trusted_root.json")).unwrap();
        stage.events(&format!("fleet install {recipe} --prebuilt --reinstall -H one")).exits(code)
    };
    // Another signer, and an authority that sigstore does not know.
    for (identity, root) in [("evil@example.org", true), ("release@example.org", false)] {
        let ran = install(identity, root, 1);
        assert!(
            error(&ran, "one").contains("the signature of") && error(&ran, "one").contains("is not right"),
            "{ran}"
        );
    }
    assert_eq!((kept_files(&stage), builds(&stage)), (Vec::new(), 0));
    install("release@example.org", true, 0).outcome("one", "changed");
    assert_eq!((says(&stage, "one").as_str(), builds(&stage)), ("tool 1.0", 0));
    // Known by its bundle from then on; and not by another one.
    server.asked("/tool");
    install("release@example.org", true, 0);
    assert_eq!(server.asked("/tool"), 0);
    fs::remove_dir_all(stage.lab.home().join(".cache/rbee/prebuilt")).unwrap();
    server.put("/tool", format!("{PROGRAM}echo evil\n"));
    assert!(error(&install("release@example.org", true, 1), "one").contains("is not right"));
    server.put("/tool", PROGRAM);
    for nonsense in [Vec::new(), b"{}".to_vec(), vec![b'['; 300_000]] {
        server.put("/tool.sigstore.json", nonsense);
        install("release@example.org", true, 1);
        assert_eq!(kept_files(&stage), [] as [PathBuf; 0]);
    }
}
