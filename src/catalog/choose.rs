//! Which variant of a worker a host gets, and why; facts in, sentence out.

use crate::vocab::{
    Accelerator, Facts, WorkerId, WorkerMeta,
    facts::{Arch, GpuKind, Os},
};

/// A worker that was chosen for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    pub worker: WorkerId,
    /// "cuda: NVIDIA L4 and nvcc 12.4", "cpu: no GPU found".
    pub why: String,
}

/// Best first.
const PREFERENCE: [Accelerator; 4] = [Accelerator::Metal, Accelerator::Cuda, Accelerator::Rocm, Accelerator::Cpu];

/// Says whether a worker can run on a host at all: platform, architecture, accelerator.
///
/// # Errors
/// A sentence that names what the worker needs and what the host is.
pub fn fits(worker: &WorkerMeta, facts: &Facts) -> Result<(), String> {
    let id = &worker.id;
    let (os, arch) = (facts.os.to_string(), facts.arch.to_string());
    if !worker.platforms.contains(&os) {
        return Err(format!("{id} is for {}, and this host is {os}", worker.platforms.join(" or ")));
    }
    if !worker.architectures.contains(&arch) {
        return Err(format!("{id} is for {}, and this host is {arch}", worker.architectures.join(" or ")));
    }
    match worker.accelerator {
        Accelerator::Cpu => Ok(()),
        Accelerator::Metal if facts.os == Os::MacOs && facts.arch == Arch::Aarch64 => Ok(()),
        Accelerator::Metal => {
            Err(format!("{id} needs a Mac with Apple silicon, and this host is {}", facts.platform()))
        }
        Accelerator::Cuda if gpu(facts, GpuKind::Cuda).is_some() => Ok(()),
        Accelerator::Cuda => Err(format!("{id} needs an NVIDIA GPU, and none was found")),
        Accelerator::Rocm if gpu(facts, GpuKind::Rocm).is_some() => Ok(()),
        Accelerator::Rocm => Err(format!("{id} needs an AMD GPU with ROCm, and none was found")),
    }
}

/// Chooses among the variants of a family.
pub(super) fn choose(family: &str, variants: &[&WorkerMeta], facts: &Facts) -> Result<Pick, String> {
    // What stood against the better ones is the reason for the one that is taken.
    let mut against = Vec::new();
    for accelerator in PREFERENCE {
        let Some(variant) = variants.iter().find(|worker| worker.accelerator == accelerator) else { continue };
        let verdict = fits(variant, facts).and_then(|()| ready(accelerator, facts));
        match verdict {
            Ok(found) => {
                let why =
                    found.or_else(|| reason_against_gpus(&against, facts)).unwrap_or_else(|| "no GPU found".into());
                return Ok(Pick { worker: variant.id.clone(), why: format!("{accelerator}: {why}") });
            }
            Err(why) => against.push((accelerator, why)),
        }
    }
    let reasons: Vec<_> = against.into_iter().map(|(_, why)| why).collect();
    Err(format!("no variant of {family} fits this host: {}", reasons.join("; ")))
}

/// What fits a host and cannot be built there, as far as it is better than what can.
pub(super) fn unbuildable<'a>(variants: &[&'a WorkerMeta], facts: &Facts) -> Vec<(&'a WorkerMeta, String)> {
    let mut found = Vec::new();
    for accelerator in PREFERENCE {
        let Some(variant) = variants.iter().find(|worker| worker.accelerator == accelerator) else { continue };
        match fits(variant, facts).map(|()| ready(accelerator, facts)) {
            Ok(Ok(_)) => break,
            Ok(Err(why)) => found.push((*variant, why)),
            Err(_) => {}
        }
    }
    found
}

/// Whether a variant can be built where it can run; says with what.
fn ready(accelerator: Accelerator, facts: &Facts) -> Result<Option<String>, String> {
    let (kind, compiler) = match accelerator {
        Accelerator::Cpu => return Ok(None),
        Accelerator::Metal => {
            let name = gpu(facts, GpuKind::Metal).unwrap_or("Apple silicon");
            return Ok(Some(name.to_owned()));
        }
        Accelerator::Cuda => (GpuKind::Cuda, "nvcc"),
        Accelerator::Rocm => (GpuKind::Rocm, "hipcc"),
    };
    let name = gpu(facts, kind).unwrap_or(kind.as_str());
    match facts.tool(compiler) {
        Some(tool) => {
            let version = tool.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
            Ok(Some(format!("{name} and {compiler}{version}")))
        }
        None => Err(format!("{name} found, but no {compiler} to build for it")),
    }
}

/// A GPU that is there and cannot be used says more than the ones that are not.
fn reason_against_gpus(against: &[(Accelerator, String)], facts: &Facts) -> Option<String> {
    let there = |accelerator| match accelerator {
        Accelerator::Cuda => gpu(facts, GpuKind::Cuda).is_some(),
        Accelerator::Rocm => gpu(facts, GpuKind::Rocm).is_some(),
        Accelerator::Metal => gpu(facts, GpuKind::Metal).is_some(),
        Accelerator::Cpu => false,
    };
    against.iter().find(|(accelerator, _)| there(*accelerator)).map(|(_, why)| why.clone()).or_else(|| {
        let other = facts.gpus.first()?;
        Some(format!("no variant for {}", other.name))
    })
}

fn gpu(facts: &Facts, kind: GpuKind) -> Option<&str> {
    facts.gpus.iter().find(|gpu| gpu.kind == kind).map(|gpu| gpu.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Catalog, CatalogSource},
        vocab::facts::{Gpu, Tool},
    };

    fn facts(os: Os, arch: Arch) -> Facts {
        Facts { os, arch, ..Facts::default() }
    }

    fn with_gpu(mut facts: Facts, kind: GpuKind, name: &str) -> Facts {
        facts.gpus.push(Gpu { kind, name: name.into(), vram: None, compute: None });
        facts
    }

    fn with_tool(mut facts: Facts, name: &str, version: Option<&str>) -> Facts {
        let tool = Tool { path: format!("/x/{name}"), version: version.map(Into::into), on_path: true };
        facts.tools.insert(name.into(), tool);
        facts
    }

    fn pick(name: &str, facts: &Facts) -> Result<(String, String), String> {
        let catalog = Catalog::open(&[CatalogSource::BuiltIn]).unwrap();
        catalog.pick(name, facts).map(|pick| (pick.worker.to_string(), pick.why))
    }

    fn ok(worker: &str, why: &str) -> Result<(String, String), String> {
        Ok((worker.into(), why.into()))
    }

    #[test]
    fn the_best_variant_that_can_be_built_is_taken_and_explained() {
        let linux = facts(Os::Linux, Arch::X86_64);
        let mac = facts(Os::MacOs, Arch::Aarch64);
        let old_mac = facts(Os::MacOs, Arch::X86_64);
        let card = with_gpu(linux.clone(), GpuKind::Cuda, "NVIDIA L4");
        let both = with_tool(card.clone(), "nvcc", Some("12.4"));
        let amd = with_gpu(linux.clone(), GpuKind::Rocm, "Radeon Pro");
        assert_eq!(pick("llama-server", &linux), ok("llama-server-cpu", "cpu: no GPU found"));
        assert_eq!(pick("llama-server", &both), ok("llama-server-cuda", "cuda: NVIDIA L4 and nvcc 12.4"));
        assert_eq!(
            pick("llm-worker-rbee", &card),
            ok("llm-worker-rbee-cpu", "cpu: NVIDIA L4 found, but no nvcc to build for it")
        );
        assert_eq!(pick("llama-server", &amd), ok("llama-server-cpu", "cpu: no variant for Radeon Pro"));
        assert_eq!(pick("llama-server", &mac), ok("llama-server-metal", "metal: Apple silicon"));
        assert_eq!(
            pick("llama-server", &with_gpu(mac, GpuKind::Metal, "Apple M4")),
            ok("llama-server-metal", "metal: Apple M4")
        );
        assert_eq!(pick("llama-server", &old_mac).unwrap().0, "llama-server-cpu");
        assert_eq!(pick("echo-worker", &linux), ok("echo-worker", "as asked"));
        assert_eq!(pick("llama-server-cpu", &both), ok("llama-server-cpu", "as asked"));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_the_host_is() {
        let linux = facts(Os::Linux, Arch::X86_64);
        let said = |name: &str, facts: &Facts| pick(name, facts).unwrap_err();
        assert_eq!(said("llama-server-metal", &linux), "llama-server-metal is for macos, and this host is linux");
        assert_eq!(said("llama-server-cuda", &linux), "llama-server-cuda needs an NVIDIA GPU, and none was found");
        let old_mac = facts(Os::MacOs, Arch::X86_64);
        assert_eq!(said("llama-server-metal", &old_mac), "llama-server-metal is for aarch64, and this host is x86_64");
        let board = facts(Os::Linux, Arch::Other("riscv64".into()));
        assert!(said("llama-server", &board).starts_with("no variant of llama-server fits this host: "));
        assert!(said("llama-server", &Facts::default()).contains("this host is unknown"));
        assert!(said("lama-server", &linux).contains("did you mean \"llama-server\"?"));
    }
}
