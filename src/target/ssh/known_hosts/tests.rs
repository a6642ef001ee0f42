use std::process::Command;

use proptest::prelude::*;

use super::*;

/// A public key as it stands in a file; `id` makes it that one and no other.
fn ed25519(id: u8) -> String {
    // The point of the curve does not matter here, only that it has 32 bytes.
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([id; 32]);
    format!("ssh-ed25519 {}", BASE64.encode(blob))
}

fn found(text: impl AsRef<[u8]>, name: &str) -> Vec<(usize, Marker)> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known");
    fs::write(&file, text).unwrap();
    let entries = KnownHosts::default().entries(&[dir.path().join("missing"), file], name);
    entries.iter().map(|entry| (entry.place.line, entry.marker)).collect()
}

#[test]
fn names_patterns_and_exclusions() {
    let a = ed25519(1);
    let text = format!("GPU,192.0.2.* {a}\n*.lan,!bad.lan {a}\n!*.lan,x {a}\n[h]:2222 {a} comment\n");
    for (name, lines) in [
        ("gpu", &[1][..]),
        ("192.0.2.9", &[1]),
        ("good.lan", &[2]),
        ("bad.lan", &[]),
        ("x", &[3]),
        ("[h]:2222", &[4]),
        ("h", &[]),
        ("", &[]),
    ] {
        let numbers: Vec<_> = found(&text, name).into_iter().map(|(line, _)| line).collect();
        assert_eq!(numbers, lines, "{name}");
    }
}

#[test]
fn odd_lines_are_read_or_passed_over_as_by_openssh() {
    let a = ed25519(1);
    let tabbed = a.replace(' ', "\t \t");
    let (kind, blob) = a.split_once(' ').unwrap();
    let long = format!("h,{}", "x".repeat(1021));
    let too_long = format!("h,{}", "x".repeat(1023));
    for (line, expected) in [
        (format!(" \t h\t {tabbed}"), Some(Marker::None)),
        (format!("h {a}\r"), Some(Marker::None)),
        (format!("h {a} {}", "c".repeat(100_000)), Some(Marker::None)),
        (format!("{long} {a}"), Some(Marker::None)),
        (format!("{too_long} {a}"), None),
        (format!("# h {a}"), None),
        (format!("@revoked h {a}"), Some(Marker::Revoked)),
        (format!("@revoked\t \th\t{kind}\t{blob}"), None),
        (format!("@revoked\th\t{kind}\t{blob}"), Some(Marker::Revoked)),
        (format!("@revoked\th {a}"), None),
        (format!("@cert-authority   h {a}"), Some(Marker::Authority)),
        (format!("@Revoked h {a}"), None),
        (format!("@revoked @cert-authority h {a}"), None),
        (format!("@revoked{} h {a}", "d".repeat(40)), None),
        (format!("h {blob} {kind}"), None),
        (format!("h ssh-rsa {blob}"), None),
        (format!("h {kind} {}", &blob[..blob.len() - 4]), None),
        (format!("h {kind} {blob}AAAA"), None),
        (format!("h {kind}"), None),
        ("h".to_owned(), None),
        (format!("h\0 {a}"), None),
        (format!("|1|x|y {a}"), None),
        (format!("|2|x|y,h {a}"), None),
    ] {
        let expected: Vec<_> = expected.map(|marker| (2, marker)).into_iter().collect();
        assert_eq!(found(format!("\n{line}\nend"), "h"), expected, "{line:.80}");
    }
    let mut latin = format!("h {a} caf").into_bytes();
    latin.extend(*b"\xe9\n");
    assert_eq!(found(latin, "h"), [(1, Marker::None)]);
}

#[test]
fn ssh_keygens_hashes_are_understood_and_ours_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("known");
    let run = |command: &mut Command| {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    fs::write(&file, format!("one,[two]:2222 {}\n", ed25519(1))).unwrap();
    run(Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file));
    assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
    let (store, files) = (KnownHosts::default(), [file.clone()]);
    for name in ["one", "[two]:2222"] {
        assert_eq!(store.entries(&files, name).len(), 1, "{name}");
    }
    assert!(store.entries(&files, "two").is_empty());
    let key = store.entries(&files, "one").remove(0).key.data;
    store.add(&file, true, &[("[three]:99,192.0.2.1".into(), key)]).unwrap();
    for name in ["[three]:99", "192.0.2.1"] {
        assert_eq!(store.entries(&files, name).len(), 1, "{name}");
        let found = run(Command::new("ssh-keygen").args(["-F", name, "-f"]).arg(&file));
        assert!(found.contains("found"), "{found}");
    }
}

#[test]
fn a_new_file_is_private_an_old_one_keeps_its_mode_and_no_line_is_mixed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(".ssh/known");
    let store = KnownHosts::default();
    let key = |id: u8| Key::parse(&ed25519(id)).unwrap().data;
    store.add(&file, false, &[("a".into(), key(1))]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    fs::write(&file, format!("a {}", ed25519(1))).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // What is there already is not written again.
    store.add(&file, false, &[("a".into(), key(1)), ("b".into(), key(2)), ("b".into(), key(1))]).unwrap();
    let expected = format!("a {0}\nb {1}\nb {0}\n", ed25519(1), ed25519(2));
    assert_eq!((fs::read_to_string(&file).unwrap(), mode(&file)), (expected, 0o640));
    std::thread::scope(|scope| {
        for id in 0..20 {
            let (store, file) = (&store, &file);
            scope.spawn(move || store.add(file, id % 2 == 0, &[(format!("host{id}"), key(id))]).unwrap());
        }
    });
    for id in 0..20 {
        assert_eq!(store.entries(std::slice::from_ref(&file), &format!("host{id}")).len(), 1);
    }
}

proptest! {
    #[test]
    fn no_line_makes_it_panic(text in "(@[a-z-]{0,9}[ \t])?[|a-z0-9*,!\\[\\]:=]{0,20}[ \t]{0,2}(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256|ssh-ed25519-cert-v01@openssh.com) [A-Za-z0-9+/=]{0,90}.{0,9}") {
        for line in line::parse(text.as_bytes()) {
            line.fits("host");
            line.key();
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for line in line::parse(&bytes) {
            line.fits("host");
            line.key();
        }
    }

    #[test]
    fn no_blob_makes_it_panic(kind in "(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp521|ssh-dss|sk-ssh-ed25519@openssh.com|ssh-rsa-cert-v01@openssh.com)", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend(kind.as_bytes());
        blob.extend(bytes);
        Key::parse(&format!("{kind} {}", BASE64.encode(blob)));
    }
}
