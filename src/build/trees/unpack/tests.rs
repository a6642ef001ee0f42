use tar::{Builder, Header};

use super::*;

/// One entry, as hostile as it may be: the library that writes archives refuses such names.
struct Item<'a> {
    path: &'a str,
    kind: EntryType,
    mode: u32,
    link: &'a str,
    content: &'a [u8],
}

const fn folder(path: &str) -> Item<'_> {
    Item { path, kind: EntryType::Directory, mode: 0o755, link: "", content: b"" }
}

const fn file<'a>(path: &'a str, content: &'a [u8]) -> Item<'a> {
    Item { path, kind: EntryType::Regular, mode: 0o644, link: "", content }
}

const fn link<'a>(path: &'a str, kind: EntryType, link: &'a str) -> Item<'a> {
    Item { path, kind, mode: 0o777, link, content: b"" }
}

fn archive(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for item in items {
        let mut header = Header::new_gnu();
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_mtime(1_000_000_000);
        header.set_size(item.content.len() as u64);
        let name = item.path.as_bytes();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.as_gnu_mut().unwrap().linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_cksum();
        builder.append(&header, item.content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn take(items: &[Item<'_>], rules: Rules) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let result = unpack(&archive(items)[..], &inside, &["p".to_owned(), "q".to_owned()], &rules);
    (root, result)
}

fn rules() -> Rules {
    Rules { bytes: 1000, entries: 20, keep_set_id: true }
}

#[test]
fn what_leads_out_is_refused() {
    let ok = [folder("p"), folder("q")];
    assert!(take(&ok, rules()).1.is_ok());
    for (bad, said) in [
        (vec![file("../escaped", b"x")], "leads out"),
        (vec![file("p/../../escaped", b"x")], "leads out"),
        (vec![file("/tmp/rbee-escaped", b"x")], "leads out"),
        (vec![file("other/x", b"x")], "leads out"),
        (vec![file("p", b"x")], "no folder"),
        (vec![link("p/l", EntryType::Symlink, "../.."), file("p/l/escaped", b"x")], "twice"),
        (vec![link("p/l", EntryType::Symlink, "/tmp"), folder("p/l"), file("p/l/escaped", b"x")], "twice"),
        (vec![link("p/l", EntryType::Symlink, "/etc/passwd"), file("p/l", b"x")], "twice"),
        (vec![link("p/h", EntryType::Link, "/etc/passwd")], "leads out"),
        (vec![link("p/h", EntryType::Link, "../inside/x")], "leads out"),
        (vec![link("p/h", EntryType::Link, "p/missing")], "no file in them"),
        (vec![link("p/d", EntryType::Char, "")], "a device"),
        (vec![link("p/d", EntryType::Block, "")], "a device"),
        (vec![link("p/d", EntryType::Fifo, "")], "a pipe"),
        (vec![link("p/d", EntryType::GNUSparse, "")], "unknown kind"),
        (vec![file("p/x", b"x"), file("p/x", b"y")], "twice"),
        (vec![file("p/x", &[0; 2000])], "more than 1.0 kB"),
        (vec![file("p/x\x1b[2J", b""), file("p/x\x1b[2J", b"")], "x\u{fffd}[2J"),
    ] {
        let first = bad[0].path;
        let items: Vec<_> = [folder("p"), folder("q")].into_iter().filter(|top| top.path != first).chain(bad).collect();
        let (root, result) = take(&items, rules());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(said), "{error}, not {said}");
        assert!(!root.path().join("escaped").exists() && !Path::new("/tmp/rbee-escaped").exists());
    }
    let many: Vec<_> = (0..30).map(|n| format!("p/{n}")).collect();
    let many: Vec<_> = many.iter().map(|path| file(path, b"")).collect();
    assert!(take(&many, rules()).1.unwrap_err().to_string().contains("more than 20 files"));
    assert!(take(&[folder("p")], rules()).1.unwrap_err().to_string().contains("q is missing"));
}

#[test]
fn a_stream_must_come_to_its_end() {
    let whole = archive(&[folder("p"), folder("q"), file("p/x", &[b'x'; 700])]);
    let root = tempfile::tempdir().unwrap();
    for (n, cut) in [100, 513, 1600, 2000].into_iter().enumerate() {
        let place = root.path().join(n.to_string());
        fs::create_dir(&place).unwrap();
        assert!(unpack(&whole[..cut], &place, &["p".to_owned()], &rules()).is_err(), "{cut}");
    }
    let mut endless = whole;
    endless.resize(4 << 20, 0);
    let place = root.path().join("endless");
    fs::create_dir(&place).unwrap();
    assert!(
        unpack(&endless[..], &place, &["p".to_owned(), "q".to_owned()], &rules())
            .unwrap_err()
            .to_string()
            .contains("behind its end")
    );
}

#[test]
fn modes_times_and_links_arrive() {
    let mut program = file("p/bin/x", b"x");
    program.mode = 0o4755;
    let mut closed = folder("p/closed");
    closed.mode = 0o500;
    let items = [
        folder("p"),
        folder("q"),
        folder("p/bin"),
        program,
        closed,
        file("p/closed/inside", b"y"),
        link("p/abs", EntryType::Symlink, "/nowhere/else"),
        link("p/same", EntryType::Link, "p/bin/x"),
        link("p/again", EntryType::Link, "p/abs"),
    ];
    let (root, result) = take(&items, rules());
    let unpacked = result.unwrap();
    assert_eq!((unpacked.files, unpacked.bytes, unpacked.tops.len()), (2, 2, 2));
    let data = |path: &str| fs::symlink_metadata(root.path().join("inside").join(path)).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(data("p/bin/x").mode() & 0o7777, 0o4755);
    assert_eq!(data("p/closed").mode() & 0o7777, 0o500);
    assert_eq!(data("p/bin/x").ino(), data("p/same").ino());
    for path in ["p/bin", "p/bin/x", "p/closed", "p/abs"] {
        assert_eq!(data(path).mtime(), 1_000_000_000, "{path}");
    }
    for path in ["p/abs", "p/again"] {
        assert_eq!(fs::read_link(root.path().join("inside").join(path)).unwrap(), Path::new("/nowhere/else"));
    }
    let (root, result) = take(&items, Rules { keep_set_id: false, ..rules() });
    assert_eq!(result.unwrap().without_set_id, ["p/bin/x"]);
    assert_eq!(fs::metadata(root.path().join("inside/p/bin/x")).unwrap().mode() & 0o7777, 0o755);
}
