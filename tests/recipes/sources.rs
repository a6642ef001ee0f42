//! Sources: files beside the recipe, archives, git.

use std::{fs, path::Path, process::Command as Process};

use rbee::build::Pin;

use crate::bench::{Bench, pkgbuild, sha256};

#[tokio::test]
async fn local_sources_are_checked() {
    let sum = sha256(b"good\n");
    let upper = sum.to_uppercase();
    let with = |lines: &str| Bench::new(&pkgbuild(lines)).file("a.txt", "good\n").file("b.txt", "other\n");
    for lines in [
        format!("source=(a.txt)\nsha256sums=({sum})\nbuild() {{ [ \"$(cat a.txt)\" = good ]; }}"),
        format!("source=(a.txt b.txt)\nsha256sums=({upper} SKIP)\nmd5sums=(SKIP SKIP)\nbuild() {{ [ -f b.txt ]; }}"),
        format!("source=(c::a.txt)\nsha256sums=({sum})\nbuild() {{ [ -f c ]; }}"),
        format!("source_x86_64=(a.txt)\nsha256sums_x86_64=({sum})\nsource_aarch64=(none)\nbuild() {{ [ -f a.txt ]; }}"),
        "source=()".to_owned(),
    ] {
        with(&lines).build().await.built();
    }
    let wrong = "0".repeat(64);
    for (lines, said) in [
        (
            format!("source=(a.txt)\nsha256sums=({wrong})"),
            format!("checksum of a.txt does not match: want {wrong}, got {sum}"),
        ),
        (
            format!("source=(a.txt)\nsha256sums=({sum})\nmd5sums=(x)"),
            "checksum of a.txt does not match: want x, got".into(),
        ),
        ("source=(a.txt b.txt)\nsha256sums=(SKIP)".into(), "sha256sums and source differ in length: 1 and 2".into()),
        ("source=(a.txt)".into(), "source has no checksums; add sha256sums".into()),
        ("source=(a.txt)\nsha256sums=(skip)".into(), "does not match".into()),
        ("source=(none)\nsha256sums=(SKIP)".into(), "source none is not in the recipe's folder".into()),
        ("source=(../a.txt)\nsha256sums=(SKIP)".into(), "source ../a.txt leads out of the recipe's folder".into()),
        ("source=(/etc/passwd)\nsha256sums=(SKIP)".into(), "leads out of the recipe's folder".into()),
        ("source=(../x::a.txt)\nsha256sums=(SKIP)".into(), "has no usable name".into()),
        ("source=(..::a.txt)\nsha256sums=(SKIP)".into(), "has no usable name".into()),
        (
            "source=(http://me:secret@127.0.0.1:1/x.tar.gz)\nsha256sums=(SKIP)".into(),
            "cannot download http://127.0.0.1:1/x.tar.gz".into(),
        ),
        ("source=(svn+https://example.org/x)\nsha256sums=(SKIP)".into(), "this protocol is not supported".into()),
    ] {
        let ended = with(&lines).build().await;
        assert!(ended.error().contains(&said), "{lines}: {}\n{}", ended.error(), ended.printed);
        assert!(!ended.printed.contains("secret") && !ended.error().contains("secret"));
    }
}

#[tokio::test]
async fn archives_are_known_by_their_content() {
    let make = |lines: &str| {
        let bench = Bench::new(&pkgbuild(lines));
        let inner = bench.root.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("inside"), "x").unwrap();
        let to = bench.folder().join("archive");
        assert!(Process::new("tar").arg("-czf").arg(to).arg("-C").arg(inner).arg("inside").status().unwrap().success());
        bench
    };
    make("source=(archive)\nsha256sums=(SKIP)\nbuild() { [ -f inside ]; }").build().await.built();
    make("source=(archive)\nnoextract=(archive)\nsha256sums=(SKIP)\nbuild() { [ ! -e inside ]; }")
        .build()
        .await
        .built();
}

/// A repository with two commits, a tag on the first and a branch `side` with one more.
fn repository(root: &Path) -> (String, Vec<String>) {
    let path = root.join("upstream");
    let git = |arguments: &[&str]| {
        let out = Process::new("git")
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-C"])
            .arg(root)
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "upstream"]);
    let commit = |text: &str| {
        fs::write(path.join("file"), text).unwrap();
        git(&["-C", "upstream", "add", "file"]);
        git(&["-C", "upstream", "commit", "-q", "-m", text]);
        git(&["-C", "upstream", "rev-parse", "HEAD"])
    };
    let one = commit("one");
    git(&["-C", "upstream", "tag", "v1"]);
    let two = commit("two");
    git(&["-C", "upstream", "checkout", "-q", "-b", "side"]);
    let three = commit("three");
    git(&["-C", "upstream", "checkout", "-q", "main"]);
    (format!("git+file://{}", path.display()), vec![one, two, three])
}

#[tokio::test]
async fn git_sources_are_fetched_at_what_was_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let (url, commits) = repository(root.path());
    let short = &commits[0][..10];
    for (fragment, expected, at) in [
        ("", "two", 1),
        ("#tag=v1", "one", 0),
        ("#branch=side", "three", 2),
        (&format!("#commit={}", commits[2]), "three", 2),
        (&format!("#commit={short}"), "one", 0),
    ] {
        for counts in ["", "pkgver() { cd up; echo \"r$(git rev-list --count HEAD)\"; }"] {
            let lines = format!(
                "source=(\"up::{url}{fragment}\")\nsha256sums=(SKIP)\n{counts}\nbuild() {{ [ \"$(cat up/file)\" = {expected} ]; }}"
            );
            let ended = Bench::new(&pkgbuild(&lines)).build().await;
            let version = if counts.is_empty() { "1.0".to_owned() } else { format!("r{}", at + 1) };
            assert_eq!(ended.built().version, version, "{fragment}");
            assert_eq!(ended.pins, [Pin { name: "up".into(), commit: commits[at].clone() }]);
        }
    }
    for (source, said) in [
        (format!("{url}#tag=v9"), "cannot fetch tag v9 of file://"),
        (format!("{url}#branch=none"), "cannot fetch branch none of file://"),
        (format!("{url}#commit=ffffffffff"), "has no commit ffffffffff"),
        (format!("{url}#commit=main"), "'main' is no commit"),
        (format!("{url}#tag=--upload-pack=touch"), "is no name of a tag"),
        (format!("{url}#revision=1"), "is none of #tag=, #branch= and #commit="),
        (format!("git+file://{}/none", root.path().display()), "cannot fetch file://"),
        ("git+/etc".into(), "git over this protocol is not supported"),
        ("x::git+ext::sh -c id".into(), "git over this protocol is not supported"),
    ] {
        let ended = Bench::new(&pkgbuild(&format!("source=('{source}')\nsha256sums=(SKIP)"))).build().await;
        assert!(ended.error().contains(said), "{source}: {}\n{}", ended.error(), ended.printed);
    }
    let summed = pkgbuild(&format!("source=('{url}')\nsha256sums=({})", "0".repeat(64)));
    assert!(Bench::new(&summed).build().await.error().contains("write SKIP and pin a commit"));
}
