//! A hub in this process, a home, and the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rbee::sandbox::hub::{Faults, Hub};
use sha1::Digest as _;
use tokio::runtime::Runtime;

pub struct Stage {
    pub runtime: Runtime,
    pub hub: Hub,
    pub dir: tempfile::TempDir,
}

/// What a run said and did.
pub struct Ran(pub Output);

pub fn faults(texts: &[&str]) -> Faults {
    let mut faults = Faults::default();
    texts.iter().for_each(|text| faults.add(text).unwrap());
    faults
}

impl Stage {
    pub fn new(texts: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let hub = runtime.block_on(Hub::start(faults(texts))).unwrap();
        Self { runtime, hub, dir: tempfile::Builder::new().prefix("rbee-models").tempdir().unwrap() }
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The cache of this machine.
    pub fn cache(&self) -> PathBuf {
        self.home().join(".cache/huggingface/hub")
    }

    /// `rbee`, with nothing of this environment but PATH.
    pub fn bare(&self) -> Command {
        fs::create_dir_all(self.home()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbee"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.home());
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("TMPDIR", self.dir.path()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `rbee WORDS`, as lines.
    pub fn command(&self, words: &str) -> Command {
        let mut command = self.bare();
        command.args(words.split_whitespace()).args(["--output", "plain", "--timeout", "110s"]);
        command
    }

    pub fn rbee(&self, words: &str) -> Ran {
        Ran(self.command(words).output().unwrap())
    }

    pub fn start(&self, words: &str) -> Child {
        self.command(words).spawn().unwrap()
    }
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(code), "{self}");
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.to_string().contains(text), "{text:?} is not said\n{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.0.status, text(&self.0.stdout), text(&self.0.stderr))
    }
}

/// Ends within two seconds. A busy machine may be late once or twice, but not each time.
#[track_caller]
pub fn quick(what: &str, mut end: impl FnMut(usize) -> Duration) {
    let mut took = Vec::new();
    for nth in 0..3 {
        took.push(end(nth));
        if took[nth] < Duration::from_secs(2) {
            return;
        }
    }
    panic!("{what} took {took:?} to end");
}

/// Every file below a folder, links not followed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return all };
    for entry in entries.flatten() {
        if entry.file_type().unwrap().is_dir() { all.extend(files(&entry.path())) } else { all.push(entry.path()) }
    }
    all.sort();
    all
}

/// Blobs of a cache; each must be what its name says.
#[track_caller]
pub fn sound_blobs(cache: &Path) -> usize {
    let blobs: Vec<_> = files(cache).into_iter().filter(|path| path.parent().unwrap().ends_with("blobs")).collect();
    for path in &blobs {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(path).unwrap();
        let digest = match name.len() {
            64 => sha2::Sha256::digest(&bytes).to_vec(),
            _ => {
                let mut hash = sha1::Sha1::new();
                hash.update(format!("blob {}\0", bytes.len()));
                hash.update(&bytes);
                hash.finalize().to_vec()
            }
        };
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, name, "a wrong blob was published: {}", path.display());
    }
    blobs.len()
}
