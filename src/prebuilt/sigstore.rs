//! Signatures of sigstore: a short-lived certificate says who signed, and public logs say when.
//!
//! Nothing is asked of any network. The certificate must come from a certificate authority of the trusted root and be in
//! its log, the signature must be in a transparency log while the certificate was valid, and both identity and issuer
//! must be those that the catalog names. The root is sigstore's own, as the crate has it, or one that the recipe brings.

use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_types::{Bundle, Sha256Hash};
use sigstore_verify::{VerificationPolicy, Verifier};

use crate::vocab::{Digest, text::printable};

/// Who must have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// "release@example.org", or the address of a workflow.
    pub identity: String,
    /// Who vouches for the identity: "https://accounts.google.com".
    pub issuer: String,
    /// The text of a trusted root; `None` is sigstore's own.
    pub root: Option<String>,
}

impl Signer {
    /// Whether `bundle` is this signer's signature of a file.
    ///
    /// # Errors
    /// What is not right about it, as one line.
    pub(super) fn check(&self, bundle: &str, digest: &Digest) -> Result<(), String> {
        let plain = |text: String| printable(&text).chars().take(300).collect::<String>();
        let root = self.root.as_deref().unwrap_or(SIGSTORE_PRODUCTION_TRUSTED_ROOT);
        let root = TrustedRoot::from_json(root).map_err(|error| plain(format!("the trusted root: {error}")))?;
        let verifier = Verifier::new(&root).map_err(|error| plain(format!("the trusted root: {error}")))?;
        let bundle: Bundle =
            serde_json::from_str(bundle).map_err(|error| plain(format!("it is no bundle of sigstore: {error}")))?;
        let digest = Sha256Hash::from_hex(&digest.to_string()).map_err(|error| plain(error.to_string()))?;
        let policy = VerificationPolicy::new(self.identity.as_str(), self.issuer.as_str());
        verifier.verify(digest, &bundle, &policy).map(drop).map_err(|error| plain(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const BUNDLE: &str = include_str!("../../tests/data/sigstore/bundle.json");
    const ROOT: &str = include_str!("../../tests/data/sigstore/trusted_root.json");

    fn signer() -> Signer {
        Signer {
            identity: "release@example.org".into(),
            issuer: "https://accounts.example.org".into(),
            root: Some(ROOT.into()),
        }
    }

    fn of(text: &str) -> Digest {
        Digest::new(Sha256::digest(text).into())
    }

    const PROGRAM: &str = "#!/bin/sh\necho \"tool 1.0\"\n";

    #[test]
    fn the_signature_of_the_right_signer_under_the_right_root_holds() {
        assert_eq!(signer().check(BUNDLE, &of(PROGRAM)), Ok(()));
    }

    #[test]
    fn everything_else_does_not() {
        let no = |signer: &Signer, bundle: &str, program: &str| {
            let why = signer.check(bundle, &of(program)).unwrap_err();
            assert!(!why.is_empty() && why.chars().count() <= 300 && !why.contains('\n'), "{why}");
            why
        };
        no(&signer(), BUNDLE, "other bytes");
        let someone = Signer { identity: "evil@example.org".into(), ..signer() };
        assert!(no(&someone, BUNDLE, PROGRAM).contains("release@example.org"));
        no(&Signer { issuer: "https://accounts.example.com".into(), ..signer() }, BUNDLE, PROGRAM);
        // The authority is not one of sigstore's own.
        no(&Signer { root: None, ..signer() }, BUNDLE, PROGRAM);
        no(&Signer { root: Some("{}".into()), ..signer() }, BUNDLE, PROGRAM);
        for bundle in ["", "{}", "[1", "\u{1b}[31m", &"[".repeat(100_000)] {
            no(&signer(), bundle, PROGRAM);
        }
        // Each part of the proof counts.
        let whole: serde_json::Value = serde_json::from_str(BUNDLE).unwrap();
        let entry = "/verificationMaterial/tlogEntries/0";
        for part in ["integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody", "logId"] {
            let mut bundle = whole.clone();
            bundle.pointer_mut(entry).unwrap().as_object_mut().unwrap().remove(part);
            no(&signer(), &bundle.to_string(), PROGRAM);
        }
        let mut late = whole.clone();
        late["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1767225600".into();
        no(&signer(), &late.to_string(), PROGRAM);
        let mut unlogged = whole;
        unlogged["verificationMaterial"]["tlogEntries"] = serde_json::json!([]);
        no(&signer(), &unlogged.to_string(), PROGRAM);
    }

    #[test]
    fn the_root_of_sigstore_itself_is_one() {
        let root = TrustedRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        assert!(Verifier::new(&root).is_ok());
    }
}
