//! Questions of a server's own (a code, a second step), from servers made for it.

use std::{
    borrow::Cow,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use rbee::{
    scope::Prompt,
    target::ssh::{Connector, Password, People, config::SshConfig},
    vocab::{Host, HostName, Route, Secret, host::SshRoute},
};
use russh::{
    MethodKind, MethodSet,
    keys::{Algorithm, PrivateKey},
    server::{self, Auth, Handler, Response},
};

use super::{NO_ERRORS, scope, sshd::Lab};

/// What is asked in one step (with whether the answer may be seen), and what has to be answered.
type Step = (&'static [(&'static str, bool)], &'static [&'static str]);

/// One connection's way through the steps.
struct Quiz {
    steps: &'static [Step],
    at: usize,
    answers: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Quiz {
    fn ask(&self) -> Auth {
        match self.steps.get(self.at) {
            None => Auth::Accept,
            Some((prompts, _)) => Auth::Partial {
                name: "Quiz".into(),
                instructions: "\u{1b}[2Jread this".into(),
                prompts: prompts.iter().map(|(text, shown)| (Cow::Borrowed(*text), *shown)).collect::<Vec<_>>().into(),
            },
        }
    }
}

impl Handler for Quiz {
    type Error = russh::Error;

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(response) = response else {
            self.at = 0;
            return Ok(self.ask());
        };
        let given: Vec<String> = response.map(|answer| String::from_utf8(answer.to_vec()).unwrap()).collect();
        self.answers.lock().unwrap().push(given.clone());
        if given != self.steps[self.at].1 {
            let methods = MethodSet::from(&[MethodKind::KeyboardInteractive][..]);
            return Ok(Auth::Reject { proceed_with_methods: Some(methods), partial_success: false });
        }
        self.at += 1;
        Ok(self.ask())
    }
}

/// Servers that all ask the same, and what they were answered.
struct Quizzes {
    lab: Lab,
    names: Vec<String>,
    answers: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Quizzes {
    async fn start(count: usize, steps: &'static [Step]) -> Self {
        let lab = Lab::new(&[]);
        let answers = Arc::new(Mutex::new(Vec::new()));
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let (mut config, mut known) = (String::new(), String::new());
        let public = key.public_key().to_openssh().unwrap();
        let server = Arc::new(server::Config {
            keys: vec![key],
            methods: MethodSet::from(&[MethodKind::KeyboardInteractive][..]),
            auth_rejection_time: Duration::from_millis(10),
            max_auth_attempts: 20,
            ..server::Config::default()
        });
        let names: Vec<String> = (0..count).map(|nth| format!("h{nth}")).collect();
        for name in &names {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            config += &format!("Host {name}\n  HostName 127.0.0.1\n  Port {port}\n");
            known += &format!("[127.0.0.1]:{port} {public}\n");
            let (server, answers) = (server.clone(), answers.clone());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let quiz = Quiz { steps, at: 0, answers: answers.clone() };
                    if let Ok(session) = server::run_stream(server.clone(), stream, quiz).await {
                        tokio::spawn(session);
                    }
                }
            });
        }
        fs::write(lab.known_hosts(), known).unwrap();
        let all = format!(
            "UserKnownHostsFile {}\nIdentityAgent none\nIdentityFile none\nUser bob\n{config}",
            lab.known_hosts().display()
        );
        fs::write(lab.ssh_config(), all).unwrap();
        Self { lab, names, answers }
    }

    async fn login(&self, people: People) -> Vec<String> {
        let config = SshConfig::load(Some(&self.lab.ssh_config()), &self.lab.home()).unwrap();
        let connector = Arc::new(Connector::with_people(&self.lab.settings(), config, people));
        let logins: Vec<_> = self
            .names
            .iter()
            .map(|name| {
                let host = Host::named(HostName::new(name).unwrap(), Route::Ssh(SshRoute::default()), "quiz");
                let connector = connector.clone();
                tokio::spawn(async move { connector.connect(&scope(), &host).await.map(drop) })
            })
            .collect();
        let mut errors = Vec::new();
        for login in logins {
            errors.extend(login.await.unwrap().err().map(|error| error.to_string()));
        }
        errors
    }
}

/// A person with these answers, and the questions that were put.
fn person(answers: &'static [&'static str]) -> (People, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let questions = asked.clone();
    let prompt = Prompt::new(move |question| {
        let mut questions = questions.lock().unwrap();
        questions.push(format!("{}{}", question.text, if question.secret { "" } else { "(shown)" }));
        Ok(answers.get(questions.len() - 1).copied().unwrap_or_default().to_owned())
    });
    (People { prompt: Some(prompt), ..People::default() }, asked)
}

const TWO_STEPS: &[Step] = &[
    (&[("Password: ", false)], &["open sesame"]),
    (&[], &[]),
    (&[("\u{1b}[31mCode: ", true), ("PIN: ", false)], &["123", "4"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_question_is_put_once_for_all_hosts() {
    let quizzes = Quizzes::start(6, TWO_STEPS).await;
    let (people, asked) = person(&["open sesame", "123", "4"]);
    assert_eq!(quizzes.login(people).await, NO_ERRORS);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].starts_with("password for bob@h") && !asked[0].ends_with("(shown)"), "{asked:?}");
    assert!(asked[1].ends_with(") Code: (shown)") && !asked[1].contains('\u{1b}'), "{asked:?}");
    assert!(asked[2].ends_with(") PIN: "), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_costs_one_host_one_try() {
    let quizzes = Quizzes::start(4, TWO_STEPS).await;
    // The password is asked for again, too: which of the two was wrong, nobody says.
    let (people, asked) = person(&["open sesame", "999", "4", "open sesame", "123", "4"]);
    assert_eq!(quizzes.login(people).await, NO_ERRORS);
    assert_eq!(asked.lock().unwrap().len(), 6);
    let wrong = quizzes.answers.lock().unwrap().iter().filter(|given| given.contains(&"999".to_owned())).count();
    assert_eq!(wrong, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_no_answer_to_another_question() {
    let quizzes = Quizzes::start(2, &[(&[("Code: ", false)], &["123"])]).await;
    let password = Password { secret: Secret::new("open sesame"), typed: false };
    let errors = quizzes.login(People { password: Some(password), ..People::default() }).await;
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains("nobody can be asked what the server asks: \"Code:\""), "{errors:?}");
    assert!(quizzes.answers.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_password_is_not_answered_with_the_password() {
    const EXPIRED: &[Step] =
        &[(&[("Password: ", false)], &["open sesame"]), (&[("New password: ", false)], &["never"])];
    let quizzes = Quizzes::start(1, EXPIRED).await;
    let password = Password { secret: Secret::new("open sesame"), typed: false };
    let errors = quizzes.login(People { password: Some(password), ..People::default() }).await;
    assert!(errors[0].contains("\"New password:\""), "{errors:?}");
    assert_eq!(*quizzes.answers.lock().unwrap(), [["open sesame"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_ever_is_left() {
    const MANY: Step = (&[("?", true); 17], &[]);
    let quizzes = Quizzes::start(1, &[MANY]).await;
    let (people, asked) = person(&[]);
    let errors = quizzes.login(people).await;
    assert!(errors[0].contains("asks too much at a time"), "{errors:?}");
    assert!(asked.lock().unwrap().is_empty());
    const NOTHING: Step = (&[], &[]);
    let quizzes = Quizzes::start(1, &[NOTHING; 40]).await;
    let (people, _) = person(&[]);
    let errors = quizzes.login(people).await;
    assert!(errors[0].contains("does not stop asking"), "{errors:?}");
}
