//! Jobs on disk: a folder each, with the record beside the log.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    vocab::RunId,
    wire::job::{JobForm, json_line},
};

const RECORD: &str = "job.json";
/// A record with a result in it is some megabytes at most.
const MAX_RECORD: u64 = 64 << 20;

/// Makes a folder that only this user can enter, and those above it.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Puts the record in the place of the one before; a reader sees either.
pub fn write(dir: &Path, form: &JobForm) -> io::Result<()> {
    let part = dir.join(".job.json.part");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(json_line(form).as_bytes())?;
        fs::rename(&part, dir.join(RECORD))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// The jobs that are there; folders that have no record that can be read are passed over.
pub fn read_all(root: &Path) -> io::Result<Vec<(PathBuf, JobForm)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().filter(|name| RunId::new(name).is_ok()) else { continue };
        let path = entry.path();
        let record = path.join(RECORD);
        let small = fs::metadata(&record).is_ok_and(|data| data.is_file() && data.len() <= MAX_RECORD);
        let form = small.then(|| fs::read(&record).ok()).flatten();
        match form.and_then(|text| serde_json::from_slice::<JobForm>(&text).ok()) {
            Some(form) if form.job_id == id => found.push((path, form)),
            _ => tracing::warn!(job = id, "has no record that can be read, and is left alone"),
        }
    }
    Ok(found)
}
