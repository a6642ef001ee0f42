//! The answers of verbs that ask, for people: tables, and what does not fit into a row. For programs: [`super::document`].

use super::{
    args::{Global, OutputForm},
    document::document,
    print, print_json,
    table::table,
    tell,
};
use crate::{
    engine::{
        Conclusion, Finding,
        group::{Place, Source},
        plan::{Action, WorkerPlan},
        share::Share,
        trust,
    },
    preflight::check::{Grade, Verdict},
    target::ssh::ShownKey,
    vocab::{
        Facts, HostSummary, Outcome,
        text::{human_bytes, printable},
    },
};

/// Shows what the hosts said, and which did not; `shown` leaves out a table that was part of a question.
pub fn show(global: &Global, verb: &str, conclusion: &Conclusion, shown: bool) {
    if global.output == OutputForm::Json {
        print_json(&document(verb, conclusion));
        return;
    }
    if verb == "trust" {
        if !shown {
            print(&keys_table(conclusion));
        }
        for host in &conclusion.summary.hosts {
            details(verb, conclusion, host);
        }
        return;
    }
    let rows: Vec<Vec<String>> =
        conclusion.summary.hosts.iter().flat_map(|host| rows(verb, conclusion, host)).collect();
    let head: &[&str] = match verb {
        "ping" => &["HOST", "STATE", "CONNECTED", "ROUND TRIP"],
        "status" => &["HOST", "WORKER", "VERSION", "STATE", "PATH", "INSTALLED"],
        "plan" => &["HOST", "WORKER", "VERSION", "WHAT", "WHERE TO", "WHY"],
        _ => &["HOST", "VERDICT", "SYSTEM", "CORES", "MEMORY", "GPU", "INSTALL TO"],
    };
    print(&table(head, &rows));
    for host in &conclusion.summary.hosts {
        details(verb, conclusion, host);
    }
}

/// The keys of all servers that were seen, bastions first, and the hosts that showed none.
pub fn keys_table(conclusion: &Conclusion) -> String {
    let keys = trust::stations(conclusion).into_iter().flat_map(|station| {
        let row = |key: ShownKey| vec![station.host.clone(), key.kind, key.fingerprint, key.state.as_str().to_owned()];
        station.keys.into_iter().map(row).collect::<Vec<_>>()
    });
    let silent = conclusion.summary.hosts.iter().filter(|host| {
        let own = |f: &Finding| matches!(f, Finding::Trust(stations) if stations.last().is_some_and(|s| !s.bastion));
        !findings(conclusion, host).iter().any(own)
    });
    let silent = silent.map(|host| {
        let outcome = if host.report.outcome.is_ok() && host.report.reason.is_none() {
            "this machine".to_owned()
        } else {
            state(host)
        };
        vec![host.host.to_string(), String::new(), String::new(), outcome]
    });
    table(&["HOST", "TYPE", "FINGERPRINT", "STATE"], &keys.chain(silent).collect::<Vec<_>>())
}

/// `failed (host_key)`
pub fn state(host: &HostSummary) -> String {
    let reason = host.report.reason.map(|r| format!(" ({r})")).unwrap_or_default();
    format!("{}{reason}", host.report.outcome)
}

/// Whether a plan has something to do.
pub fn changes(conclusion: &Conclusion) -> bool {
    conclusion.summary.hosts.iter().any(|host| host.report.outcome == Outcome::Changed)
        || conclusion
            .findings
            .values()
            .flatten()
            .any(|f| matches!(f, Finding::Plan(plans) if plans.iter().any(WorkerPlan::changes)))
}

pub fn findings<'a>(conclusion: &'a Conclusion, host: &HostSummary) -> &'a [Finding] {
    conclusion.findings.get(&host.host).map_or(&[], Vec::as_slice)
}

fn rows(verb: &str, conclusion: &Conclusion, host: &HostSummary) -> Vec<Vec<String>> {
    let name = host.host.to_string();
    let found = findings(conclusion, host);
    if found.is_empty() {
        // A plan that needs no table is said in words.
        let state = match host.report.done.join("; ") {
            words if verb == "plan" && host.report.outcome.is_ok() && !words.is_empty() => words,
            _ => state(host),
        };
        return vec![match verb {
            "status" | "plan" => vec![name, String::new(), String::new(), state],
            _ => vec![name, state],
        }];
    }
    found
        .iter()
        .flat_map(|finding| match finding {
            Finding::Ping { connected, round_trip } => vec![vec![
                name.clone(),
                "there".into(),
                format!("{:.0} ms", connected.as_secs_f64() * 1e3),
                format!("{:.1} ms", round_trip.as_secs_f64() * 1e3),
            ]],
            Finding::Check { facts, verdicts } => vec![check_row(&name, facts, verdicts, host)],
            // They have tables of their own.
            Finding::Trust(_)
            | Finding::Facts(_)
            | Finding::Held(_)
            | Finding::Recipe(_)
            | Finding::Model(_)
            | Finding::Processes(_)
            | Finding::Hive(_)
            | Finding::Spawned(_) => Vec::new(),
            Finding::Status(workers) if workers.is_empty() => {
                vec![vec![name.clone(), "-".into(), String::new(), "nothing is installed".into()]]
            }
            Finding::Status(workers) => workers
                .iter()
                .map(|w| {
                    let m = &w.manifest;
                    vec![
                        name.clone(),
                        m.worker.to_string(),
                        m.version.clone(),
                        w.state.as_str().into(),
                        m.path.clone(),
                        m.installed_at.clone(),
                    ]
                })
                .collect(),
            Finding::Plan(plans) => plans
                .iter()
                .map(|plan| {
                    let what = match &plan.action {
                        Action::Unchanged => "nothing: it is there".into(),
                        Action::BuildOwn(_) => "build on the host".into(),
                        Action::Share(_, share) => share.as_ref().map_or_else(String::new, |share| way(share, plan).1),
                        Action::Send(binary) => format!("send {}", human_bytes(binary.size)),
                        Action::Prebuilt(..) => "take what is published".into(),
                    };
                    vec![
                        name.clone(),
                        plan.worker.to_string(),
                        plan.version.clone().unwrap_or_else(|| "?".into()),
                        what,
                        plan.dir.words(),
                        plan.reason(),
                    ]
                })
                .collect(),
        })
        .collect()
}

fn check_row(name: &str, facts: &Facts, verdicts: &[Verdict], host: &HostSummary) -> Vec<String> {
    let verdict = if !host.report.outcome.is_ok() {
        "refused"
    } else if verdicts.iter().any(|v| v.grade == Grade::Warn) {
        "warnings"
    } else {
        "ok"
    };
    let gpus = facts.gpus.iter().map(|gpu| gpu.name.clone()).collect::<Vec<_>>().join(", ");
    let dir = crate::preflight::install_dir::choose(facts, false).map_or("-".into(), |dir| dir.bin);
    vec![
        name.into(),
        verdict.into(),
        format!("{} {}", facts.distribution.as_deref().unwrap_or_default(), facts.platform()).trim().to_owned(),
        facts.cores.map_or("?".into(), |n| n.to_string()),
        facts.memory.map_or("?".into(), human_bytes),
        if gpus.is_empty() { "-".into() } else { gpus },
        dir,
    ]
}

/// What does not fit into a row: verdicts that are not "ok", and errors with their next step.
pub fn details(verb: &str, conclusion: &Conclusion, host: &HostSummary) {
    let name = &host.host;
    if verb == "check" {
        for finding in findings(conclusion, host) {
            let Finding::Check { verdicts, .. } = finding else { continue };
            for verdict in verdicts.iter().filter(|v| v.grade != Grade::Ok) {
                let grade = if verdict.grade == Grade::No { "refused" } else { "warning" };
                tell(&format!("{name}: {grade}: {}: {}\n", verdict.what, printable(&verdict.text)));
                if let Some(hint) = &verdict.hint {
                    tell(&format!("{name}:   {}\n", printable(hint)));
                }
            }
        }
        // The verdicts say it already.
        if findings(conclusion, host)
            .iter()
            .any(|f| matches!(f, Finding::Check { verdicts, .. } if crate::preflight::check::refuses(verdicts)))
        {
            return;
        }
    }
    complain(host);
}

/// The errors of all hosts.
pub fn complaints(conclusion: &Conclusion) {
    conclusion.summary.hosts.iter().for_each(complain);
}

fn complain(host: &HostSummary) {
    let name = &host.host;
    if let Some(error) = &host.report.error {
        tell(&format!("{name}: {}: {}\n", host.report.outcome, printable(error)));
        for line in host.report.hint.iter().flat_map(|hint| hint.lines()) {
            tell(&format!("{name}:   {}\n", printable(line)));
        }
    }
}

/// How a host comes to a shared program, as a word of the document and for people.
pub(super) fn way(share: &Share, plan: &WorkerPlan) -> (&'static str, String) {
    match &share.first().source {
        Source::Cache => ("from_cache", "send from the cache".to_owned()),
        Source::Host(offer) => ("from_host", format!("take from {}", offer.host)),
        Source::Build(Place::Here) => ("build_here", "build here, send".to_owned()),
        Source::Build(Place::Host(host)) if *host == plan.host => ("build_on_host", "build on the host".to_owned()),
        Source::Build(Place::Host(host)) => ("build_elsewhere", format!("build on {host}, send")),
    }
}
