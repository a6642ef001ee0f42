//! Passwords, and questions of the server's own.

use std::{future::Future, time::Duration};

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Response, Prompt};

use super::{Attempt, Step};
use crate::{
    target::ssh::secrets::{Form, Question},
    vocab::Secret,
};

/// How long a server may think about an answer: it may ask a directory, or a telephone.
const SERVER_PATIENCE: Duration = Duration::from_secs(120);
/// Questions that a server may put at a time, and how often it may put some.
const QUESTIONS: usize = 16;
const ROUNDS: usize = 16;

impl Attempt<'_> {
    pub(super) async fn give_the_password(&mut self) -> Step {
        if self.passwords >= self.resolved.password_prompts {
            return Step::Nothing;
        }
        self.passwords += 1;
        let _held = self.pause.hold();
        let secret = match self.talk.answers(&Form::Password).await {
            Ok(answers) => answers.into_iter().next().unwrap_or_else(|| Secret::new("")),
            Err(why) => return self.without("the password", &why),
        };
        if self.handle.is_closed() {
            return Step::Over;
        }
        let user = self.resolved.user.as_str();
        match in_time(self.handle.authenticate_password(user, secret.expose())).await {
            Some(Ok(answer)) => {
                self.tale.offered.push("a password".to_owned());
                Step::Answer(answer)
            }
            Some(Err(_)) => Step::Over,
            None => self.silent("the password; it may want a new one, which \"ssh\" can be told once"),
        }
    }

    pub(super) async fn answer_questions(&mut self) -> Step {
        if self.dialogues >= self.resolved.password_prompts {
            return Step::Nothing;
        }
        // After a key was taken, a server may go through this method without a question.
        if !self.secrets.can_answer() && self.tale.taken.is_empty() {
            return self.without("keyboard-interactive", "nobody can be asked; give a password with --password-file");
        }
        self.dialogues += 1;
        let _held = self.pause.hold();
        let user = self.resolved.user.as_str();
        let mut response = in_time(self.handle.authenticate_keyboard_interactive_start(user, None)).await;
        for round in 0..ROUNDS {
            let prompts = match response {
                None => return self.silent("the answers"),
                Some(Err(_)) => return Step::Over,
                Some(Ok(Response::Success)) => return Step::Answer(AuthResult::Success),
                Some(Ok(Response::Failure { remaining_methods, partial_success })) => {
                    if round == 0 {
                        // It asked nothing: asking it again leads nowhere.
                        self.dialogues = self.resolved.password_prompts;
                    } else {
                        self.tale.offered.push("answers to its questions".to_owned());
                    }
                    return Step::Answer(AuthResult::Failure { remaining_methods, partial_success });
                }
                Some(Ok(Response::InfoRequest { name, instructions, prompts })) => {
                    self.fate.hear(&name);
                    self.fate.hear(&instructions);
                    prompts
                }
            };
            let mut answers = Vec::with_capacity(prompts.len());
            if prompts.len() > QUESTIONS {
                self.without("keyboard-interactive", "the server asks too much at a time");
                return Step::Over;
            }
            if !prompts.is_empty() {
                match self.talk.answers(&form(&prompts)).await {
                    Ok(given) => answers.extend(given.iter().map(|answer| answer.expose().to_owned())),
                    // The library waits for answers and hears nothing else: without them the connection is of no use.
                    Err(why) => {
                        self.without("keyboard-interactive", &why);
                        return Step::Over;
                    }
                }
            }
            response = in_time(self.handle.authenticate_keyboard_interactive_respond(answers)).await;
        }
        self.without("keyboard-interactive", "the server does not stop asking");
        Step::Over
    }

    fn without(&mut self, what: &str, why: &str) -> Step {
        let said = format!("{what} ({why})");
        if !self.tale.passed_over.contains(&said) {
            self.tale.passed_over.push(said);
        }
        Step::Nothing
    }

    fn silent(&mut self, to: &str) -> Step {
        self.without("what was asked for", &format!("the server did not answer to {to}"));
        Step::Over
    }
}

/// `None` when the server does not answer at all.
async fn in_time<T>(step: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(SERVER_PATIENCE, step).await.ok()
}

/// What is asked; one hidden question for a password is the account's password, as PAM asks for it.
fn form(prompts: &[Prompt]) -> Form {
    const OTHERS: [&str; 8] = ["new", "retype", "again", "current", "change", "one-time", "one time", "otp"];
    if let [Prompt { prompt, echo: false }] = prompts {
        let asked = prompt.to_lowercase();
        if asked.contains("password") && !OTHERS.iter().any(|other| asked.contains(other)) {
            return Form::Password;
        }
    }
    let question = |prompt: &Prompt| Question { text: prompt.prompt.clone(), shown: prompt.echo };
    Form::Questions(prompts.iter().map(question).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_from_other_questions() {
        let prompt = |prompt: &str, echo| Prompt { prompt: prompt.to_owned(), echo };
        assert_eq!(form(&[prompt("Password: ", false)]), Form::Password);
        assert_eq!(form(&[prompt("(bob@host) Password for bob@host:", false)]), Form::Password);
        for other in ["New password: ", "Retype new password: ", "(current) UNIX password: ", "Verification code: "] {
            assert!(matches!(form(&[prompt(other, false)]), Form::Questions(_)), "{other}");
        }
        assert!(matches!(form(&[prompt("Password: ", true)]), Form::Questions(_)));
        assert!(matches!(form(&[prompt("Password: ", false), prompt("Code: ", false)]), Form::Questions(_)));
    }
}
