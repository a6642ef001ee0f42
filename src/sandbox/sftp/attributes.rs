//! What is known and set about a file.

use std::{
    fs::{Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use russh_sftp::protocol::{File, FileAttributes};

/// The mode has the kind of file in it: the library's own conversion takes a device for a link.
pub(super) fn of(file: &Metadata) -> FileAttributes {
    // Seconds since 1970 in 32 bits is all that version 3 has.
    let seconds = |at: i64| u32::try_from(at).ok();
    FileAttributes {
        size: Some(file.size()),
        uid: Some(file.uid()),
        gid: Some(file.gid()),
        permissions: Some(file.mode()),
        atime: seconds(file.atime()),
        mtime: seconds(file.mtime()),
        ..FileAttributes::empty()
    }
}

/// A line of a listing: the name with what is known, links marked as the library does not.
pub(super) fn entry(name: String, file: &Metadata) -> File {
    let mut entry = File::new(name, of(file));
    if file.is_symlink() {
        entry.longname.replace_range(..1, "l");
    }
    entry
}

/// Sets what is given on the file at `path`, links followed.
pub(super) fn set(path: &Path, wanted: &FileAttributes) -> io::Result<()> {
    if let Some(size) = wanted.size {
        std::fs::OpenOptions::new().write(true).open(path)?.set_len(size)?;
    }
    if let Some(mode) = wanted.permissions {
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
    }
    if wanted.uid.is_some() || wanted.gid.is_some() {
        std::os::unix::fs::chown(path, wanted.uid, wanted.gid)?;
    }
    if wanted.atime.is_some() || wanted.mtime.is_some() {
        // Needs no permission to read or write the file, unlike File::set_times after an open.
        let spec =
            |at: Option<u32>| nix::sys::time::TimeSpec::from_duration(Duration::from_secs(at.unwrap_or(0).into()));
        nix::sys::stat::utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &spec(wanted.atime),
            &spec(wanted.mtime),
            nix::sys::stat::UtimensatFlags::FollowSymlink,
        )?;
    }
    Ok(())
}

/// Sets what is given on an open file.
pub(super) fn set_open(file: &std::fs::File, wanted: &FileAttributes) -> io::Result<()> {
    if let Some(size) = wanted.size {
        file.set_len(size)?;
    }
    if let Some(mode) = wanted.permissions {
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    if wanted.uid.is_some() || wanted.gid.is_some() {
        std::os::unix::fs::fchown(file, wanted.uid, wanted.gid)?;
    }
    if wanted.atime.is_some() || wanted.mtime.is_some() {
        let at = |seconds: Option<u32>| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unwrap_or(0).into());
        file.set_times(std::fs::FileTimes::new().set_accessed(at(wanted.atime)).set_modified(at(wanted.mtime)))?;
    }
    Ok(())
}
