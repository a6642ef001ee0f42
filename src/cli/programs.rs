//! `--binary`: programs that need no build, read before any host is contacted.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::Complaint;
use crate::{
    archive::is_archive,
    engine::{
        Binary,
        pending::{Pending, Reading},
    },
    prebuilt::{self, Form, PrebuiltError},
    preflight::binary::inspect,
    transfer::{Head, Look, Memo, Summed, tree::Tree},
    vocab::{Digest, WorkerId, facts::Arch},
};

/// Reads `[OS-ARCH=]PATH …`; the id is the worker's, or made of the file's name.
pub async fn read(
    arguments: &[String],
    worker: Option<&str>,
    memo: &Memo,
    cache: &Path,
) -> Result<Vec<Arc<Binary>>, Complaint> {
    let mut binaries: Vec<Arc<Binary>> = Vec::new();
    for argument in arguments {
        let (platform, path) = match argument.split_once('=') {
            Some((platform, path)) if !platform.contains('/') => (Some(parse_platform(platform)?), path),
            _ => (None, argument.as_str()),
        };
        let binary = one(platform, Path::new(path), worker, memo, cache).await?;
        if binaries.iter().any(|other| other.platform == binary.platform) {
            return Err(Complaint::usage(match &binary.platform {
                Some(platform) => format!("there are two --binary for {platform}"),
                None => "there are two --binary for every platform".into(),
            })
            .hint("write --binary OS-ARCH=PATH for each"));
        }
        binaries.push(Arc::new(binary));
    }
    // The exact platform before the one for all.
    binaries.sort_by_key(|binary| binary.platform.is_none());
    Ok(binaries)
}

fn parse_platform(text: &str) -> Result<String, Complaint> {
    let bad = || {
        Complaint::usage(format!("{text:?} is no platform"))
            .hint("platforms are linux-x86_64, linux-aarch64, macos-x86_64 and macos-aarch64")
    };
    let (os, arch) = text.split_once('-').ok_or_else(bad)?;
    match (os, Arch::parse(arch)) {
        ("linux" | "macos", arch @ (Arch::X86_64 | Arch::Aarch64)) => Ok(format!("{os}-{arch}")),
        _ => Err(bad()),
    }
}

async fn one(
    platform: Option<String>,
    path: &Path,
    worker: Option<&str>,
    memo: &Memo,
    cache: &Path,
) -> Result<Binary, Complaint> {
    let shown = path.display();
    if path.is_dir() {
        return folder(platform, path, worker);
    }
    let mut file = File::open(path).map_err(|error| Complaint::usage(format!("cannot read {shown}: {error}")))?;
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Err(Complaint::usage(format!("{shown} is not a file")));
    }
    let head = head_of(&mut file).map_err(|error| Complaint::usage(format!("cannot read {shown}: {error}")))?;
    if is_archive(&head) {
        return archive(platform, path, worker, cache).await;
    }
    let program = inspect(&mut file).map_err(|error| Complaint::usage(format!("cannot install {shown}: {error}")))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let id = worker.map_or_else(|| name.to_ascii_lowercase(), str::to_owned);
    let worker = WorkerId::new(&id).map_err(|error| {
        Complaint::usage(error.to_string()).hint("name the worker: rbee fleet install WORKER --binary …")
    })?;
    let size = file.metadata().map_or(0, |data| data.len());
    let look = memo.look(path);
    let known = look.known();
    let reading = Arc::new(Seen { look, ahead: Mutex::default() });
    let digest =
        known.map_or_else(|| Pending::of(reading.clone()), |known| Pending::remembered(known, reading.clone()));
    // A program is found under its worker's name, whatever the build called the file.
    let (program_name, path) = (worker.to_string(), path.to_owned());
    Ok(Binary { program_name, worker, path, tree: None, platform, program, size, digest, used: None })
}

/// A file whose sha256 is remembered.
struct Seen {
    look: Look,
    ahead: Mutex<Option<Head>>,
}

impl Seen {
    fn begun(&self) -> MutexGuard<'_, Option<Head>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reading for Seen {
    async fn read(&self) -> Result<Digest, String> {
        let begun = self.begun().take();
        self.look.read(begun).await.map_err(|error| error.to_string())
    }

    fn ahead(&self) {
        self.begun().get_or_insert_with(|| Head::start(self.look.path()));
    }

    async fn head(&self) -> Option<Summed> {
        let begun = self.begun().take();
        begun?.stop().await
    }

    fn learn(&self, digest: Digest) {
        self.look.keep(digest);
    }

    fn refuted(&self) {
        self.look.forget();
    }
}

/// A folder, by the sum of what is in it.
struct Listed(Arc<Tree>, WorkerId);

#[async_trait]
impl Reading for Listed {
    async fn read(&self) -> Result<Digest, String> {
        let (tree, worker) = (self.0.clone(), self.1.clone());
        let summed = tokio::task::spawn_blocking(move || tree.digest(&worker)).await;
        summed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// As much of a file as tells what it is.
fn head_of(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn worker_of(path: &Path, worker: Option<&str>) -> Result<WorkerId, Complaint> {
    let Some(worker) = worker else {
        let text = format!("{} could be of any worker", path.display());
        return Err(Complaint::usage(text).hint("name the worker: rbee fleet install WORKER --binary …"));
    };
    WorkerId::new(worker).map_err(|error| Complaint::usage(error.to_string()))
}

/// An archive, with what [`folder`] takes in it, or with one program.
async fn archive(
    platform: Option<String>,
    path: &Path,
    worker: Option<&str>,
    cache: &Path,
) -> Result<Binary, Complaint> {
    let worker = worker_of(path, worker)?;
    let wrong = |text: String| Complaint::usage(format!("cannot install {}: {text}", path.display()));
    let found = prebuilt::local(&cache.join("prebuilt"), &worker, path).await;
    let found = found.map_err(|error| match error {
        PrebuiltError::Content { why, .. } => wrong(why),
        error => wrong(error.to_string()),
    })?;
    let (at, tree, entry) = match found.form {
        Form::File(at) => (at.clone(), None, at),
        Form::Tree(tree) => (tree.root.clone(), Some(tree.clone()), tree.entry_path()),
    };
    let opened = File::open(&entry).map_err(|error| wrong(error.to_string()));
    let program = inspect(&mut opened?).map_err(|error| wrong(error.to_string()))?;
    let digest = Pending::known(found.digest);
    let (program_name, size, used) = (worker.to_string(), found.size, Some(found.used));
    Ok(Binary { program_name, worker, path: at, tree, platform, program, size, digest, used })
}

/// A folder with bin, lib and share.
fn folder(platform: Option<String>, path: &Path, worker: Option<&str>) -> Result<Binary, Complaint> {
    let shown = path.display();
    let wrong = |text: String| Complaint::usage(format!("cannot install {shown}: {text}"));
    let worker = worker_of(path, worker)?;
    let tree = Tree::open(path, None, &worker).map_err(|error| wrong(error.to_string()))?;
    let entry = tree.entry_path();
    let program = File::open(&entry)
        .map_err(|error| error.to_string())
        .and_then(|mut file| inspect(&mut file).map_err(|error| error.to_string()))
        .map_err(|error| wrong(format!("{}: {error}", tree.entry)))?;
    let tree = Arc::new(tree);
    let digest = Pending::of(Arc::new(Listed(tree.clone(), worker.clone())));
    digest.start();
    let (program_name, size, path) = (worker.to_string(), tree.size, path.to_owned());
    Ok(Binary { program_name, worker, path, tree: Some(tree), platform, program, size, digest, used: None })
}
