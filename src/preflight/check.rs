//! Judges whether a host can do what is asked of it. Pure: facts and a request in, verdicts out.

use super::{
    binary::{Program, misfit},
    install_dir::{InstallDir, InstallScope, NoInstallDir, choose},
    needs,
};
use crate::vocab::{
    Facts, WorkerMeta,
    facts::{Disk, GpuKind, Libc, Os},
    recipe::Accelerator,
    text::{human_bytes, printable},
};

/// What a host is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Build for others.
    Build,
    /// Get a program that was built elsewhere.
    Receive,
    /// Build what it then runs.
    BuildAndReceive,
}

impl Role {
    const fn builds(self) -> bool {
        matches!(self, Self::Build | Self::BuildAndReceive)
    }

    const fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::BuildAndReceive)
    }
}

/// What a host is judged for; what is `None` is not known yet and not judged.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub role: Role,
    pub worker: Option<&'a WorkerMeta>,
    pub program: Option<&'a Program>,
    /// Bytes of the program.
    pub size: Option<u64>,
    /// The system's folder and no other.
    pub system: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Ok,
    Warn,
    No,
}

/// One thing that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub grade: Grade,
    /// One word: "disk", "tools".
    pub what: &'static str,
    /// What was found, a fragment.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Beside the program itself: manifest, store's folders, block sizes.
const INSTALL_SPARE: u64 = 16 << 20;

/// Judges everything that bears on `request`, in the order in which people would look.
pub fn check(facts: &Facts, request: &Request<'_>) -> Vec<Verdict> {
    if let Some(refusal) = os(&facts.os) {
        return vec![refusal];
    }
    let mut verdicts = vec![platform(facts, request.worker)];
    if let Some(program) = request.program.filter(|_| request.role.receives()) {
        verdicts.push(artifact(facts, program));
    }
    verdicts.extend(request.worker.filter(|_| request.role.receives()).and_then(|worker| gpu(facts, worker)));
    if request.role.builds() {
        if let Some(worker) = request.worker {
            verdicts.extend(memory(facts, worker.needs.memory));
            verdicts.extend(disk(facts, &facts.dirs.cache, worker.needs.disk));
        }
        let needs = request.worker.map(|worker| &worker.needs);
        let tools = needs.map_or(&[][..], |needs| needs.tools.as_slice());
        verdicts.extend(needs::verdicts(facts, tools.iter().map(String::as_str).chain(["bash"]), needs));
    }
    if request.role.receives() {
        verdicts.extend(needs::verdicts(facts, ["sha256"], None));
        let chosen = choose(facts, request.system);
        if let Ok(dir) = &chosen {
            // While one is being replaced there are three: the kept one, the present one and the new one.
            let need = request.size.map(|size| size.saturating_mul(2).saturating_add(INSTALL_SPARE));
            verdicts.extend(need.and_then(|need| disk(facts, &dir.bin, need)));
        }
        verdicts.push(folder(facts, chosen));
    }
    let odd = |text: &String| Verdict { grade: Grade::Warn, what: "probe", text: text.clone(), hint: None };
    verdicts.extend(facts.notes.iter().map(odd));
    verdicts.extend(facts.silent.iter().map(|name| odd(&format!("{name} did not answer in time"))));
    verdicts
}

/// Whether a verdict stands against going on.
pub fn refuses(verdicts: &[Verdict]) -> bool {
    verdicts.iter().any(|v| v.grade == Grade::No)
}

fn verdict(grade: Grade, what: &'static str, text: impl Into<String>) -> Verdict {
    Verdict { grade, what, text: text.into(), hint: None }
}

impl Verdict {
    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A refusal that makes all else pointless.
fn os(os: &Os) -> Option<Verdict> {
    let no = |text: String| verdict(Grade::No, "os", text);
    match os {
        Os::Linux | Os::MacOs => None,
        Os::Windows => Some(
            no("Windows hosts are not supported".to_owned())
                .hint("use WSL as a host of its own: run sshd inside it and name that in the inventory"),
        ),
        Os::Other(name) => Some(no(format!("{name} is not supported; Linux and macOS are"))),
        Os::Unknown => Some(no("the host does not say which system it runs; Linux and macOS are supported".to_owned())),
    }
}

fn platform(facts: &Facts, worker: Option<&WorkerMeta>) -> Verdict {
    let here = facts.platform();
    let Some(worker) = worker else { return verdict(Grade::Ok, "platform", here) };
    let allowed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|entry| entry == name);
    let os = facts.os.to_string();
    let refusal = |kind, list: &[String]| {
        let text = format!("{} is made for {kind} {}, the host is {here}", worker.id, list.join(", "));
        verdict(Grade::No, "platform", printable(&text))
    };
    if !allowed(&worker.platforms, &os) {
        refusal("platform", &worker.platforms)
    } else if !allowed(&worker.architectures, facts.arch.as_str()) {
        refusal("architecture", &worker.architectures)
    } else {
        verdict(Grade::Ok, "platform", here)
    }
}

fn artifact(facts: &Facts, program: &Program) -> Verdict {
    if let Some((why, hint)) = misfit(program, facts) {
        return verdict(Grade::No, "artifact", why).hint(hint);
    }
    match program {
        Program::Script => verdict(Grade::Ok, "artifact", "a script"),
        Program::Binary(binary) => match (&binary.libc, &facts.libc) {
            (None, _) => verdict(Grade::Ok, "artifact", "brings its own libraries"),
            (Some(need), Some(have)) => verdict(Grade::Ok, "artifact", format!("needs {need}, the host has {have}")),
            (Some(need @ (Libc::Glibc(..) | Libc::Musl)), None) => {
                verdict(Grade::Warn, "artifact", format!("needs {need}, the host does not say what it has"))
            }
        },
    }
}

fn gpu(facts: &Facts, worker: &WorkerMeta) -> Option<Verdict> {
    let (kind, asked) = match worker.accelerator {
        Accelerator::Cpu => return None,
        Accelerator::Cuda => (GpuKind::Cuda, "nvidia-smi"),
        Accelerator::Rocm => (GpuKind::Rocm, "rocminfo"),
        Accelerator::Metal => (GpuKind::Metal, "macos"),
    };
    let names: Vec<&str> = facts.gpus.iter().filter(|gpu| gpu.kind == kind).map(|gpu| gpu.name.as_str()).collect();
    let kind = kind.as_str();
    Some(if !names.is_empty() {
        verdict(Grade::Ok, "gpu", names.join(", "))
    } else if facts.silent.iter().any(|name| name == asked) {
        verdict(
            Grade::Warn,
            "gpu",
            format!("whether there is a {kind} GPU is not known: {asked} did not answer in time"),
        )
    } else {
        verdict(Grade::No, "gpu", format!("{} needs a {kind} GPU, and none was found", worker.id))
            .hint(format!("install its driver so that {asked} lists it, or choose a worker for the CPU"))
    })
}

fn memory(facts: &Facts, need: u64) -> Option<Verdict> {
    let have = facts.memory.filter(|_| need > 0)?;
    let text = format!("{} of memory, needs {}", human_bytes(have), human_bytes(need));
    // A machine sold with 8 GB shows some percent less.
    let grade = match have {
        h if h >= need => Grade::Ok,
        h if h >= need - need / 10 => Grade::Warn,
        _ => Grade::No,
    };
    Some(verdict(grade, "memory", text))
}

fn disk(facts: &Facts, folder: &str, need: u64) -> Option<Verdict> {
    if need == 0 {
        return None;
    }
    let Some(Disk { free, filesystem, .. }) = facts.disks.iter().find(|disk| disk.path == folder) else {
        return Some(verdict(Grade::Warn, "disk", format!("how much is free in {folder} is not known")));
    };
    let text = format!("{} free in {folder}, needs {}", human_bytes(*free), human_bytes(need));
    Some(match *free >= need {
        true => verdict(Grade::Ok, "disk", text),
        false => verdict(Grade::No, "disk", text).hint(format!("free some space on {filesystem}")),
    })
}

fn folder(facts: &Facts, chosen: Result<InstallDir, NoInstallDir>) -> Verdict {
    let dir = match chosen {
        Ok(dir) => dir,
        Err(error @ (NoInstallDir::NoSudo(_) | NoInstallDir::OnlyDoas(_) | NoInstallDir::ReadOnly(_))) => {
            let user = format!("leave out --system to install to {}", facts.dirs.user_bin);
            return verdict(Grade::No, "folder", error.to_string()).hint(user);
        }
        Err(error @ NoInstallDir::Neither { .. }) => {
            return verdict(Grade::No, "folder", error.to_string())
                .hint(format!("make {} writable for {}", facts.dirs.user_bin, facts.user));
        }
    };
    match (dir.on_path, dir.scope) {
        (false, InstallScope::User) => {
            let off = verdict(Grade::Warn, "folder", format!("{} is not on the host's PATH", dir.bin));
            match dir.path_fix {
                Some(fix) => off.hint(format!("--fix-path adds to {}: {}", fix.file, fix.line)),
                None => off,
            }
        }
        _ => verdict(Grade::Ok, "folder", dir.words()),
    }
}
