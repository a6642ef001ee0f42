//! Logging in: which keys are offered, in which order, and what is said when none is taken.
//!
//! The order is OpenSSH's: keys of the agent that an identity names, the agent's other keys (unless `IdentitiesOnly`),
//! then the identity files. A locked file is first offered by its public half; only if the server would take it is a
//! passphrase asked for, on a connection to come, because a person types slower than a server waits.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use russh::{
    AgentAuthError, MethodSet, SendError, Signer,
    client::{AuthResult, Handle},
    keys::{
        Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::net::UnixStream;

use super::{
    client::Client,
    config::Resolved,
    host_key::described,
    keys::{Identity, KeyStore},
};
use crate::{target::TargetError, vocab::Reason};

/// How long an agent may take to list its keys; a stuck one must not cost the login.
const AGENT_PATIENCE: Duration = Duration::from_secs(3);

/// How a login attempt went on.
#[derive(Debug)]
pub(super) enum Login {
    Done,
    /// The server would take this file's key, once it is unlocked.
    Locked(PathBuf),
}

/// One key and where it comes from.
enum Offer {
    Agent(Box<PublicKey>),
    File(PathBuf, Arc<PrivateKey>),
    /// The public half of a locked file.
    Locked(PathBuf, Option<Box<PublicKey>>),
}

/// Logs in as the host's user.
///
/// # Errors
/// [`Reason::Auth`] with everything that was offered and everything that was not; never tried again.
pub(super) async fn login(
    handle: &mut Handle<Client>,
    resolved: &Resolved,
    keys: &KeyStore,
) -> Result<Login, TargetError> {
    let mut tale = Tale::default();
    let mut agent = match &resolved.agent {
        Some(socket) => match list_agent(socket).await {
            Ok(agent) => Some(agent),
            Err(why) => {
                tale.passed_over.push(format!("the agent at {} ({why})", socket.display()));
                None
            }
        },
        None => None,
    };
    let held = agent.as_mut().map(|(_, held)| std::mem::take(held)).unwrap_or_default();
    for offer in offers(resolved, keys, held, &mut tale) {
        let public = match &offer {
            Offer::Agent(key) => Some((**key).clone()),
            Offer::File(_, key) => Some(key.public_key().clone()),
            Offer::Locked(_, public) => public.as_deref().cloned(),
        };
        let label = match (&offer, &public) {
            (Offer::Agent(_), Some(key)) => format!("{} from the agent", described(key)),
            (Offer::File(path, _) | Offer::Locked(path, _), Some(key)) => {
                format!("{} ({})", path.display(), described(key))
            }
            (Offer::File(path, _) | Offer::Locked(path, _), None) => path.display().to_string(),
            (Offer::Agent(_), None) => "a key of the agent".to_owned(),
        };
        let hash = match &public {
            Some(key) => match signature_hash(handle, key).await {
                Ok(hash) => hash,
                Err(why) => {
                    tale.passed_over.push(format!("{label} ({why})"));
                    continue;
                }
            },
            None => None,
        };
        let user = resolved.user.as_str();
        let result = match offer {
            Offer::Agent(key) => {
                let Some((client, _)) = &mut agent else { continue };
                match handle.authenticate_publickey_with(user, *key, hash, client).await {
                    Ok(result) => Ok(result),
                    Err(AgentAuthError::Key(error)) => {
                        tale.passed_over.push(format!("{label} (the agent did not sign: {error})"));
                        continue;
                    }
                    Err(AgentAuthError::Send(_)) => Err(()),
                }
            }
            Offer::File(_, key) => handle
                .authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, hash))
                .await
                .map_err(|error| tracing::debug!(%error, "login")),
            // Without the public half there is nothing to offer before the passphrase.
            Offer::Locked(path, None) => return Ok(Login::Locked(path)),
            Offer::Locked(path, Some(key)) => {
                match handle.authenticate_publickey_with(user, *key, hash, &mut Probe).await {
                    Ok(result) => Ok(result),
                    Err(Probed::Acceptable) => return Ok(Login::Locked(path)),
                    Err(Probed::Gone) => Err(()),
                }
            }
        };
        tale.offered.push(label);
        match result {
            Ok(AuthResult::Success) => return Ok(Login::Done),
            Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                tale.methods = Some(remaining_methods);
                tale.partly |= partial_success;
            }
            Err(()) => break,
        }
        if handle.is_closed() {
            break;
        }
    }
    if tale.offered.is_empty() && !handle.is_closed() {
        // Nothing to offer: ask what the server wants; a few let everybody in.
        match handle.authenticate_none(resolved.user.as_str()).await {
            Ok(AuthResult::Success) => return Ok(Login::Done),
            Ok(AuthResult::Failure { remaining_methods, .. }) => tale.methods = Some(remaining_methods),
            Err(error) => tracing::debug!(%error, "login without a key"),
        }
    }
    tale.hung_up = handle.is_closed();
    Err(tale.error(resolved))
}

type Agent = AgentClient<UnixStream>;

async fn list_agent(socket: &Path) -> Result<(Agent, Vec<PublicKey>), String> {
    let listing = async {
        let mut agent = Agent::connect_uds(socket).await?;
        let held = agent.request_identities().await?;
        Ok::<_, russh::keys::Error>((agent, held))
    };
    let (agent, held) = tokio::time::timeout(AGENT_PATIENCE, listing)
        .await
        .map_err(|_| "it does not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    let plain = held.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, .. } => Some(key),
        AgentIdentity::Certificate { .. } => None,
    });
    Ok((agent, plain.collect()))
}

/// Decides what is offered, in order.
fn offers(resolved: &Resolved, keys: &KeyStore, mut held: Vec<PublicKey>, tale: &mut Tale) -> Vec<Offer> {
    let mut from_agent = Vec::new();
    let mut from_files = Vec::new();
    for path in &resolved.identities {
        let identity = keys.identity(path);
        let public = match &identity {
            Identity::Ready(key) => Some(key.public_key().clone()),
            Identity::Locked(public) => public.clone(),
            Identity::Public(key) => Some(key.clone()),
            Identity::Missing | Identity::Unusable(_) => None,
        };
        let in_agent = public.and_then(|key| held.iter().position(|h| h.key_data() == key.key_data()));
        if let Some(index) = in_agent {
            from_agent.push(Offer::Agent(Box::new(held.remove(index))));
            continue;
        }
        let mut pass_over = |why: &str| tale.passed_over.push(format!("{} ({why})", path.display()));
        match identity {
            Identity::Ready(key) => from_files.push(Offer::File(path.clone(), key)),
            Identity::Locked(public) if keys.can_ask() => {
                from_files.push(Offer::Locked(path.clone(), public.map(Box::new)));
            }
            Identity::Locked(_) => {
                pass_over(
                    "it is encrypted, and nobody can be asked for its passphrase; add it to an agent with ssh-add",
                );
            }
            Identity::Public(_) => pass_over("only its public half is there, and no agent has the other"),
            Identity::Missing if resolved.identities_are_default => {}
            Identity::Missing => pass_over("no such file"),
            Identity::Unusable(why) => pass_over(&why),
        }
    }
    if !resolved.identities_only {
        from_agent.extend(held.into_iter().map(|key| Offer::Agent(Box::new(key))));
    }
    from_agent.extend(from_files);
    from_agent
}

/// The hash that an RSA key signs with, by the server's own list.
async fn signature_hash(handle: &Handle<Client>, key: &PublicKey) -> Result<Option<HashAlg>, &'static str> {
    if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await {
        Ok(Some(Some(hash))) => Ok(Some(hash)),
        Ok(Some(None)) => Err("of RSA the server takes SHA-1 signatures only, which prove nothing any more"),
        Ok(None) | Err(_) => Ok(Some(HashAlg::Sha512)),
    }
}

/// Offers a public key and never signs: being asked to is the answer.
struct Probe;

#[derive(Debug)]
enum Probed {
    Acceptable,
    Gone,
}

impl From<SendError> for Probed {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for Probe {
    type Error = Probed;

    async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, Probed> {
        Err(Probed::Acceptable)
    }
}

/// What happened, for the person who has to make it work.
#[derive(Debug, Default)]
struct Tale {
    offered: Vec<String>,
    passed_over: Vec<String>,
    methods: Option<MethodSet>,
    partly: bool,
    hung_up: bool,
}

impl Tale {
    fn error(self, resolved: &Resolved) -> TargetError {
        let Resolved { user, host_name, port, .. } = resolved;
        let mut text = if self.partly {
            format!("the key was accepted for {user}@{host_name}, but the server asks for more than a key")
        } else if self.offered.is_empty() {
            format!("the login as {user}@{host_name} was refused: there was no key to offer")
        } else {
            format!("the login as {user}@{host_name} was refused; offered: {}", self.offered.join(", "))
        };
        if !self.passed_over.is_empty() {
            text += &format!("; not offered: {}", self.passed_over.join(", "));
        }
        let methods: Vec<&str> = self.methods.iter().flat_map(|set| set.iter()).map(Into::into).collect();
        if !methods.is_empty() {
            text += &format!("; the server accepts {}", methods.join(", "));
        } else if self.hung_up {
            text += "; the server then closed the connection, as it does after too many keys (see IdentitiesOnly)";
        }
        let to = if *port == 22 { format!("{user}@{host_name}") } else { format!("-p {port} {user}@{host_name}") };
        let hint = if self.offered.is_empty() && self.passed_over.is_empty() {
            format!("make a key with \"ssh-keygen -t ed25519\" and put it on the host with \"ssh-copy-id {to}\"")
        } else {
            format!("try \"ssh {to}\"; if that asks for a password, put a key on the host with \"ssh-copy-id {to}\"")
        };
        TargetError::Connect { reason: Reason::Auth, text, hint: Some(hint) }
    }
}
