//! The keys on this machine's disk: each file is read once, and each passphrase asked for once, for the whole run.

mod format;

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

pub(super) use format::Public;
use russh::keys::PrivateKey;
use tokio::sync::OnceCell;

use crate::{scope::Prompt, vocab::Secret};

/// What a key file may hold.
const FILE_LIMIT: u64 = 256 << 10;
/// As often as OpenSSH asks.
const TRIES: usize = 3;

/// What an identity file turned out to be.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// What can be offered before the private half is touched: from the file itself, from `.pub` beside it, or from
    /// what an OpenSSH private key says in the clear.
    pub public: Option<Public>,
    pub private: Private,
}

/// The private half of an identity.
#[derive(Debug, Clone)]
pub(super) enum Private {
    Ready(Arc<PrivateKey>),
    /// A passphrase opens it.
    Locked,
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
    public: Option<Public>,
    private: Private,
    /// Of a locked key.
    text: Secret,
    unlocked: OnceCell<Private>,
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
        let private = file.unlocked.get().unwrap_or(&file.private);
        Identity { public: file.public.clone(), private: private.clone() }
    }

    /// The public half that lies at `path` or beside it as `.pub`: a certificate, mostly.
    pub(super) fn public(&self, path: &Path) -> Option<Public> {
        self.file(path).public.clone()
    }

    /// The private half of a file; asks for its passphrase if it has one. Who comes later waits for the same answer.
    pub(super) async fn private(&self, path: &Path) -> Private {
        let file = self.file(path);
        match &file.private {
            Private::Locked => file.unlocked.get_or_init(|| self.unlock(path, &file)).await.clone(),
            known => known.clone(),
        }
    }

    async fn unlock(&self, path: &Path, file: &File) -> Private {
        let Some(prompt) = &self.prompt else {
            return Private::Unusable(
                "it is encrypted, and nobody can be asked for its passphrase; add it to an agent with ssh-add"
                    .to_owned(),
            );
        };
        for nth in 0..TRIES {
            let again = if nth == 0 { "" } else { "that was wrong; " };
            let asked = prompt.secret(format!("{again}passphrase for {}: ", path.display())).await.map(Secret::new);
            let passphrase = match asked {
                Ok(passphrase) if passphrase.expose().is_empty() => {
                    return Private::Unusable("no passphrase was given".to_owned());
                }
                Ok(passphrase) => passphrase,
                Err(error) => return Private::Unusable(format!("its passphrase was not given: {error}")),
            };
            // A passphrase is meant to be slow to try.
            let text = file.text.clone();
            let tried = tokio::task::spawn_blocking(move || format::unlock(text.expose(), passphrase.expose())).await;
            if let Some(private) = tried.ok().flatten() {
                return private;
            }
        }
        Private::Unusable(format!("its passphrase was wrong {TRIES} times"))
    }
}

fn load(path: &Path) -> File {
    let done = |public, private| File { public, private, text: Secret::new(""), unlocked: OnceCell::new() };
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return done(public_beside(path), Private::Missing),
        Err(error) => return done(public_beside(path), Private::Unusable(error.to_string())),
    };
    if let Some(public) = format::public(text.expose()) {
        return done(Some(public), Private::Missing);
    }
    let public = public_beside(path).or_else(|| format::public_inside(text.expose()).map(Public::Key));
    // As OpenSSH: a key that others on this machine could have read is nobody's proof.
    if let Ok(meta) = fs::metadata(path)
        && meta.uid() == nix::unistd::getuid().as_raw()
        && meta.mode() & 0o077 != 0
    {
        let mode = meta.mode() & 0o777;
        return done(
            public,
            Private::Unusable(format!("its mode {mode:04o} lets others read it; run chmod 600 on it")),
        );
    }
    let private = format::private(text.expose());
    let text = if matches!(private, Private::Locked) { text } else { Secret::new("") };
    File { public, private, text, unlocked: OnceCell::new() }
}

fn public_beside(path: &Path) -> Option<Public> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    format::public(read(Path::new(&name)).ok()?.expose())
}

fn read(path: &Path) -> io::Result<Secret> {
    let file = fs::File::open(path)?;
    let size = file.metadata()?.len().min(FILE_LIMIT);
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let mut text = String::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(FILE_LIMIT).read_to_string(&mut text)?;
    Ok(Secret::new(text))
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
        let found = store.identity(&path);
        assert!(matches!(found.private, Private::Locked) && found.public.is_some(), "{found:?}");
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (store, path) = (store.clone(), path.clone());
                tokio::spawn(async move { store.private(&path).await })
            })
            .collect();
        for one in all {
            assert!(matches!(one.await.unwrap(), Private::Ready(_)));
        }
        assert!(matches!(store.identity(&path).private, Private::Ready(_)));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the wrong answer and the right one");
    }

    #[tokio::test]
    async fn three_wrong_passphrases_are_enough() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        keygen(&path, "open sesame", &[]);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let store = KeyStore::new(Some(Prompt::new(move |question| {
            assert!(question.text.starts_with("that was wrong") == (count.fetch_add(1, Ordering::SeqCst) > 0));
            Ok("open barley".to_owned())
        })));
        for _ in 0..2 {
            let private = store.private(&path).await;
            assert!(matches!(&private, Private::Unusable(why) if why.contains("wrong 3 times")), "{private:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn why_not(identity: &Identity) -> String {
        match &identity.private {
            Private::Unusable(why) => why.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_what_they_are() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(None);
        let plain = dir.path().join("plain");
        keygen(&plain, "", &[]);
        let found = store.identity(&plain);
        assert!(matches!(found.private, Private::Ready(_)) && found.public.is_some(), "{found:?}");
        let found = store.identity(&dir.path().join("plain.pub"));
        assert!(matches!(found.private, Private::Missing) && found.public.is_some(), "{found:?}");
        let found = store.identity(&dir.path().join("none"));
        assert!(matches!(found.private, Private::Missing) && found.public.is_none(), "{found:?}");

        let open = dir.path().join("open");
        keygen(&open, "", &[]);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(why_not(&store.identity(&open)).contains("0644"));
        let junk = written(dir.path(), "junk", "junk");
        assert!(why_not(&store.identity(&junk)).contains("no private key"));

        let pem = dir.path().join("pem");
        keygen(&pem, "secret", &["-m", "PEM"]);
        let why = why_not(&store.identity(&pem));
        assert!(why.contains("EC key in the old PEM form") && why.contains("ssh-keygen -p"), "{why}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::new(None);
        for (name, text, says) in [
            ("dsa", "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n", "DSA key"),
            (
                "des",
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n\
                 -----END RSA PRIVATE KEY-----\n",
                "encrypted with DES-EDE3-CBC",
            ),
            ("rsa1", "-----BEGIN SSH1 PRIVATE KEY-----\nAAAA\n", "holds a \"SSH1 PRIVATE KEY\""),
            ("cut", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "cannot be read"),
        ] {
            let why = why_not(&store.identity(&written(dir.path(), name, text)));
            assert!(why.contains(says), "{name}: {why}");
        }
    }
}
