//! Good archives of every kind, and hostile ones.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use super::{ArchiveError, Limits, unpack};

fn tried(bytes: &[u8], limits: Limits) -> (tempfile::TempDir, Result<(), ArchiveError>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a");
    fs::write(&file, bytes).unwrap();
    let into = dir.path().join("x");
    fs::create_dir(&into).unwrap();
    let result = unpack(&mut File::open(file).unwrap(), &into, "bare", limits);
    (dir, result)
}

/// A filter of this machine; `None` where there is none.
fn through(program: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child =
        Command::new(program[0]).args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let owned = bytes.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&owned));
    let done = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(done.status.success());
    Some(done.stdout)
}

fn sample() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode, content: &[u8]| {
        let mut head = tar::Header::new_ustar();
        head.set_size(content.len() as u64);
        head.set_mode(mode);
        builder.append_data(&mut head, path, content).unwrap();
    };
    add("srv-1.0/bin/srv", 0o4711, b"#!/bin/sh\n");
    add("srv-1.0/share/data", 0o600, &vec![b'x'; 300_000]);
    let mut head = tar::Header::new_ustar();
    head.set_entry_type(tar::EntryType::Symlink);
    head.set_size(0);
    builder.append_link(&mut head, "srv-1.0/share/link", "../share/data").unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn every_kind_is_unpacked() {
    let tar = sample();
    let kinds: [&[&str]; 4] = [&["cat"], &["gzip", "-c"], &["xz", "-c"], &["zstd", "-c", "-q"]];
    for kind in kinds {
        let Some(bytes) = through(kind, &tar) else { continue };
        let (dir, result) = tried(&bytes, Limits::default());
        result.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let at = |path: &str| dir.path().join("x/srv-1.0").join(path);
        assert_eq!(fs::read(at("share/link")).unwrap().len(), 300_000, "{kind:?}");
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("bin/srv"), mode("share/data")), (0o755, 0o644), "{kind:?}");
        // Cut off, or with one bit another, it is an error.
        let (_dir, result) = tried(&bytes[..bytes.len() / 2], Limits::default());
        assert!(result.is_err(), "{kind:?}");
    }
    for kind in kinds {
        let Some(bytes) = through(kind, b"#!/bin/sh\necho bare\n") else { continue };
        let (dir, result) = tried(&bytes, Limits::default());
        result.unwrap();
        assert_eq!(fs::metadata(dir.path().join("x/bare")).unwrap().permissions().mode() & 0o777, 0o755, "{kind:?}");
    }
    assert!(matches!(tried(b"BZh91AY", Limits::default()).1, Err(ArchiveError::Unsupported("bzip2"))));
}

#[test]
fn a_bomb_stays_small() {
    let Some(bomb) = through(&["gzip", "-c"], &vec![0; 8 << 20]) else { return };
    let (dir, result) = tried(&bomb, Limits { bytes: 1 << 20, items: 10 });
    assert!(matches!(result, Err(ArchiveError::TooLarge(_))));
    assert!(fs::metadata(dir.path().join("x/bare")).unwrap().len() <= 1 << 20);
    let (_dir, result) = tried(&sample(), Limits { bytes: 1 << 20, items: 2 });
    assert!(matches!(result, Err(ArchiveError::TooLarge(_))));
}

/// `f:path`, `l:path>target`, `h:path>target`, `c:path`: whatever the names are.
fn raw(text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for word in text.split(' ') {
        let (kind, rest) = word.split_once(':').unwrap();
        let (path, target) = rest.split_once('>').unwrap_or((rest, ""));
        let mut head = tar::Header::new_ustar();
        head.set_size(0);
        head.set_mode(0o644);
        head.set_entry_type(match kind {
            "f" => tar::EntryType::Regular,
            "l" => tar::EntryType::Symlink,
            "h" => tar::EntryType::Link,
            "d" => tar::EntryType::Directory,
            _ => tar::EntryType::Char,
        });
        let old = head.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        head.set_cksum();
        builder.append(&head, std::io::empty()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn below(path: &Path) -> usize {
    fs::read_dir(path).unwrap().count()
}

#[test]
fn nothing_escapes() {
    for (text, said) in [
        ("f:../out", "leads out of its folder"),
        ("f:a/../../out", "leads out of its folder"),
        ("f:/tmp/out", "leads out of its folder"),
        ("l:a>/etc", "the link \"a\""),
        ("l:a>../../x", "the link \"a\""),
        ("l:a>.. f:a/out", "the link \"a\""),
        ("l:a>b f:a/out", "\"a\" is in it twice"),
        ("f:a f:a", "\"a\" is in it twice"),
        ("f:a d:a", "\"a\" is in it twice"),
        ("f:a f:a/b", "\"a\" is in it twice"),
        ("h:a>../../etc/passwd", "leads out of its folder"),
        ("h:a>nothing", "the link \"a\""),
        ("l:b>c h:a>b", "the link \"a\""),
        ("c:null", "neither a file, a folder nor a link"),
        ("f:a\u{1b}[2J", "no usable name"),
        ("f:a\\b", "no usable name"),
    ] {
        let (dir, result) = tried(&raw(text), Limits::default());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\u{1b}'), "{text}: {error}");
        assert_eq!(below(dir.path()), 2, "{text}");
    }
    assert!(tried(&raw("f:./a d:b/ f:b/c l:d>b/c h:e>a"), Limits::default()).1.is_ok());
}

#[test]
fn a_zip_is_held_to_the_same_rules() {
    let zipped = |entries: &[(&str, u32, &str)]| {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (path, mode, content) in entries {
            let options = zip::write::SimpleFileOptions::default().unix_permissions(mode & 0o777);
            match mode & 0o170_000 {
                0o120_000 => writer.add_symlink(*path, *content, options).unwrap(),
                _ => {
                    writer.start_file(*path, options).unwrap();
                    writer.write_all(content.as_bytes()).unwrap();
                }
            }
        }
        writer.finish().unwrap().into_inner()
    };
    let good = zipped(&[("x/bin/srv", 0o755, "#!/bin/sh\n"), ("x/lib/a", 0o644, "a"), ("x/lib/b", 0o120_777, "a")]);
    let (dir, result) = tried(&good, Limits::default());
    result.unwrap();
    let mode = |path: &str| fs::metadata(dir.path().join("x/x").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bin/srv"), mode("lib/a")), (0o755, 0o644));
    assert_eq!(fs::read_to_string(dir.path().join("x/x/lib/b")).unwrap(), "a");
    for entries in [
        &[("../out", 0o644, "x")][..],
        &[("/tmp/out", 0o644, "x")],
        &[("a", 0o120_777, "/etc/passwd")],
        &[("a", 0o120_777, "../../x")],
    ] {
        let (dir, result) = tried(&zipped(entries), Limits::default());
        assert!(result.is_err(), "{entries:?}");
        assert_eq!(below(dir.path()), 2, "{entries:?}");
    }
    let bomb = zipped(&[("a", 0o644, &"0".repeat(4 << 20))]);
    assert!(matches!(tried(&bomb, Limits { bytes: 1 << 20, items: 9 }).1, Err(ArchiveError::TooLarge(_))));
}
