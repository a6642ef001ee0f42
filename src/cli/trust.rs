//! `rbee fleet trust`: the table, the question, and what comes of the answer.

use super::{answer, tell};
use crate::{
    engine::{
        Conclusion, Run,
        trust::{self, Decision},
    },
    report::Screen,
    scope::{Prompt, Scope},
    target::ssh::Station,
    vocab::text::counted,
};

/// Decides about the new keys of all hosts, and carries that out; yields whether the table was shown with the question.
pub async fn ceremony(
    scope: &Scope,
    run: &Run,
    prompt: Option<&Prompt>,
    screen: Option<&Screen>,
    accept_new: bool,
    conclusion: &mut Conclusion,
) -> bool {
    let proposed = trust::proposals(conclusion);
    if proposed.is_empty() {
        return false;
    }
    let what = what(&proposed, &run.settings.home.to_string_lossy());
    let (decision, shown) = match (accept_new, prompt, scope.check()) {
        (_, _, Err(stop)) => (Decision::Stopped(stop), false),
        (true, _, Ok(())) => (Decision::Write, false),
        (false, None, Ok(())) => (declined("not all of its keys are known, and nobody can be asked"), false),
        (false, Some(prompt), Ok(())) => {
            let show = || tell(&answer::keys_table(conclusion));
            match screen {
                Some(screen) => screen.suspend(show),
                None => show(),
            }
            let decision = match scope.race(prompt.line(format!("write {what}? [y/N] "))).await {
                Ok(Ok(answer)) if ["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()) => Decision::Write,
                Ok(Ok(_)) => declined("not all of its keys are known, and they were not agreed to"),
                Ok(Err(error)) => declined(&format!("not all of its keys are known, and nobody answered: {error}")),
                Err(stop) => Decision::Stopped(stop),
            };
            (decision, true)
        }
    };
    trust::settle(scope, run, conclusion, &decision);
    if matches!(decision, Decision::Write) && conclusion.summary.hosts.iter().all(|host| host.report.outcome.is_ok()) {
        tell(&format!("wrote {what}\n"));
    }
    shown
}

fn declined(error: &str) -> Decision {
    Decision::Decline {
        error: error.to_owned(),
        hint: "compare the fingerprints and run this at a terminal; --accept-new takes new keys as they are".to_owned(),
    }
}

/// `12 new keys of 5 hosts to ~/.ssh/known_hosts`
fn what(proposed: &[Station], home: &str) -> String {
    let keys: usize = proposed.iter().map(|station| station.new_keys().count()).sum();
    let mut files: Vec<String> = Vec::new();
    for file in proposed.iter().filter_map(|station| station.file.as_ref()) {
        let file = file.display().to_string();
        let file = match file.strip_prefix(home) {
            Some(rest) if rest.starts_with('/') => format!("~{rest}"),
            _ => file,
        };
        if !files.contains(&file) {
            files.push(file);
        }
    }
    let to = match files.len() {
        0..=3 => files.join(", "),
        n => format!("{} and {} other files", files[0], n - 1),
    };
    format!("{} of {} to {to}", counted(keys, "new key"), counted(proposed.len(), "host"))
}
