//! Turns the records of `probe/` into [`Facts`].
//!
//! The host is not trusted: lines that are no record are passed over, what is shown to people is made printable, and
//! what is used as a path must be absolute and free of control characters. Input is bounded by who captured it, and
//! again here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::hardware;
use crate::{
    vocab::{
        Facts, WorkerId,
        facts::{Arch, Capability, Gpu, GpuKind, Libc, Os, Program, Tool, Writable},
        text::printable,
    },
    wire::manifest,
};

/// More than the probe ever prints; what comes after is not read, so that the end is missing.
const MAX_INPUT: usize = 2 << 20;
/// Seconds that a build may have taken.
const MAX_BUILD: u64 = 7 * 86_400;
/// Of each kind of thing that a host can have many of.
const MAX_ITEMS: usize = 256;

/// Why an output is no answer of the probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("the host did not run the probe")]
    NotStarted,
    #[error("the probe was cut off")]
    CutOff,
    #[error("the host names no home directory that could be used")]
    NoHome,
}

/// Reads the probe's output.
///
/// A host whose shell speaks like Windows comes back with [`Os::Windows`] and nothing else.
///
/// # Errors
/// When it does not start, does not end, or leaves out what nothing can be done without.
pub fn parse(output: &[u8]) -> Result<Facts, ProbeError> {
    let output = &output[..output.len().min(MAX_INPUT)];
    let mut lines = output.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if !lines.any(|line| line == b"probe\t1") {
        return match is_windows(&String::from_utf8_lossy(output)) {
            true => Ok(Facts { os: Os::Windows, ..Facts::default() }),
            false => Err(ProbeError::NotStarted),
        };
    }
    let mut reading = Reading::default();
    for line in lines {
        if line == b"end" {
            return reading.finish();
        }
        let (key, rest) = match line.iter().position(|b| *b == b'\t') {
            Some(tab) => (&line[..tab], &line[tab + 1..]),
            None => continue,
        };
        match (std::str::from_utf8(key), std::str::from_utf8(rest)) {
            (Ok(key), Ok(rest)) => reading.record(key, rest),
            (Ok(key), Err(_)) => reading.unreadable(key),
            _ => {}
        }
    }
    Err(ProbeError::CutOff)
}

/// Whether `text` is how the shells of Windows greet a POSIX script.
pub fn is_windows(text: &str) -> bool {
    [
        "is not recognized as an internal or external command",
        "is not recognized as the name of a cmdlet",
        "is not recognized as a name of a cmdlet",
        "Microsoft Windows [Version",
        "FullyQualifiedErrorId",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// What the records said so far, where the facts cannot be filled in at once.
#[derive(Default)]
struct Reading {
    facts: Facts,
    bits: String,
    cpu: String,
    versions: BTreeMap<String, String>,
    asked: BTreeSet<String>,
    /// Path and text of the manifest whose lines are coming.
    manifest: Option<(String, String)>,
    rocm_name: String,
    /// Cards that the kernel's driver names.
    driver_gpus: Vec<String>,
}

impl Reading {
    fn record(&mut self, key: &str, value: &str) {
        if key == "|" {
            if let Some((_, text)) = &mut self.manifest {
                text.push_str(value);
                text.push('\n');
            }
            return;
        }
        let facts = &mut self.facts;
        let mut fields = value.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        match key {
            "os" => facts.os = os(value),
            "kernel" => facts.kernel = shown(value),
            "arch" => facts.arch = Arch::parse(&shown(value)),
            "bits" => self.bits = value.to_owned(),
            "uid" => facts.uid = value.parse().ok(),
            "user" => facts.user = shown(value),
            "home" => set_path(&mut facts.home, value),
            "shell" => facts.login_shell = value.rsplit('/').next().filter(|s| !s.is_empty()).map(shown),
            "path" => facts.path = value.split(':').take(MAX_ITEMS).filter_map(path).collect(),
            "cache" => set_path(&mut facts.dirs.cache, value),
            "state" => set_path(&mut facts.dirs.state, value),
            "data" => set_path(&mut facts.dirs.data, value),
            "user_bin" => set_path(&mut facts.dirs.user_bin, value),
            "system_bin" => set_path(&mut facts.dirs.system_bin, value),
            "system_data" => set_path(&mut facts.dirs.system_data, value),
            "user_bin_is" => facts.user_bin = writable(value),
            "system_bin_is" => facts.system_bin = writable(value),
            "distribution" => {
                let (name, version) = (next(), next());
                facts.distribution = Some(shown(&format!("{name} {version}")).trim().to_owned());
            }
            "libc" => facts.libc = libc(next(), next()),
            "cores" => facts.cores = value.parse().ok().filter(|n| *n > 0),
            "memory" => facts.memory = value.parse().ok(),
            "memkb" => facts.memory = value.parse::<u64>().ok().map(|kb| kb.saturating_mul(1024)),
            "cpu" => self.cpu = shown(value),
            "flags" => facts.cpu_level = Some(hardware::x86_level(value)),
            "lock" => facts.lock = Some(shown(value)),
            "ask" => drop(self.asked.insert(shown(value))),
            "did" => drop(self.asked.remove(value)),
            "disk" if facts.disks.len() < MAX_ITEMS => facts.disks.extend(hardware::disk(next(), next())),
            "tool" => {
                let (name, seen, at) = (next(), next(), next());
                if let Some(path) = path(at).filter(|_| facts.tools.len() < MAX_ITEMS) {
                    facts.tools.insert(shown(name), Tool { path, version: None, on_path: seen == "on" });
                }
            }
            "version" if self.versions.len() < MAX_ITEMS => {
                let (tool, version) = (shown(next()), next());
                if !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
                    self.versions.insert(tool, version.to_owned());
                }
            }
            "proxy" => {
                let (tool, at) = (shown(next()), shown(next()));
                self.note(format!("{tool} at {at} is rustup's and has no toolchain yet: run `rustup default stable`"));
            }
            "failed" => {
                let (tool, status) = (shown(next()), shown(next()));
                self.note(format!("{tool} is there but failed with status {status}"));
            }
            "bad" => self.unreadable(value),
            "nvidia" if facts.gpus.len() < MAX_ITEMS => facts.gpus.extend(hardware::nvidia(value)),
            "nvproc" if self.driver_gpus.len() < MAX_ITEMS => self.driver_gpus.push(shown(value)),
            "rocm" => {
                let text = value.split_once(':').map(|(_, text)| text.trim()).unwrap_or_default();
                if value.contains("Marketing Name:") {
                    self.rocm_name = shown(text);
                } else if text == "GPU" && facts.gpus.len() < MAX_ITEMS {
                    let name = std::mem::take(&mut self.rocm_name);
                    facts.gpus.push(Gpu { kind: GpuKind::Rocm, name, vram: None, compute: None });
                }
            }
            "built" if facts.build_times.len() < MAX_ITEMS => {
                let (worker, secs) = (WorkerId::new(next()), next().parse().ok().filter(|secs| *secs <= MAX_BUILD));
                if let (Ok(worker), Some(secs)) = (worker, secs) {
                    facts.build_times.insert(worker, Duration::from_secs(secs));
                }
            }
            "capability" if facts.capabilities.len() < MAX_ITEMS => {
                let (name, there, version) = (next(), next(), next());
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte);
                if (1..=100).contains(&name.len()) && name.bytes().all(plain) {
                    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:-".contains(&byte);
                    let fits = (1..=64).contains(&version.len()) && version.bytes().all(known);
                    let version = fits.then(|| version.to_owned());
                    let found = (there == "yes").then_some(Capability { version });
                    facts.capabilities.insert(name.to_owned(), found);
                }
            }
            "manifest" => {
                self.close_manifest();
                self.manifest = Some((shown(value), String::new()));
            }
            "program" if facts.programs.len() < MAX_ITEMS => {
                let (at, kind, stat) = (next(), next(), next());
                let mut numbers = stat.split(' ').map(|n| n.parse().ok());
                let (size, modified) = (numbers.next().flatten(), numbers.next().flatten());
                facts.programs.extend(path(at).map(|path| Program { path, symlink: kind == "link", size, modified }));
            }
            // A later version of the probe may tell more.
            _ => {}
        }
    }

    fn unreadable(&mut self, key: &str) {
        self.note(format!("the host's {} has characters that cannot be used", shown(key)));
    }

    fn note(&mut self, text: String) {
        if self.facts.notes.len() < MAX_ITEMS {
            self.facts.notes.push(text);
        }
    }

    fn close_manifest(&mut self) {
        let Some((file, text)) = self.manifest.take() else { return };
        match manifest::read(&text) {
            Ok(manifest) if self.facts.installed.len() < MAX_ITEMS => self.facts.installed.push(manifest),
            Ok(_) => {}
            Err(error) => self.note(format!("the manifest {file} cannot be read: {error}")),
        }
    }

    fn finish(mut self) -> Result<Facts, ProbeError> {
        self.close_manifest();
        let Self { mut facts, bits, cpu, versions, asked, driver_gpus, .. } = self;
        if facts.os == Os::Windows {
            return Ok(facts);
        }
        let dirs = &facts.dirs;
        if [&facts.home, &dirs.cache, &dirs.state, &dirs.data, &dirs.user_bin, &dirs.system_bin, &dirs.system_data]
            .iter()
            .any(|dir| dir.is_empty())
        {
            return Err(ProbeError::NoHome);
        }
        // What was built for the kernel would not find its libraries.
        let narrow = match (&facts.arch, bits.as_str()) {
            (Arch::X86_64, "32") => Some("i686"),
            (Arch::Aarch64, "32") => Some("armv7l"),
            _ => None,
        };
        if let Some(arch) = narrow {
            facts.notes.push(format!("the userland is 32-bit ({arch}) on a kernel for {}", facts.arch));
            facts.arch = Arch::Other(arch.to_owned());
        }
        for (name, version) in versions {
            if let Some(tool) = facts.tools.get_mut(&name) {
                tool.version = Some(version);
            }
        }
        // The fastest first; whoever uses it tells them apart by the name of the program.
        let hasher = ["openssl", "sha256sum", "shasum", "sha256"].iter().find_map(|name| facts.tools.get(*name));
        if let Some(tool) = hasher.cloned() {
            facts.tools.insert("sha256".to_owned(), tool);
        }
        if !facts.gpus.iter().any(|gpu| gpu.kind == GpuKind::Cuda) {
            let card = |name| Gpu { kind: GpuKind::Cuda, name, vram: None, compute: None };
            facts.gpus.extend(driver_gpus.into_iter().map(card));
        }
        if facts.os == Os::MacOs && facts.arch == Arch::Aarch64 {
            let name = if cpu.is_empty() { "Apple silicon".to_owned() } else { cpu };
            facts.gpus.push(Gpu { kind: GpuKind::Metal, name, vram: None, compute: None });
        }
        facts.silent = asked.into_iter().take(MAX_ITEMS).collect();
        Ok(facts)
    }
}

fn os(name: &str) -> Os {
    match name {
        "Linux" => Os::Linux,
        "Darwin" => Os::MacOs,
        "" => Os::Unknown,
        n if ["MINGW", "MSYS", "CYGWIN", "UCRT", "CLANG64", "Windows"].iter().any(|w| n.starts_with(w)) => Os::Windows,
        other => Os::Other(shown(other)),
    }
}

fn writable(word: &str) -> Writable {
    match word {
        "yes" => Writable::Yes,
        "creatable" => Writable::Creatable,
        _ => Writable::No,
    }
}

fn libc(kind: &str, version: &str) -> Option<Libc> {
    if kind == "musl" {
        return Some(Libc::Musl);
    }
    let mut parts = version.split('.').map(str::parse);
    match (kind, parts.next(), parts.next()) {
        ("glibc", Some(Ok(major)), Some(Ok(minor))) => Some(Libc::Glibc(major, minor)),
        _ => None,
    }
}

/// Short and printable.
pub(super) fn shown(text: &str) -> String {
    printable(text.trim()).chars().take(512).collect()
}

/// A path that may be used: absolute, of a possible length, without control characters, without `..`.
pub(super) fn path(text: &str) -> Option<String> {
    let ok = text.starts_with('/')
        && text.len() <= 4096
        && !text.chars().any(char::is_control)
        && !text.split('/').any(|part| part == "..");
    ok.then(|| text.to_owned())
}

fn set_path(place: &mut String, text: &str) {
    if let Some(path) = path(text) {
        *place = path;
    }
}
