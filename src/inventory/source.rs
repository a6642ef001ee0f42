//! Which files an inventory is made of, and their text.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use super::{
    InventoryError,
    document::{Document, Problems},
};

/// The most that all files of an inventory may hold together; ten thousand hosts need less than half of it.
const MOST_BYTES: usize = 4 << 20;

/// More entries than any inventory has files.
const MOST_FILES: usize = 1000;

/// Where an inventory is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or folder that was named; it must be there.
    Named(PathBuf),
    /// Places to look at, best first; none of them need exist.
    Usual(Vec<PathBuf>),
}

/// Reads the files of the first place that has any, in name order.
pub(super) fn read(source: &Source, problems: &mut Problems) -> Result<Vec<Document>, InventoryError> {
    let places = match source {
        Source::Named(path) => {
            let Some(files) = files_of(path)? else {
                return Err(InventoryError::Missing { path: shown(path) });
            };
            if files.is_empty() {
                return Err(InventoryError::NoFiles { path: shown(path) });
            }
            return texts(&files, problems);
        }
        Source::Usual(places) => places,
    };
    for place in places {
        // A folder that happens to have the name and holds no TOML is not ours.
        match files_of(place)? {
            Some(files) if !files.is_empty() => return texts(&files, problems),
            _ => {}
        }
    }
    Ok(Vec::new())
}

/// The files at `path`; `None` when nothing is there.
fn files_of(path: &Path) -> Result<Option<Vec<PathBuf>>, InventoryError> {
    let unreadable = |error: std::io::Error| InventoryError::Unreadable { path: shown(path), why: error.to_string() };
    match fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => return Ok(Some(vec![path.to_owned()])),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = PathBuf::from(entry.map_err(unreadable)?.file_name());
        let hidden = file.as_os_str().as_encoded_bytes().starts_with(b".");
        if !hidden && file.extension().is_some_and(|extension| extension == "toml") {
            files.push(path.join(file));
        }
        if files.len() > MOST_FILES {
            return Err(InventoryError::Unreadable {
                path: shown(path),
                why: format!("it has more than {MOST_FILES} files"),
            });
        }
    }
    files.sort();
    Ok(Some(files))
}

fn texts(files: &[PathBuf], problems: &mut Problems) -> Result<Vec<Document>, InventoryError> {
    let mut room = MOST_BYTES;
    let texts = files.iter().enumerate().map(|(nth, path)| text(nth, path, &mut room, problems));
    texts.filter_map(Result::transpose).collect()
}

/// Reads one file; `None` when it is not text, which is a problem with a line.
fn text(
    nth: usize,
    path: &Path,
    room: &mut usize,
    problems: &mut Problems,
) -> Result<Option<Document>, InventoryError> {
    let fail = |why: String| InventoryError::Unreadable { path: shown(path), why };
    // Asked before it is opened: opening a pipe that nobody writes to would wait for ever.
    let meta = fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if !meta.is_file() {
        return Err(fail("it is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(*room as u64 + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    *room = room
        .checked_sub(bytes.len())
        .ok_or_else(|| fail(format!("an inventory of more than {} MiB is refused", MOST_BYTES >> 20)))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Document::new(nth, path, text))),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let mut bytes = error.into_bytes();
            bytes.truncate(good);
            // What is left is UTF-8, as was just learned; it is read for the line only.
            let doc = Document::new(nth, path, String::from_utf8(bytes).unwrap_or_default());
            problems.add(&doc.place(good), "the file is not UTF-8 text");
            Ok(None)
        }
    }
}

fn shown(path: &Path) -> String {
    crate::vocab::text::printable(&path.display().to_string()).into_owned()
}
