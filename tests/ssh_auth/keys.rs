//! Keys and certificates for the tests.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::sshd::{account, keygen};

/// A folder of key pairs, named by their purpose, and an authority that signs some of them.
pub struct Keys(tempfile::TempDir);

impl Keys {
    pub fn new() -> Self {
        let keys = Self(tempfile::Builder::new().prefix("keys").tempdir().unwrap());
        keys.make("ca", "ed25519", &[]);
        keys
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Makes a pair; `more` are further arguments of ssh-keygen.
    pub fn make(&self, name: &str, kind: &str, more: &[&str]) -> PathBuf {
        let path = self.path(name);
        if more.is_empty() {
            keygen(&path, kind, "");
        } else {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", kind]).args(more).arg("-f").arg(&path);
            ran(if more.contains(&"-N") { &mut made } else { made.args(["-N", ""]) });
        }
        path
    }

    /// Has the authority sign a key; the certificate lies beside it.
    pub fn certify(&self, name: &str, more: &[&str]) -> PathBuf {
        let principal = if more.contains(&"-n") { None } else { Some(account()) };
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-I", &format!("id of {name}"), "-s"]).arg(self.path("ca")).args(more);
        if let Some(principal) = principal {
            command.args(["-n", &principal]);
        }
        ran(command.arg(self.path(&format!("{name}.pub"))));
        self.path(&format!("{name}-cert.pub"))
    }

    /// The public line of a key.
    pub fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// A copy of a key without its public half, and the other way round.
    pub fn private_only(&self, name: &str) -> PathBuf {
        let path = self.path(&format!("{name}-alone"));
        fs::copy(self.path(name), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn public_only(&self, name: &str) -> PathBuf {
        let path = self.path(&format!("{name}-named.pub"));
        fs::copy(self.path(&format!("{name}.pub")), &path).unwrap();
        path
    }
}

fn ran(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
