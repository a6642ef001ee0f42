//! Servers with several host keys, with certificates of every kind, and the keys of everybody.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use crate::sshd::{Lab, keygen};

pub struct Servers {
    labs: Vec<Lab>,
    keys: tempfile::TempDir,
}

/// `(key, authority, flags of ssh-keygen)`.
type Certificate = (&'static str, &'static str, &'static [&'static str]);

/// `(server, its keys, certificates for some of them)`.
const SERVERS: &[(&str, &[&str], &[Certificate])] = &[
    ("plain", &["ed", "ecdsa", "rsa"], &[]),
    ("rsa", &["rsa"], &[]),
    (
        "certified",
        &["ed", "ecdsa", "rsa"],
        &[
            ("ed", "ca", &["-h", "-n", "127.0.0.1,alias,other.lan", "-z", "7", "-I", "good"]),
            ("ecdsa", "ca", &["-h", "-n", "127.0.0.1", "-V", "20200101:20210101", "-I", "expired"]),
            ("rsa", "ca", &["-h", "-n", "elsewhere", "-I", "elsewhere"]),
        ],
    ),
    (
        "odd",
        &["ed", "ecdsa", "rsa"],
        &[
            ("ed", "ca_ecdsa", &["-h", "-V", "always:forever", "-I", "for everybody"]),
            ("ecdsa", "ca_ecdsa", &["-h", "-n", "127.0.0.1", "-O", "critical:force=1", "-I", "critical"]),
            ("rsa", "ca_rsa", &["-h", "-n", "127.0.0.1", "-V", "+520w:+1040w", "-I", "to come"]),
        ],
    ),
    (
        "strange",
        &["ed", "ecdsa", "rsa"],
        &[
            ("ed", "ca", &["-n", "127.0.0.1", "-I", "for users"]),
            ("ecdsa", "ca", &["-h", "-n", "127.*,*", "-I", "wild"]),
            ("rsa", "ca_rsa", &["-h", "-n", "127.0.0.1", "-t", "rsa-sha2-256", "-I", "by rsa"]),
        ],
    ),
    ("head", &["ed", "rsa"], &[("ed", "ca", &["-h", "-n", "127.0.0.1", "-I", "ed25519 only"])]),
    ("half", &["ed", "rsa"], &[("rsa", "ca", &["-h", "-n", "127.0.0.1", "-I", "rsa only"])]),
];

/// Keys of nobody here, by their kind.
const STRANGERS: [(&str, &str); 4] =
    [("no_ed", "ed25519"), ("no_ecdsa", "ecdsa"), ("no_rsa", "rsa"), ("no_384", "ecdsa-384")];
const AUTHORITIES: [(&str, &str); 3] = [("ca", "ed25519"), ("ca_ecdsa", "ecdsa"), ("ca_rsa", "rsa")];
/// Every server has keys of its own but for these kinds.
const KINDS: [(&str, &str); 3] = [("ed", "ed25519"), ("ecdsa", "ecdsa"), ("rsa", "rsa")];

impl Servers {
    pub fn start() -> Self {
        let keys = tempfile::tempdir().unwrap();
        for (name, kind) in STRANGERS.iter().chain(&AUTHORITIES).chain(&KINDS) {
            match kind.split_once('-') {
                None => keygen(&keys.path().join(name), kind, ""),
                Some((kind, bits)) => ssh_keygen(keys.path(), &["-q", "-t", kind, "-b", bits, "-N", "", "-f", name]),
            }
        }
        let labs = SERVERS.iter().map(|(name, own, certificates)| {
            let mut lines = vec!["MaxStartups 200".to_owned(), "LogLevel ERROR".to_owned()];
            let folder = keys.path().join(format!("of_{name}"));
            fs::create_dir(&folder).unwrap();
            for key in *own {
                for ending in ["", ".pub"] {
                    fs::copy(keys.path().join(format!("{key}{ending}")), folder.join(format!("{key}{ending}")))
                        .unwrap();
                }
                lines.push(format!("HostKey {}", folder.join(key).display()));
            }
            for (key, authority, flags) in *certificates {
                let authority = keys.path().join(authority);
                let mut arguments = vec!["-q", "-s", authority.to_str().unwrap()];
                arguments.extend(*flags);
                let public = format!("{key}.pub");
                arguments.push(&public);
                ssh_keygen(&folder, &arguments);
                lines.push(format!("HostCertificate {}", folder.join(format!("{key}-cert.pub")).display()));
            }
            Lab::with_host_keys(&[name], &lines.iter().map(String::as_str).collect::<Vec<_>>())
        });
        Self { labs: labs.collect(), keys }
    }

    pub fn lab(&self, server: &str) -> &Lab {
        self.labs.iter().find(|lab| lab.names().any(|name| name == server)).unwrap()
    }

    pub fn port(&self, server: &str) -> u16 {
        self.lab(server).sshd(server).port
    }

    /// Every public key by its name, without a comment; `NAME_cert` is the certificate of the server `certified`.
    pub fn keys(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let read = |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
        };
        for (name, _) in STRANGERS.iter().chain(&AUTHORITIES).chain(&KINDS) {
            found.insert((*name).to_owned(), read(&self.keys.path().join(name).with_extension("pub")));
        }
        for (name, _) in KINDS {
            let path = self.keys.path().join("of_certified").join(format!("{name}-cert.pub"));
            found.insert(format!("{name}_cert"), read(&path));
        }
        found
    }

    /// A new key revocation list of what `text` says, in the words of `ssh-keygen -k`.
    pub fn krl(&self, name: &str, authority: Option<&str>, text: &str) -> String {
        let path = self.keys.path().join(format!("{name}.krl"));
        let spec = self.keys.path().join(format!("{name}.spec"));
        fs::write(&spec, text).unwrap();
        let mut arguments = vec!["-q".to_owned(), "-k".into(), "-f".into(), path.to_str().unwrap().into()];
        if let Some(authority) = authority {
            arguments.extend(["-s".to_owned(), format!("{authority}.pub")]);
        }
        arguments.push(spec.to_str().unwrap().to_owned());
        ssh_keygen(self.keys.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        path.to_str().unwrap().to_owned()
    }

    /// A file with this text.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.keys.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn ssh_keygen(folder: &Path, arguments: &[&str]) {
    let made = Command::new("ssh-keygen").args(arguments).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "ssh-keygen {arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
}
