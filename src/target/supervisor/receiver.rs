//! What the receiving shell of one channel says.

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::oneshot,
};

use super::records::{Piece, Records};
use crate::{
    target::TargetError,
    vocab::{Digest, text::plain_line},
};

/// What is kept of its complaints.
const WORDS_MAX: usize = 4096;

/// The outputs of a receiving shell.
pub struct Receiver {
    pub stdout: Records<Box<dyn AsyncRead + Send + Unpin>>,
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Told when it is ready to write, dropped when it will not be.
    pub ready: Option<oneshot::Sender<()>>,
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// All is written; with the digest of what stands in the file, where the host could take it.
    Written(Option<Digest>),
    /// It could not write; its last words.
    Failed(String),
    /// The channel was closed before it said anything.
    Gone,
}

impl Receiver {
    /// Reads both outputs to their ends.
    ///
    /// # Errors
    /// The host runs no commands.
    pub async fn end(&mut self) -> Result<End, TargetError> {
        let Self { stdout, stderr, ready } = self;
        let (end, words) = tokio::join!(status(stdout, ready.take()), words(stderr));
        Ok(match end? {
            Some((Some(0), digest)) => End::Written(digest),
            Some(_) => End::Failed(words),
            None if words.is_empty() => End::Gone,
            None => End::Failed(words),
        })
    }
}

type Status = (Option<i32>, Option<Digest>);

async fn status<R: AsyncRead + Unpin>(
    stdout: &mut Records<R>,
    mut ready: Option<oneshot::Sender<()>>,
) -> Result<Option<Status>, TargetError> {
    let mut end = None;
    loop {
        match stdout.next().await {
            Ok(Piece::Record(words)) if words.first().is_some_and(|w| w == "ready") => {
                ready.take().map(|ready| ready.send(()));
            }
            Ok(Piece::Record(words)) if words.first().is_some_and(|w| w == "end") => {
                let digest = words.iter().find_map(|word| Digest::parse(word).ok());
                end = Some((words.get(1).and_then(|status| status.parse().ok()), digest));
                return Ok(end);
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(TargetError::Host(error.to_string()));
            }
            Ok(Piece::End) | Err(_) => return Ok(end),
            Ok(Piece::Record(_) | Piece::Data(_)) => {}
        }
    }
}

/// The last line that says something; dd also counts its blocks there.
async fn words(stderr: &mut (dyn AsyncRead + Send + Unpin)) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0u8; 1024];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        let room = WORDS_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..n.min(room)]);
    }
    let text = String::from_utf8_lossy(&kept);
    text.lines().rev().map(plain_line).find(|line| !line.trim().is_empty() && !is_count(line)).unwrap_or_default()
}

/// `1+0 records in`, `1048576 bytes (1.0 MB, 1.0 MiB) copied`.
fn is_count(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit()) && (line.contains(" records ") || line.contains(" bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn receive(out: &'static str, err: &'static str) -> End {
        let stdout: Box<dyn AsyncRead + Send + Unpin> = Box::new(out.as_bytes());
        let mut receiver =
            Receiver { stdout: Records::new(stdout, "N"), stderr: Box::new(err.as_bytes()), ready: None };
        receiver.end().await.unwrap()
    }

    #[tokio::test]
    async fn every_end_is_told_from_the_others() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let said = format!("rc noise\x1eN end 0 SHA2-256(stdin)= {hex}\n").leak();
        assert!(matches!(receive(said, "0+2 records in\n").await, End::Written(Some(d)) if d.to_string() == hex));
        assert!(matches!(receive("\x1eN end 0 \n", "").await, End::Written(None)));
        assert!(matches!(receive("noise", "").await, End::Gone));
        let dd = "dd: error writing 'p': No space left on device\n0+1 records in\n0+0 records out\n\
                  0 bytes copied, 0.1 s, 0.0 kB/s\n";
        match receive("\x1eN end 1 \n", dd).await {
            End::Failed(words) => assert_eq!(words, "dd: error writing 'p': No space left on device"),
            other => panic!("{other:?}"),
        }
    }
}
