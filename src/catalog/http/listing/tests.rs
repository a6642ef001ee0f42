#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn base() -> Url {
    Url::parse("https://catalog.example/v1/").unwrap()
}

fn listing(document: &Value) -> Result<Listing, String> {
    read(&base(), document.to_string().as_bytes())
}

/// All fields of the first schema.
fn whole() -> Value {
    json!({
        "id": "llm-worker-x-cuda", "implementation": "rust", "worker_type": "cuda", "version": "0.2.0",
        "platforms": ["linux", "windows"], "architectures": ["x86_64"], "name": "LLM worker", "description": "one",
        "license": "MIT", "pkgbuild_url": "/workers/llm-worker-x-cuda/PKGBUILD", "build_system": "cargo",
        "source": { "type": "git", "url": "https://git.example/x.git", "branch": "main", "path": "bin/x" },
        "build": { "features": ["cuda"], "profile": "release" }, "depends": ["gcc", "cuda"],
        "makedepends": ["rust"], "binary_name": "llm-worker-x", "install_path": "/usr/local/bin/llm-worker-x",
        "supported_formats": ["gguf"], "max_context_length": 32768, "supports_streaming": true,
        "supports_batching": false, "civitai": { "x": [1, null] }, "newerField": 7,
    })
}

#[test]
fn all_fields_are_typed_and_unknown_ones_survive() {
    let listing = listing(&json!({ "workers": [whole()] })).unwrap();
    assert_eq!(listing.problems, Vec::<String>::new());
    let found = &listing.found[0];
    let (worker, offer) = (&found.entry.worker, &found.entry.offer);
    assert_eq!((worker.family.as_str(), worker.accelerator), ("llm-worker-x", Accelerator::Cuda));
    assert_eq!((worker.platforms.len(), worker.features.as_slice()), (2, &["cuda".to_owned()][..]));
    assert_eq!(worker.verify, ["--help"]);
    assert_eq!(found.version.as_deref(), Some("0.2.0"));
    assert_eq!(found.recipe.as_str(), "https://catalog.example/v1/workers/llm-worker-x-cuda/PKGBUILD");
    let source = offer.source.as_ref().unwrap();
    assert_eq!((source.kind.as_str(), source.branch.as_deref(), &source.tag), ("git", Some("main"), &None));
    assert_eq!((offer.depends.len(), offer.makedepends.len()), (2, 1));
    assert_eq!((offer.max_context_length, offer.supports_streaming), (Some(32768), Some(true)));
    assert_eq!((offer.supports_batching, offer.build_system.as_deref()), (Some(false), Some("cargo")));
    assert_eq!(Value::Object(offer.other.clone()), json!({ "civitai": { "x": [1, null] }, "newerField": 7 }));
}

#[test]
fn the_second_schema_is_the_same_in_other_names() {
    let mut camel = serde_json::Map::new();
    for (key, value) in whole().as_object().unwrap() {
        let mut name = String::new();
        let mut up = false;
        for c in key.chars() {
            match c {
                '_' => up = true,
                c if std::mem::take(&mut up) => name.push(c.to_ascii_uppercase()),
                c => name.push(c),
            }
        }
        camel.insert(name, value.clone());
    }
    assert!(camel.contains_key("maxContextLength"));
    assert_eq!(listing(&json!([camel])), listing(&json!({ "workers": [whole()] })));
}

#[test]
fn each_variant_is_a_worker() {
    let document = json!({ "workers": [{
        "id": "sd-worker", "name": "SD", "version": "1.0", "supportedFormats": ["safetensors"], "homepage": "x",
        "variants": [
            { "backend": "cpu", "platforms": ["linux"], "architectures": ["x86_64"], "build": { "features": ["cpu"] },
              "pkgbuildUrl": "/pkgbuilds/arch/sd-worker-bin.PKGBUILD", "pkgbuildUrlGit": "/y", "binaryName": "sd" },
            { "backend": "metal", "platforms": ["macos"], "architectures": ["aarch64"] },
            { "backend": "quantum" },
            7,
        ],
    }]});
    let listing = listing(&document).unwrap();
    let ids: Vec<_> = listing.found.iter().map(|found| found.entry.worker.id.as_str()).collect();
    assert_eq!(ids, ["sd-worker-cpu", "sd-worker-metal"]);
    let cpu = &listing.found[0];
    assert_eq!((cpu.entry.worker.family.as_str(), cpu.called.as_str()), ("sd-worker", "sd-worker"));
    assert_eq!(cpu.recipe.as_str(), "https://catalog.example/v1/pkgbuilds/arch/sd-worker-bin.PKGBUILD");
    assert_eq!(cpu.entry.offer.supported_formats, ["safetensors"]);
    assert_eq!(cpu.entry.offer.other.keys().collect::<Vec<_>>(), ["homepage", "pkgbuildUrlGit"]);
    assert_eq!(listing.found[1].recipe.as_str(), "https://catalog.example/v1/workers/sd-worker/PKGBUILD");
    assert_eq!(listing.problems.len(), 2);
    assert!(listing.problems[0].contains("\"quantum\", which this rbee does not know"), "{listing:?}");
}

#[test]
fn what_a_worker_toml_says_is_said_in_rbee() {
    let mut entry = whole();
    entry["rbee"] = json!({ "limit": "20m", "verify": ["-V"], "needs": { "tools": ["cargo"] } });
    entry["files"] = json!(["patches/a.patch", "main.rs"]);
    let found = listing(&json!([entry])).unwrap().found.remove(0);
    let worker = &found.entry.worker;
    assert_eq!(
        (worker.verify.as_slice(), worker.needs.tools.as_slice()),
        (&["-V".to_owned()][..], &["cargo".to_owned()][..])
    );
    assert_eq!((worker.accelerator, worker.limit.unwrap().as_secs()), (Accelerator::Cuda, 1200));
    assert_eq!(found.files, ["main.rs", "patches/a.patch"]);
    assert!(found.table.unwrap().contains("limit = \"20m\""));
}

#[test]
fn what_is_wrong_leaves_its_worker_out_with_a_sentence() {
    for (key, value, said) in [
        ("id", json!("../../x"), "entry 1: worker id \"../../x\""),
        ("id", json!("/etc/passwd"), "entry 1: worker id"),
        ("id", json!("a\u{1b}[31m"), "entry 1: worker id \"a\\u{1b}[31m\""),
        ("id", json!("x".repeat(1 << 20)), "entry 1: its id has 1048576 bytes"),
        ("id", json!(7), "entry 1: it has no id"),
        ("worker_type", json!("quantum"), "which this rbee does not know"),
        ("worker_type", json!(null), "does not say what it computes on"),
        ("name", json!("a\u{1b}[2Jb"), "\"name\" has control characters"),
        ("name", json!("a\nb"), "\"name\" has control characters"),
        ("description", json!("\u{202e}x"), "\"description\" has control characters"),
        ("name", json!("x".repeat(5000)), "\"name\" is too long"),
        ("name", json!(["x"]), "\"name\" is not a string"),
        ("version", json!("1 0"), "\"version\" is no version"),
        ("version", json!(1.0), "\"version\" is not a string"),
        ("platforms", json!("linux"), "\"platforms\" is not a list"),
        ("platforms", json!(["li nux"]), "no plain word"),
        ("depends", json!([1]), "\"depends\" is not a string"),
        ("build", json!([]), "\"build\" is not an object"),
        ("max_context_length", json!(-1), "not a whole number"),
        ("max_context_length", json!("many"), "not a whole number"),
        ("supports_streaming", json!("yes"), "neither true nor false"),
        ("pkgbuild_url", json!("http://elsewhere.example/P"), "neither of the catalog's server"),
        ("pkgbuild_url", json!("file:///etc/passwd"), "neither of the catalog's server"),
        ("pkgbuild_url", json!("https://me:secret@x.example/P"), "neither of the catalog's server"),
        ("files", json!(["../x"]), "\"../x\", which no file of a recipe may be called"),
        ("files", json!(["/etc/passwd"]), "which no file of a recipe may be called"),
        ("files", json!(["a\nb"]), "control characters"),
        ("files", json!(["PKGBUILD"]), "which no file of a recipe may be called"),
        ("files", json!(["a", "a"]), "names one twice"),
        ("rbee", json!({ "limt": "1m" }), "unknown key \"limt\"; did you mean \"limit\"?"),
        ("rbee", json!({ "limit": null }), "cannot be a worker.toml"),
        ("variants", json!({}), "\"variants\" is not a list"),
        ("much", json!("x".repeat(70_000)), "says too much"),
    ] {
        let mut entry = whole();
        entry[key] = value;
        let listing = listing(&json!([entry, { "id": "good", "worker_type": "cpu" }])).unwrap();
        assert_eq!(listing.found.len(), 1, "{key}: {listing:?}");
        let problem = listing.problems.first().unwrap();
        assert!(problem.contains(said), "{key}: {problem}");
        assert!(!problem.contains(char::is_control) && problem.len() < 400, "{problem:?}");
    }
    let twice = listing(&json!([whole(), whole()])).unwrap();
    assert_eq!((twice.found.len(), twice.problems.len()), (1, 1));
    assert!(twice.problems[0].contains("is there twice"), "{twice:?}");
    assert!(listing(&json!([1])).unwrap().problems[0].contains("entry 1 is not an object"));
}

#[test]
fn what_is_no_list_is_refused() {
    let said = |text: &str| read(&base(), text.as_bytes()).unwrap_err();
    assert_eq!(said("<!doctype html><html>"), "is a web page, not JSON");
    assert!(said("{").starts_with("is not JSON"));
    assert!(said("7").contains("no list of workers"));
    assert!(said("{\"error\":\"x\"}").contains("no \"workers\""));
    assert!(said(&"[".repeat(100_000)).contains("not JSON"));
    assert!(said(&json!(vec![1; 2001]).to_string()).contains("more than 2000"));
    assert!(read_one(&base(), b"{\"error\": \"x\"}", &WorkerId::new("x").unwrap()).unwrap_err().contains("no id"));
    let other = whole().to_string();
    assert!(read_one(&base(), other.as_bytes(), &WorkerId::new("x").unwrap()).unwrap_err().contains("no worker \"x\""));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}|cpu|cuda|[a-z-]{1,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(
                    FIELDS.into_iter().chain(["backend", "workerType", "features", "x", "needs"]).collect::<Vec<_>>()
                ),
                inner,
                0..6
            )
            .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_list_panics_and_what_it_lists_is_sound(entries in prop::collection::vec(value(), 0..6)) {
        if let Ok(listing) = listing(&Value::from(entries)) {
            for found in listing.found {
                prop_assert!(WorkerId::new(found.entry.worker.id.as_str()).is_ok());
                prop_assert!(found.files.iter().all(|file| !file.starts_with('/') && !file.split('/').any(|p| p == "..")));
            }
        }
    }
}
