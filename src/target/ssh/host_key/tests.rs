//! What the comparison with `ssh` itself (tests/known_hosts) cannot reach on loopback: addresses, and damaged files.

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;
use russh::keys::{Algorithm, HashAlg};

use super::*;
use crate::target::ssh::{
    config::{AlgorithmList, Defaults, SshConfig},
    known_hosts::Key,
};
use crate::vocab::{Host, HostName, Route, host::SshRoute};

/// A public key as it stands in a file; `id` makes it that one and no other.
fn line(id: u8) -> String {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([id; 32]);
    format!("ssh-ed25519 {}", BASE64.encode(blob))
}

fn key(id: u8) -> PublicKeyOrCertificate {
    PublicKey::new(Key::parse(&line(id)).unwrap().data, "").into()
}

struct Stage {
    dir: tempfile::TempDir,
    resolved: Resolved,
}

impl Stage {
    /// `gpu.lan` at 192.0.2.7, with this file.
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("known"), text).unwrap();
        let host = Host::named(HostName::new("gpu.lan").unwrap(), Route::Ssh(SshRoute::default()), "test");
        let defaults = Defaults { user: "me".into(), connect_timeout: std::time::Duration::from_secs(1), agent: None };
        let resolved =
            SshConfig::load(Some(std::path::Path::new("none")), dir.path()).unwrap().resolve(&host, &defaults).unwrap();
        let resolved = Resolved {
            user_known_hosts: vec![dir.path().join("known")],
            global_known_hosts: Vec::new(),
            strict: Strict::AcceptNew,
            ..resolved
        };
        Self { dir, resolved }
    }

    fn with(mut self, change: impl FnOnce(&mut Resolved)) -> Self {
        change(&mut self.resolved);
        self
    }

    fn check(&self, id: u8) -> Result<Accepted, String> {
        let address = Some("192.0.2.7".parse().unwrap());
        let check = HostKeyCheck::new(Arc::new(self.resolved.clone()), Arc::default(), address);
        check.check(&key(id)).map_err(|error| error.to_string())
    }

    fn written(&self) -> String {
        fs::read_to_string(self.dir.path().join("known")).unwrap()
    }
}

#[test]
fn an_address_is_checked_and_learnt_where_that_is_wished() {
    let known = |text: String| Stage::new(&text).with(|r| r.check_host_ip = true);
    // A new host: both names in one line.
    let new = known(String::new());
    assert_eq!(new.check(1), Ok(Accepted::default()));
    assert_eq!(new.written(), format!("gpu.lan,192.0.2.7 {}\n", line(1)));
    // A known one at a new address.
    let moved = known(format!("gpu.lan {}\n", line(1)));
    assert_eq!(moved.check(1), Ok(Accepted::default()));
    assert_eq!(moved.written(), format!("gpu.lan {0}\n192.0.2.7 {0}\n", line(1)));
    // At the address of another.
    let taken = known(format!("gpu.lan {}\n192.0.2.7 {}\n", line(1), line(2)));
    assert!(taken.check(1).unwrap_err().contains("known:2 has another for its address 192.0.2.7"));
    let taken = taken.with(|r| r.strict = Strict::No);
    let accepted = taken.check(1).unwrap();
    assert!(!accepted.doubtful && accepted.warnings.len() == 1, "{accepted:?}");
    let careless = taken.with(|r| (r.strict, r.check_host_ip) = (Strict::Yes, false));
    assert_eq!(careless.check(1), Ok(Accepted::default()));
    // Hashed, the address has a line of its own; a port is part of it.
    let hashed = known(String::new()).with(|r| (r.hash_known_hosts, r.port) = (true, 2222));
    hashed.check(1).unwrap();
    let entries = |name: &str| KnownHosts::default().entries(&hashed.resolved.user_known_hosts, name).len();
    assert_eq!((hashed.written().lines().count(), entries("[gpu.lan]:2222"), entries("[192.0.2.7]:2222")), (2, 1, 1));
}

#[test]
fn a_changed_key_that_is_let_pass_learns_no_password() {
    let stage = Stage::new(&format!("gpu.lan {}\n", line(1))).with(|r| r.strict = Strict::No);
    let accepted = stage.check(2).unwrap();
    assert!(accepted.doubtful && accepted.warnings[0].contains("has changed"), "{accepted:?}");
    assert_eq!(stage.written(), format!("gpu.lan {}\n", line(1)));
    for strict in [Strict::Yes, Strict::Ask, Strict::AcceptNew] {
        let text = Stage::new(&stage.written()).with(|r| r.strict = strict).check(2).unwrap_err();
        assert!(text.contains("known:1 has another"), "{text}");
    }
}

#[test]
fn what_is_proposed_passes_with_doubt_and_is_not_written() {
    let stage = Stage::new("");
    let known = Arc::new(KnownHosts::default());
    known.propose("gpu.lan", Key::parse(&line(1)).unwrap().data);
    let resolved = Arc::new(Resolved { strict: Strict::Yes, ..stage.resolved.clone() });
    let check = HostKeyCheck::new(resolved, known, None);
    assert!(check.check(&key(1)).unwrap().doubtful);
    assert!(check.check(&key(2)).is_err());
    assert_eq!(stage.written(), "");
}

#[test]
fn a_name_that_would_mean_more_than_itself_is_not_written() {
    let stage = Stage::new("").with(|r| r.host_name = "*,gpu".into());
    assert!(stage.check(1).unwrap_err().contains("is not known"));
    assert_eq!(stage.written(), "");
    // A file that cannot be written does not keep anybody out, as with ssh; it is said.
    let folder = Stage::new("").with(|r| r.user_known_hosts = vec!["/proc/version".into()]);
    assert!(folder.check(1).unwrap().warnings[0].contains("cannot be written to /proc/version"));
}

#[test]
fn what_is_known_is_asked_for_first() {
    let entries = |text: &str| {
        let stage = Stage::new(text);
        KnownHosts::default().entries(&stage.resolved.user_known_hosts, "gpu.lan")
    };
    let names = |list: Option<&AlgorithmList>, text: &str| {
        let HostAlgorithms { certificates, plain } = host_algorithms::wanted(list, &entries(text));
        let certificates = certificates.iter().map(Algorithm::to_certificate_type);
        certificates.chain(plain.iter().map(ToString::to_string)).collect::<Vec<_>>()
    };
    // Nobody is known: all certificates, all keys.
    assert_eq!(names(None, "").len(), 12);
    // A key of the first kind: the standard order.
    assert_eq!(names(None, &format!("gpu.lan {}", line(1))), names(None, ""));
    // Of another: its kind alone first, certificates that nobody vouches for behind it not at all.
    let rsa = {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(Command::new("ssh-keygen").args(["-qtrsa", "-N", "", "-f"]).arg(&path).status().unwrap().success());
        fs::read_to_string(path.with_extension("pub")).unwrap()
    };
    let order = names(None, &format!("gpu.lan {rsa}"));
    assert_eq!(
        order[..4],
        ["rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512", "rsa-sha2-256"]
    );
    assert_eq!(order[4], "ssh-ed25519", "{order:?}");
    // With an authority all certificates come first.
    let order = names(None, &format!("gpu.lan {rsa}\n@cert-authority * {}", line(1)));
    assert!(order[..6].iter().all(|name| name.contains("-cert-")) && order[6] == "rsa-sha2-512", "{order:?}");
    // What the user wants in this order stays in it.
    let exactly = AlgorithmList::Exactly(vec!["rsa-sha2-256".into(), "ssh-ed25519".into()]);
    assert_eq!(names(Some(&exactly), &format!("gpu.lan {}", line(1))), ["rsa-sha2-256", "ssh-ed25519"]);
    let rsa = |hash| Algorithm::Rsa { hash };
    assert!(may_sign(None, &rsa(Some(HashAlg::Sha256))) && !may_sign(None, &rsa(None)));
}

proptest! {
    #[test]
    fn no_revocation_list_makes_it_panic(sections in proptest::collection::vec((0u8..7, any::<Vec<u8>>()), 0..6), cut in 0usize..9) {
        let mut bytes = b"SSHKRL\n\0\0\0\0\x01".to_vec();
        bytes.extend([0; 32]);
        for (kind, body) in sections {
            bytes.push(kind);
            bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend(body);
        }
        bytes.truncate(bytes.len() - cut);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("krl");
        fs::write(&file, bytes).unwrap();
        let _ = revoked::revokes(&file, &Key::parse(&line(1)).unwrap().data, None);
    }
}
