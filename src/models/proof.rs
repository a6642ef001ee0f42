//! Whether bytes are those that a blob is named for.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::manifest::BlobId;

enum Hash {
    Sha256(Sha256),
    Git(Sha1),
}

/// Takes the bytes of a file as they come.
pub struct Proof {
    hash: Hash,
    want: String,
    left: u64,
}

impl Proof {
    pub fn new(blob: &BlobId, size: u64) -> Self {
        let hash = match blob {
            BlobId::Sha256(_) => Hash::Sha256(Sha256::new()),
            BlobId::Git(_) => Hash::Git(Sha1::new_with_prefix(format!("blob {size}\0"))),
        };
        Self { hash, want: blob.as_str().to_owned(), left: size }
    }

    /// False when these are more bytes than the file has.
    pub fn update(&mut self, bytes: &[u8]) -> bool {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.left = u64::MAX;
            return false;
        };
        self.left = left;
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Git(hash) => hash.update(bytes),
        }
        true
    }

    /// Whether all came, and nothing else.
    pub fn holds(self) -> bool {
        let got: Vec<u8> = match self.hash {
            Hash::Sha256(hash) => hash.finalize().to_vec(),
            Hash::Git(hash) => hash.finalize().to_vec(),
        };
        let got: String = got.iter().map(|byte| format!("{byte:02x}")).collect();
        self.left == 0 && got == self.want
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_a_long_and_a_wrong_file_are_none() {
        let blob = BlobId::Git("ce013625030ba8dba906f756967f9e9ca394464a".into());
        let holds = |text: &[u8]| {
            let mut proof = Proof::new(&blob, 6);
            let taken = proof.update(text);
            taken && proof.holds()
        };
        assert!(holds(b"hello\n"));
        assert!(!holds(b"hello"));
        assert!(!holds(b"hello\n\n"));
        assert!(!holds(b"hellO\n"));
    }
}
