//! What preflight learned about a host.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Everything one probe tells; what the host did not say is `None`, empty or [`Os::Other`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub os: Os,
    /// `uname -r`.
    pub kernel: String,
    pub arch: Arch,
    pub libc: Option<Libc>,
    /// `ID` and `VERSION_ID` of os-release ("debian 12"), or the macOS version.
    pub distribution: Option<String>,
    /// 1 to 4 of the x86-64 levels.
    pub cpu_level: Option<u8>,
    pub cores: Option<u32>,
    /// Bytes.
    pub memory: Option<u64>,
    pub disks: Vec<Disk>,
    pub gpus: Vec<Gpu>,
    pub user: String,
    pub uid: Option<u32>,
    pub home: String,
    /// Basename of the login shell: "bash", "zsh", "fish" …
    pub login_shell: Option<String>,
    /// PATH as a command that is run over SSH sees it.
    pub path: Vec<String>,
    /// Where rbee keeps its things on this host, XDG variables honoured.
    pub dirs: HostDirs,
    pub system_bin: Writable,
    pub user_bin: Writable,
    /// By the plain name of the tool ("cargo", "c++", "sha256").
    pub tools: BTreeMap<String, Tool>,
    /// What was looked for beyond the tools, because a recipe names it; `None` for what is not there.
    pub capabilities: BTreeMap<String, Option<Capability>>,
    pub installed: Vec<super::Manifest>,
    /// The files that the manifests speak of, as they are.
    pub programs: Vec<Program>,
    /// How long each worker took when it was last built there.
    pub build_times: BTreeMap<super::WorkerId, Duration>,
    /// First line of the lock of a run that changes, or changed, this host.
    pub lock: Option<String>,
    /// What was asked and did not answer in time ("nvidia-smi"): absent from the rest for that reason only.
    pub silent: Vec<String>,
    /// What the probe found odd, a sentence each.
    pub notes: Vec<String>,
}

/// A program that a manifest names, as the host has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: String,
    pub symlink: bool,
    /// Bytes, links followed; `None` when there is no such file.
    pub size: Option<u64>,
    /// Seconds since 1970.
    pub modified: Option<u64>,
}

/// Absolute folders on a host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostDirs {
    /// `$XDG_CACHE_HOME/rbee`
    pub cache: String,
    /// `$XDG_STATE_HOME/rbee`
    pub state: String,
    /// `$XDG_DATA_HOME/rbee`
    pub data: String,
    /// `~/.local/bin`
    pub user_bin: String,
    /// `/usr/local/bin`, or `$RBEE_PREFIX/bin` where that is set.
    pub system_bin: String,
    /// `/usr/local/share/rbee`, under the same prefix.
    pub system_data: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Os {
    Linux,
    MacOs,
    Windows,
    /// `uname -s` as it came; empty when unknown.
    Other(String),
    #[default]
    Unknown,
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Linux => "linux",
            Self::MacOs => "macos",
            Self::Windows => "windows",
            Self::Other(name) => name,
            Self::Unknown => "unknown",
        })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    X86_64,
    Aarch64,
    /// `uname -m` as it came.
    Other(String),
    #[default]
    Unknown,
}

impl Arch {
    /// Reads `uname -m` or a common alias.
    pub fn parse(name: &str) -> Self {
        match name {
            "x86_64" | "amd64" => Self::X86_64,
            "aarch64" | "arm64" => Self::Aarch64,
            "" => Self::Unknown,
            other => Self::Other(other.to_owned()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Other(name) => name,
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The C library that programs on the host are linked with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Libc {
    /// Major and minor version.
    Glibc(u32, u32),
    Musl,
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(major, minor) => write!(f, "glibc {major}.{minor}"),
            Self::Musl => f.write_str("musl"),
        }
    }
}

/// A filesystem that something will be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The folder that was asked about.
    pub path: String,
    pub free: u64,
    /// Where it is mounted, or the device: equal for folders on one filesystem.
    pub filesystem: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    pub kind: GpuKind,
    pub name: String,
    /// Bytes.
    pub vram: Option<u64>,
    /// CUDA compute capability, as "8.9".
    pub compute: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuKind {
    Cuda,
    Rocm,
    Metal,
}

impl GpuKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
        }
    }
}

/// Whether a folder can be written to, predicted without writing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Writable {
    /// It exists and is writable.
    Yes,
    /// It does not exist, but could be made.
    Creatable,
    #[default]
    No,
}

impl Writable {
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Yes | Self::Creatable)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tool {
    pub path: String,
    /// As the tool says it; the first dotted number.
    pub version: Option<String>,
    /// False when it was found outside of the PATH that an SSH command sees.
    pub on_path: bool,
}

/// Something that a recipe needs, and the host has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capability {
    pub version: Option<String>,
}

impl Facts {
    /// What is now at the path that a manifest names.
    pub fn program(&self, path: &str) -> Option<&Program> {
        self.programs.iter().find(|p| p.path == path)
    }

    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// "linux-x86_64".
    pub fn platform(&self) -> String {
        format!("{}-{}", self.os, self.arch)
    }

    /// Folders of found tools that are not on PATH, each once.
    pub fn extra_path(&self) -> Vec<&str> {
        let mut dirs: Vec<&str> = Vec::new();
        for tool in self.tools.values().filter(|t| !t.on_path) {
            if let Some((dir, _)) = tool.path.rsplit_once('/')
                && !dirs.contains(&dir)
            {
                dirs.push(dir);
            }
        }
        dirs
    }
}
