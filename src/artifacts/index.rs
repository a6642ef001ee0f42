//! `artifact.toml`: what a kept file is.

use std::{io::Read, path::Path};

use serde::{Deserialize, Serialize};

use crate::vocab::{BuildKey, Digest, TreeMark, WorkerId};

/// Longer than any index that was written here.
const MAX_BYTES: u64 = 16 << 10;
/// How the program lies in `data`. A newer version may know others; this one leaves those alone.
const FILE: &str = "file";
/// A tar of several files.
const TREE: &str = "tree";

/// What was kept: one program, and everything that is to be known of it without a look inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    pub worker: WorkerId,
    pub version: String,
    pub key: BuildKey,
    /// The class of machines that it is for, as it went into `key`.
    pub class: String,
    /// The file name it is installed under.
    pub program: String,
    /// Of a program of several files; what is kept is a tar of them then.
    pub tree: Option<TreeMark>,
    /// Of what is kept.
    pub size: u64,
    pub digest: Digest,
    /// Where it came from: "built on gpu-box".
    pub from: String,
    /// RFC 3339.
    pub made_at: String,
}

#[derive(Serialize, Deserialize)]
struct Form {
    form: String,
    worker: String,
    version: String,
    key: String,
    class: String,
    program: String,
    size: u64,
    digest: String,
    from: String,
    made_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<TreeForm>,
}

#[derive(Serialize, Deserialize)]
struct TreeForm {
    entry: String,
    digest: String,
    size: u64,
}

pub(super) fn write(artifact: &Artifact) -> Result<String, String> {
    let form = Form {
        form: if artifact.tree.is_some() { TREE } else { FILE }.to_owned(),
        worker: artifact.worker.to_string(),
        version: artifact.version.clone(),
        key: artifact.key.to_string(),
        class: artifact.class.clone(),
        program: artifact.program.clone(),
        size: artifact.size,
        digest: artifact.digest.to_string(),
        from: artifact.from.clone(),
        made_at: artifact.made_at.clone(),
        tree: artifact.tree.as_ref().map(|mark| TreeForm {
            entry: mark.entry.clone(),
            digest: mark.digest.to_string(),
            size: mark.size,
        }),
    };
    let text = toml::to_string(&form).map_err(|error| error.to_string())?;
    if read(&text).as_ref() == Some(artifact) {
        Ok(text)
    } else {
        Err("the artifact's names are not usable".to_owned())
    }
}

/// Reads an index; `None` for what is none.
pub(super) fn read(text: &str) -> Option<Artifact> {
    let form: Form = toml::from_str(text).ok()?;
    let tree = match (form.form.as_str(), form.tree) {
        (FILE, None) => None,
        (TREE, Some(tree)) => {
            let name = tree.entry.strip_prefix("bin/").filter(|name| !name.is_empty() && !name.contains('/'));
            name.filter(|name| !name.chars().any(char::is_control) && !name.starts_with('.'))?;
            Some(TreeMark { digest: Digest::parse(&tree.digest).ok()?, entry: tree.entry, size: tree.size })
        }
        _ => return None,
    };
    let texts = [&form.version, &form.class, &form.program, &form.from, &form.made_at];
    let plain = texts.iter().all(|text| !text.chars().any(char::is_control));
    let name = !form.program.is_empty() && !form.program.contains('/') && !form.program.starts_with(['.', '-']);
    if !plain || !name {
        return None;
    }
    Some(Artifact {
        worker: WorkerId::new(&form.worker).ok()?,
        version: form.version,
        key: BuildKey(Digest::parse(&form.key).ok()?),
        class: form.class,
        program: form.program,
        tree,
        size: form.size,
        digest: Digest::parse(&form.digest).ok()?,
        from: form.from,
        made_at: form.made_at,
    })
}

pub(super) fn read_bounded(path: &Path) -> Option<String> {
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}
