//! The user's ssh-agent.

use std::{path::Path, time::Duration};

use russh::{
    client::Handle,
    keys::{
        HashAlg,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::net::UnixStream;

use crate::{
    target::ssh::{client::Client, keys::Public},
    vocab::text,
};

/// How long an agent may take to list its keys; a stuck one must not cost the login.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an agent may take to sign: it may ask its user, or wait for a touch.
const SIGNING: Duration = Duration::from_secs(120);

/// An open agent.
pub(super) struct Agent {
    client: AgentClient<UnixStream>,
    /// What it holds, in its own order.
    pub held: Vec<Public>,
    /// Whether it was told which host this is about, as keys that are bound to some hosts want to know.
    pub bound: bool,
}

impl Agent {
    /// Opens the agent and asks what it holds.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub(super) async fn open(socket: &Path, handle: &Handle<Client>) -> Result<Self, String> {
        let listing = async {
            let mut client = AgentClient::connect_uds(socket).await?;
            let mut bound = false;
            if let Some(binding) = handle.agent_session_binding() {
                match client.bind_session(binding, false).await {
                    Ok(()) => bound = true,
                    // An agent that does not know this says so; one that hangs up over it is asked without it.
                    Err(russh::keys::Error::AgentFailure) => {}
                    Err(_) => client = AgentClient::connect_uds(socket).await?,
                }
            }
            let held = client.request_identities().await?;
            Ok::<_, russh::keys::Error>((client, bound, held))
        };
        let (client, bound, held) = tokio::time::timeout(PATIENCE, listing)
            .await
            .map_err(|_| "it does not answer".to_owned())?
            .map_err(|error| text::plain_line(&error.to_string()))?;
        let held = held.into_iter().map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Public::Key(key),
            AgentIdentity::Certificate { certificate, .. } => Public::Certificate(Box::new(certificate)),
        });
        Ok(Self { client, held: held.collect(), bound })
    }

    /// The identity with which the agent signs for `public`: the plain key where it has it, else the certificate.
    pub(super) fn signer_of(&self, public: &Public) -> Option<Public> {
        let key = public.key();
        let plain = self.held.iter().find(|held| matches!(held, Public::Key(_)) && held.same_key(&key));
        plain.or_else(|| self.held.iter().find(|held| held.same(public))).cloned()
    }

    /// Returns `data` with the signature behind it.
    ///
    /// # Errors
    /// Why it did not sign, as a fragment.
    pub(super) async fn sign(
        &mut self,
        with: &Public,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let identity = match with {
            Public::Key(key) => AgentIdentity::PublicKey { key: key.clone(), comment: String::new() },
            Public::Certificate(certificate) => {
                AgentIdentity::Certificate { certificate: (**certificate).clone(), comment: String::new() }
            }
        };
        match tokio::time::timeout(SIGNING, self.client.sign_request(&identity, hash, data)).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(russh::keys::Error::AgentFailure)) => Err("the agent declined to sign".to_owned()),
            Ok(Err(error)) => Err(format!("the agent did not sign: {}", text::plain_line(&error.to_string()))),
            Err(_) => Err(format!("the agent did not sign within {}", text::human_duration(SIGNING))),
        }
    }
}
