//! The answers of verbs that ask, for programs: one document.

use serde_json::{Value, json};

use super::answer::{findings, way};
use crate::{
    engine::{
        Conclusion, Finding, InstalledState, WorkerStatus,
        group::{Place, Source},
        plan::Action,
        share::Share,
    },
    preflight::check::{Grade, Verdict},
    target::ssh::{KeyState, ShownKey, Station},
    vocab::Facts,
};

/// What every answer has: how each host ended, and what it said.
pub fn document(verb: &str, conclusion: &Conclusion) -> Value {
    let hosts: Vec<Value> = conclusion
        .summary
        .hosts
        .iter()
        .map(|host| {
            let mut value = json!({
                "host": host.host.as_str(),
                "outcome": host.report.outcome.as_str(),
                "reason": host.report.reason.map(|r| r.as_str()),
                "error": host.report.error,
                "hint": host.report.hint,
                "done": host.report.done,
                "elapsed_ms": u64::try_from(host.report.elapsed.as_millis()).unwrap_or(u64::MAX),
            });
            for finding in findings(conclusion, host) {
                let (key, found) = one(finding);
                value[key] = found;
            }
            value
        })
        .collect();
    json!({ "v": 1, "verb": verb, "exit": conclusion.summary.exit.code(), "hosts": hosts })
}

fn one(finding: &Finding) -> (&'static str, Value) {
    match finding {
        Finding::Hive(found) => ("hive", super::daemon::value(found)),
        Finding::Model(found) => ("model", super::models::value(found)),
        Finding::Ping { connected, round_trip } => (
            "ping",
            json!({ "connected_ms": connected.as_secs_f64() * 1e3, "round_trip_ms": round_trip.as_secs_f64() * 1e3 }),
        ),
        Finding::Check { facts, verdicts } => {
            ("check", json!({ "facts": facts_value(facts), "verdicts": verdicts_value(verdicts) }))
        }
        Finding::Recipe(reading) => ("recipe", Value::from(reading.words())),
        Finding::Processes(all) => ("processes", all.iter().map(super::spawn::value).collect()),
        Finding::Spawned(started) => ("spawned", super::spawn::started_value(started)),
        Finding::Trust(stations) => ("servers", stations.iter().map(station_value).collect()),
        Finding::Status(workers) => ("workers", workers.iter().map(installed_value).collect()),
        Finding::Held(all) => (
            "workers",
            all.iter()
                .map(|held| {
                    let mut value = installed_value(&held.status);
                    value["kept"] = held.kept.as_ref().map_or(Value::Null, |kept| {
                        json!({ "version": kept.version, "digest": kept.digest.to_string() })
                    });
                    value["running"] = json!(held.running);
                    value
                })
                .collect(),
        ),
        Finding::Facts(facts) => ("platform", facts.platform().into()),
        Finding::Plan(plans) => (
            "plan",
            plans
                .iter()
                .map(|plan| {
                    let (action, size) = match &plan.action {
                        Action::Unchanged => ("unchanged", None),
                        Action::BuildOwn(_) => ("build_on_host", None),
                        Action::Share(_, share) => (share.as_ref().map_or("build", |share| way(share, plan).0), None),
                        Action::Send(binary) => ("send", Some(binary.size)),
                        Action::Prebuilt(..) => ("prebuilt", None),
                    };
                    let group = match &plan.action {
                        Action::Share(_, Some(share)) => Some(group_value(share)),
                        _ => None,
                    };
                    json!({
                        "group": group, "class": plan.class.to_string(),
                        "worker": plan.worker.as_str(), "version": plan.version, "action": action, "size": size,
                        "directory": plan.dir.bin, "sudo": plan.dir.sudo, "why": plan.why, "origin": plan.origin, "key": plan.key.map(|key| key.to_string()),
                        "limit_ms": u64::try_from(plan.limit.as_millis()).unwrap_or(u64::MAX),
                        "replaces": plan.old.as_ref().map(|old| &old.version),
                    })
                })
                .collect(),
        ),
    }
}

fn group_value(share: &Share) -> Value {
    let way = share.first();
    let (source, host) = match &way.source {
        Source::Cache => ("cache", None),
        Source::Host(offer) => ("host", Some(offer.host.to_string())),
        Source::Build(Place::Here) => ("build", Some("local".to_owned())),
        Source::Build(Place::Host(host)) => ("build", Some(host.to_string())),
    };
    json!({
        "source": source, "on": host, "hosts": share.hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "class": way.class.to_string(), "key": way.key.to_string(), "why": share.words(),
    })
}

fn installed_value(w: &WorkerStatus) -> Value {
    let m = &w.manifest;
    let found = match w.state {
        InstalledState::Modified(digest) => Some(digest.to_string()),
        _ => None,
    };
    json!({
        "worker": m.worker.as_str(), "version": m.version, "path": m.path, "state": w.state.as_str(),
        "digest": m.digest.to_string(), "found_digest": found, "key": m.key.to_string(), "size": m.size,
        "origin": m.origin, "run": m.run, "installed_at": m.installed_at,
        "previous": m.previous.map(|d| d.to_string()),
    })
}

fn station_value(station: &Station) -> Value {
    let key = |key: &ShownKey| {
        let (place, remove) = match &key.state {
            KeyState::Known(place) => (Some(place), None),
            KeyState::Changed { place, remove } => (Some(place), Some(remove)),
            KeyState::New | KeyState::Revoked(_) => (None, None),
        };
        json!({
            "type": key.kind, "fingerprint": key.fingerprint, "state": key.state.as_str().to_ascii_lowercase(),
            "place": place, "remove": remove,
        })
    };
    json!({
        "server": station.host, "name": station.name, "file": station.file.as_ref().map(|file| file.to_string_lossy()),
        "keys": station.keys.iter().map(key).collect::<Vec<_>>(),
    })
}

fn verdicts_value(verdicts: &[Verdict]) -> Value {
    let grade = |grade| match grade {
        Grade::Ok => "ok",
        Grade::Warn => "warning",
        Grade::No => "refused",
    };
    verdicts
        .iter()
        .map(|v| json!({ "grade": grade(v.grade), "what": v.what, "text": v.text, "hint": v.hint }))
        .collect()
}

fn facts_value(facts: &Facts) -> Value {
    let tools: serde_json::Map<String, Value> = facts
        .tools
        .iter()
        .map(|(name, tool)| {
            (name.clone(), json!({ "path": tool.path, "version": tool.version, "on_path": tool.on_path }))
        })
        .collect();
    json!({
        "os": facts.os.to_string(), "kernel": facts.kernel, "arch": facts.arch.as_str(),
        "libc": facts.libc.as_ref().map(ToString::to_string), "distribution": facts.distribution,
        "cpu_level": facts.cpu_level, "cores": facts.cores, "memory": facts.memory,
        "disks": facts.disks.iter().map(|d| json!({ "path": d.path, "free": d.free, "filesystem": d.filesystem })).collect::<Vec<_>>(),
        "gpus": facts.gpus.iter().map(|g| json!({
            "kind": g.kind.as_str(), "name": g.name, "vram": g.vram, "compute": g.compute,
        })).collect::<Vec<_>>(),
        "user": facts.user, "uid": facts.uid, "home": facts.home, "login_shell": facts.login_shell, "path": facts.path,
        "system_bin_writable": facts.system_bin.is_ok(), "user_bin_writable": facts.user_bin.is_ok(), "sudo": facts.tool("sudo").is_some(),
        "tools": tools,
        "installed": facts.installed.iter().map(|m| json!({
            "worker": m.worker.as_str(), "version": m.version, "path": m.path, "digest": m.digest.to_string(),
        })).collect::<Vec<_>>(),
    })
}
