//! The password of the login, as the command line brings it: never in an argument, never in a variable.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use zeroize::Zeroizing;

use super::{Complaint, args::RunFlags, terminal};
use crate::{
    scope::Prompt,
    target::ssh::Password,
    vocab::{ExitCode, Secret},
};

/// What a file with a password may hold, in bytes.
const LIMIT: u64 = 4096;

/// What `--ask-pass` or `--password-file` says, if either was given.
pub async fn of_login(flags: &RunFlags, prompt: Option<&Prompt>) -> Result<Option<Password>, Complaint> {
    if let Some(path) = &flags.password_file {
        return Ok(Some(Password { secret: from_file(path)?, typed: false }));
    }
    if !flags.ask_pass {
        return Ok(None);
    }
    let Some(prompt) = prompt else {
        return Err(Complaint::usage("--ask-pass has nobody to ask: there is no terminal, or --no-input was given")
            .hint("--password-file FILE reads the password from a file, and from stdin with -"));
    };
    let answer = prompt.secret("password (used for all hosts that ask): ").await.map(Secret::new);
    match answer {
        Ok(secret) if secret.expose().is_empty() => Err(Complaint::usage("no password was given")),
        Ok(secret) => Ok(Some(Password { secret, typed: true })),
        Err(_) if terminal::was_interrupted() => Err(Complaint {
            text: "interrupted; nothing was contacted".into(),
            hint: None,
            exit: ExitCode::Interrupted,
        }),
        Err(error) => Err(Complaint::usage(format!("no password was given: {error}"))),
    }
}

/// The one line of a file, or of stdin (`-`), that nobody else may read.
///
/// # Errors
/// What is wrong with it, and how to mend it.
pub fn from_file(path: &Path) -> Result<Secret, Complaint> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Complaint::usage("stdin is a terminal, where a password would be seen").hint("use --ask-pass"));
        }
        return one_line(&mut io::stdin().lock(), "stdin");
    }
    let name = path.display().to_string();
    let failed = |error: io::Error| Complaint::usage(format!("cannot read the password file {name}: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(Complaint::usage(format!("the password file {name} is a folder")));
    }
    let me = nix::unistd::geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        return Err(Complaint::usage(format!("the password file {name} belongs to another user, who may read it"))
            .hint(format!("make a copy of your own, or pass it through stdin: --password-file - <{name}")));
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Complaint::usage(format!("others may read the password file {name} (mode {mode:04o})"))
            .hint(format!("chmod 600 {name}, or pass it through stdin: --password-file - <{name}")));
    }
    one_line(&mut file, &name)
}

fn one_line(source: &mut dyn Read, name: &str) -> Result<Secret, Complaint> {
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
    source
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Complaint::usage(format!("cannot read the password from {name}: {error}")))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Complaint::usage(format!("{name} has more than {LIMIT} bytes; a password is one line")));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Complaint::usage(format!("the password in {name} is not UTF-8")))?
        .trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(Complaint::usage(format!("there is no password in {name}")));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(Complaint::usage(format!("{name} has more than one line; a password is one line")));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_one_line_that_nobody_else_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let read = |text: &[u8], mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            from_file(&path).map(|secret| secret.expose().to_owned()).map_err(|complaint| complaint.text)
        };
        assert_eq!(read(b"open sesame\n", 0o600).unwrap(), "open sesame");
        assert_eq!(read(b" spaces stay \r\n", 0o400).unwrap(), " spaces stay ");
        assert!(read(b"x", 0o640).unwrap_err().contains("mode 0640"));
        assert!(read(b"x", 0o604).unwrap_err().contains("others may read"));
        assert!(read(b"\n", 0o600).unwrap_err().contains("no password"));
        assert!(read(b"a\nb\n", 0o600).unwrap_err().contains("more than one line"));
        assert!(read(b"\xff\xfe", 0o600).unwrap_err().contains("UTF-8"));
        assert!(read(&[b'a'; 5000], 0o600).unwrap_err().contains("4096"));
        assert!(from_file(dir.path()).unwrap_err().text.contains("folder"));
        assert!(from_file(&dir.path().join("none")).is_err());
    }
}
