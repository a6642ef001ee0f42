//! HTTP catalogs: what they offer is had, what they try is said, and what was had stays.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    stage::{Ran, Stage},
    web::{Answer, Validator, WebCatalog},
};

fn pkgbuild(version: &str) -> String {
    format!(
        "pkgname=tool\npkgver={version}\npkgrel=1\narch=('x86_64' 'aarch64')\nlicense=('MIT')\nsource=('words')\n\
         sha256sums=('SKIP')\n\
         package() {{ mkdir -p \"$pkgdir/usr/bin\"; {{ echo '#!/bin/sh'; echo \"echo $(cat words) {version}\"; }} \
         >\"$pkgdir/usr/bin/tool\"; chmod 755 \"$pkgdir/usr/bin/tool\"; }}\n"
    )
}

fn entry(version: &str) -> Value {
    json!({
        "id": "tool", "implementation": "rust", "worker_type": "cpu", "version": version, "platforms": ["linux"],
        "architectures": ["x86_64", "aarch64"], "name": "Tool", "description": "says words", "license": "MIT",
        "pkgbuild_url": "/workers/tool/PKGBUILD", "build_system": "make",
        "source": { "type": "git", "url": "https://git.example/tool.git", "branch": "main", "path": "tool" },
        "build": { "features": ["loud"], "profile": "release", "flags": ["-x"] }, "depends": ["glibc"], "makedepends": ["bash"],
        "binary_name": "tool", "install_path": "/usr/bin/tool", "supported_formats": ["gguf"],
        "max_context_length": 4096, "supports_streaming": true, "supports_batching": false,
        "homepage": "https://tool.example", "files": ["words"],
    })
}

fn publish(web: &WebCatalog, version: &str) {
    web.text("/workers", json!({ "workers": [entry(version)] }));
    web.text("/workers/tool", entry(version));
    web.text("/workers/tool/PKGBUILD", pkgbuild(version));
    web.text("/workers/tool/words", "hello");
}

impl Stage {
    fn with(&self, web: &WebCatalog, after: &str) -> Ran {
        self.rbee(&format!("--catalog {} {after}", web.url()))
    }

    /// Every file of the controller that is no log, no lock and no copy of a catalog.
    fn others(&self) -> BTreeSet<PathBuf> {
        let copies = self.home("local").join(".cache/rbee/catalogs");
        let files = self.files("local").into_keys();
        files.filter(|path| !path.starts_with(&copies) && !path.to_str().unwrap().contains("/.local/state/")).collect()
    }
}

#[test]
fn a_worker_is_had_over_http_and_without_it() {
    let stage = Stage::new(&["one"]);
    let mut web = WebCatalog::new();
    publish(&web, "1.0");
    let ran = stage.with(&web, "--output json fleet worker install tool -H one --build host").exits(0);
    ran.outcome("one", "changed");
    assert!(!ran.stderr.contains("over http"), "loopback needs no warning\n{ran}");
    let program = stage.bin("one").join("tool");
    let said = std::process::Command::new(&program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "hello 1.0\n");
    let status = stage.rbee("--output json fleet status -H one").exits(0).document();
    assert_eq!(status["hosts"][0]["workers"][0]["origin"], format!("{}/workers/tool", web.url()));

    let paths =
        |hits: Vec<(String, u16)>| hits.iter().map(|(path, status)| format!("{path} {status}")).collect::<Vec<_>>();
    let all = ["/workers", "/workers/tool", "/workers/tool/PKGBUILD", "/workers/tool/words"];
    assert_eq!(paths(web.hits()), all.map(|path| format!("{path} 200")));
    let again = |status| {
        stage.with(&web, "--output json fleet install tool -H one").exits(0).outcome("one", "unchanged");
        assert_eq!(paths(web.hits()), all.map(|path| format!("{path} {status}")));
    };
    again(304);
    web.validator(Validator::Date);
    // The copies know no date yet.
    again(200);
    again(304);
    web.validator(Validator::ETag);

    // A newer worker needs no newer rbee.
    publish(&web, "2.0");
    stage.with(&web, "--output json fleet install tool -H one").exits(0).outcome("one", "changed");
    web.hits();
    web.down();
    let away = stage.with(&web, "--output json fleet install tool -H one").exits(0).says("its copy of ");
    away.outcome("one", "unchanged");
    let away = stage.with(&web, "--output json fleet install tool -H one --reinstall --build host").exits(0);
    away.outcome("one", "changed");
    let listed = stage.with(&web, "worker available").exits(0).says("cannot be reached");
    assert!(listed.stdout.contains("says words"), "{listed}");
    // What was never had cannot be had now.
    stage.rbee("--catalog http://127.0.0.1:1 worker available").exits(2).says("there is no copy of it");
    // What answers in its place, as a portal does, is not taken for it.
    web.up();
    web.text("/workers", "<html><body>please log in</body></html>");
    stage.with(&web, "worker available").exits(0).says("is a web page").says("its copy of ").says("says words");
    publish(&web, "2.0");
    let back = stage.with(&web, "worker available").exits(0);
    assert!(!back.stderr.contains("copy"), "{back}");
}

#[test]
fn a_hostile_list_is_a_sentence_and_leaves_nothing() {
    let stage = Stage::new(&[]);
    let before = stage.others();
    let web = WebCatalog::new();
    let url = web.url();
    web.put("/circle", Answer::Redirect("/workers".into()));
    for hop in 0..9 {
        web.put(&format!("/hop{hop}"), Answer::Redirect(format!("{url}/hop{}", hop + 1)));
    }
    let raw = |text: &str| Answer::Raw(text.as_bytes().to_vec());
    for (answer, said) in [
        (Answer::Status(404), "answered 404"),
        (Answer::Status(500), "answered 500"),
        (Answer::Text("<!DOCTYPE html>".into()), "is a web page, not JSON"),
        (Answer::Text("{".into()), "is not JSON"),
        (Answer::Text("{\"workers\": 1}".into()), "no \"workers\""),
        (Answer::Text("[".repeat(200_000)), "is not JSON"),
        (Answer::Redirect("/circle".into()), "redirects in a circle"),
        (Answer::Redirect("/hop0".into()), "redirects more than 5 times"),
        (Answer::Redirect("file:///etc/passwd".into()), "which is not followed"),
        (Answer::Redirect("http://me:secret@127.0.0.1/".into()), "which is not followed"),
        (Answer::Huge, "is larger than 4.2 MB"),
        (Answer::Endless, "is larger than 4.2 MB"),
        (raw("\u{1b}[2J\u{1b}[31mgarbage\r\n\r\n"), "/workers: "),
        (raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]"), "broke off"),
        (raw(""), "/workers: "),
    ] {
        web.put("/workers", answer);
        let ran = stage.with(&web, "worker available").exits(2).says(said).says("there is no copy of it");
        let talk = ran.stderr.lines().count();
        assert!(ran.stdout.is_empty() && talk <= 3 && !ran.stderr.contains('\u{1b}'), "{ran}");
    }
    assert_eq!(stage.others(), before);
    stage.rbee("--catalog https://me:secret@127.0.0.1/ worker available").exits(2).says("login");
    stage.rbee("--catalog ./absent worker available").exits(2).says("cannot read ./absent");
}

#[test]
fn a_hostile_entry_leaves_itself_out() {
    let stage = Stage::new(&[]);
    let before = stage.others();
    let web = WebCatalog::new();
    publish(&web, "1.0");
    let bad = |id: &str, key: &str, value: Value| {
        let mut bad = entry("1.0");
        bad["id"] = id.into();
        bad[key] = value;
        bad
    };
    let mut odd = entry("1.0");
    odd["id"] = "odd".into();
    odd["note"] = "\u{9b}31m\u{202e}".into();
    web.text(
        "/workers",
        json!({ "workers": [
            bad("../../x", "name", "x".into()),
            bad("/etc/cron.d/x", "name", "x".into()),
            bad("red", "name", "\u{1b}[31mred\nrbee: all is well".into()),
            bad("path", "files", json!(["../../../.bashrc"])),
            bad("gpu", "worker_type", "quantum".into()),
            entry("1.0"), entry("9.9"), odd, 7,
        ]}),
    );
    let ran = stage.with(&web, "worker available").exits(0);
    assert!(ran.stdout.contains("tool") && !ran.stdout.contains("red") && !ran.stderr.contains('\u{1b}'), "{ran}");
    for said in
        ["\"../../x\"", "\"/etc/cron.d/x\"", "\"red\"", "\"path\"", "quantum", "is there twice", "not an object"]
    {
        assert!(ran.stderr.contains(said), "{said}\n{ran}");
    }
    stage.with(&web, "worker get red").exits(2).says("it was left out: ").says("control characters");
    let ran = stage.with(&web, "--output json worker available").exits(0);
    assert!(!ran.stdout.contains('\u{9b}') && ran.stdout.contains("\\u009b31m\\u202e"), "{ran}");
    assert_eq!(ran.document()["problems"].as_array().unwrap().len(), 7, "{ran}");
    assert_eq!(stage.others(), before);
}

#[test]
fn a_hostile_recipe_is_refused_before_anybody_is_contacted() {
    let stage = Stage::new(&[]);
    // 192.0.2.0/24 is nobody's: whoever contacts it waits.
    stage.inventory("[hosts.box]\naddress = \"192.0.2.1\"\n");
    let before = stage.others();
    let web = WebCatalog::new();
    publish(&web, "1.0");
    for (answer, said) in [
        (Answer::Text("<html>".into()), "is a web page, not a PKGBUILD"),
        (Answer::Text("pkgname=evil\npkgver=1\n".into()), "is the recipe of \"evil\", not of \"tool\""),
        (Answer::Text("hello".into()), "is not a PKGBUILD: it has no pkgname"),
        (Answer::Status(404), "answered 404"),
        (Answer::Endless, "is larger than 1.0 MB"),
        (Answer::Redirect("/workers/tool/PKGBUILD".into()), "redirects in a circle"),
    ] {
        web.put("/workers/tool/PKGBUILD", answer);
        let ran = stage.with(&web, "fleet install tool -H all").exits(2).says(said);
        assert!(ran.stderr.contains("/workers/tool/PKGBUILD") && ran.stdout.is_empty(), "{ran}");
    }
    publish(&web, "1.0");
    web.put("/workers/tool/words", Answer::Status(403));
    stage.with(&web, "fleet install tool -H all").exits(2).says("/workers/tool/words: answered 403");
    web.text("/workers/tool", json!({ "id": "other", "worker_type": "cpu" }));
    stage.with(&web, "fleet install tool -H all").exits(2).says("has no worker \"tool\"");
    assert_eq!(stage.others(), before);
    // Who wants nothing of it does not ask it.
    web.hits();
    stage.with(&web, "fleet hosts").exits(0);
    stage.with(&web, "worker list").exits(0);
    assert_eq!(web.hits(), []);
}

#[test]
fn the_first_catalog_wins_and_get_shows_the_others() {
    let stage = Stage::new(&[]);
    let (first, second) = (WebCatalog::new(), WebCatalog::new());
    publish(&first, "2.0");
    publish(&second, "1.0");
    stage.recipe("tool", "");
    let folder = stage.lab.dir().join("recipes");
    let places = |order: [&str; 3]| {
        let mut command = stage.bare();
        command.env("RBEE_CATALOG", order.join(":")).args(["--output", "json", "worker", "get", "tool"]);
        crate::stage::run(command).exits(0).document()
    };
    let (one, two, three) = (first.url(), second.url(), folder.to_str().unwrap().to_owned());
    let got = places([&one, &two, &three]);
    assert_eq!(got["catalog"]["version"], "2.0");
    let hidden: Vec<_> = got["shadowed"].as_array().unwrap().iter().map(|other| other["version"].clone()).collect();
    assert_eq!(hidden, [json!("1.0"), json!(null)]);
    assert_eq!(places([&three, &one, &two])["catalog"]["description"], "a test");
    assert_eq!(places([&two, &three, &one])["catalog"]["version"], "1.0");
    let shown = stage.rbee(&format!("--catalog {two} --catalog {one} worker get tool")).exits(0);
    assert!(shown.stdout.contains(&format!("hides           2.0 of {one}/workers/tool")), "{shown}");
}

#[test]
fn a_family_of_variants_is_picked_from() {
    let stage = Stage::new(&["one"]);
    let web = WebCatalog::new();
    let variant = |backend: &str, platform: &str| {
        json!({ "backend": backend, "platforms": [platform], "architectures": ["x86_64", "aarch64"],
                "pkgbuildUrl": "/workers/tool/PKGBUILD", "build": { "features": [backend] }, "binaryName": "tool" })
    };
    web.text(
        "/workers",
        json!({ "workers": [{
            "id": "tool", "implementation": "rust", "version": "1.0", "name": "Tool", "description": "one of several",
            "license": "MIT", "buildSystem": "cargo", "source": { "type": "git", "url": "https://git.example/tool" },
            "variants": [variant("cuda", "linux"), variant("cpu", "linux"), variant("metal", "macos")],
            "supportedFormats": ["gguf"], "supportsStreaming": true, "supportsBatching": false,
        }]}),
    );
    let recipe = "pkgname=tool-git\npkgver=1.0\npkgrel=1\narch=('any')\nlicense=('MIT')\n\
                  package() { mkdir -p \"$pkgdir/usr/bin\"; { echo '#!/bin/sh'; echo \"echo $RBEE_FEATURES\"; } \
                  >\"$pkgdir/usr/bin/tool\"; chmod 755 \"$pkgdir/usr/bin/tool\"; }\n";
    web.text("/workers/tool/PKGBUILD", recipe);
    let listed = stage.with(&web, "--output json fleet worker available -H one").exits(0).document();
    let fits: Vec<_> = listed["workers"].as_array().unwrap().iter().filter(|w| w["family"] == "tool").collect();
    assert_eq!(
        fits.iter().map(|w| w["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["tool-cpu", "tool-cuda", "tool-metal"]
    );
    let ran = stage.with(&web, "--output json fleet install tool -H one --build host").exits(0);
    ran.outcome("one", "changed");
    let said = std::process::Command::new(stage.bin("one").join("tool")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "cpu\n");
    stage.with(&web, "--output json fleet install tool-cpu@1.0 -H one").exits(0).outcome("one", "unchanged");
    stage.with(&web, "--output json fleet worker rm tool-cpu -H one").exits(0).outcome("one", "changed");
}

/// The documents that programs read are pinned: fields may be added, never renamed.
#[test]
fn the_documents_are_pinned() {
    let stage = Stage::new(&["one"]);
    let web = WebCatalog::new();
    publish(&web, "1.0");
    stage.with(&web, "fleet install tool -H one --build host").exits(0);
    let document = |after: &str| {
        let mut document = stage.with(&web, after).exits(0).document();
        let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        let bin = stage.bin("one");
        scrub(&mut document, &[(&web.url(), "URL"), (bin.to_str().unwrap(), "BIN"), (&platform, "PLATFORM")]);
        document
    };
    let mut available = document("--output json fleet worker available -H one");
    available["workers"].as_array_mut().unwrap().retain(|worker| worker["id"] == "tool");
    insta::assert_snapshot!("worker_available", format!("{available:#}"));
    insta::assert_snapshot!("worker_get", format!("{:#}", document("--output json fleet worker get tool -H one")));
    insta::assert_snapshot!("worker_list", format!("{:#}", document("--output json fleet worker list -H one")));
}

/// Takes out what differs each time.
fn scrub(value: &mut Value, known: &[(&str, &str)]) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match key.as_str() {
                    "elapsed_ms" => *value = 0.into(),
                    "digest" | "key" | "run" | "installed_at" if value.is_string() => {
                        *value = key.to_uppercase().into()
                    }
                    _ => scrub(value, known),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, known)),
        Value::String(text) => {
            for (from, to) in known {
                *text = text.replace(from, to);
            }
        }
        _ => {}
    }
}
