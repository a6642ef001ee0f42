//! Which published file is for a machine.

use sha2::{Digest as _, Sha256};

use super::sigstore::Signer;
use crate::vocab::{BuildKey, Digest, Facts, Prebuilt, WorkerId, WorkerMeta, recipe::RecipeFile};

/// One published file, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub worker: WorkerId,
    pub version: Option<String>,
    pub url: String,
    pub sha256: Option<Digest>,
    /// Where a list of checksums is.
    pub sums: Option<String>,
    /// A public key.
    pub minisign: Option<String>,
    pub sigstore: Option<Signer>,
    /// Arguments of the one run that proves it.
    pub verify: Vec<String>,
    /// The program in bin that it is called by.
    pub entry: Option<String>,
    /// Folders around everything; `None` takes away as many as there are.
    pub strip: Option<u64>,
}

/// Why there is none, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAsset(pub String);

impl Asset {
    /// Fills a worker's templates for a machine; `files` are those of its recipe.
    ///
    /// # Errors
    /// Says what there is instead.
    pub fn of(
        worker: &WorkerMeta,
        version: Option<&str>,
        files: &[RecipeFile],
        facts: &Facts,
    ) -> Result<Self, NoAsset> {
        let id = &worker.id;
        let no = |text: String| Err(NoAsset(text));
        let Some(prebuilt) = &worker.prebuilt else {
            return no(format!("there is no prebuilt {id}: its catalog entry names none"));
        };
        let Prebuilt { sha256, sha256_url, minisign, .. } = prebuilt;
        let sigstore = prebuilt.sigstore.as_ref().map(|by| {
            let file = |name: &String| {
                let file = files.iter().find(|file| file.path == *name);
                let text = file.and_then(|file| String::from_utf8(file.content.clone()).ok());
                text.ok_or_else(|| {
                    NoAsset(format!("the recipe of {id} has no file {name}, which its sigstore root is"))
                })
            };
            let root = by.root.as_ref().map(file).transpose()?;
            Ok(Signer { identity: by.identity.clone(), issuer: by.issuer.clone(), root })
        });
        let sigstore = sigstore.transpose()?;
        let is_signed = minisign.is_some() || sigstore.is_some();
        let platform = facts.platform();
        let machine = format!("{platform}-{}", worker.accelerator);
        let listed =
            sha256.iter().find(|(name, _)| *name == machine).or(sha256.iter().find(|(name, _)| *name == platform));
        if listed.is_none() && !sha256.is_empty() {
            let have: Vec<&str> = sha256.iter().map(|(name, _)| name.as_str()).collect();
            return no(format!("there is no prebuilt {id} for {machine}, only for {}", have.join(" and ")));
        }
        let sum = listed.map(|(_, sum)| *sum);
        if sum.is_none() && sha256_url.is_none() && !is_signed {
            return no(format!("the prebuilt {id} has neither a checksum nor a signature, and is not taken without"));
        }
        let version = prebuilt.version.as_deref().or(version);
        let fill = |template: &str| {
            let renamed = |names: &[(String, String)], name: &str| {
                names.iter().find(|(from, _)| from == name).map_or(name.to_owned(), |(_, to)| to.clone())
            };
            let mut text = template.to_owned();
            for (word, value) in [
                ("{name}", Some(id.to_string())),
                ("{family}", Some(worker.family.clone())),
                ("{os}", Some(renamed(&prebuilt.os, &facts.os.to_string()))),
                ("{arch}", Some(renamed(&prebuilt.arch, facts.arch.as_str()))),
                ("{accelerator}", Some(renamed(&prebuilt.accelerator, worker.accelerator.as_str()))),
                ("{version}", version.map(str::to_owned)),
            ] {
                match value {
                    // A host's own words may be in it.
                    Some(value) if value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._~-".contains(&b)) => {
                        text = text.replace(word, &value);
                    }
                    _ if text.contains(word) => {
                        return Err(NoAsset(format!(
                            "there is no prebuilt {id} for {machine}: its {word} is not known"
                        )));
                    }
                    _ => {}
                }
            }
            Ok(text)
        };
        let url = fill(&prebuilt.url)?;
        let sums = if sum.is_some() { None } else { sha256_url.as_deref().map(fill).transpose()? };
        // Whoever changes the file on its way changes the list as well.
        if let Some(sums) = &sums
            && !is_signed
            && !sums.starts_with("https://")
            && !is_loopback(sums)
        {
            return no(format!("the checksum of the prebuilt {id} comes without https, and proves nothing"));
        }
        Ok(Self {
            worker: id.clone(),
            version: version.map(str::to_owned),
            url,
            sha256: sum,
            sums,
            minisign: minisign.clone(),
            sigstore,
            verify: worker.verify.clone(),
            entry: worker.entry.clone(),
            strip: prebuilt.strip,
        })
    }

    /// An archive of this machine.
    pub(super) fn local(worker: &WorkerId, path: &str, sha256: Digest) -> Self {
        Self {
            worker: worker.clone(),
            version: None,
            url: path.to_owned(),
            sha256: Some(sha256),
            sums: None,
            minisign: None,
            sigstore: None,
            verify: Vec::new(),
            entry: None,
            strip: None,
        }
    }

    /// What an installation of it is known by; without a checksum in the entry, its address stands for its content.
    pub fn key(&self) -> BuildKey {
        let content = self.sha256.map_or_else(|| self.url.clone(), |sum| sum.to_string());
        BuildKey(self.sum_of(&[&content, &self.signers()]))
    }

    /// Who must have signed it, in one text.
    pub(super) fn signers(&self) -> String {
        let mut text = self.minisign.clone().unwrap_or_default();
        if let Some(Signer { identity, issuer, root }) = &self.sigstore {
            let root = root.as_deref().unwrap_or_default();
            text.push_str(&format!("\0sigstore\0{identity}\0{issuer}\0{root}"));
        }
        text
    }

    pub(super) const fn is_signed(&self) -> bool {
        self.minisign.is_some() || self.sigstore.is_some()
    }

    /// A sum over all that decides what comes out, and `more`.
    pub(super) fn sum_of(&self, more: &[&str]) -> Digest {
        let mut sum = Sha256::new();
        let strip = self.strip.map_or_else(String::new, |n| n.to_string());
        let own = ["rbee prebuilt 1", self.worker.as_str(), self.entry.as_deref().unwrap_or_default(), &strip];
        for part in own.iter().chain(more) {
            sum.update(part.as_bytes());
            sum.update([0]);
        }
        Digest::new(sum.finalize().into())
    }

    /// The file's name in its address.
    pub fn file_name(&self) -> &str {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or_default().split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{
        Sigstore,
        facts::{Arch, Os},
    };

    fn worker(change: impl FnOnce(&mut Prebuilt)) -> WorkerMeta {
        let mut prebuilt = Prebuilt {
            url: "https://x.org/v{version}/{name}-{os}-{arch}-{accelerator}.tar.gz".into(),
            sha256: vec![
                ("linux-x86_64-cpu".into(), Digest::new([1; 32])),
                ("macos-aarch64".into(), Digest::new([2; 32])),
            ],
            ..Prebuilt::default()
        };
        change(&mut prebuilt);
        WorkerMeta { prebuilt: Some(prebuilt), ..WorkerMeta::new(WorkerId::new("srv-cpu").unwrap()) }
    }

    fn facts(os: Os, arch: Arch) -> Facts {
        Facts { os, arch, ..Facts::default() }
    }

    #[test]
    fn templates_are_filled_for_a_machine() {
        let linux = facts(Os::Linux, Arch::X86_64);
        let asset = Asset::of(&worker(|_| {}), Some("1.2"), &[], &linux).unwrap();
        assert_eq!(
            (asset.url.as_str(), asset.file_name()),
            ("https://x.org/v1.2/srv-cpu-linux-x86_64-cpu.tar.gz", "srv-cpu-linux-x86_64-cpu.tar.gz")
        );
        let renamed = worker(|p| {
            p.version = Some("b7".into());
            p.os = vec![("linux".into(), "ubuntu".into())];
            p.arch = vec![("x86_64".into(), "x64".into())];
        });
        assert!(
            Asset::of(&renamed, Some("1.2"), &[], &linux).unwrap().url.ends_with("/vb7/srv-cpu-ubuntu-x64-cpu.tar.gz")
        );
        let mac = Asset::of(&worker(|_| {}), Some("1.2"), &[], &facts(Os::MacOs, Arch::Aarch64)).unwrap();
        assert_eq!(mac.sha256, Some(Digest::new([2; 32])), "for every accelerator there");
        assert_ne!(mac.key(), asset.key());
    }

    #[test]
    fn what_there_is_not_is_a_sentence() {
        let said = |worker: &WorkerMeta, version, facts: &Facts| Asset::of(worker, version, &[], facts).unwrap_err().0;
        let (linux, arm) = (facts(Os::Linux, Arch::X86_64), facts(Os::Linux, Arch::Aarch64));
        assert_eq!(
            said(&worker(|_| {}), Some("1"), &arm),
            "there is no prebuilt srv-cpu for linux-aarch64-cpu, only for linux-x86_64-cpu and macos-aarch64"
        );
        assert!(said(&worker(|_| {}), None, &linux).contains("its {version} is not known"));
        assert!(said(&worker(|_| {}), Some("../../x"), &linux).contains("its {version} is not known"));
        assert!(said(&worker(|p| p.sha256.clear()), Some("1"), &linux).contains("neither a checksum nor a signature"));
        let rooted = worker(|p| {
            let root = Some("trusted_root.json".into());
            p.sigstore = Some(Sigstore { identity: "me".into(), issuer: "x".into(), root });
        });
        assert!(said(&rooted, Some("1"), &linux).contains("has no file trusted_root.json"));
        let plain = |url: &str| {
            let url = url.to_owned();
            worker(|p| {
                p.sha256.clear();
                p.sha256_url = Some(url);
            })
        };
        assert!(said(&plain("http://x.org/SHA256SUMS"), Some("1"), &linux).contains("without https"));
        assert!(Asset::of(&plain("http://127.0.0.1:80/s"), Some("1"), &[], &linux).is_ok());
        assert!(Asset::of(&plain("http://127.0.0.1.evil.org/s"), Some("1"), &[], &linux).is_err());
        let none = WorkerMeta::new(WorkerId::new("srv").unwrap());
        assert_eq!(said(&none, None, &linux), "there is no prebuilt srv: its catalog entry names none");
    }
}
