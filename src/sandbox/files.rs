//! What people and programs read to find the hosts: an inventory, an ssh_config, known hosts.

use std::{fmt::Write, path::Path};

use russh::keys::PublicKey;

use super::{SandboxError, layout};

/// Where one host listens.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) key: PublicKey,
}

/// Writes all of them into `dir`.
pub(super) fn write_all(dir: &Path, prefix: &str, user: &str, hosts: &[Listed]) -> Result<(), SandboxError> {
    layout::write(&dir.join("known_hosts"), &known_hosts(dir, hosts)?, 0o600)?;
    layout::write(&dir.join("ssh_config"), &ssh_config(dir, prefix, user, hosts), 0o600)?;
    layout::write(&dir.join("inventory.toml"), &inventory(dir, user, hosts), 0o600)
}

const HEAD: &str = "# Written by `rbee sandbox up`; the ports change each time.\n";

fn inventory(dir: &Path, user: &str, hosts: &[Listed]) -> String {
    let identity = layout::user_key(dir);
    let mut text = HEAD.to_owned();
    for Listed { name, port, .. } in hosts {
        // The folder was refused if its path needed more than quotes.
        let _ = write!(
            text,
            "\n[hosts.{name}]\naddress = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\nidentity = \"{}\"\n\
             groups = [\"sandbox\"]\n",
            identity.display()
        );
    }
    text
}

fn ssh_config(dir: &Path, prefix: &str, user: &str, hosts: &[Listed]) -> String {
    let path = |path: &Path| path.display().to_string().replace('%', "%%");
    let mut text = HEAD.to_owned();
    for Listed { name, port, .. } in hosts {
        let _ = write!(text, "\nHost {name}\n    HostName 127.0.0.1\n    Port {port}\n");
    }
    let _ = write!(
        text,
        "\nHost {prefix}-*\n    User {user}\n    IdentityFile \"{}\"\n    IdentitiesOnly yes\n    \
         UserKnownHostsFile \"{}\"\n    GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n",
        path(&layout::user_key(dir)),
        path(&dir.join("known_hosts")),
    );
    text
}

fn known_hosts(dir: &Path, hosts: &[Listed]) -> Result<String, SandboxError> {
    let mut text = String::new();
    for Listed { name, port, key } in hosts {
        let key =
            key.to_openssh().map_err(|e| SandboxError::Key { path: layout::host(dir, name), why: e.to_string() })?;
        let _ = writeln!(text, "[127.0.0.1]:{port} {key}");
    }
    Ok(text)
}
