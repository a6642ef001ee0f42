//! What only a person knows, asked for once and used for all hosts whose server asks the same.
//!
//! # Theory of operation
//! Answers are kept for each remote user and each form of question. One that no server has taken yet is tried on one host
//! only, while the others that ask the same wait: so a mistyped password is refused once and not by thirty hosts at a
//! time. Taken once, it is used for all of them; refused as often as a person may be asked, or refused where nobody can be
//! asked, it is tried nowhere else.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::keys::KeyStore;
use crate::{
    scope::Prompt,
    vocab::{Secret, text},
};

/// What a question may show of a server's words.
const QUESTION_LIMIT: usize = 400;

/// Where a password comes from before any server asks.
#[derive(Debug, Clone)]
pub struct Password {
    pub secret: Secret,
    /// The person who gave it can be asked again.
    pub typed: bool,
}

/// Everything that logins of a run share.
pub(super) struct Secrets {
    pub keys: KeyStore,
    prompt: Option<Prompt>,
    password: Option<Password>,
    users: Mutex<HashMap<String, Arc<AsyncMutex<Answers>>>>,
}

type Answers = HashMap<Form, State>;

/// What is asked: two servers that ask the same get the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The password of the account, however it is asked for.
    Password,
    Questions(Vec<Question>),
}

/// One question of a server's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub text: String,
    /// The answer may be seen while it is typed.
    pub shown: bool,
}

#[derive(Debug)]
enum State {
    /// Somebody has to be asked; so often was the answer wrong.
    Wanted {
        wrong: u32,
    },
    Unproven {
        answers: Vec<Secret>,
        wrong: u32,
        typed: bool,
    },
    /// With the host that took them.
    Proven {
        answers: Vec<Secret>,
        by: String,
    },
    /// Says why nobody is asked and nothing is tried any more.
    Closed(String),
}

/// The answers to one host's questions, until its login has an end.
pub(super) struct Talk<'a> {
    secrets: &'a Secrets,
    answers: Arc<AsyncMutex<Answers>>,
    /// Held from the first answer that nobody has taken yet until the server's verdict.
    trial: Option<OwnedMutexGuard<Answers>>,
    /// What this server was given since its last verdict.
    given: Vec<Form>,
    /// What others took and this server did not.
    refused: HashSet<Form>,
    user: String,
    host: String,
    tries: u32,
    /// Whether a person was asked or waited for.
    pub waited: bool,
}

impl Secrets {
    /// Secrets that are asked for through `prompt`, or never; `password` is known from the start.
    pub(super) fn new(prompt: Option<Prompt>, password: Option<Password>) -> Self {
        Self { keys: KeyStore::new(prompt.clone()), prompt, password, users: Mutex::default() }
    }

    /// Whether a question for a password can have an answer at all.
    pub(super) fn can_answer(&self) -> bool {
        self.prompt.is_some() || self.password.is_some()
    }

    /// Begins the talk with `host`, which may ask `tries` times.
    pub(super) fn talk(&self, user: &str, host: &str, tries: u32) -> Talk<'_> {
        let answers = {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.entry(user.to_owned()).or_insert_with(|| Arc::new(AsyncMutex::new(self.known()))).clone()
        };
        Talk {
            secrets: self,
            answers,
            trial: None,
            given: Vec::new(),
            refused: HashSet::new(),
            user: user.to_owned(),
            host: host.to_owned(),
            tries,
            waited: false,
        }
    }

    fn known(&self) -> Answers {
        let password = self.password.iter().map(|password| {
            let answers = vec![password.secret.clone()];
            (Form::Password, State::Unproven { answers, wrong: 0, typed: password.typed })
        });
        password.collect()
    }
}

impl Talk<'_> {
    /// The answers to `form`; asks for them, or waits until the host that tries them has a verdict.
    ///
    /// # Errors
    /// Why there is none, as a fragment.
    pub(super) async fn answers(&mut self, form: &Form) -> Result<Vec<Secret>, String> {
        let mut guard = match self.trial.take() {
            Some(guard) => guard,
            None => match self.answers.clone().try_lock_owned() {
                Ok(guard) => guard,
                Err(_) => {
                    self.waited = true;
                    self.answers.clone().lock_owned().await
                }
            },
        };
        let state = guard.entry(form.clone()).or_insert(State::Wanted { wrong: 0 });
        let result = match state {
            State::Proven { by, .. } if self.refused.contains(form) => {
                Err(format!("the {} that {by} took was refused here", form.noun()))
            }
            State::Proven { answers, .. } => Ok(answers.clone()),
            State::Closed(why) => Err(why.clone()),
            State::Unproven { answers, .. } => Ok(answers.clone()),
            State::Wanted { wrong } => {
                let wrong = *wrong;
                self.waited |= self.secrets.prompt.is_some();
                match self.ask(form, wrong).await {
                    Ok(answers) => {
                        *state = State::Unproven { answers: answers.clone(), wrong, typed: true };
                        Ok(answers)
                    }
                    Err(why) => {
                        *state = State::Closed(why.clone());
                        Err(why)
                    }
                }
            }
        };
        if result.is_ok() {
            self.given.push(form.clone());
        }
        if self.given.iter().any(|form| matches!(guard.get(form), Some(State::Unproven { .. }))) {
            self.trial = Some(guard);
        }
        result
    }

    async fn ask(&self, form: &Form, wrong: u32) -> Result<Vec<Secret>, String> {
        let Some(prompt) = &self.secrets.prompt else {
            return Err(match form {
                Form::Password => "nobody can be asked for it; give it with --password-file".to_owned(),
                Form::Questions(questions) => {
                    let first = questions.first().map(|question| shortened(&question.text)).unwrap_or_default();
                    format!("nobody can be asked what the server asks: \"{}\"", first.trim())
                }
            });
        };
        let again = if wrong == 0 { "" } else { "that was wrong; " };
        let Self { user, host, .. } = self;
        let failed = |error: std::io::Error| format!("it was asked for and not given: {error}");
        match form {
            Form::Password => {
                let question = format!("{again}password for {user}@{host} (used for all hosts that ask): ");
                let answer = prompt.secret(question).await.map(Secret::new).map_err(failed)?;
                if answer.expose().is_empty() {
                    return Err("no password was given".to_owned());
                }
                Ok(vec![answer])
            }
            Form::Questions(questions) => {
                let mut answers = Vec::with_capacity(questions.len());
                for (nth, question) in questions.iter().enumerate() {
                    let again = if nth == 0 { again } else { "" };
                    let text = format!("{again}({user}@{host}) {} ", shortened(&question.text).trim());
                    let answer = if question.shown { prompt.line(text).await } else { prompt.secret(text).await };
                    answers.push(Secret::new(answer.map_err(failed)?));
                }
                Ok(answers)
            }
        }
    }

    /// The server took what it was given.
    pub(super) fn right(&mut self) {
        if let Some(mut answers) = self.trial.take() {
            for form in &self.given {
                if let Some(state) = answers.get_mut(form)
                    && let State::Unproven { answers, .. } = state
                {
                    *state = State::Proven { answers: std::mem::take(answers), by: self.host.clone() };
                }
            }
        }
        self.given.clear();
    }

    /// The server refused what it was given.
    pub(super) async fn wrong(&mut self) {
        let mut answers = match self.trial.take() {
            Some(answers) => answers,
            None => self.answers.clone().lock_owned().await,
        };
        for form in self.given.drain(..) {
            let Some(state) = answers.get_mut(&form) else { continue };
            match state {
                State::Unproven { wrong, typed, .. } => {
                    let wrong = *wrong + 1;
                    *state = if *typed && self.secrets.prompt.is_some() && wrong < self.tries {
                        State::Wanted { wrong }
                    } else {
                        let noun = form.noun();
                        State::Closed(format!("{} refused the {noun}, so it is not tried on other hosts", self.host))
                    };
                }
                // Right elsewhere: a password is another one here, and an answer of the moment has had its time.
                State::Proven { .. } if form == Form::Password => {
                    self.refused.insert(form);
                }
                State::Proven { .. } => *state = State::Wanted { wrong: 0 },
                State::Wanted { .. } | State::Closed(_) => {}
            }
        }
    }
}

impl Form {
    fn noun(&self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Questions(_) => "answer",
        }
    }
}

fn shortened(words: &str) -> String {
    text::plain_line(&words.chars().take(QUESTION_LIMIT).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Secrets of a person who gives these answers, and how often they were asked.
    fn person(answers: &'static [&'static str]) -> (Arc<Secrets>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let prompt = Prompt::new(move |_| Ok(answers[count.fetch_add(1, Ordering::SeqCst)].to_owned()));
        (Arc::new(Secrets::new(Some(prompt), None)), asked)
    }

    /// A login of one host that takes `right`; how many tries it was given, and whether it ended well.
    async fn login(secrets: &Secrets, host: &str, right: &str) -> (u32, bool) {
        let mut talk = secrets.talk("bob", host, 3);
        let mut tries = 0;
        while let Ok(answers) = talk.answers(&Form::Password).await {
            tries += 1;
            tokio::task::yield_now().await;
            if answers[0].expose() == right {
                talk.right();
                return (tries, true);
            }
            talk.wrong().await;
        }
        (tries, false)
    }

    async fn thirty(secrets: Arc<Secrets>, right: &'static str) -> (u32, u32) {
        let all: Vec<_> = (0..30)
            .map(|n| {
                let secrets = secrets.clone();
                tokio::spawn(async move { login(&secrets, &format!("host{n}"), right).await })
            })
            .collect();
        let (mut tries, mut well) = (0, 0);
        for one in all {
            let (tried, ok) = one.await.unwrap();
            tries += tried;
            well += u32::from(ok);
        }
        (tries, well)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_question_serves_thirty_hosts() {
        let (secrets, asked) = person(&["open sesame"]);
        assert_eq!(thirty(secrets, "open sesame").await, (30, 30));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_typing_error_is_refused_by_one_host_only() {
        let (secrets, asked) = person(&["open barley", "open sesame"]);
        assert_eq!(thirty(secrets, "open sesame").await, (31, 30));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_password_is_tried_nowhere_else() {
        let (secrets, asked) = person(&["a", "b", "c"]);
        assert_eq!(thirty(secrets, "open sesame").await, (3, 0));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let from_file = Password { secret: Secret::new("open barley"), typed: false };
        assert_eq!(thirty(Arc::new(Secrets::new(None, Some(from_file))), "open sesame").await, (1, 0));
    }

    #[tokio::test]
    async fn a_host_with_another_password_is_not_asked_about() {
        let (secrets, asked) = person(&["open sesame"]);
        assert_eq!(login(&secrets, "one", "open sesame").await, (1, true));
        assert_eq!(login(&secrets, "two", "something else").await, (1, false));
        assert_eq!(login(&secrets, "three", "open sesame").await, (1, true));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_was_typed_outlives_a_login_that_was_cut_off() {
        let (secrets, asked) = person(&["open sesame"]);
        let mut cut = secrets.talk("bob", "one", 3);
        cut.answers(&Form::Password).await.unwrap();
        drop(cut);
        assert_eq!(login(&secrets, "one", "open sesame").await, (1, true));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // Another account is another password.
        let mut other = Secrets::new(None, None).talk("eve", "one", 3).answers(&Form::Password).await;
        assert!(other.as_mut().unwrap_err().contains("--password-file"), "{other:?}");
    }

    #[tokio::test]
    async fn a_code_of_the_moment_is_asked_for_again() {
        let (secrets, asked) = person(&["111", "222"]);
        let form = Form::Questions(vec![Question { text: "Code: ".to_owned(), shown: true }]);
        for (host, code) in [("one", "111"), ("two", "222")] {
            let mut talk = secrets.talk("bob", host, 3);
            loop {
                if talk.answers(&form).await.unwrap()[0].expose() == code {
                    talk.right();
                    break;
                }
                talk.wrong().await;
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
