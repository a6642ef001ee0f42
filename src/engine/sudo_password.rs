//! The password for sudo: one for a run, asked for once, and never tried again where it was wrong.
//!
//! # Theory of operation
//! Where the command line brought none and a person is there, the first host that lacks the right waits until no other
//! host is still in its preflight (or a moment has passed), asks for all of them at once, and the answer serves whoever
//! comes later. The password is first tried on one host alone: were it wrong, every further host would count another
//! failed login against the account.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex as Turn, Notify};

use super::Failure;
use crate::{
    install::sudo::Taken,
    scope::{Prompt, Scope, Stop},
    target::TargetError,
    vocab::{HostName, Reason, Secret},
};

/// How long a question waits for hosts that may need the answer, too.
const GATHER: Duration = Duration::from_secs(5);
/// Hosts that a question names.
const NAMED: usize = 3;

/// What the hosts of a run share about sudo's password.
#[derive(Debug, Default)]
pub struct SudoPassword {
    given: Option<Secret>,
    prompt: Option<Prompt>,
    lobby: Mutex<Lobby>,
    moved: Notify,
    /// What the person answered; held by who asks.
    answer: Turn<Option<Option<Secret>>>,
    /// Held by the one host that tries first.
    trial: Turn<Trial>,
}

#[derive(Debug, Default)]
struct Lobby {
    /// Hosts in preflight, which may come to need the password.
    inside: usize,
    asking: Vec<HostName>,
}

#[derive(Debug, Default)]
enum Trial {
    #[default]
    Untried,
    Taken,
    Wrong(HostName),
}

/// A host that may still ask; to be dropped when it is clear that it will not.
#[derive(Debug)]
pub struct Inside<'a>(&'a SudoPassword);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lobby().inside -= 1;
        self.0.moved.notify_waiters();
    }
}

impl SudoPassword {
    /// `given` is what the command line brought; `prompt` asks the person, if one is there.
    pub fn new(given: Option<Secret>, prompt: Option<Prompt>) -> Self {
        Self { given, prompt, ..Self::default() }
    }

    /// Whether there is a password, or someone to ask for it.
    pub fn may_have(&self) -> bool {
        self.given.is_some() || self.prompt.is_some()
    }

    pub fn inside(&self) -> Inside<'_> {
        self.lobby().inside += 1;
        Inside(self)
    }

    /// The password, which is needed because `why`: "/usr/local/bin is not writable"; `None` where there is none, or the
    /// person gave none.
    ///
    /// # Errors
    /// The scope ended first.
    pub async fn get(
        &self,
        scope: &Scope,
        host: &HostName,
        why: &str,
        inside: Inside<'_>,
    ) -> Result<Option<Secret>, Stop> {
        let (None, Some(prompt)) = (&self.given, &self.prompt) else { return Ok(self.given.clone()) };
        self.lobby().asking.push(host.clone());
        drop(inside);
        let mut answer = scope.race(self.answer.lock()).await?;
        if answer.is_none() {
            // Late ones get the answer that is there then.
            let _ = scope.race(tokio::time::timeout(GATHER, self.all_here())).await?;
            let question = question(why, &self.lobby().asking);
            let said = scope.race(prompt.secret(question)).await?;
            *answer = Some(said.ok().filter(|text| !text.is_empty()).map(Secret::new));
        }
        Ok(answer.clone().flatten())
    }

    /// Tries the password by `attempt`, unless it was wrong somewhere before; the first time, nobody else tries.
    ///
    /// # Errors
    /// It is not tried here.
    pub async fn attempt(
        &self,
        scope: &Scope,
        host: &HostName,
        attempt: impl Future<Output = Result<Taken, TargetError>>,
    ) -> Result<Result<Taken, TargetError>, Failure> {
        let mut trial = scope.race(self.trial.lock()).await?;
        match &*trial {
            Trial::Taken => {
                drop(trial);
                Ok(attempt.await)
            }
            Trial::Wrong(first) => {
                let text = format!("sudo on {first} did not take the password, so it was not tried here");
                Err(Failure::new(text).because(Some(Reason::Auth)))
            }
            Trial::Untried => {
                let taken = attempt.await;
                match &taken {
                    // Only who was let in far enough to be told no has a right password.
                    Ok(Taken::Yes) => *trial = Trial::Taken,
                    Ok(Taken::Wrong(_)) => *trial = Trial::Wrong(host.clone()),
                    Ok(Taken::NotAllowed(_)) | Err(_) => {}
                }
                Ok(taken)
            }
        }
    }

    /// Waits until every host that is in preflight has asked or passed.
    async fn all_here(&self) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.lobby().inside == 0 {
                return;
            }
            moved.await;
        }
    }

    /// A poisoned lock only means that another task panicked; what it guards here stays whole.
    fn lobby(&self) -> std::sync::MutexGuard<'_, Lobby> {
        self.lobby.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question for all hosts that need it.
fn question(why: &str, hosts: &[HostName]) -> String {
    let names: Vec<&str> = hosts.iter().take(NAMED).map(HostName::as_str).collect();
    let more = hosts.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{why} on {}{more}: install through sudo? password (empty: no): ", names.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{
        scope::{Cancel, events},
        vocab::RunId,
    };

    fn scope() -> Scope {
        let (emitter, _receiver) = events(RunId::new("test").unwrap());
        Scope::new(Cancel::new(), emitter)
    }

    fn host(name: &str) -> HostName {
        HostName::new(name).unwrap()
    }

    #[tokio::test]
    async fn one_question_serves_all_hosts() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let prompt = Prompt::new(move |question| {
            assert!(question.secret);
            seen.lock().unwrap().push(question.text.clone());
            Ok("open sesame".into())
        });
        let (password, scope) = (SudoPassword::new(None, Some(prompt)), scope());
        let names = ["a", "b", "c", "d", "e"].map(host);
        let hosts = names.each_ref().map(|name| (name, password.inside()));
        let passed = password.inside();
        let (others, ()) = tokio::join!(
            async {
                let [a, b, c, d, e] =
                    hosts.map(|(name, inside)| password.get(&scope, name, "/usr/local/bin is not writable", inside));
                let (a, b, c, d, e) = tokio::join!(a, b, c, d, e);
                [a, b, c, d, e]
            },
            async {
                tokio::task::yield_now().await;
                drop(passed);
            }
        );
        for got in others {
            assert_eq!(got.unwrap().unwrap().expose(), "open sesame");
        }
        let question =
            "/usr/local/bin is not writable on a, b, c and 2 more: install through sudo? password (empty: no): ";
        assert_eq!(*asked.lock().unwrap(), [question]);
        let late = password.get(&scope, &host("late"), "/usr/local/bin is not writable", password.inside()).await;
        assert!(late.unwrap().is_some());
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn no_answer_is_a_no_and_not_asked_again() {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = count.clone();
        let prompt = Prompt::new(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok(String::new())
        });
        let (password, scope) = (SudoPassword::new(None, Some(prompt)), scope());
        for name in ["a", "b"] {
            assert!(
                password
                    .get(&scope, &host(name), "/usr/local/bin is not writable", password.inside())
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let none = SudoPassword::new(None, None);
        assert!(none.get(&scope, &host("a"), "/usr/local/bin is not writable", none.inside()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_wrong_password_is_tried_on_one_host_only() {
        let (password, scope) = (SudoPassword::new(Some(Secret::new("x")), None), scope());
        let tries = AtomicUsize::new(0);
        let hosts = ["a", "b", "c"].map(host);
        let [a, b, c] = hosts.each_ref().map(|host| {
            password.attempt(&scope, host, async {
                tokio::task::yield_now().await;
                tries.fetch_add(1, Ordering::SeqCst);
                Ok(Taken::Wrong("1 incorrect password attempt".into()))
            })
        });
        let (a, b, c) = tokio::join!(a, b, c);
        assert!(matches!(a, Ok(Ok(Taken::Wrong(_)))));
        for other in [b, c] {
            let text = other.err().unwrap().error;
            assert_eq!(text, "sudo on a did not take the password, so it was not tried here");
        }
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_right_password_is_tried_once_alone_and_then_by_all() {
        let (password, scope) = (SudoPassword::new(Some(Secret::new("x")), None), scope());
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hosts = ["a", "b", "c", "d"].map(host);
        let attempt = |host| {
            password.attempt(&scope, host, async {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Taken::Yes)
            })
        };
        assert!(matches!(attempt(&hosts[0]).await, Ok(Ok(Taken::Yes))));
        assert_eq!(most.load(Ordering::SeqCst), 1);
        let [_, b, c, d] = hosts.each_ref().map(attempt);
        let (b, c, d) = tokio::join!(b, c, d);
        assert!([b, c, d].iter().all(|got| matches!(got, Ok(Ok(Taken::Yes)))));
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
}
