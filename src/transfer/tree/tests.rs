//! The same sum from here and from a host, and from what came out of the stream.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use super::{
    Tree, TreeError, TreeSource, check_tar, digest_script, lines, list_script, listed, listing::tree_sum, pack_script,
    tidy_script,
};
use crate::{
    target::Source,
    transfer::parse_digest,
    vocab::{Digest, WorkerId, text::sh_quote},
};

fn worker() -> WorkerId {
    WorkerId::new("srv").unwrap()
}

fn write(root: &Path, path: &str, mode: u32, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A server with libraries, data, links, blanks and long names.
fn sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "bin/srv", 0o755, "#!/bin/sh\necho hi\n");
    write(root, "bin/other", 0o755, "");
    write(root, "lib/libx.so.1", 0o644, vec![7; 3 << 20]);
    write(root, &format!("share/{}/{}", "d".repeat(120), "n".repeat(200)), 0o644, "deep");
    write(root, "share/it's a 'file' $x `y`", 0o644, "odd");
    write(root, "share/ü", 0o644, "utf-8");
    write(root, "share/plain", 0o644, vec![1; 512]);
    symlink("libx.so.1", root.join("lib/libx.so")).unwrap();
    symlink(format!("../share/{}", "d".repeat(120)), root.join("lib/data")).unwrap();
    fs::create_dir(root.join("share/empty")).unwrap();
    dir
}

fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["/bin/sh"], vec!["bash", "--posix"], vec!["busybox", "sh"], vec!["dash"]];
    let there = |shell: &Vec<&str>| Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).status().is_ok();
    all.into_iter().filter(there).collect()
}

fn run(shell: &[&str], script: &str) -> Output {
    Command::new(shell[0]).args(&shell[1..]).args(["-c", script]).output().unwrap()
}

fn on_host(root: &Path, shell: &[&str]) -> Option<Digest> {
    let call = tree_sum(&sh_quote(root.to_str().unwrap()), &worker(), "bin/srv");
    let ran = run(shell, &digest_script(&[call]));
    assert!(ran.status.success(), "{ran:?}");
    parse_digest(&String::from_utf8(ran.stdout).unwrap())
}

fn here(root: &Path) -> Digest {
    Tree::open(root, None, &worker()).unwrap().digest(&worker()).unwrap()
}

#[test]
fn a_host_and_this_machine_list_alike() {
    let dir = sample();
    let want = here(dir.path());
    for shell in shells() {
        assert_eq!(on_host(dir.path(), &shell), Some(want), "{shell:?}");
        let ran = run(&shell, &list_script(dir.path().to_str().unwrap()));
        let items = listed(&String::from_utf8(ran.stdout).unwrap()).unwrap();
        assert_eq!(
            lines(&worker(), "bin/srv", items.iter().map(|(item, hash)| (item, hash.as_ref()))),
            want,
            "{shell:?}"
        );
    }
    let other = WorkerId::new("other").unwrap();
    assert_ne!(Tree::open(dir.path(), None, &other).unwrap().digest(&other).unwrap(), want, "it is another worker's");
    assert_eq!(on_host(&dir.path().join("none"), &["/bin/sh"]), None);
}

#[test]
fn every_change_is_seen_on_the_host() {
    let change = |what: &str, how: &dyn Fn(&Path)| {
        let dir = sample();
        let before = on_host(dir.path(), &["/bin/sh"]).unwrap();
        how(dir.path());
        assert_ne!(on_host(dir.path(), &["/bin/sh"]), Some(before), "{what}");
    };
    let mode = |path: &'static str, mode| {
        move |root: &Path| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    change("content", &|root| fs::write(root.join("share/plain"), "x").unwrap());
    change("a new file", &|root| fs::write(root.join("lib/new"), "x").unwrap());
    change("a file gone", &|root| fs::remove_file(root.join("bin/other")).unwrap());
    change("a folder gone", &|root| fs::remove_dir(root.join("share/empty")).unwrap());
    change("no longer executable", &mode("bin/other", 0o644));
    change("writable for all", &mode("share/plain", 0o666));
    change("a folder for all", &mode("share", 0o777));
    change("set-user-ID", &mode("bin/srv", 0o4755));
    change("a link elsewhere", &|root| {
        fs::remove_file(root.join("lib/libx.so")).unwrap();
        symlink("/etc/passwd", root.join("lib/libx.so")).unwrap();
    });
    change("a pipe", &|root| {
        nix::unistd::mkfifo(&root.join("share/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    });
}

#[test]
fn what_a_host_packs_is_taken() {
    for tool in ["tar", "busybox"] {
        let dir = sample();
        fs::hard_link(dir.path().join("bin/srv"), dir.path().join("bin/same")).unwrap();
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join("p.tar");
        let mut script = pack_script(dir.path().to_str().unwrap(), path.to_str().unwrap());
        if tool == "busybox" {
            script = script.replace("\ntar ", "\nbusybox tar ");
        }
        let ran = run(&["/bin/sh"], &script);
        if tool == "busybox" && !ran.status.success() {
            continue;
        }
        assert!(ran.status.success(), "{ran:?}");
        check_tar(fs::File::open(&path).unwrap()).unwrap();
    }
}

async fn packed(tree: Tree) -> (Vec<u8>, u64) {
    let mut source = TreeSource::open(Arc::new(tree)).unwrap();
    let (mut bytes, size) = (Vec::new(), source.size());
    loop {
        match source.next().await.unwrap() {
            chunk if chunk.is_empty() => break,
            chunk => bytes.extend_from_slice(&chunk),
        }
    }
    use sha2::Digest as _;
    assert_eq!(source.digest(), Some(Digest::new(sha2::Sha256::digest(&bytes).into())));
    (bytes, size)
}

#[tokio::test]
async fn the_stream_is_a_tar_of_the_tree() {
    let dir = sample();
    let tree = Tree::open(dir.path(), None, &worker()).unwrap();
    let (bytes, size) = packed(tree.clone()).await;
    assert_eq!(bytes.len() as u64, size);
    assert!(packed(tree).await.0 == bytes, "not the same twice");
    for tar in [vec!["tar"], vec!["busybox", "tar"]] {
        let out = tempfile::tempdir().unwrap();
        let file = out.path().join("x.tar");
        fs::write(&file, &bytes).unwrap();
        let folder = out.path().join("tree");
        fs::create_dir(&folder).unwrap();
        let mut command = Command::new(tar[0]);
        command.args(&tar[1..]).arg("-xof").arg(&file).current_dir(&folder);
        let Ok(ran) = command.output() else { continue };
        assert!(ran.status.success() && ran.stderr.is_empty(), "{tar:?} {ran:?}");
        assert_eq!(here(&folder), here(dir.path()), "{tar:?}");
    }
}

#[tokio::test]
async fn a_file_that_changes_is_noticed() {
    for content in [vec![1; 511], vec![1; 513]] {
        let dir = sample();
        let tree = Tree::open(dir.path(), None, &worker()).unwrap();
        fs::write(dir.path().join("share/plain"), content).unwrap();
        assert!(matches!(tree.digest(&worker()), Err(TreeError::Changed(path)) if path == "share/plain"));
        let mut source = TreeSource::open(Arc::new(tree)).unwrap();
        let failed = loop {
            match source.next().await {
                Ok(chunk) if chunk.is_empty() => break None,
                Ok(_) => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        assert_eq!(failed.as_deref(), Some("share/plain changed while it was sent"));
    }
}

#[test]
fn a_package_is_tidied_to_two_modes() {
    let dir = sample();
    let want = here(dir.path());
    for (path, mode) in [("bin/srv", 0o711), ("share/plain", 0o664), ("share", 0o2775), ("bin", 0o700)] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let ran = run(&["/bin/sh"], &tidy_script(dir.path().to_str().unwrap()));
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(on_host(dir.path(), &["/bin/sh"]), Some(want));
}

#[test]
fn what_is_no_tree_is_named() {
    let said = |how: &dyn Fn(&Path)| {
        let dir = sample();
        how(dir.path());
        Tree::open(dir.path(), None, &worker()).unwrap_err().to_string()
    };
    let outside = said(&|root| {
        write(root, "etc/srv.conf", 0o644, "x");
        write(root, "README", 0o644, "x");
    });
    assert_eq!(outside, "it has README, etc, and only bin, lib and share go with a worker");
    let link = said(&|root| symlink("../../../etc", root.join("share/out")).unwrap());
    assert_eq!(link, "the link share/out in it leads out of it, to ../../../etc");
    let pipe = said(&|root| {
        nix::unistd::mkfifo(&root.join("share/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    });
    assert_eq!(pipe, "share/pipe in it is neither a file, a folder nor a link");
    assert!(said(&|root| write(root, "share/a\nb", 0o644, "")).contains("cannot be installed"));
}

/// What is sent to a host is pinned: a change of it is a change to be seen.
#[test]
fn what_is_sent_is_pinned() {
    insta::assert_snapshot!("sum", digest_script(&[tree_sum("\"$t\"", &worker(), "bin/srv")]));
    insta::assert_snapshot!("tidy", tidy_script("/home/it's me/pkg"));
    insta::assert_snapshot!("pack", pack_script("/home/it's me/pkg/usr", "/home/it's me/package.tar"));
}
