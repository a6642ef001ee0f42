//! Downloads: gone on with, checked before they have a name, and never more than asked for.

use std::{
    fs,
    path::Path,
    process::Command as Process,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rbee::build::BuildError;

use crate::{
    bench::{Bench, pkgbuild, sha256},
    http::{Manner, serve},
    support::eventually,
};

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
    assert_eq!(server.requests(), 1);
    // What lies in the cache is checked each time.
    let cached = std::process::Command::new("find")
        .arg(first.root.path().join("the cache"))
        .args(["-name", "file.bin"])
        .output();
    let cached = String::from_utf8(cached.unwrap().stdout).unwrap();
    std::fs::write(cached.trim(), "spoilt").unwrap();
    Bench::new(&text).caching_with(&first).build().await.built();
    assert_eq!(server.requests(), 2);
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
    let seen = server.ranges();
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
        assert_eq!(server.ranges().last(), Some(&None), "{}", ended.printed);
    }
}

/// Files of the cache that have something in them.
fn cached(bench: &Bench) -> Vec<String> {
    let found =
        Process::new("find").arg(bench.root.path().join("the cache")).args(["-type", "f", "-size", "+0"]).output();
    String::from_utf8(found.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn whatever_a_server_does_becomes_a_sentence() {
    let whole = content().len();
    let cases: Vec<(&str, Vec<Manner>, &str)> = vec![
        ("other bytes", vec![Manner::Wrong], "does not match: want"),
        ("not there", vec![Manner::Status(404)], ": the server answers 404 (not found)"),
        ("not allowed", vec![Manner::Status(403)], ": the server answers 403"),
        ("gone", vec![Manner::Status(410)], ": the server answers 410"),
        ("a page with status 200", vec![Manner::Page], "; what came is a web page"),
        ("a redirect without end", vec![Manner::To("/again".into())], ": the server redirects without end"),
        (
            "a redirect to a file of ours",
            vec![Manner::To("file:///etc/passwd".into())],
            ": it leads to a protocol that is not allowed there",
        ),
        ("a redirect to nowhere", vec![Manner::To("http://127.0.0.1:1/".into())], ": its server cannot be reached"),
        ("too much is announced", vec![Manner::Length(10)], ": the server closed the connection before the end"),
        ("too little is announced", vec![Manner::Length(-10)], "does not match: want"),
        ("more than is announced to be possible", vec![Manner::Length(9_000_000)], ": it has more than 4000000 bytes"),
        ("no end", vec![Manner::Endless(9_000_000)], ": it has more than 4000000 bytes"),
        ("not a word", vec![Manner::Nothing], ": the server closed the connection"),
        ("no HTTP", vec![Manner::Garbage], "cannot download http://127.0.0.1"),
    ];
    for (what, manners, said) in cases {
        for sum in [sha256(&content()), "SKIP".to_owned()] {
            // What is served whole and well is as good as it says, where nothing says more.
            let taken =
                sum == "SKIP" && ["other bytes", "a page with status 200", "too little is announced"].contains(&what);
            let server = serve(content(), &manners);
            let mut bench = Bench::new(&pkgbuild(&format!("source=('{}')\nsha256sums=({sum})", server.url)));
            bench.environment.extract_limit = 4_000_000;
            let ended = bench.build().await;
            if taken {
                ended.built();
                continue;
            }
            let error = ended.error();
            assert!(error.contains(said), "{what}: {error}\n{}", ended.printed);
            assert!(server.bytes() < 2 * 9_000_000, "{what}: read without end");
            let parts = cached(&bench);
            // A beginning of it may be of use; a wrong file never is.
            assert!(parts.iter().all(|file| file.ends_with(".part")), "{what}: {parts:?}");
            if ended.result.is_err_and(|error| matches!(error, BuildError::Failed { .. })) {
                assert!(parts.is_empty(), "{what}: {parts:?}");
            }
            // And nothing of it is in the way of the next one.
            let good = serve(content(), &[Manner::Good]);
            if sum != "SKIP" {
                let place = bench.folder().join("PKGBUILD");
                fs::write(&place, recipe(&good.url, &sum)).unwrap();
                Bench::new(&recipe(&good.url, &sum)).caching_with(&bench).build().await.built();
            }
        }
    }
    assert_eq!(whole, 1_200_000);
}

/// What an earlier run left, and what the next one makes of it.
#[tokio::test]
async fn a_part_is_only_a_beginning() {
    let content = content();
    let changed = |at: usize| {
        let mut bytes = content.clone();
        bytes[at] ^= 1;
        bytes
    };
    let with = |more: usize| [content.clone(), vec![7; more]].concat();
    for (what, part, manners, requests, last) in [
        ("whole, but without its name", content.clone(), vec![Manner::Status(500)], 0, None),
        ("a beginning", content[..700_000].to_vec(), vec![Manner::Good], 1, Some("700000-")),
        ("changed", changed(5)[..700_000].to_vec(), vec![Manner::Good], 2, None),
        ("changed, and as long as the file", changed(5), vec![Manner::Good], 2, None),
        ("longer than the file", with(10), vec![Manner::Good], 2, None),
        ("for a server without ranges", content[..700_000].to_vec(), vec![Manner::Whole], 2, None),
        ("for a server that minds", content[..700_000].to_vec(), vec![Manner::Status(416), Manner::Good], 2, None),
        ("empty", Vec::new(), vec![Manner::Good], 1, None),
    ] {
        let server = serve(content.clone(), &manners);
        let text = recipe(&server.url, &sha256(&content));
        let bench = Bench::new(&text);
        let key = &sha256(server.url.as_bytes())[..24];
        let folder = bench.root.path().join("the cache/rbee/sources").join(key);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file.bin.part"), part).unwrap();
        let ended = bench.build().await;
        ended.built();
        assert_eq!(server.requests(), requests, "{what}: {}", ended.printed);
        let range = server.ranges().last().cloned().flatten();
        assert_eq!(range.as_deref(), last, "{what}: {}", ended.printed);
        assert!(
            fs::read(folder.join("file.bin")).unwrap() == content && !folder.join("file.bin.part").exists(),
            "{what}"
        );
    }
}

fn everybody() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Processes with `word` in their arguments.
pub fn pids(word: &str) -> Vec<i32> {
    let arguments = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    everybody().filter(|pid| String::from_utf8_lossy(&arguments(*pid)).contains(word)).collect()
}

/// Ends these and all that they started, the parents first, with no time for a last word.
pub fn kill_all(mut pids: Vec<i32>) {
    let parent = |pid: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<_> = everybody().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut at = 0;
    while at < pids.len() {
        let found = all.iter().filter(|(pid, parent)| *parent == pids[at] && !pids.contains(pid));
        let found: Vec<_> = found.map(|(pid, _)| *pid).collect();
        pids.extend(found);
        at += 1;
    }
    for pid in pids {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_killed_is_gone_on_with() {
    // The program that fetches; or the driver itself, whose children then hang on nothing.
    for whole in [false, true] {
        let server = serve(content(), &[Manner::Stall(800_000), Manner::Good]);
        let word = format!("/{}/file.bin", rand::random::<u64>());
        let text = recipe(&format!("{}{word}", server.base), &sha256(&content()));
        let bench = Bench::new(&text);
        let work = bench.work().display().to_string();
        let killer = async {
            let start = Instant::now();
            // What was sent may not yet be written.
            while server.bytes() < 800_000 || pids(&word).is_empty() || cached(&bench).is_empty() {
                assert!(start.elapsed() < Duration::from_secs(60), "it does not fetch");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            kill_all(pids(if whole { &work } else { &word }));
        };
        let (ended, ()) = tokio::join!(bench.build(), killer);
        let error = ended.error();
        assert!(error.contains(if whole { "ended by signal 9" } else { "curl ended with status 137" }), "{error}");
        let ended = Bench::new(&text).caching_with(&bench).build().await;
        ended.built();
        let range = server.ranges()[1].clone().expect("it began anew");
        let from: u64 = range.trim_end_matches('-').parse().unwrap();
        assert!(from > 0 && server.bytes() == 800_000 + 1_200_000 - from, "{range} {}", server.bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_at_once_fetch_it_once() {
    let server = serve(content(), &[Manner::Slow]);
    let text = recipe(&server.url, &sha256(&content()));
    let first = Bench::new(&text);
    let others = [Bench::new(&text).caching_with(&first), Bench::new(&text).caching_with(&first)];
    let (a, b, c) = tokio::join!(first.build(), others[0].build(), others[1].build());
    for ended in [&a, &b, &c] {
        ended.built();
    }
    assert_eq!(server.requests(), 1, "{}{}{}", a.printed, b.printed, c.printed);
    let waited = [&a, &b, &c].iter().filter(|ended| ended.printed.contains("waiting for another build")).count();
    assert_eq!(waited, 2);
}

#[tokio::test]
async fn a_lock_of_one_who_was_killed_holds_up_nobody() {
    let server = serve(content(), &[Manner::Good]);
    let text = recipe(&server.url, &sha256(&content()));
    for tool in ["flock", "perl", "neither"] {
        let mut bench = Bench::new(&text);
        let key = &sha256(server.url.as_bytes())[..24];
        let folder = bench.root.path().join("the cache/rbee/sources").join(key);
        fs::create_dir_all(&folder).unwrap();
        // Held by a process that is killed in a moment, as the driver's would be.
        let mut holder = Process::new("flock").arg(folder.join(".held")).args(["sleep", "600"]).spawn().unwrap();
        let start = Instant::now();
        while Process::new("flock").arg("-n").arg(folder.join(".held")).arg("true").status().unwrap().success() {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not take the lock");
        }
        let without: &[&str] = match tool {
            "flock" => &[],
            "perl" => &["flock"],
            _ => &["flock", "perl"],
        };
        bench.leave_out(without);
        // Where nothing can take a lock, nothing is shared.
        let waits = tool != "neither";
        let killer = async {
            if waits {
                let heard = || bench.printed.lock().unwrap().contains("waiting for another build");
                eventually(tool, Duration::from_secs(60), heard).await;
            }
            let children = format!("/proc/{0}/task/{0}/children", holder.id());
            for pid in fs::read_to_string(children).unwrap().split_whitespace() {
                let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
            }
            let _ = holder.kill();
            let _ = holder.wait();
        };
        let ended = if waits {
            tokio::join!(bench.build(), killer).0
        } else {
            let ended = bench.build().await;
            killer.await;
            ended
        };
        ended.built();
        assert_eq!(ended.printed.contains("waiting for another build"), waits, "{tool}: {}", ended.printed);
        assert_eq!(folder.join("file.bin").exists(), waits, "{tool}");
    }
}

#[tokio::test]
async fn a_build_keeps_what_it_was_given() {
    // The cache is swept while the build runs, or another build fetches another file from the same place.
    let server = serve(content(), &[Manner::Good]);
    let bench = Bench::new(&pkgbuild(&format!(
        "source=('{}')\nsha256sums=({})\nbuild() {{ rm -rf \"$XDG_CACHE_HOME/rbee\"; [ \"$(wc -c < file.bin)\" -eq 1200000 ]; }}",
        server.url,
        sha256(&content())
    )));
    bench.build().await.built();
}

#[tokio::test]
async fn a_mirror_stands_in_where_a_checksum_speaks() {
    let sum = sha256(&content());
    let gone = serve(content(), &[Manner::Status(404)]);
    let wrong = serve(content(), &[Manner::Wrong]);
    let good = serve(content(), &[Manner::Good]);
    let mirror = |from: &str, to: &str| rbee::vocab::Mirror::new(from, to).unwrap();
    let base = |server: &crate::http::Server| format!("{}/", server.base);
    let mirrors = vec![
        mirror("http://127.0.0.1:1/other/", &base(&wrong)),
        mirror(&base(&gone), &base(&wrong)),
        mirror(&base(&gone), &base(&good)),
    ];

    let mut bench = Bench::new(&recipe(&gone.url, &sum));
    bench.environment.mirrors = mirrors.clone();
    let ended = bench.build().await;
    ended.built();
    assert_eq!((gone.requests(), wrong.requests(), good.requests()), (1, 1, 1), "{}", ended.printed);
    assert!(ended.printed.contains("trying a mirror"), "{}", ended.printed);
    assert!(ended.unverified.is_empty());
    // It is known by its own URL from then on.
    let mut again = Bench::new(&recipe(&gone.url, &sum)).caching_with(&bench);
    again.environment.mirrors = mirrors.clone();
    again.build().await.built();
    assert_eq!(gone.requests() + wrong.requests() + good.requests(), 3);

    // Nothing would tell what a mirror says.
    let mut bench = Bench::new(&recipe(&gone.url, "SKIP"));
    bench.environment.mirrors = mirrors.clone();
    let error = bench.build().await.error();
    assert!(error.ends_with("the server answers 404 (not found)"), "{error}");
    assert_eq!((wrong.requests(), good.requests()), (1, 1));

    let mut bench = Bench::new(&recipe(&gone.url, &"0".repeat(64)));
    bench.environment.mirrors = mirrors;
    let ended = bench.build().await;
    assert!(
        ended.error().contains("does not match") && ended.error().ends_with("(the last of 3 places)"),
        "{}",
        ended.error()
    );
    assert_eq!(cached(&bench), [] as [String; 0]);

    // The one that was cut begins where the other one stopped.
    let cut = serve(content(), &[Manner::Cut(400_000)]);
    let rest = serve(content(), &[Manner::Good]);
    let mut bench = Bench::new(&recipe(&cut.url, &sum));
    bench.environment.mirrors = vec![mirror(&base(&cut), &base(&rest))];
    bench.build().await.built();
    assert_eq!(rest.ranges(), [Some("400000-".to_owned())]);

    // One whole URL, to a file.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("copy-{}", rand::random::<u64>()));
    fs::write(&copy, content()).unwrap();
    let mut bench = Bench::new(&recipe(&gone.url, &sum));
    bench.environment.mirrors = vec![mirror(&gone.url, &format!("file://{}", copy.display()))];
    bench.build().await.built();
    fs::remove_file(copy).unwrap();
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
    assert_eq!(ended.unverified, ["file.bin (SKIP)"]);
    assert_eq!(cached(&first), [] as [String; 0], "what nobody checked is in the cache");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn other_tools_do_where_curl_is_not() {
    let sum = sha256(&content());
    let server = serve(content(), &[Manner::Cut(500_000), Manner::Status(404), Manner::Good]);
    let mut first = Bench::new(&recipe(&server.url, &sum));
    first.leave_out(&["curl"]);
    // GNU's wget tries on its own what was cut.
    let error = first.build().await.error();
    assert!(error.contains("wget ended with status"), "{error}");
    let mut next = Bench::new(&recipe(&server.url, &sum)).caching_with(&first);
    next.leave_out(&["curl"]);
    next.build().await.built();
    assert!(server.ranges().last().unwrap().as_deref().is_some_and(|range| range != "0-"), "{:?}", server.ranges());

    let https = server.url.replace("http:", "https:");
    for (without, url, sum, said) in [
        (&["curl"][..], &https, "SKIP", "wget may follow it to http, and nothing checks it"),
        (&["curl", "wget"], &https, &*sum, "no curl and no wget here, which the source https://127.0.0.1"),
        (
            &["git"],
            &"git+https://127.0.0.1:1/x".to_owned(),
            "SKIP",
            "no git here, which the source https://127.0.0.1:1/x needs",
        ),
    ] {
        let mut bench = Bench::new(&recipe(url, sum));
        bench.leave_out(without);
        let ended = bench.build().await;
        let Err(error @ BuildError::Unreachable { .. }) = &ended.result else { panic!("{}", ended.printed) };
        assert!(error.to_string().contains(said), "{error}");
    }
}
