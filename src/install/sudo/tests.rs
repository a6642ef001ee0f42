//! What is sent to a host and what is shown to an administrator, word by word.

use super::{Places, Sudo, Tools, scripts, sudoers_lines, words};
use crate::{
    install::Layout,
    vocab::{BuildKey, Digest, Manifest, Secret, WorkerId},
};

fn tools() -> Tools {
    Tools {
        sudo: "/usr/bin/sudo".into(),
        sh: "/bin/sh".into(),
        install: "/usr/bin/install".into(),
        tee: "/usr/bin/tee".into(),
        mv: "/bin/mv".into(),
        rm: "/bin/rm".into(),
        chmod: "/bin/chmod".into(),
        hash: vec!["/usr/bin/sha256sum".into()],
    }
}

fn places() -> Places {
    let layout = Layout::new("/usr/local/bin", "/usr/local/share/rbee");
    Places::new(&layout, &WorkerId::new("echo-worker").unwrap(), "echo")
}

fn manifest() -> Manifest {
    Manifest {
        worker: WorkerId::new("echo-worker").unwrap(),
        version: "1.0".into(),
        class: None,
        key: BuildKey(Digest::new([2; 32])),
        digest: Digest::new([2; 32]),
        size: 7,
        path: "/usr/local/bin/echo".into(),
        entry: None,
        origin: "built in".into(),
        run: "RUN".into(),
        installed_at: "2026-01-01T00:00:00Z".into(),
        previous: Some(Digest::new([1; 32])),
    }
}

/// What is sent to a host is pinned: a change of it is a change to be seen.
#[test]
fn what_is_sent_is_pinned() {
    let (free, places) = (Sudo { tools: tools(), password: None }, places());
    let asked = Sudo { password: Some(Secret::new("open sesame")), ..free.clone() };
    let (parts, source) = ("/home/it's me/.cache/parts", "/home/it's me/.cache/parts/.echo.RUN");
    let want = Digest::new([2; 32]);
    for (name, sudo) in [("free", &free), ("password", &asked)] {
        let put = scripts::put(sudo, &places, parts, source, want, "it's NEW", Some("OLD"));
        assert!(!put.contains("sesame"));
        insta::assert_snapshot!(format!("put_{name}"), put);
        insta::assert_snapshot!(format!("remove_{name}"), scripts::remove(sudo, &places, &manifest()));
        insta::assert_snapshot!(format!("prove_{name}"), scripts::prove(sudo));
    }
    insta::assert_snapshot!("put_first", scripts::put(&free, &places, parts, source, want, "NEW", None));
    insta::assert_snapshot!("sweep", scripts::sweep(&free, &places, parts));
}

/// A wildcard, a shell, or a path that is not root's would give away more than one program.
#[test]
fn the_lines_give_nothing_else_away() {
    let lines = sudoers_lines("ada", Some(1000), &tools(), &[places()]);
    insta::assert_snapshot!("lines", lines);
    assert_eq!(lines.lines().count(), 3);
    assert!(
        !lines.contains(['*', '?', '[', '\\', '!']) && !lines.contains("/sh ") && !lines.contains("ALL:"),
        "{lines}"
    );
    let paths = lines.split([' ', ',']).filter(|word| word.starts_with('/'));
    for path in paths {
        let tool = ["/usr/bin/", "/bin/"].iter().any(|dir| path.starts_with(dir));
        assert!(tool || path == "/dev/null" || path.starts_with("/usr/local/"), "{path}");
    }
}

#[test]
fn odd_names_stay_one_word() {
    let layout = Layout::new("/opt/a b,c:d=e*[x]\\/bin", "/opt/share");
    let places = Places::new(&layout, &WorkerId::new("w").unwrap(), "w");
    let lines = sudoers_lines("corp\\ada lovelace", Some(1000), &tools(), &[places]);
    assert!(lines.starts_with("#1000 ALL=(root) NOPASSWD: "), "{lines}");
    assert!(lines.contains(r"/opt/a\ b\,c\:d\=e\*\[x\]\\/bin/.w.rbee"), "{lines}");
}

#[test]
fn sudos_own_words_are_told() {
    let wrong = "Sorry, try again.\n\nsudo: no password was provided\nsudo: 1 incorrect password attempt\n";
    assert_eq!(words(wrong), "1 incorrect password attempt");
    assert_eq!(words("ada is not in the sudoers file.\n"), "ada is not in the sudoers file.");
    assert_eq!(words("sudo: a password is required\n/usr/bin/tee: x\n"), "a password is required");
    assert_eq!(words("mv: cannot move\n"), "mv: cannot move");
    assert_eq!(words(""), "it said nothing");
}
