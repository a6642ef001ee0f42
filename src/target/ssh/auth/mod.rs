//! Logging in as OpenSSH does: which methods, which keys in which order, and what is said when nothing is taken.
//!
//! # Theory of operation
//! The methods are tried in the order of the configuration, as far as the server still offers them; whatever changes that
//! offer (a first of two keys was taken) starts them over, with keys that were offered before allowed again. A key is first
//! offered by its public half; only if the server would take it does something sign: the agent, or the file, for whose
//! passphrase a person may have to be asked. The connect timeout stands still while anybody is waited for. A server that
//! loses patience meanwhile costs nothing but a second connection, on which the answer is there already.
//!
//! A refusal is final: nothing is tried twice, since servers count failures and lock people out.

mod agent;
mod algorithms;
mod methods;
mod offers;
mod patience;
mod questions;
mod signer;
mod tale;

use std::collections::VecDeque;

use agent::Agent;
use algorithms::Accepted;
use methods::Methods;
use offers::Candidate;
use patience::Pause;
use russh::{
    MethodKind, MethodSet,
    client::{AuthResult, Handle},
    keys::HashAlg,
};
use signer::{Hand, Unsigned};
use tale::Tale;

use super::{
    budget::Budget,
    client::{Client, Fate},
    config::{Method, Resolved},
    keys::{Private, Public},
    secrets::{Secrets, Talk},
};
use crate::target::TargetError;

/// How a login attempt went on.
#[derive(Debug)]
pub(super) enum Login {
    Done,
    /// The server hung up while a person was asked; the answer is known now.
    Again,
    /// The connect timeout passed.
    Late,
}

/// Logs in as the host's user, within `budget`.
///
/// # Errors
/// [`Reason::Auth`](crate::vocab::Reason::Auth) with everything that was offered and everything that was not; never
/// tried again.
pub(super) async fn login(
    handle: &mut Handle<Client>,
    fate: &Fate,
    resolved: &Resolved,
    secrets: &Secrets,
    budget: &mut Budget,
) -> Result<Login, TargetError> {
    let pause = Pause::default();
    let mut attempt = Attempt {
        handle,
        fate,
        resolved,
        secrets,
        pause: &pause,
        accepted: Accepted::new(&resolved.algorithms),
        agent: None,
        keys: VecDeque::new(),
        rsa: None,
        talk: secrets.talk(&resolved.user, &resolved.name, resolved.password_prompts),
        passwords: 0,
        dialogues: 0,
        asked: false,
        failed: false,
        tale: Tale::default(),
    };
    let done = pause.spend(budget, attempt.run()).await;
    match done {
        None => Ok(Login::Late),
        Some(true) => Ok(Login::Done),
        Some(false) => {
            let hung_up = attempt.handle.is_closed();
            if hung_up {
                fate.settled().await;
                if (attempt.asked || attempt.talk.waited) && !attempt.failed && !attempt.had_enough() {
                    return Ok(Login::Again);
                }
                attempt.tale.ended = Some(fate.why());
            }
            attempt.tale.left = attempt.keys.iter().filter(|key| !key.tried).count();
            Err(attempt.tale.error(resolved))
        }
    }
}

/// One login under way.
struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    fate: &'a Fate,
    resolved: &'a Resolved,
    secrets: &'a Secrets,
    pause: &'a Pause,
    accepted: Accepted,
    agent: Option<Agent>,
    /// What was offered goes to the end.
    keys: VecDeque<Candidate>,
    /// What the server says about RSA, once it was asked.
    rsa: Option<Option<Option<HashAlg>>>,
    talk: Talk<'a>,
    passwords: u32,
    dialogues: u32,
    /// A person was asked for a passphrase.
    asked: bool,
    /// An answer was refused.
    failed: bool,
    tale: Tale,
}

/// What came of one step of a method.
enum Step {
    /// The server's answer.
    Answer(AuthResult),
    /// The method has nothing more to send.
    Nothing,
    /// The connection is of no use any more.
    Over,
}

impl Attempt<'_> {
    /// Whether the login came to its good end.
    async fn run(&mut self) -> bool {
        let mut methods = Methods::new(&self.resolved.methods);
        if self.resolved.methods.contains(&Method::PublicKey) {
            self.prepare_keys().await;
        }
        while let Some(method) = methods.next() {
            // A key that is taken at once saves the round trip of asking what the server wants.
            if !methods.is_known() && (method != Method::PublicKey || self.keys.is_empty()) {
                match self.handle.authenticate_none(self.resolved.user.as_str()).await {
                    Ok(AuthResult::Success) => return true,
                    Ok(AuthResult::Failure { remaining_methods, .. }) => self.heard(&mut methods, remaining_methods),
                    Err(_) => return false,
                }
                continue;
            }
            let step = match method {
                Method::PublicKey => self.offer_a_key().await,
                Method::KeyboardInteractive => self.answer_questions().await,
                Method::Password => self.give_the_password().await,
            };
            match step {
                Step::Answer(AuthResult::Success) => {
                    self.talk.right();
                    return true;
                }
                Step::Answer(AuthResult::Failure { remaining_methods, partial_success }) => {
                    // This is also what the library says when the connection ends instead of an answer.
                    let ended = remaining_methods.is_empty() && !partial_success;
                    if ended {
                        self.fate.settled().await;
                        // Who was slow to answer a question was not heard any more.
                        if method == Method::KeyboardInteractive && self.talk.waited && !self.had_enough() {
                            return false;
                        }
                    }
                    if partial_success {
                        self.talk.right();
                        self.tale.taken.push(match self.tale.offered.pop() {
                            Some(key) if method == Method::PublicKey => key,
                            _ => method_name(method).to_owned(),
                        });
                        self.keys.iter_mut().for_each(|key| key.tried = false);
                    } else if method != Method::PublicKey {
                        self.failed = true;
                        self.talk.wrong().await;
                    }
                    if ended {
                        return false;
                    }
                    self.heard(&mut methods, remaining_methods);
                }
                Step::Nothing => methods.exhausted(method),
                Step::Over => return false,
            }
            if self.handle.is_closed() {
                return false;
            }
        }
        false
    }

    fn heard(&mut self, methods: &mut Methods, remaining: MethodSet) {
        let remaining: Vec<MethodKind> = remaining.iter().copied().collect();
        methods.heard(&remaining);
        self.tale.accepts = Some(remaining);
    }

    async fn prepare_keys(&mut self) {
        if let Some(socket) = &self.resolved.agent {
            match Agent::open(socket, self.handle).await {
                Ok(agent) => self.agent = Some(agent),
                Err(why) => self.tale.passed_over.push(format!("the agent at {} ({why})", socket.display())),
            }
        }
        let held = self.agent.as_ref().map_or(&[][..], |agent| &agent.held);
        let plan = offers::plan(self.resolved, &self.accepted, &self.secrets.keys, held);
        self.tale.passed_over.extend(plan.passed_over);
        self.keys = plan.candidates.into();
    }

    /// Offers the next key that was not offered yet.
    async fn offer_a_key(&mut self) -> Step {
        while self.keys.front().is_some_and(|key| !key.tried) {
            let Some(mut key) = self.keys.pop_front() else { break };
            key.tried = true;
            self.keys.push_back(key.clone());
            let public = match &key.public {
                Some(public) => public.clone(),
                None => match self.public_of(&key).await {
                    Some(public) => public,
                    None => continue,
                },
            };
            if let Some(step) = self.offer(&key, &public).await {
                return step;
            }
        }
        Step::Nothing
    }

    /// The public half of a key that says nothing of itself until it is opened.
    async fn public_of(&mut self, key: &Candidate) -> Option<Public> {
        let path = key.file.as_deref()?;
        let locked = matches!(self.secrets.keys.identity(path).private, Private::Locked);
        self.asked |= locked && self.secrets.keys.can_ask();
        let _held = self.pause.hold();
        let why = match self.secrets.keys.private(path).await {
            Private::Ready(private) => {
                let public = Public::Key(private.public_key().clone());
                match self.accepted.judge(&public) {
                    Ok(()) => return Some(public),
                    Err(why) => why,
                }
            }
            Private::Unusable(why) => why,
            Private::Locked | Private::Missing => return None,
        };
        self.tale.passed_over.push(format!("{} ({why})", key.label(None)));
        None
    }

    /// Offers one key and signs if the server would take it; `None` when nothing was sent that the server answers.
    async fn offer(&mut self, key: &Candidate, public: &Public) -> Option<Step> {
        let label = key.label(Some(public));
        let hash = match self.hash(public).await {
            Ok(hash) => hash,
            Err(why) => {
                self.tale.passed_over.push(format!("{label} ({why})"));
                return None;
            }
        };
        let agent_signs = key.from_agent || matches!(public, Public::Certificate(_));
        let host_key = self.handle.agent_session_binding().map(|binding| binding.host_key().to_vec());
        let mut hand = Hand {
            offered: public,
            agent: self.agent.as_mut().filter(|_| agent_signs),
            file: key.file.as_deref(),
            keys: &self.secrets.keys,
            pause: self.pause,
            host_key,
            asked: false,
        };
        let user = self.resolved.user.as_str();
        let answer = match public {
            Public::Key(key) => self.handle.authenticate_publickey_with(user, key.clone(), hash, &mut hand).await,
            Public::Certificate(certificate) => {
                self.handle.authenticate_certificate_with(user, (**certificate).clone(), hash, &mut hand).await
            }
        };
        self.asked |= hand.asked;
        match answer {
            Ok(answer) => {
                self.tale.offered.push(label);
                Some(Step::Answer(answer))
            }
            Err(Unsigned::Gone) => Some(Step::Over),
            Err(Unsigned::Why(why)) => {
                self.tale.passed_over.push(format!("{label}, which the server would take ({why})"));
                None
            }
        }
    }

    async fn hash(&mut self, public: &Public) -> Result<Option<HashAlg>, &'static str> {
        if public.key().key_data().rsa().is_none() {
            return self.accepted.hash(public, None);
        }
        let best = match self.rsa {
            Some(best) => best,
            // A server that says nothing about it makes the library wait for a second: once is enough.
            None => *self.rsa.insert(self.handle.best_supported_rsa_hash().await.ok().flatten()),
        };
        self.accepted.hash(public, best)
    }

    /// Whether the server said that it has seen enough, rather than went away.
    fn had_enough(&self) -> bool {
        self.fate.said().is_some_and(|why| why.contains("Too many authentication failures"))
    }
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::PublicKey => "a key",
        Method::KeyboardInteractive => "the answers to its questions",
        Method::Password => "a password",
    }
}
