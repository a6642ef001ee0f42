//! What a hive's machine is and has, as `GET /v1/capabilities` answers.

use serde::{Deserialize, Serialize};

use crate::vocab::{Facts, WorkerId, facts::GpuKind};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    pub v: u32,
    /// Of the hive's program.
    pub version: String,
    pub pid: u32,
    pub uptime_s: u64,
    pub os: String,
    pub arch: String,
    pub cores: Option<u32>,
    pub memory_bytes: Option<u64>,
    /// The processor first, then what accelerates.
    pub devices: Vec<Device>,
    /// What is installed now, whoever installed it.
    pub workers: Vec<InstalledWorker>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// "cpu:0", "cuda:1".
    pub id: String,
    pub name: String,
    pub device_type: String,
    /// Decimal gigabytes.
    pub vram_gb: Option<f64>,
    pub compute_capability: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledWorker {
    pub id: String,
    pub version: String,
    pub path: String,
    pub digest: String,
}

impl Capabilities {
    /// Of these facts; what belongs to the hive itself is filled in by it.
    pub fn of(facts: &Facts) -> Self {
        let processor = Device {
            id: "cpu:0".into(),
            name: facts.arch.to_string(),
            device_type: "cpu".into(),
            vram_gb: None,
            compute_capability: None,
        };
        let mut counts = [0usize; 3];
        let cards = facts.gpus.iter().map(|gpu| {
            let count = &mut counts[match gpu.kind {
                GpuKind::Cuda => 0,
                GpuKind::Rocm => 1,
                GpuKind::Metal => 2,
            }];
            let nth = std::mem::replace(count, *count + 1);
            Device {
                id: format!("{}:{nth}", gpu.kind.as_str()),
                name: gpu.name.clone(),
                device_type: gpu.kind.as_str().into(),
                vram_gb: gpu.vram.map(|bytes| (bytes as f64 / 1e8).round() / 10.0),
                compute_capability: gpu.compute.clone(),
            }
        });
        Self {
            v: super::VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: 0,
            uptime_s: 0,
            os: facts.os.to_string(),
            arch: facts.arch.to_string(),
            cores: facts.cores,
            memory_bytes: facts.memory,
            devices: std::iter::once(processor).chain(cards).collect(),
            workers: facts
                .installed
                .iter()
                .map(|manifest| InstalledWorker {
                    id: WorkerId::to_string(&manifest.worker),
                    version: manifest.version.clone(),
                    path: manifest.path.clone(),
                    digest: manifest.digest.to_string(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::facts::Gpu;

    #[test]
    fn cards_are_counted_by_kind() {
        let gpu = |kind, vram| Gpu { kind, name: "card".into(), vram, compute: None };
        let facts = Facts {
            gpus: vec![gpu(GpuKind::Cuda, Some(25_769_803_776)), gpu(GpuKind::Rocm, None), gpu(GpuKind::Cuda, None)],
            ..Facts::default()
        };
        let devices = Capabilities::of(&facts).devices;
        let ids: Vec<_> = devices.iter().map(|device| (device.id.as_str(), device.vram_gb)).collect();
        assert_eq!(ids, [("cpu:0", None), ("cuda:0", Some(25.8)), ("rocm:0", None), ("cuda:1", None)]);
    }
}
