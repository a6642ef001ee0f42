//! The keys on this machine's disk: each file is read once, and each passphrase asked for once, for the whole run.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use russh::keys::{Error as KeyError, PrivateKey, PublicKey, decode_secret_key};
use tokio::sync::OnceCell;

use crate::scope::Prompt;

/// What a key file may hold.
const FILE_LIMIT: u64 = 256 << 10;
/// As often as OpenSSH asks.
const TRIES: usize = 3;

/// What an identity file turned out to be.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    Ready(Arc<PrivateKey>),
    /// Encrypted; the public half may be known all the same.
    Locked(Option<PublicKey>),
    /// Only the public half is there: an agent may have the other.
    Public(PublicKey),
    Missing,
    /// Says why it cannot be used.
    Unusable(String),
}

/// All identities of a run.
pub(super) struct KeyStore {
    files: Mutex<HashMap<PathBuf, Arc<File>>>,
    prompt: Option<Prompt>,
}

struct File {
    identity: Identity,
    text: String,
    unlocked: OnceCell<Result<Arc<PrivateKey>, String>>,
}

impl KeyStore {
    /// A store that asks through `prompt`, or never.
    pub(super) fn new(prompt: Option<Prompt>) -> Self {
        Self { files: Mutex::default(), prompt }
    }

    pub(super) fn can_ask(&self) -> bool {
        self.prompt.is_some()
    }

    fn file(&self, path: &Path) -> Arc<File> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.entry(path.to_owned()).or_insert_with(|| Arc::new(load(path))).clone()
    }

    /// What is in a file, as far as is known without asking again.
    pub(super) fn identity(&self, path: &Path) -> Identity {
        let file = self.file(path);
        match file.unlocked.get() {
            Some(Ok(key)) => Identity::Ready(key.clone()),
            Some(Err(why)) => Identity::Unusable(why.clone()),
            None => file.identity.clone(),
        }
    }

    /// Asks for the passphrase of a locked file; who comes later waits for the same answer.
    pub(super) async fn unlock(&self, path: &Path) {
        let file = self.file(path);
        file.unlocked
            .get_or_init(|| async {
                let Some(prompt) = &self.prompt else {
                    return Err("nobody can be asked for its passphrase".to_owned());
                };
                for _ in 0..TRIES {
                    let passphrase = prompt
                        .secret(format!("passphrase for {}: ", path.display()))
                        .await
                        .map_err(|error| error.to_string())?;
                    if passphrase.is_empty() {
                        return Err("no passphrase was given".to_owned());
                    }
                    if let Ok(key) = decode_secret_key(&file.text, Some(&passphrase)) {
                        return Ok(Arc::new(key));
                    }
                }
                Err("the passphrase was wrong".to_owned())
            })
            .await;
    }
}

fn load(path: &Path) -> File {
    let done = |identity| File { identity, text: String::new(), unlocked: OnceCell::new() };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return done(public_beside(path).map_or(Identity::Missing, Identity::Public));
        }
        Err(error) => return done(Identity::Unusable(error.to_string())),
    };
    if let Ok(key) = PublicKey::from_openssh(text.trim()) {
        return done(Identity::Public(key));
    }
    // As OpenSSH: a key that others on this machine could have read is nobody's proof.
    if let Ok(meta) = fs::metadata(path)
        && meta.uid() == nix::unistd::getuid().as_raw()
        && meta.mode() & 0o077 != 0
    {
        let mode = meta.mode() & 0o777;
        return done(Identity::Unusable(format!("its mode {mode:04o} lets others read it; run chmod 600 on it")));
    }
    match decode_secret_key(&text, None) {
        Ok(key) => done(Identity::Ready(Arc::new(key))),
        Err(error) => {
            let encrypted = matches!(error, KeyError::KeyIsEncrypted) || text.contains("ENCRYPTED");
            if !encrypted {
                return done(Identity::Unusable(format!("it is no private key: {error}")));
            }
            let public = PrivateKey::from_openssh(&text).ok().map(|key| key.public_key().clone());
            let identity = Identity::Locked(public.or_else(|| public_beside(path)));
            File { identity, text, unlocked: OnceCell::new() }
        }
    }
}

fn public_beside(path: &Path) -> Option<PublicKey> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PublicKey::from_openssh(read(Path::new(&name)).ok()?.trim()).ok()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{
        process::Command,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    fn keygen(path: &Path, passphrase: &str, format: &[&str]) {
        let out = Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-N", passphrase])
            .args(format)
            .arg("-f")
            .arg(path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    #[tokio::test]
    async fn a_passphrase_is_asked_for_once_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        keygen(&path, "open sesame", &[]);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let answers = ["wrong", "open sesame"];
        let store = Arc::new(KeyStore::new(Some(Prompt::new(move |_| {
            Ok(answers[count.fetch_add(1, Ordering::SeqCst)].to_owned())
        }))));
        assert!(matches!(store.identity(&path), Identity::Locked(Some(_))));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (store, path) = (store.clone(), path.clone());
                tokio::spawn(async move { store.unlock(&path).await })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert!(matches!(store.identity(&path), Identity::Ready(_)));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the wrong answer and the right one");
    }

    #[test]
    fn files_are_what_they_are() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(None);
        let plain = dir.path().join("plain");
        keygen(&plain, "", &[]);
        assert!(matches!(store.identity(&plain), Identity::Ready(_)));
        assert!(matches!(store.identity(&dir.path().join("plain.pub")), Identity::Public(_)));
        assert!(matches!(store.identity(&dir.path().join("none")), Identity::Missing));

        let open = dir.path().join("open");
        keygen(&open, "", &[]);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(store.identity(&open), Identity::Unusable(why) if why.contains("0644")));

        let junk = dir.path().join("junk");
        fs::write(&junk, "junk").unwrap();
        fs::set_permissions(&junk, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(store.identity(&junk), Identity::Unusable(_)));

        let pem = dir.path().join("pem");
        keygen(&pem, "secret", &["-m", "PEM"]);
        assert!(matches!(store.identity(&pem), Identity::Locked(Some(_))), "{:?}", store.identity(&pem));
    }
}
