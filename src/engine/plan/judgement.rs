//! Whether a host can have it: the verdicts of preflight on what was asked for, and what becomes of them.

use super::selection;
use crate::{
    catalog::Catalog,
    engine::request::{Binary, BuildPlace, InstallRequest},
    preflight::check::{self, Grade, Role, Verdict},
    vocab::{Facts, Host, WorkerMeta},
};

/// Why a host will not get what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub text: String,
    pub hint: Option<String>,
}

impl Refusal {
    pub fn new(text: impl Into<String>, hint: Option<&str>) -> Self {
        Self { text: text.into(), hint: hint.map(str::to_owned) }
    }
}

/// Judges a host for what it would get, without planning how.
pub fn judge(
    catalog: &Catalog,
    host: &Host,
    request: &InstallRequest,
    facts: &Facts,
) -> (Vec<Verdict>, Option<Refusal>) {
    let general = || judge_receive(facts, request.system);
    let verdicts = if !request.binaries.is_empty() {
        selection::binary(request, facts).map(|binary| judge_binary(facts, binary, request.system))
    } else if request.worker.is_none() && host.workers.is_empty() {
        Ok(general())
    } else {
        // Who builds for several is not known before all of them were seen.
        let role = match request.build {
            BuildPlace::Each => Role::BuildAndReceive,
            BuildPlace::Auto | BuildPlace::Host | BuildPlace::Local => Role::Receive,
        };
        selection::wanted(catalog, host, request, facts).map(|recipes| {
            let mut verdicts: Vec<Verdict> = Vec::new();
            for verdict in
                recipes.iter().flat_map(|(recipe, _)| judge_build(facts, &recipe.worker, role, request.system))
            {
                if !verdicts.contains(&verdict) {
                    verdicts.push(verdict);
                }
            }
            verdicts
        })
    };
    match verdicts {
        Ok(verdicts) => {
            let refusal = refuse(&verdicts).err();
            (verdicts, refusal)
        }
        Err(refusal) => (general(), Some(refusal)),
    }
}

/// Judges a host for whatever it may get.
pub(super) fn judge_receive(facts: &Facts, system: bool) -> Vec<Verdict> {
    check::check(facts, &check::Request { role: Role::Receive, worker: None, program: None, size: None, system })
}

/// Judges a host for a ready program.
pub(super) fn judge_binary(facts: &Facts, binary: &Binary, system: bool) -> Vec<Verdict> {
    let (program, size) = (Some(&binary.program), Some(binary.size));
    check::check(facts, &check::Request { role: Role::Receive, worker: None, program, size, system })
}

/// Judges a host for a worker.
pub fn judge_build(facts: &Facts, worker: &WorkerMeta, role: Role, system: bool) -> Vec<Verdict> {
    check::check(facts, &check::Request { role, worker: Some(worker), program: None, size: None, system })
}

/// # Errors
/// What stands against it, all of it.
pub fn refuse(verdicts: &[Verdict]) -> Result<(), Refusal> {
    let no: Vec<_> = verdicts.iter().filter(|v| v.grade == Grade::No).collect();
    if no.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        text: no.iter().map(|v| v.text.as_str()).collect::<Vec<_>>().join("; "),
        hint: no.iter().find_map(|v| v.hint.clone()),
    })
}
