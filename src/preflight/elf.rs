//! Reads from an ELF program which machine, which loader and which glibc it needs.
//!
//! # Theory of operation
//! What the loader itself goes by is read, and not the section headers, which may be stripped: the program headers lead
//! to the interpreter's name and to the dynamic section, that to the table of needed versions, and its names
//! (`GLIBC_2.34`) to the answer. Each read is bounded and each count is capped, so that a damaged or hostile file costs
//! no more than a sound one; every number is taken with checked arithmetic.

use std::io::{Read, Seek, SeekFrom};

use super::binary::{Binary, InspectError};
use crate::vocab::facts::{Arch, Libc, Os};

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;

/// Far more than linkers make.
const MAX_PROGRAM_HEADERS: u64 = 256;
const MAX_DYNAMIC_BYTES: u64 = 64 << 10;
/// Over all libraries together.
const MAX_VERSIONS: usize = 4096;

/// Reads fields in the file's own width and byte order.
#[derive(Clone, Copy)]
struct Form {
    wide: bool,
    big: bool,
}

impl Form {
    /// The `bytes` (at most 8) at `at`.
    fn number(self, data: &[u8], at: usize, bytes: usize) -> Result<u64, InspectError> {
        let field = at.checked_add(bytes).and_then(|end| data.get(at..end));
        let field = field.ok_or(InspectError::Damaged("a header is cut off"))?;
        let push = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Ok(if self.big { field.iter().fold(0, push) } else { field.iter().rev().fold(0, push) })
    }

    /// An address or offset: at `narrow` in a 32-bit file, at `wide` in a 64-bit one.
    fn address(self, data: &[u8], narrow: usize, wide: usize) -> Result<u64, InspectError> {
        if self.wide { self.number(data, wide, 8) } else { self.number(data, narrow, 4) }
    }
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

pub(super) fn inspect<R: Read + Seek>(file: &mut R, head: &[u8]) -> Result<Binary, InspectError> {
    let cut = InspectError::Damaged("its header is cut off");
    let (class, order) = match head.get(4..6) {
        Some(ident) => (ident[0], ident[1]),
        None => return Err(cut),
    };
    let form = Form { wide: class == 2, big: order == 2 };
    if !matches!(class, 1 | 2) || !matches!(order, 1 | 2) {
        return Err(InspectError::Damaged("its class or byte order is unknown"));
    }
    if !matches!(form.number(head, 16, 2)?, 2 | 3) {
        return Err(InspectError::Damaged("it is an object file, not a program"));
    }
    let arch = arch(form, form.number(head, 18, 2)?);
    let os = match head.get(7) {
        Some(9) => Os::Other("FreeBSD".to_owned()),
        Some(12) => Os::Other("OpenBSD".to_owned()),
        _ => Os::Linux,
    };
    let segments = segments(file, form, head)?;
    let libc = libc(file, form, &segments)?;
    Ok(Binary { os, arches: vec![arch], libc })
}

fn arch(form: Form, machine: u64) -> Arch {
    match (machine, form.wide, form.big) {
        (62, true, false) => Arch::X86_64,
        (183, true, false) => Arch::Aarch64,
        (3, ..) => Arch::Other("i686".to_owned()),
        (40, ..) => Arch::Other("armv7l".to_owned()),
        (243, true, _) => Arch::Other("riscv64".to_owned()),
        (21, true, false) => Arch::Other("ppc64le".to_owned()),
        (22, ..) => Arch::Other("s390x".to_owned()),
        (258, true, _) => Arch::Other("loongarch64".to_owned()),
        (other, ..) => Arch::Other(format!("elf machine {other}")),
    }
}

fn segments<R: Read + Seek>(file: &mut R, form: Form, head: &[u8]) -> Result<Vec<Segment>, InspectError> {
    let start = form.address(head, 28, 32)?;
    let size = form.number(head, if form.wide { 54 } else { 42 }, 2)?;
    let count = form.number(head, if form.wide { 56 } else { 44 }, 2)?;
    let least = if form.wide { 56 } else { 32 };
    if count > MAX_PROGRAM_HEADERS || (count > 0 && !(least..=256).contains(&size)) {
        return Err(InspectError::Damaged("its program headers make no sense"));
    }
    let table = read_at(file, start, count * size)?;
    (0..count as usize)
        .map(|i| {
            let header = &table[i * size as usize..];
            Ok(Segment {
                kind: form.number(header, 0, 4)?,
                offset: form.address(header, 4, 8)?,
                address: form.address(header, 8, 16)?,
                size: form.address(header, 16, 32)?,
            })
        })
        .collect()
}

/// The C library of a program; `None` for one that is linked statically.
fn libc<R: Read + Seek>(file: &mut R, form: Form, segments: &[Segment]) -> Result<Option<Libc>, InspectError> {
    let Some(interp) = segments.iter().find(|s| s.kind == PT_INTERP) else { return Ok(None) };
    let name = read_at(file, interp.offset, interp.size.min(4096))?;
    if String::from_utf8_lossy(&name).contains("/ld-musl-") {
        return Ok(Some(Libc::Musl));
    }
    let newest = versions(file, form, segments)?.iter().filter_map(|name| glibc(name)).max();
    let (major, minor) = newest.unwrap_or((2, 0));
    Ok(Some(Libc::Glibc(major, minor)))
}

/// "GLIBC_2.34" → (2, 34); `GLIBC_PRIVATE` and the like say nothing.
fn glibc(name: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(name.strip_prefix(b"GLIBC_")?).ok()?;
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// The names of all versions that the program needs of its libraries.
fn versions<R: Read + Seek>(file: &mut R, form: Form, segments: &[Segment]) -> Result<Vec<Vec<u8>>, InspectError> {
    let Some(dynamic) = segments.iter().find(|s| s.kind == PT_DYNAMIC) else { return Ok(Vec::new()) };
    let table = read_at(file, dynamic.offset, dynamic.size.min(MAX_DYNAMIC_BYTES))?;
    let (mut strings, mut needs, mut count) = (None, None, 0);
    for entry in table.chunks_exact(if form.wide { 16 } else { 8 }) {
        let value = form.address(entry, 4, 8)?;
        match form.address(entry, 0, 0)? {
            0 => break,
            DT_STRTAB => strings = Some(value),
            DT_VERNEED => needs = Some(value),
            DT_VERNEEDNUM => count = value,
            _ => {}
        }
    }
    let (Some(strings), Some(needs)) = (strings, needs) else { return Ok(Vec::new()) };
    let (strings, mut need) = (place(segments, strings)?, place(segments, needs)?);
    let mut names = Vec::new();
    for _ in 0..count.min(MAX_VERSIONS as u64) {
        // Elf_Verneed: version, count of auxiliaries (2 each); file, offset of the first auxiliary, of the next need.
        let record = read_at(file, need, 16)?;
        let mut aux = offset(need, form.number(&record, 8, 4)?)?;
        for _ in 0..form.number(&record, 2, 2)? {
            if names.len() >= MAX_VERSIONS {
                return Err(InspectError::Damaged("it names too many versions"));
            }
            // Elf_Vernaux: hash (4), flags, other (2 each); name, offset of the next (4 each).
            let record = read_at(file, aux, 16)?;
            names.push(string(file, offset(strings, form.number(&record, 8, 4)?)?)?);
            let next = form.number(&record, 12, 4)?;
            if next == 0 {
                break;
            }
            aux = offset(aux, next)?;
        }
        let next = form.number(&record, 12, 4)?;
        if next == 0 {
            break;
        }
        need = offset(need, next)?;
    }
    Ok(names)
}

/// Where in the file the byte is that will be at `address`.
fn place(segments: &[Segment], address: u64) -> Result<u64, InspectError> {
    segments
        .iter()
        .filter(|s| s.kind == PT_LOAD)
        .find_map(|s| {
            let within = address.checked_sub(s.address).filter(|within| *within < s.size)?;
            s.offset.checked_add(within)
        })
        .ok_or(InspectError::Damaged("an address leads nowhere"))
}

fn offset(base: u64, more: u64) -> Result<u64, InspectError> {
    base.checked_add(more).ok_or(InspectError::Damaged("an offset leads nowhere"))
}

/// Exactly `size` bytes; callers cap `size`.
fn read_at<R: Read + Seek>(file: &mut R, at: u64, size: u64) -> Result<Vec<u8>, InspectError> {
    let data = read_some(file, at, size)?;
    if data.len() as u64 == size { Ok(data) } else { Err(InspectError::Damaged("it is cut off")) }
}

/// A name, to its NUL; longer ones than any version has are cut.
fn string<R: Read + Seek>(file: &mut R, at: u64) -> Result<Vec<u8>, InspectError> {
    let mut name = read_some(file, at, 64)?;
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    name.truncate(end);
    Ok(name)
}

fn read_some<R: Read + Seek>(file: &mut R, at: u64, size: u64) -> Result<Vec<u8>, InspectError> {
    // Beyond this no seek is possible on any system.
    if at > i64::MAX as u64 {
        return Err(InspectError::Damaged("an offset leads nowhere"));
    }
    file.seek(SeekFrom::Start(at))?;
    let mut data = Vec::new();
    file.by_ref().take(size).read_to_end(&mut data)?;
    Ok(data)
}
