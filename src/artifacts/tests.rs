//! Entries come whole, stay what they were, and go.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

use super::*;
use crate::vocab::{TreeMark, WorkerId};

fn artifact(key: u8, content: &[u8]) -> Artifact {
    Artifact {
        worker: WorkerId::new("echo-worker").unwrap(),
        version: "0.1.0".into(),
        key: BuildKey(Digest::new([key; 32])),
        class: "linux-x86_64 glibc 2.36 x86-64-v3".into(),
        program: "echo-worker".into(),
        tree: None,
        size: content.len() as u64,
        digest: Digest::new(Sha256::digest(content).into()),
        from: "built on one".into(),
        made_at: "2026-01-02T03:04:05Z".into(),
    }
}

fn keep(artifacts: &Artifacts, key: u8, content: &[u8]) -> Checked {
    let draft = artifacts.draft().unwrap();
    draft.data().unwrap().write_all(content).unwrap();
    draft.keep(artifact(key, content)).unwrap()
}

fn names(artifacts: &Artifacts) -> Vec<String> {
    let names = fs::read_dir(&artifacts.dir).into_iter().flatten().flatten();
    names.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_was_kept_is_found_and_what_was_damaged_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(dir.path().join("artifacts"));
    let key = BuildKey(Digest::new([1; 32]));
    assert!(artifacts.get(key).await.unwrap().is_none());
    let kept = keep(&artifacts, 1, b"program");
    assert_eq!(fs::read(&kept.path).unwrap(), b"program");
    let found = artifacts.get(key).await.unwrap().unwrap();
    assert_eq!((&found.artifact, &found.path), (&kept.artifact, &kept.path));
    let tree = Some(TreeMark { entry: "bin/echo-worker".into(), digest: Digest::new([7; 32]), size: 99 });
    let many = Artifact { tree, ..artifact(2, b"tar") };
    let draft = artifacts.draft().unwrap();
    draft.data().unwrap().write_all(b"tar").unwrap();
    drop(draft.keep(many.clone()).unwrap());
    assert_eq!(artifacts.get(many.key).await.unwrap().unwrap().artifact, many);
    artifacts.remove(many.key);
    // The same key again replaces it, though both are in use.
    let again = keep(&artifacts, 1, b"other");
    assert_eq!(artifacts.get(key).await.unwrap().unwrap().artifact, again.artifact);
    assert_eq!(artifacts.list().len(), 1);
    assert_eq!(names(&artifacts), [key.to_string()], "drafts stay behind");

    for damage in [b"Other".as_slice(), b"othe", b""] {
        keep(&artifacts, 1, b"other");
        fs::write(&again.path, damage).unwrap();
        assert!(artifacts.get(key).await.unwrap().is_none());
        assert!(artifacts.list().is_empty(), "a damaged one is removed");
    }
}

#[tokio::test]
async fn what_does_not_come_to_its_end_is_as_if_it_had_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(dir.path());
    let draft = artifacts.draft().unwrap();
    draft.data().unwrap().write_all(b"half").unwrap();
    assert!(artifacts.list().is_empty());
    let other = artifacts.draft().unwrap();
    assert_eq!(names(&artifacts).len(), 4, "a draft that is being written is no debris");
    drop((draft, other));
    assert_eq!(names(&artifacts), [""; 0]);
    // As a killed run leaves it: there, and locked by nobody.
    let old = SystemTime::now() - Duration::from_secs(60);
    fs::create_dir(dir.path().join(".new-1")).unwrap();
    fs::write(dir.path().join(".new-1/data"), b"half").unwrap();
    fs::File::create(dir.path().join(".new-1.lock")).unwrap().set_modified(old).unwrap();
    fs::create_dir(dir.path().join(".new-2")).unwrap();
    drop(artifacts.draft().unwrap());
    assert_eq!(names(&artifacts), [""; 0]);
}

#[tokio::test]
async fn strangers_in_the_folder_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(dir.path());
    let kept = keep(&artifacts, 1, b"x");
    let index = dir.path().join(kept.artifact.key.to_string()).join(INDEX);
    let good = fs::read_to_string(&index).unwrap();
    for (from, to) in [
        ("form = \"file\"", "form = \"tree\""),
        ("program = \"echo-worker\"", "program = \"../echo-worker\""),
        ("program = \"echo-worker\"", "program = \".profile\""),
        ("built on one", "built on\\u001b[2J"),
        ("worker = \"echo-worker\"", "worker = \"../x\""),
        ("key = \"01", "key = \"02"),
        ("form", "["),
    ] {
        assert!(good.contains(from), "{from}");
        fs::write(&index, good.replace(from, to)).unwrap();
        assert!(artifacts.list().is_empty(), "{to}");
        assert!(artifacts.get(kept.artifact.key).await.unwrap().is_none());
    }
    fs::write(&index, &good).unwrap();
    fs::write(dir.path().join("notes"), "").unwrap();
    fs::create_dir(dir.path().join("f".repeat(64))).unwrap();
    assert_eq!(artifacts.list().len(), 1);
    let bad = Artifact { program: "a/b".into(), ..kept.artifact.clone() };
    assert!(artifacts.draft().unwrap().keep(bad).is_err());
}

#[test]
fn pruning_goes_by_age_and_by_size_and_spares_what_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(dir.path());
    let now = SystemTime::now();
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for key in 1..=4 {
        let kept = keep(&artifacts, key, &[0; 100]);
        kept._used.set_modified(now - hours(u64::from(key))).unwrap();
    }
    let left = |bounds: &Bounds| {
        let pruned = artifacts.prune(bounds, now).unwrap();
        assert_eq!(artifacts.list().len(), pruned.kept.len() + pruned.in_use.len());
        (pruned.removed.len(), pruned.in_use.len())
    };
    let old = |n| Bounds { older_than: Some(hours(n)), ..Bounds::default() };
    assert_eq!(left(&old(5)), (0, 0));
    assert_eq!(left(&old(4)), (1, 0));
    let size = |max| Bounds { max_size: Some(max), ..Bounds::default() };
    assert_eq!(left(&size(300)), (0, 0));
    assert_eq!(left(&size(299)), (1, 0));
    assert_eq!(artifacts.list().iter().map(|e| e.artifact.key.0).max(), Some(Digest::new([2; 32])), "the oldest goes");
    let used = keep(&artifacts, 9, b"used");
    assert_eq!(left(&Bounds::default()), (2, 1));
    drop(used);
    assert_eq!(left(&Bounds::default()), (1, 0));
    assert_eq!(names(&artifacts), [""; 0]);
}
