//! One situation, put to `ssh` and to us.

use std::{fs, path::Path, process::Stdio, time::Duration};

use rbee::{
    scope::{Cancel, Scope, events},
    target::{
        conduit::Opener,
        ssh::{Connector, config::SshConfig},
    },
    vocab::{Reason, RunId},
};

use crate::servers::Servers;

#[derive(Debug, Clone)]
pub struct Situation {
    what: String,
    server: String,
    /// The user's file and the system's; `{KEY}` is a public key, `{port}` the port, `{host}` the name in such a file.
    pub known: String,
    pub global: String,
    /// Lines of ssh_config, with the same in braces; `{dir}` is the folder of the files.
    options: Vec<String>,
}

impl Situation {
    pub fn new(what: impl Into<String>, server: &str, known: impl Into<String>) -> Self {
        let (what, known) = (what.into(), known.into());
        Self { what, server: server.into(), known, global: String::new(), options: Vec::new() }
    }

    pub fn option(mut self, line: impl Into<String>) -> Self {
        self.options.push(line.into());
        self
    }

    pub fn global(mut self, text: impl Into<String>) -> Self {
        self.global = text.into();
        self
    }

    /// Puts the keys and the port in.
    fn filled(&self, servers: &Servers, text: &str, dir: &Path) -> String {
        let port = servers.port(&self.server);
        let mut text = text.replace("{host}", &format!("[127.0.0.1]:{port}"));
        text = text.replace("{port}", &port.to_string()).replace("{dir}", dir.to_str().unwrap());
        for (name, key) in servers.keys() {
            text = text.replace(&format!("{{{name}}}"), &key);
        }
        text
    }

    /// Writes the files into `dir`.
    fn stage(&self, servers: &Servers, dir: &Path) {
        let lab = servers.lab(&self.server);
        fs::write(dir.join("known"), self.filled(servers, &self.known, dir)).unwrap();
        fs::write(dir.join("global"), self.filled(servers, &self.global, dir)).unwrap();
        let mut text = String::new();
        for line in &self.options {
            text += &format!("{}\n", self.filled(servers, line, dir));
        }
        text += &format!(
            "Host *\n HostName 127.0.0.1\n Port {}\n UserKnownHostsFile {1}/known\n GlobalKnownHostsFile {1}/global\n \
             IdentityFile {2}\n IdentitiesOnly yes\n IdentityAgent none\n",
            servers.port(&self.server),
            dir.display(),
            lab.identity().display(),
        );
        fs::write(dir.join("config"), text).unwrap();
    }
}

/// What became of it: the reason of a refusal in its own words, and the file of known hosts afterwards.
#[derive(Debug)]
pub struct Found {
    pub verdict: Result<(), String>,
    written: String,
}

impl Found {
    fn new(verdict: Result<(), String>, dir: &Path) -> Self {
        // Salts differ, that is what they are for.
        let text = String::from_utf8_lossy(&fs::read(dir.join("known")).unwrap_or_default()).into_owned();
        let lines = text.lines().map(|line| match line.strip_prefix("|1|") {
            Some(rest) => format!("(hashed) {}", rest.split_once(' ').map_or("", |(_, key)| key)),
            None => line.to_owned(),
        });
        Self { verdict, written: lines.collect::<Vec<_>>().join("\n") }
    }
}

pub async fn ours(servers: &Servers, situation: &Situation) -> Found {
    let dir = tempfile::tempdir().unwrap();
    situation.stage(servers, dir.path());
    let lab = servers.lab(&situation.server);
    let config = SshConfig::load(Some(&dir.path().join("config")), &lab.home())
        .unwrap_or_else(|error| panic!("{}: {error}", situation.what));
    let (emitter, _receiver) = events(RunId::new("test").unwrap());
    let scope = Scope::new(Cancel::new(), emitter);
    let connector = Connector::new(&lab.settings(), config);
    let verdict = match connector.connect(&scope, &lab.host(&situation.server)).await {
        Ok(connection) => {
            connection.close().await;
            Ok(())
        }
        Err(error) if error.reason() == Some(Reason::HostKey) => Err(error.to_string()),
        Err(error) => panic!("{}: {error}", situation.what),
    };
    Found::new(verdict, dir.path())
}

async fn theirs(servers: &Servers, situation: &Situation) -> Found {
    let dir = tempfile::tempdir().unwrap();
    situation.stage(servers, dir.path());
    let mut ssh = tokio::process::Command::new("ssh");
    // The standard key exchange costs six times as much.
    ssh.args(["-o", "BatchMode=yes", "-o", "KexAlgorithms=curve25519-sha256", "-F"])
        .arg(dir.path().join("config"))
        .args([&situation.server, "true"]);
    ssh.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(Duration::from_secs(60), ssh.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let verdict = if done.status.success() {
        Ok(())
    } else if said.contains("Host key verification failed") || said.contains("Bad server host key") {
        Err(said)
    } else {
        panic!("{}: ssh ended with {}: {said}", situation.what, done.status)
    };
    Found::new(verdict, dir.path())
}

/// What ssh and we do not agree on; nothing, if all is well.
pub async fn differences(servers: &Servers, situation: &Situation) -> Option<String> {
    let (ours, theirs) = tokio::join!(ours(servers, situation), theirs(servers, situation));
    let agreed = ours.verdict.is_ok() == theirs.verdict.is_ok() && ours.written == theirs.written;
    (!agreed).then(|| format!("{situation:#?}\nwe: {ours:#?}\nssh: {theirs:#?}"))
}
