//! Root's rights on a host: found out in preflight, proven before the first change.

use std::time::Duration;

use super::{Failure, Run, sudo_password::Inside};
use crate::{
    install::{
        InstallError,
        sudo::{self, AskError, Asked, Hands, Places, Right, Sudo, Taken, sudoers_lines},
    },
    scope::Scope,
    target::{Target, TargetError},
    vocab::{Facts, Host, Level, Phase, Reason, Secret},
};

/// Sudo itself answers at once; what it may wait for is a name server or a directory.
const LIMIT: Duration = Duration::from_secs(15);

/// What preflight found out about root on one host.
pub struct Rights {
    /// The programs that need root; none, and the rest says nothing.
    places: Vec<Places>,
    asked: Option<Asked>,
    password: Option<Secret>,
}

impl Rights {
    fn asked(places: Vec<Places>, asked: Asked) -> Self {
        Self { places, asked: Some(asked), password: None }
    }
}

/// Asks sudo what it grants for `places`, without changing anything; a dry run asks nobody for a password.
///
/// # Errors
/// A refusal with the sudoers lines that would be enough.
#[expect(clippy::too_many_arguments, reason = "a door of the engine, called twice")]
pub async fn look(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    places: Vec<Places>,
    inside: Inside<'_>,
    dry_run: bool,
) -> Result<Rights, Failure> {
    if places.is_empty() {
        return Ok(Rights { places, asked: None, password: None });
    }
    let scope = scope.in_phase(Phase::Preflight);
    let rights = Rights::asked(places.clone(), ask(&scope, target, &places, false).await?);
    if dry_run {
        return match rights.asked.as_ref().map(|asked| asked.right.clone()) {
            Some(Right::Password) if run.sudo.may_have() => {
                scope.notice(Level::Info, "sudo there asks for a password", None);
                Ok(rights)
            }
            Some(Right::Password | Right::Terminal) => Err(no_right(facts, &rights)),
            _ => Ok(rights),
        };
    }
    with_password(&scope, run, host, facts, rights, inside).await
}

/// Has root's rights from here on: asks what preflight did not ask, and tries the password.
///
/// # Errors
/// A password that is not taken, or rights that are not enough.
pub async fn prove(
    scope: &Scope,
    run: &Run,
    host: &Host,
    target: &dyn Target,
    facts: &Facts,
    mut rights: Rights,
) -> Result<Hands, Failure> {
    let scope = &scope.in_phase(Phase::Preflight);
    if rights.asked.as_ref().is_some_and(|asked| asked.right == Right::Unasked) {
        let asked = ask(scope, target, &rights.places, true).await?;
        rights =
            with_password(scope, run, host, facts, Rights { asked: Some(asked), ..rights }, run.sudo.inside()).await?;
    }
    let Some(asked) = &rights.asked else { return Ok(Hands::Own) };
    let sudo = Sudo { tools: asked.tools.clone(), password: rights.password.clone() };
    if sudo.password.is_some() {
        let limited = scope.within("sudo with a password", LIMIT * 2);
        let taken = run.sudo.attempt(scope, &host.name, sudo::prove(&limited, target, &sudo)).await?;
        match taken.map_err(root_stays)? {
            Taken::Yes => {}
            Taken::Wrong(words) => {
                return Err(Failure::new(format!("sudo on {} did not take the password: {words}", host.name))
                    .because(Some(Reason::Auth))
                    .hint(Some("it was tried once, and nothing was changed there")));
            }
            Taken::NotAllowed(words) => {
                let asked = Asked { words, ..asked.clone() };
                return Err(no_right(facts, &Rights { asked: Some(asked), ..rights }));
            }
        }
    }
    Ok(Hands::Root(Box::new(sudo)))
}

/// Adds the lines that would have been enough to what sudo refused in the middle.
pub fn explain(error: InstallError, hands: &Hands, places: &Places, facts: &Facts) -> Failure {
    let lines = match (&error, hands) {
        (InstallError::Root { .. }, Hands::Root(sudo)) => {
            Some(hint(&sudoers_lines(&facts.user, facts.uid, &sudo.tools, std::slice::from_ref(places))))
        }
        _ => None,
    };
    Failure::from(error).hint(lines)
}

async fn ask(scope: &Scope, target: &dyn Target, places: &[Places], first_use: bool) -> Result<Asked, Failure> {
    let limited = scope.within("asking sudo, which may wait for a name server,", LIMIT);
    sudo::ask(&limited, target, places, first_use).await.map_err(|error| match error {
        AskError::Target(error) => root_stays(error),
        AskError::Missing(_) => Failure::refused(error.to_string(), None),
    })
}

/// Gets the password where one is needed.
async fn with_password(
    scope: &Scope,
    run: &Run,
    host: &Host,
    facts: &Facts,
    rights: Rights,
    inside: Inside<'_>,
) -> Result<Rights, Failure> {
    let right = rights.asked.as_ref().map(|asked| asked.right.clone());
    match right {
        Some(Right::Terminal) => Err(no_right(facts, &rights)),
        Some(Right::Password) => {
            let why = format!("{} is not writable", rights.places.first().map_or("", Places::bin));
            match run.sudo.get(scope, &host.name, &why, inside).await? {
                Some(password) => Ok(Rights { password: Some(password), ..rights }),
                None => Err(no_right(facts, &rights)),
            }
        }
        _ => Ok(rights),
    }
}

fn no_right(facts: &Facts, rights: &Rights) -> Failure {
    let Rights { places, asked: Some(asked), .. } = rights else {
        return Failure::refused("sudo was not asked", None);
    };
    let bin = places.first().map_or("", Places::bin);
    let mut lines = sudoers_lines(&facts.user, facts.uid, &asked.tools, places);
    let terminal = asked.right == Right::Terminal;
    if terminal {
        lines = format!("Defaults:{} !requiretty\n{lines}", facts.user);
    }
    let text = format!("{bin} is not writable, and sudo there says: {}", asked.words);
    Failure::refused(text, Some(hint(&lines) + if terminal { "" } else { "\nor say --ask-sudo-pass" }))
}

fn hint(lines: &str) -> String {
    format!("these lines would be enough (visudo -f /etc/sudoers.d/rbee on the host):\n{lines}")
}

/// What a step that root did not finish in time leaves behind.
fn root_stays(error: TargetError) -> Failure {
    let unconfirmed = matches!(error, TargetError::Unconfirmed { .. });
    let mut failure = Failure::from(error);
    if unconfirmed {
        failure.error.push_str("; sudo runs as root, and only root could end it");
    }
    failure
}
