//! What is known of a worker and its recipe without running anything.

use std::{fmt, time::Duration};

use super::{Dependency, Digest, Launch, Mirror, WorkerId};

/// What a worker computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accelerator {
    Cpu,
    Cuda,
    Metal,
    Rocm,
}

impl Accelerator {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
            Self::Rocm => "rocm",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a host must have to build a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Free bytes where it is built.
    pub disk: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Tools, optionally with the least version: "cargo>=1.70", "cmake", "c++".
    pub tools: Vec<String>,
    /// What its recipe names; known once that is read.
    pub packages: Vec<Dependency>,
}

/// A catalog's entry for a worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerMeta {
    pub id: WorkerId,
    /// Id without its accelerator: "llama-server"; equal to the id for a worker that has no variants.
    pub family: String,
    /// For people.
    pub name: String,
    pub description: String,
    pub accelerator: Accelerator,
    /// "linux", "macos".
    pub platforms: Vec<String>,
    /// "x86_64", "aarch64".
    pub architectures: Vec<String>,
    pub license: String,
    pub needs: Needs,
    /// Over the standard limit of the install.
    pub limit: Option<Duration>,
    /// Arguments of the one run that proves an installed program; `--version` when the entry says nothing.
    pub verify: Vec<String>,
    /// A line for the shell that has to end well on the host before the program is activated; it is `$RBEE_PROGRAM`, and the
    /// recipe's files are in the working folder.
    pub smoke: Option<String>,
    /// 1 to 4: the x86-64 level that it is built for, instead of the lowest of the hosts that share a build.
    pub cpu_level: Option<u8>,
    /// The program in bin that a package of several is called by.
    pub entry: Option<String>,
    /// Where it is published ready to run.
    pub prebuilt: Option<Prebuilt>,
    /// How it is started; of one that does not say, nobody knows.
    pub run: Option<Launch>,
    /// Extra environment of the build.
    pub features: Vec<String>,
    /// Other places of its sources.
    pub mirrors: Vec<Mirror>,
    /// Its git sources come with their submodules.
    pub submodules: bool,
}

impl WorkerMeta {
    /// What a worker is of which nothing is said: for any machine, on its CPU.
    pub fn new(id: WorkerId) -> Self {
        Self {
            family: id.as_str().to_owned(),
            name: id.as_str().to_owned(),
            description: String::new(),
            accelerator: Accelerator::Cpu,
            platforms: vec!["linux".to_owned(), "macos".to_owned()],
            architectures: vec!["x86_64".to_owned(), "aarch64".to_owned()],
            license: String::new(),
            needs: Needs::default(),
            limit: None,
            verify: vec!["--version".to_owned()],
            smoke: None,
            cpu_level: None,
            entry: None,
            prebuilt: None,
            run: None,
            features: Vec::new(),
            mirrors: Vec::new(),
            submodules: false,
            id,
        }
    }
}

/// Where finished programs of a worker are published; the words in braces are filled for each machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prebuilt {
    /// With `{name}`, `{family}`, `{version}`, `{os}`, `{arch}`, `{accelerator}`.
    pub url: String,
    /// By machine: "linux-x86_64-cpu", or "macos-aarch64" for whatever accelerator.
    pub sha256: Vec<(String, Digest)>,
    /// Where a list of checksums is; the same words.
    pub sha256_url: Option<String>,
    /// The public key of signatures that are found at the address with `.minisig` behind it.
    pub minisign: Option<String>,
    /// Who signs by sigstore; the bundle is found at the address with `.sigstore.json` behind it.
    pub sigstore: Option<Sigstore>,
    /// In place of the recipe's own version.
    pub version: Option<String>,
    /// What is written in place of our own words.
    pub os: Vec<(String, String)>,
    pub arch: Vec<(String, String)>,
    pub accelerator: Vec<(String, String)>,
    /// Folders around everything in an archive; as many as there are, when it is not said.
    pub strip: Option<u64>,
}

/// A signer, as sigstore knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sigstore {
    /// The address of a person or of a workflow.
    pub identity: String,
    /// Who vouches for it.
    pub issuer: String,
    /// A file of the recipe with a trusted root, in place of sigstore's own.
    pub root: Option<String>,
}

/// A recipe as found: its entry, its text and what identifies it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeMeta {
    pub worker: WorkerMeta,
    /// From `.SRCINFO`, or unknown until it is built.
    pub version: Option<String>,
    /// "built in", or the folder it came from.
    pub origin: String,
    /// Every file of the folder, sorted by relative path.
    pub files: Vec<RecipeFile>,
}

/// One file of a recipe's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFile {
    /// Relative, with `/`, without `..`.
    pub path: String,
    pub executable: bool,
    pub content: Vec<u8>,
}
