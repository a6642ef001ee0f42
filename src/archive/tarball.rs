//! A tar, entry by entry.

use std::io::Read;

use super::{ArchiveError, Room, damaged};
use crate::vocab::text::printable;

pub fn unpack(input: impl Read, room: &mut Room<'_>) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let text = |bytes: &[u8]| {
            std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| ArchiveError::Name(printable(&String::from_utf8_lossy(bytes)).into_owned()))
        };
        let path = text(&entry.path_bytes())?;
        let target = entry.link_name_bytes().map(|name| text(&name)).transpose()?.unwrap_or_default();
        match entry.header().entry_type() {
            tar::EntryType::Directory => room.folder(&path)?,
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let executable = entry.header().mode().map_err(damaged)? & 0o111 != 0;
                room.file(&path, executable, &mut entry)?;
            }
            tar::EntryType::Symlink => room.link(&path, &target)?,
            tar::EntryType::Link => room.same(&path, &target)?,
            // What git writes about the commit.
            tar::EntryType::XGlobalHeader => {}
            _ => return Err(ArchiveError::Special(printable(&path).into_owned())),
        }
    }
    Ok(())
}
