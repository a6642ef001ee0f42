//! Bytes that need no disk: any part of a file of any size, made from the file's seed when it is asked for.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The pattern's length; each block of it begins with its own number, so that no two blocks are alike.
const BLOCK: u64 = 1 << 20;
const HEAD: u64 = 8;
/// What is handed on at a time.
const CHUNK: u64 = 256 << 10;

/// The bytes of one file; clones share them.
#[derive(Debug, Clone)]
pub struct Content(Arc<Inner>);

#[derive(Debug)]
enum Kind {
    /// As it is.
    Text(Bytes),
    Made {
        len: u64,
        pattern: OnceLock<Bytes>,
        seed: u64,
    },
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    sha256: OnceLock<String>,
}

impl Content {
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Kind::Text(Bytes::from(text.into())))
    }

    /// `len` bytes that only `seed` has.
    pub fn made(seed: &str, len: u64) -> Self {
        let seed = Sha256::digest(seed.as_bytes()).iter().take(8).fold(1, |all, byte| all << 8 | u64::from(*byte));
        Self::new(Kind::Made { len, pattern: OnceLock::new(), seed: seed | 1 })
    }

    fn new(kind: Kind) -> Self {
        Self(Arc::new(Inner { kind, sha256: OnceLock::new() }))
    }

    pub fn len(&self) -> u64 {
        match &self.0.kind {
            Kind::Text(text) => text.len() as u64,
            Kind::Made { len, .. } => *len,
        }
    }

    /// The bytes `from..to`, chunk by chunk; `to` must not be beyond the end.
    pub fn chunks(&self, from: u64, to: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let content = self.clone();
        let mut at = from;
        std::iter::from_fn(move || {
            let chunk = content.chunk(at, to)?;
            at += chunk.len() as u64;
            Some(chunk)
        })
    }

    fn chunk(&self, at: u64, to: u64) -> Option<Bytes> {
        if at >= to {
            return None;
        }
        Some(match &self.0.kind {
            Kind::Text(text) => text.slice(at as usize..to as usize),
            Kind::Made { pattern, seed, .. } => {
                let (block, within) = (at / BLOCK, at % BLOCK);
                if within < HEAD {
                    let head = if block == 0 { *b"GGUF\x03\0\0\0" } else { (block ^ seed).to_le_bytes() };
                    let end = HEAD.min(within + (to - at));
                    Bytes::copy_from_slice(&head[within as usize..end as usize])
                } else {
                    let end = BLOCK.min(within + (to - at)).min(within + CHUNK);
                    pattern.get_or_init(|| pattern_of(*seed)).slice(within as usize..end as usize)
                }
            }
        })
    }

    /// In hex; taken once, which may take seconds.
    pub fn sha256(&self) -> &str {
        self.0.sha256.get_or_init(|| {
            let mut hash = Sha256::new();
            self.chunks(0, self.len()).for_each(|chunk| hash.update(&chunk));
            hex(&hash.finalize())
        })
    }

    /// As git names a blob.
    pub fn git_sha1(&self) -> String {
        let mut hash = Sha1::new();
        hash.update(format!("blob {}\0", self.len()));
        self.chunks(0, self.len()).for_each(|chunk| hash.update(&chunk));
        hex(&hash.finalize())
    }
}

/// What nobody could compress or guess, by a xorshift.
fn pattern_of(seed: u64) -> Bytes {
    let mut state = seed;
    let words = (0..BLOCK / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect::<Vec<u8>>().into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content, from: u64, to: u64) -> Vec<u8> {
        content.chunks(from, to).flatten().collect()
    }

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let content = Content::made("x", 3 * BLOCK + 17);
        let whole = all(&content, 0, content.len());
        assert_eq!(whole.len() as u64, content.len());
        assert!(whole.starts_with(b"GGUF"));
        for (from, to) in [(3, 5), (0, 1), (BLOCK - 1, BLOCK + 9), (2 * BLOCK + 4, 3 * BLOCK + 17), (5, 5)] {
            assert_eq!(all(&content, from, to), whole[from as usize..to as usize], "{from}..{to}");
        }
        assert_ne!(whole[..BLOCK as usize], whole[BLOCK as usize..2 * BLOCK as usize]);
        assert_ne!(content.sha256(), Content::made("y", content.len()).sha256());
    }

    #[test]
    fn a_blob_is_named_as_git_names_it() {
        assert_eq!(Content::text("hello\n").git_sha1(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
