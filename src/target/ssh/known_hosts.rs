//! The known_hosts files: read once, matched as OpenSSH matches them.

use std::{
    collections::HashMap,
    fs, io,
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::pattern::list_fits;

/// What one file may hold.
const FILE_LIMIT: u64 = 64 << 20;

/// What the files say about the key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    /// No key of this type; the places of keys of other types.
    Unknown {
        others: Vec<Place>,
    },
    /// There is a key of this type, and it is another.
    Changed(Place),
    Revoked(Place),
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: PathBuf,
    pub line: usize,
    pub key_type: String,
}

/// A host's names in these files: as it was connected to, and what else is accepted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// `host`, or `[host]:port` for a port that is not the standard one, or the alias.
    pub name: String,
    /// The bare host, whose known key counts for every port; its keys are never a reason to complain.
    pub bare: Option<String>,
}

impl Names {
    pub(super) fn new(host: &str, port: u16, alias: Option<&str>) -> Self {
        match alias {
            Some(alias) => Self { name: alias.to_ascii_lowercase(), bare: None },
            None if port == 22 => Self { name: host.to_ascii_lowercase(), bare: None },
            None => {
                Self { name: format!("[{}]:{port}", host.to_ascii_lowercase()), bare: Some(host.to_ascii_lowercase()) }
            }
        }
    }
}

/// All files that were asked for so far, shared by every host of a run.
#[derive(Debug, Default)]
pub(super) struct KnownHosts {
    /// Held while a file is read or written, so that parallel hosts neither read twice nor mix their lines.
    files: Mutex<HashMap<PathBuf, Arc<Vec<Line>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: usize,
    revoked: bool,
    hosts: Hosts,
    key_type: String,
    key: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Patterns(Vec<String>),
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl Hosts {
    fn fit(&self, name: &str) -> bool {
        match self {
            Self::Patterns(patterns) => list_fits(patterns.iter().map(String::as_str), name),
            Self::Hashed { salt, hash } => hash_of(salt, name).is_some_and(|h| h == *hash),
        }
    }
}

fn hash_of(salt: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

fn parse(text: &str) -> Vec<Line> {
    text.lines().enumerate().filter_map(|(index, text)| parse_line(index + 1, text)).collect()
}

/// `None` for what is no key of a host: comments, broken lines, and certificate authorities, which are not used yet.
fn parse_line(number: usize, text: &str) -> Option<Line> {
    let mut words = text.split_ascii_whitespace().peekable();
    let mut revoked = false;
    match words.peek()? {
        first if first.starts_with('#') => return None,
        &"@revoked" => {
            revoked = true;
            words.next();
        }
        first if first.starts_with('@') => return None,
        _ => {}
    }
    let hosts = words.next()?;
    let hosts = match hosts.strip_prefix("|1|") {
        Some(hashed) => {
            let (salt, hash) = hashed.split_once('|')?;
            Hosts::Hashed { salt: BASE64.decode(salt).ok()?, hash: BASE64.decode(hash).ok()? }
        }
        None => Hosts::Patterns(hosts.split(',').map(str::to_ascii_lowercase).collect()),
    };
    let key_type = words.next()?.to_owned();
    let key = BASE64.decode(words.next()?).ok()?;
    Some(Line { number, revoked, hosts, key_type, key })
}

impl KnownHosts {
    fn lines(&self, file: &Path) -> Arc<Vec<Line>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = files.get(file) {
            return lines.clone();
        }
        // A file that is missing or cannot be read knows nobody, which refuses; it never lets anybody in.
        let mut bytes = Vec::new();
        let read = fs::File::open(file).and_then(|opened| opened.take(FILE_LIMIT).read_to_end(&mut bytes));
        if let Err(error) = read {
            tracing::debug!(file = %file.display(), %error, "known hosts file not read");
        }
        let lines = Arc::new(parse(&String::from_utf8_lossy(&bytes)));
        files.insert(file.to_owned(), lines.clone());
        lines
    }

    /// Judges the key that a host shows.
    pub(super) fn judge(&self, files: &[PathBuf], names: &Names, key_type: &str, key: &[u8]) -> Verdict {
        let mut known = false;
        let mut changed = None;
        let mut others = Vec::new();
        for file in files {
            for line in self.lines(file).iter() {
                let by_name = line.hosts.fit(&names.name);
                if !by_name && !names.bare.as_ref().is_some_and(|bare| line.hosts.fit(bare)) {
                    continue;
                }
                let place = || Place { file: file.clone(), line: line.number, key_type: line.key_type.clone() };
                let same = line.key_type == key_type && line.key == key;
                match (same, line.revoked) {
                    (true, true) => return Verdict::Revoked(place()),
                    (true, false) => known = true,
                    (false, false) if by_name && line.key_type == key_type => changed = changed.or(Some(place())),
                    (false, false) if by_name => others.push(place()),
                    _ => {}
                }
            }
        }
        match changed {
            _ if known => Verdict::Known,
            Some(place) => Verdict::Changed(place),
            None => Verdict::Unknown { others },
        }
    }

    /// The types of the keys that are known for a host, to be asked for first.
    pub(super) fn types(&self, files: &[PathBuf], names: &Names) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for file in files {
            for line in self.lines(file).iter() {
                let fits =
                    || line.hosts.fit(&names.name) || names.bare.as_ref().is_some_and(|bare| line.hosts.fit(bare));
                if !line.revoked && !types.contains(&line.key_type) && fits() {
                    types.push(line.key_type.clone());
                }
            }
        }
        types
    }

    /// Adds a line to `file`, which is made (0600, its folder 0700) if it is not there.
    ///
    /// # Errors
    /// Writing failed.
    pub(super) fn add(&self, file: &Path, name: &str, hashed: bool, key_type: &str, key: &[u8]) -> io::Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let hosts = if hashed {
            let salt: [u8; 20] = rand::random();
            let hash = hash_of(&salt, name).ok_or_else(|| io::Error::other("hashing failed"))?;
            format!("|1|{}|{}", BASE64.encode(salt), BASE64.encode(hash))
        } else {
            name.to_owned()
        };
        if let Some(folder) = file.parent()
            && !folder.as_os_str().is_empty()
        {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let old = match fs::read(file) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        // A last line without an end would swallow ours.
        let start = if old.last().is_some_and(|&b| b != b'\n') { "\n" } else { "" };
        let text = format!("{start}{hosts} {key_type} {}\n", BASE64.encode(key));
        let mut opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
        opened.write_all(text.as_bytes())?;
        files.remove(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const A: &[u8] = b"key a";
    const B: &[u8] = b"key b";

    fn judge(text: &str, names: &Names, key_type: &str, key: &[u8]) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        fs::write(&file, text).unwrap();
        match KnownHosts::default().judge(&[dir.path().join("missing"), file], names, key_type, key) {
            Verdict::Changed(place) => Verdict::Changed(Place { file: PathBuf::new(), ..place }),
            Verdict::Revoked(place) => Verdict::Revoked(Place { file: PathBuf::new(), ..place }),
            Verdict::Unknown { others } => {
                Verdict::Unknown { others: others.into_iter().map(|p| Place { file: PathBuf::new(), ..p }).collect() }
            }
            Verdict::Known => Verdict::Known,
        }
    }

    fn place(line: usize, key_type: &str) -> Place {
        Place { file: PathBuf::new(), line, key_type: key_type.into() }
    }

    fn line(hosts: &str, key_type: &str, key: &[u8]) -> String {
        format!("{hosts} {key_type} {} comment\n", BASE64.encode(key))
    }

    fn unknown() -> Verdict {
        Verdict::Unknown { others: Vec::new() }
    }

    #[test]
    fn names_patterns_and_exclusions() {
        let text = line("gpu,192.0.2.*", "t", A) + &line("*.lan,!bad.lan", "t", B);
        let ask = |host: &str, key: &[u8]| judge(&text, &Names::new(host, 22, None), "t", key);
        assert_eq!(ask("GPU", A), Verdict::Known);
        assert_eq!(ask("192.0.2.9", A), Verdict::Known);
        assert_eq!(ask("gpu", B), Verdict::Changed(place(1, "t")));
        assert_eq!(ask("good.lan", B), Verdict::Known);
        assert_eq!(ask("bad.lan", B), unknown());
        assert_eq!(ask("elsewhere", A), unknown());
    }

    #[test]
    fn one_of_several_keys_is_enough() {
        let text = line("h", "t", B) + "\n# h t QQ==\n" + &line("h", "other", B) + &line("h", "t", A);
        let names = Names::new("h", 22, None);
        assert_eq!(judge(&text, &names, "t", A), Verdict::Known);
        assert_eq!(judge(&text, &names, "t", b"c"), Verdict::Changed(place(1, "t")));
        let others = vec![place(1, "t"), place(4, "other"), place(5, "t")];
        assert_eq!(judge(&text, &names, "third", b"c"), Verdict::Unknown { others });
    }

    #[test]
    fn a_revoked_key_is_refused_even_if_known() {
        let text = line("h", "t", A) + &line("@revoked *", "t", A) + &line("@cert-authority h", "t", B);
        let names = Names::new("h", 22, None);
        assert_eq!(judge(&text, &names, "t", A), Verdict::Revoked(place(2, "t")));
        assert_eq!(judge(&text, &names, "t", B), Verdict::Changed(place(1, "t")));
    }

    #[test]
    fn ports_and_aliases() {
        let text = line("[h]:2222", "t", A) + &line("h", "t", B) + &line("alias", "t", A);
        let ported = Names::new("h", 2222, None);
        assert_eq!(judge(&text, &ported, "t", A), Verdict::Known);
        assert_eq!(judge(&text, &ported, "t", B), Verdict::Known, "the bare name counts for every port");
        assert_eq!(judge(&text, &Names::new("h", 2223, None), "t", A), unknown());
        assert_eq!(judge(&text, &Names::new("h", 22, None), "t", A), Verdict::Changed(place(2, "t")));
        assert_eq!(judge(&text, &Names::new("x", 2222, Some("Alias")), "t", A), Verdict::Known);
    }

    #[test]
    fn ssh_keygens_hashes_are_understood_and_ours_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known");
        let key = dir.path().join("key");
        let run = |command: &mut Command| {
            let out = command.output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        };
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        let public = fs::read_to_string(dir.path().join("key.pub")).unwrap();
        let blob = BASE64.decode(public.split(' ').nth(1).unwrap()).unwrap();
        fs::write(&file, format!("one,[two]:2222 {public}")).unwrap();
        run(Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file));
        assert!(fs::read_to_string(&file).unwrap().starts_with("|1|"));
        let store = KnownHosts::default();
        let files = [file.clone()];
        for (host, port) in [("one", 22), ("two", 2222)] {
            let names = Names::new(host, port, None);
            assert_eq!(store.judge(&files, &names, "ssh-ed25519", &blob), Verdict::Known, "{host}");
            assert_eq!(store.types(&files, &names), ["ssh-ed25519"]);
        }
        assert_eq!(store.judge(&files, &Names::new("two", 22, None), "ssh-ed25519", &blob), unknown());
        store.add(&file, "[three]:99", true, "ssh-ed25519", &blob).unwrap();
        assert_eq!(store.judge(&files, &Names::new("three", 99, None), "ssh-ed25519", &blob), Verdict::Known);
        let found = run(Command::new("ssh-keygen").args(["-F", "[three]:99", "-f"]).arg(&file));
        assert!(found.contains("found"), "{found}");
    }

    #[test]
    fn a_new_file_is_private_and_an_unfinished_line_is_ended() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/known");
        let store = KnownHosts::default();
        store.add(&file, "a", false, "t", A).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        fs::write(&file, "a t QQ==").unwrap();
        store.add(&file, "b", false, "t", b"B").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a t QQ==\nb t Qg==\n");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(text in "(@[a-z-]{0,9} )?[|a-z0-9*,!\\[\\]:=]{0,20}[ \t]{0,2}[ -~]{0,20}.{0,9}") {
            for line in parse(&text) {
                line.hosts.fit("host");
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
