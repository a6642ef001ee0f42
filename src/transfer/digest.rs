//! The sha256 of a file, here and on a host.

use std::{io::Read, path::Path};

use sha2::{Digest as _, Sha256};

use super::TransferError;
use crate::{
    scope::Scope,
    target::{Captured, Command, Target},
    vocab::{Digest, text::sh_quote},
};

/// Prints the sha256 of each file, a line each, with whatever the host has for it; openssl is the fastest by far.
///
/// A file that cannot be read prints `-`.
pub fn digest_script(paths: &[&str]) -> String {
    let mut script = String::from(
        "if command -v openssl >/dev/null 2>&1 && openssl dgst -sha256 </dev/null >/dev/null 2>&1; then h='openssl dgst -sha256'\n\
         elif command -v sha256sum >/dev/null 2>&1; then h=sha256sum\n\
         elif command -v shasum >/dev/null 2>&1; then h='shasum -a 256'\n\
         else echo 'no openssl, sha256sum or shasum on this host' >&2; exit 69; fi\n",
    );
    for path in paths {
        script.push_str(&format!("{{ $h <{}; }} 2>/dev/null || echo -\n", sh_quote(path)));
    }
    script
}

/// The sha256 in one line of [`digest_script`]'s output.
pub fn parse_digest(line: &str) -> Option<Digest> {
    line.split(|c: char| !c.is_ascii_hexdigit()).find_map(|word| Digest::parse(word).ok())
}

/// The sha256 of one file on the host.
///
/// # Errors
/// It cannot be read, or the host has no tool for it.
pub async fn digest_of(scope: &Scope, target: &dyn Target, path: &str) -> Result<Digest, TransferError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("sha256", digest_script(&[path])), &mut said).await?;
    match said.text().lines().find_map(parse_digest) {
        Some(digest) if exit.status == 0 => Ok(digest),
        _ if exit.status == 69 => Err(TransferError::Host(said.last_words())),
        _ => Err(TransferError::Host(format!("cannot read {path} on the host"))),
    }
}

/// The sha256 and length of a local file; reads it whole, on a thread that may block.
///
/// # Errors
/// It cannot be read.
pub async fn file_digest(path: &Path) -> Result<(Digest, u64), TransferError> {
    let owned = path.to_owned();
    let read = move || hash_file(std::fs::File::open(owned)?);
    let shown = || path.display().to_string();
    match tokio::task::spawn_blocking(read).await {
        Ok(done) => done.map_err(|error| TransferError::Read { path: shown(), error }),
        Err(error) => Err(TransferError::Read { path: shown(), error: std::io::Error::other(error) }),
    }
}

/// The sha256 and length of what is left to read.
pub(super) fn hash_file(mut file: impl Read) -> std::io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let (mut buffer, mut len) = (vec![0; 256 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((Digest::new(hash.finalize().into()), len)),
            n => {
                hash.update(&buffer[..n]);
                len += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_understood() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for line in [format!("SHA2-256(stdin)= {hex}"), format!("(stdin)= {hex}"), format!("{hex}  -")] {
            assert_eq!(parse_digest(&line).unwrap().to_string(), hex);
        }
        assert_eq!(parse_digest("-"), None);
        assert_eq!(parse_digest("SHA256(stdin)= beef"), None);
    }
}
