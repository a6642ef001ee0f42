//! What goes wrong on the way: each ends well or with a sentence, and nothing wrong is ever published.

use std::time::Instant;

use crate::stage::{Ran, Stage, faults, files, sound_blobs};

struct Case {
    faults: &'static [&'static str],
    size: &'static str,
    flags: &'static str,
    /// Bytes that may come for each byte of the file.
    most: f64,
}

const SOME: Case = Case { faults: &[], size: "30MB", flags: "", most: 1.10 };

/// Downloads, and looks at what was published.
#[track_caller]
fn download(case: &Case) -> (Stage, Ran) {
    let stage = Stage::new(&[]);
    stage.hub.set_faults(faults(case.faults));
    let ran = stage.rbee(&format!("model download sized/{} {}", case.size, case.flags));
    sound_blobs(&stage.cache());
    (stage, ran)
}

#[track_caller]
fn completes(case: Case) {
    let (stage, ran) = download(&case);
    let ran = ran.exits(0);
    assert_eq!(sound_blobs(&stage.cache()), 2, "{ran}");
    let size: f64 = case.size.trim_end_matches("MB").parse::<f64>().unwrap() * 1e6;
    let ratio = stage.hub.sent() as f64 / size;
    assert!(ratio <= case.most, "{ratio:.3} times its bytes came\n{ran}");
    let left: Vec<_> =
        files(&stage.cache()).into_iter().filter(|path| path.to_str().unwrap().contains("/s.")).collect();
    assert!(left.is_empty(), "{left:?}");
    stage.rbee(&format!("model download sized/{} {}", case.size, case.flags)).exits(0).says("unchanged");
}

#[track_caller]
fn fails(case: Case, sentence: &str) {
    let (stage, ran) = download(&case);
    ran.exits(1).says(sentence);
    assert_eq!(sound_blobs(&stage.cache()), 1, "only the small file is there");
    let links: Vec<_> =
        files(&stage.cache()).into_iter().filter(|path| path.to_str().unwrap().contains("/refs/")).collect();
    assert!(links.is_empty(), "a ref was written: {links:?}");
}

#[test]
fn plain() {
    completes(SOME);
    completes(Case { flags: "--connections 1", ..SOME });
    completes(Case { size: "1MB", ..SOME });
}

#[test]
fn a_reset_each_25_mb_is_gone_on_from() {
    completes(Case { faults: &["reset=25MB", "rate=30MB"], size: "60MB", flags: "--connections 1", ..SOME });
    completes(Case { faults: &["reset=8MB", "rate=6MB"], size: "60MB", ..SOME });
}

#[test]
fn a_server_that_closes_each_8_mb_is_gone_on_from() {
    completes(Case { faults: &["close=8MB", "rate=6MB"], size: "60MB", ..SOME });
}

#[test]
fn a_stall_ends() {
    completes(Case { faults: &["stalls=3"], flags: "--silence 2s", most: 1.4, ..SOME });
}

#[test]
fn a_slow_edge_is_left() {
    let started = Instant::now();
    // Either would take 80 s for its share alone.
    completes(Case { faults: &["slow=2", "rate=8MB"], size: "32MB", flags: "--connections 4 --silence 2s", ..SOME });
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_rate_is_that_of_all_connections() {
    let started = Instant::now();
    // As many as there are have all of it, and the burst that a curl begins with is not made sixteen times.
    completes(Case { size: "24MB", flags: "--limit-rate 4MB", ..SOME });
    let took = started.elapsed().as_secs_f64();
    assert!((4.0..20.0).contains(&took), "{took}");
}

#[test]
fn limits_are_waited_for() {
    let started = Instant::now();
    completes(Case { faults: &["limited=3s"], ..SOME });
    assert!(started.elapsed().as_secs() >= 3);
}

#[test]
fn a_server_that_is_not_well_is_asked_again() {
    completes(Case { faults: &["unavailable=5"], ..SOME });
}

#[test]
fn links_that_expire_are_asked_for_again() {
    // Each connection has its own time: the later ones come with a link that is old.
    completes(Case { faults: &["links=600ms", "rate=4MB"], size: "20MB", flags: "--connections 1", ..SOME });
    completes(Case {
        faults: &["links=500ms", "rate=2MB", "close=3MB"],
        size: "20MB",
        flags: "--connections 2",
        most: 1.3,
    });
}

#[test]
fn a_page_is_never_a_model() {
    completes(Case { faults: &["error-pages=3"], ..SOME });
    fails(Case { faults: &["error-pages=10000"], ..SOME }, "sends a page instead of it");
    fails(Case { faults: &["error-pages=10000"], flags: "--connections 1", ..SOME }, "sends a page instead of it");
}

#[test]
fn a_wrong_byte_is_fetched_again_and_then_fails() {
    completes(Case { faults: &["flips=1"], most: 2.1, ..SOME });
    fails(Case { faults: &["flips=10000"], ..SOME }, "came twice with bytes that are not the hub's");
}

#[test]
fn a_server_without_ranges_sends_the_whole() {
    // What was asked for in ranges came for nothing before that was known.
    completes(Case { faults: &["no-ranges"], most: 3.0, ..SOME });
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let stage = Stage::new(&[]);
    let mut command = stage.command("model download a/b --timeout 4s");
    let ran = Ran(command.env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap());
    assert_ne!(ran.0.status.code(), Some(0), "{ran}");
    stage.rbee("model download rbee/nothing").exits(5).says("there is no model rbee/nothing");
    stage.rbee("model download rbee/safetensors@v9").exits(5).says("has no revision v9");
    stage.rbee("model download rbee/safetensors:nothing.bin").exits(5).says("has no file");
    stage.rbee("model download").exits(2).says("no model was named");
    stage.rbee("model download ../x").exits(2).says("names no model");
}
