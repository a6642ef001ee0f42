//! The ceremony that makes hosts known: keys are gathered from all of them, agreed to once, and written.
//!
//! # Theory of operation
//! The first half is a host's job like any other: [`gather`] looks at the keys of the host and of its bastions, and a key
//! that has changed or is revoked fails it there. What is new waits until every host was looked at. Then the front door
//! decides, once, over [`proposals`], and [`settle`] carries that out and says it in each host's report.

use std::collections::BTreeMap;

use super::{Conclusion, Failure, Finding, Run};
use crate::{
    scope::{Scope, Stop},
    target::ssh::{KeyState, Station},
    vocab::{EventKind, Host, HostReport, Outcome, Reason},
};

/// What was decided about all new keys.
#[derive(Debug)]
pub enum Decision {
    Write,
    /// Nobody agreed; why, and what to do.
    Decline {
        error: String,
        hint: String,
    },
    /// The run ended first.
    Stopped(Stop),
}

/// Looks at the keys of a host and of what stands before it.
///
/// # Errors
/// What kept them from being seen, or must not be believed; `found` has what was seen.
pub(super) async fn gather(
    scope: &Scope,
    run: &Run,
    host: &Host,
    propose: bool,
    found: &mut Vec<Station>,
) -> Result<(), Failure> {
    let survey = run.fleet.host_keys(scope, host, propose).await?;
    *found = survey.stations;
    // A bastion whose key is in doubt is the better reason why nothing behind it was seen.
    match (doubt(found), survey.failed) {
        (Some(doubt), _) => Err(doubt),
        (None, Some(failed)) => Err(failed.into()),
        (None, None) => Ok(()),
    }
}

/// Why nobody may make a server known by a yes, if it is so.
fn doubt(stations: &[Station]) -> Option<Failure> {
    let (station, key) = stations.iter().find_map(|station| Some((station, station.doubt()?)))?;
    let (error, hint) = match &key.state {
        KeyState::Changed { place, remove } => (
            format!(
                "the key of {} has changed: it shows the {} key {}, and {place} has another; \
                 somebody may be listening in, or the host was set up anew",
                station.name, key.kind, key.fingerprint
            ),
            format!("compare the fingerprint on the host itself; if it is right, remove the old key with: {remove}"),
        ),
        KeyState::Revoked(why) => {
            (format!("{}: {why}", station.name), "do not connect; ask who runs the host for its new key".to_owned())
        }
        KeyState::New | KeyState::Known(_) => return None,
    };
    Some(Failure::new(error).because(Some(Reason::HostKey)).hint(Some(hint)))
}

/// What a host's keys come to, in words.
pub(super) fn words(stations: &[Station]) -> String {
    let all: usize = stations.iter().map(|station| station.keys.len()).sum();
    let new: usize = stations.iter().map(|station| station.new_keys().count()).sum();
    match (all, new) {
        (0, _) => "it has no keys".into(),
        (1, 0) => "its key is known".into(),
        (_, 0) => format!("all {all} keys are known"),
        (_, _) => format!("{new} of {all} keys {} new", if new == 1 { "is" } else { "are" }),
    }
}

/// Every server that was seen, once; bastions first.
pub fn stations(conclusion: &Conclusion) -> Vec<Station> {
    let chains = conclusion.summary.hosts.iter().filter_map(|host| {
        conclusion.findings.get(&host.host)?.iter().find_map(|finding| match finding {
            Finding::Trust(stations) => Some(stations),
            _ => None,
        })
    });
    let mut once: Vec<Station> = Vec::new();
    let (bastions, hosts): (Vec<&Station>, Vec<&Station>) = chains.flatten().partition(|station| station.bastion);
    for station in bastions.into_iter().chain(hosts) {
        if !once.iter().any(|o| (&o.host, &o.name, &o.file) == (&station.host, &station.name, &station.file)) {
            once.push(station.clone());
        }
    }
    once
}

/// The servers that have keys to be agreed to.
pub fn proposals(conclusion: &Conclusion) -> Vec<Station> {
    stations(conclusion).into_iter().filter(|station| station.new_keys().next().is_some()).collect()
}

/// Carries the decision out; each host it concerns gets a new report, and the run a new end.
pub fn settle(scope: &Scope, run: &Run, conclusion: &mut Conclusion, decision: &Decision) {
    let proposed = proposals(conclusion);
    let results = match decision {
        Decision::Write => run.fleet.trust(&proposed),
        Decision::Decline { .. } | Decision::Stopped(_) => Vec::new(),
    };
    let written: BTreeMap<&str, &Result<(), String>> =
        proposed.iter().map(|station| station.name.as_str()).zip(&results).collect();
    for host in &mut conclusion.summary.hosts {
        let Some(Finding::Trust(chain)) = conclusion.findings.get(&host.host).and_then(|found| found.first()) else {
            continue;
        };
        let new: Vec<&Station> = chain.iter().filter(|station| station.new_keys().next().is_some()).collect();
        if new.is_empty() || !host.report.outcome.is_ok() {
            continue;
        }
        let wrong = new.iter().find_map(|station| written.get(station.name.as_str())?.as_ref().err());
        let report = match (decision, wrong) {
            (Decision::Write, Some(why)) => Failure::new(why).because(Some(Reason::HostKey)).report(),
            (Decision::Write, None) => {
                let count: usize = new.iter().map(|station| station.new_keys().count()).sum();
                let keys = if count == 1 { "1 key was".to_owned() } else { format!("{count} keys were") };
                HostReport { done: vec![format!("{keys} made known")], ..HostReport::of(Outcome::Changed) }
            }
            (Decision::Decline { error, hint }, _) => {
                Failure::new(error).because(Some(Reason::HostKey)).hint(Some(hint)).report()
            }
            (Decision::Stopped(stop), _) => Failure::from(stop.clone()).report(),
        };
        host.report = HostReport { elapsed: host.report.elapsed, ..report };
        scope.for_host(&host.host).events().emit(EventKind::HostFinished(host.report.clone()));
    }
    conclusion.summary.exit = super::dispatch::exit(scope, &conclusion.summary.hosts);
    scope.events().emit(EventKind::Summary(conclusion.summary.clone()));
}
