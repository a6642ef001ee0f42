//! Signing for a key that the server would take.

use std::path::Path;

use russh::{
    SendError, Signer,
    keys::{
        HashAlg, PrivateKey,
        agent::AgentIdentity,
        signature,
        ssh_encoding::{self, Decode, Encode},
        ssh_key::{Signature, private::KeypairData},
    },
};

use super::{agent::Agent, patience::Pause};
use crate::target::ssh::keys::{KeyStore, Private, Public};

/// What signs, and what it needs to.
pub(super) struct Hand<'a> {
    pub offered: &'a Public,
    pub agent: Option<&'a mut Agent>,
    /// A file that may have the private half.
    pub file: Option<&'a Path>,
    pub keys: &'a KeyStore,
    /// A person may be asked, or a key touched: that takes the time that it takes.
    pub pause: &'a Pause,
    /// The key that the server showed, as agents know it.
    pub host_key: Option<Vec<u8>>,
    /// Whether a person was asked.
    pub asked: bool,
}

/// Why there is no signature.
#[derive(Debug)]
pub(super) enum Unsigned {
    Gone,
    /// A fragment: "its passphrase was wrong".
    Why(String),
}

impl From<SendError> for Unsigned {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for Hand<'_> {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        let _held = self.pause.hold();
        let mut why = match self.file {
            Some(_) => String::new(),
            None => "its private half is nowhere here".to_owned(),
        };
        if let Some(agent) = &mut self.agent
            && let Some(with) = agent.signer_of(self.offered)
        {
            match agent.sign(&with, hash, data.clone()).await {
                Ok(signed) => return Ok(signed),
                Err(refusal) => why = refusal,
            }
            // A key that is bound to some hosts signs only what names the host.
            if agent.bound
                && let Some(named) = self.host_key.as_deref().and_then(|key| naming_the_host(&data, key).ok())
                && let Ok(signed) = agent.sign(&with, hash, named).await
            {
                return Ok(signed);
            }
        }
        let Some(file) = self.file else { return Err(Unsigned::Why(why)) };
        if matches!(self.keys.identity(file).private, Private::Locked) {
            self.asked = self.keys.can_ask();
        }
        match self.keys.private(file).await {
            Private::Ready(key) if !self.offered.same_key(key.public_key()) => {
                Err(Unsigned::Why(format!("{} holds another key than its .pub says", file.display())))
            }
            Private::Ready(key) => signed(&key, hash, data).map_err(|error| Unsigned::Why(error.to_string())),
            Private::Unusable(file_why) => Err(Unsigned::Why(file_why)),
            Private::Missing if why.is_empty() => Err(Unsigned::Why("its private half is nowhere here".to_owned())),
            Private::Missing | Private::Locked => Err(Unsigned::Why(why)),
        }
    }
}

fn signed(key: &PrivateKey, hash: Option<HashAlg>, mut data: Vec<u8>) -> Result<Vec<u8>, signature::Error> {
    use signature::Signer as _;
    let signature: Signature = match key.key_data() {
        KeypairData::Rsa(pair) => (pair, hash).try_sign(&data)?,
        pair => pair.try_sign(&data)?,
    };
    let mut blob = Vec::new();
    signature.encode(&mut blob).and_then(|()| blob.encode(&mut data)).map_err(signature::Error::from_source)?;
    Ok(data)
}

/// The same request as `publickey-hostbound-v00@openssh.com` (PROTOCOL of OpenSSH, 2.1): what is signed says to which host.
fn naming_the_host(data: &[u8], host_key: &[u8]) -> ssh_encoding::Result<Vec<u8>> {
    let mut rest = data;
    let session = Vec::<u8>::decode(&mut rest)?;
    let kind = u8::decode(&mut rest)?;
    let user = Vec::<u8>::decode(&mut rest)?;
    let service = Vec::<u8>::decode(&mut rest)?;
    Vec::<u8>::decode(&mut rest)?;
    let mut named = Vec::with_capacity(data.len() + host_key.len() + 64);
    session.encode(&mut named)?;
    kind.encode(&mut named)?;
    user.encode(&mut named)?;
    service.encode(&mut named)?;
    "publickey-hostbound-v00@openssh.com".encode(&mut named)?;
    // From here on it is the same: "has a signature", algorithm, key.
    named.extend_from_slice(rest);
    host_key.encode(&mut named)?;
    Ok(named)
}
