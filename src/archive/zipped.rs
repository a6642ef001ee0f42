//! A zip, entry by entry.

use std::{
    fs::File,
    io::{Cursor, Read},
};

use super::{ArchiveError, Room, damaged, one_line, read_up_to};
use crate::vocab::text::printable;

const TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

pub fn unpack(file: &mut File, room: &mut Room<'_>) -> Result<(), ArchiveError> {
    let wrong = |error: zip::result::ZipError| ArchiveError::Damaged(one_line(&error));
    let mut archive = zip::ZipArchive::new(file).map_err(wrong)?;
    if archive.len() > room.limits.items {
        return Err(ArchiveError::TooLarge(room.limits.bytes));
    }
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(wrong)?;
        let path = entry.name().map_err(wrong)?.into_owned();
        let mode = entry.unix_mode();
        let kind = mode.map_or(0, |mode| mode & TYPE);
        if entry.is_dir() || kind == FOLDER {
            room.folder(&path)?;
        } else if kind == LINK {
            let mut target = String::new();
            entry.by_ref().take(2000).read_to_string(&mut target).map_err(damaged)?;
            room.link(&path, &target)?;
        } else if kind == FILE || kind == 0 {
            // One that was made where there are no modes says by its first bytes whether it is a program.
            let mut head = vec![0; 4];
            let got = read_up_to(&mut entry, &mut head).map_err(damaged)?;
            head.truncate(got);
            let executable = match mode {
                Some(mode) if mode & 0o777 != 0 => mode & 0o111 != 0,
                _ => is_program(&head),
            };
            room.file(&path, executable, Cursor::new(head).chain(entry))?;
        } else {
            return Err(ArchiveError::Special(printable(&path).into_owned()));
        }
    }
    Ok(())
}

fn is_program(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
        || head.starts_with(b"#!")
        || head == [0xcf, 0xfa, 0xed, 0xfe]
        || head == [0xca, 0xfe, 0xba, 0xbe]
}
