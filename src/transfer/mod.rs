//! Beside, verify, then rename: how a file comes to a host without ever being half there.
//!
//! A transfer ends with a *part*: a hidden file beside its destination, complete and with the right sha256, that the
//! host's supervisor removes unless somebody renames it.

mod digest;
mod download;
mod head;
mod memo;
mod source;
pub mod tree;

pub use digest::{digest_of, digest_script, file_digest, parse_digest};
pub use download::download;
pub use head::{Head, Summed};
pub use memo::{Look, Memo};
pub use source::FileSource;

use crate::{
    scope::Scope,
    target::{Captured, Command, Source, Target, TargetError},
    vocab::{Digest, text::sh_quote},
};

/// Why a part could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path} on the host has sha256 {got}, not {want}")]
    Digest { path: String, want: Digest, got: Digest },
    /// The sha256 of what is sent could not be taken.
    #[error("{0}")]
    Unread(String),
    #[error("{0}")]
    Host(String),
}

/// Sends `source` to the new file `part` and proves that it arrived whole; `want` may be taken while it is sent.
///
/// # Errors
/// As [`TransferError`]; nothing stays behind.
pub async fn upload(
    scope: &Scope,
    target: &dyn Target,
    part: &str,
    source: &mut dyn Source,
    want: impl Future<Output = Result<Digest, String>>,
) -> Result<Digest, TransferError> {
    let (put, want) = tokio::join!(target.put(scope, part, source), want);
    let (got, want) = (put?, want.map_err(TransferError::Unread)?);
    match got {
        Some(got) => compare(part, want, got)?,
        None => verify(scope, target, part, want).await?,
    }
    Ok(want)
}

/// As [`upload`], for a source that takes its own sha256 while it is sent; yields it.
///
/// # Errors
/// As [`TransferError`]; nothing stays behind.
pub async fn send(
    scope: &Scope,
    target: &dyn Target,
    part: &str,
    source: &mut dyn Source,
) -> Result<Digest, TransferError> {
    let got = target.put(scope, part, source).await?;
    match (source.digest(), got) {
        (Some(want), Some(got)) => compare(part, want, got).map(|()| want),
        (Some(want), None) => verify(scope, target, part, want).await.map(|()| want),
        // What went in several pieces at once was compared piece by piece.
        (None, Some(got)) => Ok(got),
        (None, None) => {
            // A host without any tool for it says so.
            digest_of(scope, target, part).await?;
            Err(TransferError::Unread(format!("nothing proves that {part} is what was sent")))
        }
    }
}

/// Copies a file on the host to the new file `part` and proves that the copy is whole.
///
/// # Errors
/// As [`TransferError`]; nothing stays behind.
pub async fn copy(
    scope: &Scope,
    target: &dyn Target,
    from: &str,
    part: &str,
    want: Digest,
) -> Result<(), TransferError> {
    target.scratch(scope, part).await?;
    let script = format!("umask 077; set -C; cat <{} >{}", sh_quote(from), sh_quote(part));
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own("copy", script), &mut said).await?;
    if exit.status != 0 {
        return Err(TransferError::Host(format!("cannot copy to {part}: {}", said.last_words())));
    }
    verify(scope, target, part, want).await
}

async fn verify(scope: &Scope, target: &dyn Target, path: &str, want: Digest) -> Result<(), TransferError> {
    compare(path, want, digest_of(scope, target, path).await?)
}

fn compare(path: &str, want: Digest, got: Digest) -> Result<(), TransferError> {
    if got == want { Ok(()) } else { Err(TransferError::Digest { path: path.to_owned(), want, got }) }
}
