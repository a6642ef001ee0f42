//! One client's open files, and the answer to each request.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, ReadDir},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::PathBuf,
};

use russh_sftp::protocol::{
    Attrs, Data, ExtendedReply, File as Entry, FileAttributes, Handle, Name, OpenFlags, Packet, StatusCode, Version,
};

use super::{CHUNK, PACKET, attributes, paths};

/// More than any client opens at once; a file descriptor each.
const HANDLES: usize = 256;
/// Names in one answer.
const NAMES: usize = 100;

/// Answers requests; blocks.
#[derive(Debug)]
pub(super) struct Files {
    home: PathBuf,
    open: HashMap<String, Open>,
    /// Handles are numbers that are never used twice.
    opened: u64,
}

#[derive(Debug)]
enum Open {
    File { file: File, append: bool },
    Folder(ReadDir),
}

/// A status other than OK.
struct Refusal(StatusCode, String);

impl From<io::Error> for Refusal {
    fn from(e: io::Error) -> Self {
        let code = match e.kind() {
            ErrorKind::NotFound => StatusCode::NoSuchFile,
            ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
            ErrorKind::Unsupported => StatusCode::OpUnsupported,
            _ => StatusCode::Failure,
        };
        Self(code, e.to_string())
    }
}

fn refusal<T>(code: StatusCode, text: &str) -> Result<T, Refusal> {
    Err(Refusal(code, text.to_owned()))
}

impl Files {
    pub(super) fn new(home: PathBuf) -> Self {
        Self { home, open: HashMap::new(), opened: 0 }
    }

    pub(super) fn answer(&mut self, request: Packet) -> Packet {
        let id = request.get_request_id();
        match self.act(id, request) {
            Ok(Some(reply)) => reply,
            Ok(None) => Packet::error(id, StatusCode::Ok),
            Err(Refusal(code, text)) => Packet::status(id, code, &text, "en"),
        }
    }

    /// The answer where it is more than OK.
    fn act(&mut self, id: u32, request: Packet) -> Result<Option<Packet>, Refusal> {
        let path = |path: &str| paths::resolve(&self.home, path);
        match request {
            Packet::Init(_) => return Ok(Some(version())),
            Packet::Open(open) => return self.open_file(id, &open.filename, open.pflags, &open.attrs),
            Packet::OpenDir(open) => {
                let folder = fs::read_dir(path(&open.path))?;
                return self.keep(id, Open::Folder(folder));
            }
            Packet::Close(close) => match self.open.remove(&close.handle) {
                Some(_) => {}
                None => return refusal(StatusCode::Failure, "no such handle"),
            },
            Packet::Read(read) => return self.read(id, &read.handle, read.offset, read.len),
            Packet::Write(write) => match self.file(&write.handle)? {
                // The system puts it at the end, wherever the client thinks that is.
                (file, true) => io::Write::write_all(&mut &*file, &write.data)?,
                (file, false) => file.write_all_at(&write.data, write.offset)?,
            },
            Packet::ReadDir(read) => return self.list(id, &read.handle),
            Packet::Stat(stat) => return Ok(attrs(id, &fs::metadata(path(&stat.path))?)),
            Packet::Lstat(stat) => return Ok(attrs(id, &fs::symlink_metadata(path(&stat.path))?)),
            Packet::Fstat(stat) => return Ok(attrs(id, &self.file(&stat.handle)?.0.metadata()?)),
            Packet::SetStat(set) => attributes::set(&path(&set.path), &set.attrs)?,
            Packet::FSetStat(set) => attributes::set_open(self.file(&set.handle)?.0, &set.attrs)?,
            Packet::Remove(remove) => fs::remove_file(path(&remove.filename))?,
            Packet::RmDir(remove) => fs::remove_dir(path(&remove.path))?,
            Packet::MkDir(make) => {
                let mode = make.attrs.permissions.unwrap_or(0o777) & 0o7777;
                fs::DirBuilder::new().mode(mode).create(path(&make.path))?;
            }
            Packet::Rename(rename) => {
                // Version 3 replaces nothing; `posix-rename` does.
                if fs::symlink_metadata(path(&rename.newpath)).is_ok() {
                    return refusal(StatusCode::Failure, "the new name exists");
                }
                fs::rename(path(&rename.oldpath), path(&rename.newpath))?;
            }
            Packet::RealPath(real) => return Ok(name(id, paths::canonical(&self.home, &real.path)?)),
            Packet::ReadLink(link) => {
                let target = fs::read_link(path(&link.path))?;
                return Ok(name(id, target.to_string_lossy().into_owned()));
            }
            // OpenSSH sends and takes the target first, whatever the draft says; the library names them by the draft.
            Packet::Symlink(link) => std::os::unix::fs::symlink(&link.linkpath, path(&link.targetpath))?,
            Packet::Extended(extended) => return self.extended(id, &extended.request, &extended.data),
            _ => return refusal(StatusCode::BadMessage, "not a request"),
        }
        Ok(None)
    }

    fn open_file(
        &mut self,
        id: u32,
        name: &str,
        flags: OpenFlags,
        wanted: &FileAttributes,
    ) -> Result<Option<Packet>, Refusal> {
        let has = |flag| flags.contains(flag);
        let append = has(OpenFlags::APPEND);
        let mut options = OpenOptions::new();
        options.read(has(OpenFlags::READ)).write(has(OpenFlags::WRITE) && !append).append(append);
        if has(OpenFlags::CREATE) && has(OpenFlags::EXCLUDE) {
            options.create_new(true);
        } else {
            options.create(has(OpenFlags::CREATE)).truncate(has(OpenFlags::TRUNCATE) && !append);
        }
        options.mode(wanted.permissions.unwrap_or(0o666) & 0o7777);
        // Nobody must be kept waiting by a pipe without a reader.
        options.custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
        let file = options.open(paths::resolve(&self.home, name))?;
        self.keep(id, Open::File { file, append })
    }

    fn keep(&mut self, id: u32, open: Open) -> Result<Option<Packet>, Refusal> {
        if self.open.len() >= HANDLES {
            return refusal(StatusCode::Failure, "too many open files");
        }
        self.opened += 1;
        let handle = self.opened.to_string();
        self.open.insert(handle.clone(), open);
        Ok(Some(Packet::Handle(Handle { id, handle })))
    }

    /// An open file, and whether it only grows.
    fn file(&self, handle: &str) -> Result<(&File, bool), Refusal> {
        match self.open.get(handle) {
            Some(Open::File { file, append }) => Ok((file, *append)),
            _ => refusal(StatusCode::Failure, "no such file handle"),
        }
    }

    fn read(&self, id: u32, handle: &str, offset: u64, length: u32) -> Result<Option<Packet>, Refusal> {
        let (file, _) = self.file(handle)?;
        let mut data = vec![0; length.min(CHUNK) as usize];
        let mut got = 0;
        while got < data.len() {
            match file.read_at(&mut data[got..], offset.saturating_add(got as u64)) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        if got == 0 && length > 0 {
            return refusal(StatusCode::Eof, "end of file");
        }
        data.truncate(got);
        Ok(Some(Packet::Data(Data { id, data })))
    }

    fn list(&mut self, id: u32, handle: &str) -> Result<Option<Packet>, Refusal> {
        let Some(Open::Folder(folder)) = self.open.get_mut(handle) else {
            return refusal(StatusCode::Failure, "no such folder handle");
        };
        let mut files = Vec::new();
        for entry in folder.take(NAMES) {
            let entry = entry?;
            // What vanished meanwhile is not there; a name that is not UTF-8 cannot be asked for through the library.
            if let (Ok(found), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) {
                files.push(attributes::entry(name, &found));
            }
        }
        if files.is_empty() {
            return refusal(StatusCode::Eof, "no more names");
        }
        Ok(Some(Packet::Name(Name { id, files })))
    }

    fn extended(&self, id: u32, request: &str, data: &[u8]) -> Result<Option<Packet>, Refusal> {
        let mut rest = data;
        match request {
            "posix-rename@openssh.com" => {
                let (from, to) = (string(&mut rest)?, string(&mut rest)?);
                fs::rename(paths::resolve(&self.home, from), paths::resolve(&self.home, to))?;
                Ok(None)
            }
            "fsync@openssh.com" => {
                self.file(string(&mut rest)?)?.0.sync_all()?;
                Ok(None)
            }
            "limits@openssh.com" => {
                let limits = [PACKET as u64, CHUNK.into(), CHUNK.into(), HANDLES as u64];
                let data = limits.iter().flat_map(|limit| limit.to_be_bytes()).collect();
                Ok(Some(Packet::ExtendedReply(ExtendedReply { id, data })))
            }
            _ => refusal(StatusCode::OpUnsupported, "not offered"),
        }
    }
}

fn version() -> Packet {
    let offered = ["posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com"];
    let extensions = offered.map(|name| (name.to_owned(), "1".to_owned())).into();
    Packet::Version(Version { extensions, ..Version::new() })
}

fn attrs(id: u32, found: &fs::Metadata) -> Option<Packet> {
    Some(Packet::Attrs(Attrs { id, attrs: attributes::of(found) }))
}

fn name(id: u32, path: String) -> Option<Packet> {
    Some(Packet::Name(Name { id, files: vec![Entry::dummy(path)] }))
}

/// Takes one string, with its length before it.
fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Refusal> {
    let taken = rest.split_first_chunk::<4>().and_then(|(length, after)| {
        let (text, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        *rest = after;
        std::str::from_utf8(text).ok()
    });
    taken.map_or_else(|| refusal(StatusCode::BadMessage, "garbled request"), Ok)
}
