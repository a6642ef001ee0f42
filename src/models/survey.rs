//! What a host has of a model already, and what room and tools it has for the rest. Changes nothing.

use std::collections::{HashMap, HashSet};

use super::{
    ModelError,
    manifest::{BlobId, Manifest, ModelFile},
    parts::Parts,
    script,
};
use crate::{
    scope::Scope,
    target::{Captured, Target},
    vocab::text::plain_line,
};

/// Everything that a survey tells; what the host did not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// The folder of the hub's cache.
    pub cache: String,
    /// The folder that cannot be written to, if that is so.
    pub closed: Option<String>,
    /// Bytes.
    pub free: Option<u64>,
    pub inodes: Option<u64>,
    /// `ext4`, `vfat`: of the file system that the cache is on.
    pub file_system: Option<String>,
    /// "curl 7.88.1 (…)".
    pub curl: Option<String>,
    /// What curl said when it was to reach the place where the bytes are; 0 is well.
    pub reach: Option<u32>,
    /// It can take digests.
    pub hash: bool,
    /// The commit that the revision's ref has.
    pub reference: Option<String>,
    /// Length of each blob that is there, and whether its digest was taken since it came.
    pub blobs: HashMap<BlobId, (u64, bool)>,
    pub parts: HashMap<BlobId, Parts>,
    /// Paths of the snapshot that are there.
    pub files: HashSet<String>,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub enum Look<'a> {
    /// What of the files is there.
    Files,
    /// Room and tools, too, and whether this origin is in reach.
    All(Option<&'a str>),
}

/// Looks at `files` of a model.
///
/// # Errors
/// The host cannot be asked.
pub async fn survey(
    scope: &Scope,
    target: &dyn Target,
    manifest: &Manifest,
    files: &[&ModelFile],
    look: Look<'_>,
) -> Result<Survey, ModelError> {
    let mut all = Survey::default();
    let folder = manifest.repo.folder();
    for (at, piece) in script::pieces(files, |file| file.path.len() + 90).into_iter().enumerate() {
        let blobs: Vec<String> = piece.iter().map(|file| format!("{} {}", file.blob, file.size)).collect();
        let paths: Vec<&str> = piece.iter().map(|file| file.path.as_str()).collect();
        let (all_of_it, origin) = match look {
            Look::All(origin) if at == 0 => ("yes", origin.unwrap_or_default()),
            _ => ("", ""),
        };
        let values = [
            ("M", folder.as_str()),
            ("K", &manifest.commit),
            ("W", all_of_it),
            ("O", origin),
            ("REF", &manifest.revision),
            ("BLOBS", &blobs.join(" ")),
            ("F", &paths.join("\n")),
        ];
        let mut said = Captured::default();
        let exit =
            target.run(scope, &script::command("look for the model", &values, script::SURVEY), &mut said).await?;
        all.read(&said.text());
        if all.cache.is_empty() {
            let words = said.last_words();
            return Err(ModelError::Host(format!("the look for the model ended with status {}: {words}", exit.status)));
        }
    }
    Ok(all)
}

impl Survey {
    /// Takes what the script printed; what it cannot have printed is passed over.
    pub fn read(&mut self, text: &str) {
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut words = rest.split(' ');
            let mut blob = || words.next().and_then(BlobId::parse);
            match word {
                "cache" if rest.starts_with('/') => self.cache = plain_line(rest),
                "writable" => self.closed = rest.strip_prefix("no ").map(plain_line),
                "df" => self.free = self.free.or_else(|| column(rest, 3)?.checked_mul(1024)),
                "di" => self.inodes = self.inodes.or_else(|| column(rest, 3)),
                "fs" => self.file_system = Some(plain_line(rest)),
                "curl" => self.curl = Some(plain_line(rest)),
                "reach" => self.reach = rest.parse().ok(),
                "hash" => self.hash = true,
                "ref" => self.reference = Some(rest.trim().to_owned()).filter(|text| super::reference::is_commit(text)),
                "file" => drop(self.files.insert(rest.to_owned())),
                "blob" | "proven" => {
                    if let (Some(blob), Some(Ok(size))) = (blob(), rest.rsplit(' ').next().map(str::parse)) {
                        self.blobs.insert(blob, (size, word == "proven"));
                    }
                }
                "cut" => {
                    if let (Some(blob), Some(Ok(cut))) = (blob(), words.next().map(str::parse)) {
                        self.parts.entry(blob).or_default().cut = Some(cut);
                    }
                }
                "part" => {
                    let Some(blob) = blob() else { continue };
                    let (Some(name), Some(Ok(size))) = (words.next(), words.next().map(str::parse)) else { continue };
                    let parts = self.parts.entry(blob).or_default();
                    match name.strip_prefix("s.").map(str::parse) {
                        Some(Ok(start)) => parts.segments.push((start, size)),
                        None if name == "base" => parts.base = size,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the file's blob is there and whole, as far as its length tells.
    pub fn has(&self, file: &ModelFile) -> bool {
        self.blobs.get(&file.blob).is_some_and(|(size, _)| *size == file.size)
    }

    /// Whether its digest was taken since it came, too.
    pub fn has_proven(&self, file: &ModelFile) -> bool {
        self.blobs.get(&file.blob) == Some(&(file.size, true))
    }
}

/// A number in a line of `df`, counted from 0; its heading has none there.
fn column(line: &str, nth: usize) -> Option<u64> {
    line.split_ascii_whitespace().nth(nth)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_is_read_and_noise_passed_over() {
        let blob = "a".repeat(64);
        let text = format!(
            "cache /home/me/.cache/huggingface/hub\nwritable yes\ndf Filesystem 1024-blocks Used Available Capacity Mounted on\n\
             df /dev/sda1 1000 200 800 20% /home\ndi Filesystem Inodes IUsed IFree IUse% Mounted on\ndi /dev/sda1 50 20 30 40% /\n\
             fs ext4\ncurl curl 7.88.1 (x)\nreach 0\nhash openssl\nref {}\nproven {blob} 17\nfile a b.gguf\n\
             cut {} 8388608 99\npart {} base 5\npart {} s.8388608 7\npart ../x base 3\npart\nblob x\n\x1b[31mnoise\n",
            "c".repeat(40),
            "b".repeat(40),
            "b".repeat(40),
            "b".repeat(40),
        );
        let mut survey = Survey::default();
        survey.read(&text);
        assert_eq!((survey.free, survey.inodes, survey.reach), (Some(800 * 1024), Some(30), Some(0)));
        assert_eq!(survey.file_system.as_deref(), Some("ext4"));
        assert_eq!(survey.blobs[&BlobId::parse(&blob).unwrap()], (17, true));
        let parts = &survey.parts[&BlobId::parse(&"b".repeat(40)).unwrap()];
        assert_eq!(*parts, Parts { cut: Some(8_388_608), base: 5, segments: vec![(8_388_608, 7)] });
        assert!(survey.files.contains("a b.gguf") && survey.closed.is_none() && survey.reference.is_some());
    }
}
