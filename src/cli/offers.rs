//! `worker available` and `worker get`: what the catalog offers, beside what hosts are and have.

use serde_json::{Map, Value, json};

use super::{
    Complaint, answer,
    args::{Global, OutputForm},
    document, print_json,
    table::table,
};
use crate::{
    catalog::{Catalog, Listed, Offer, fits},
    engine::{Conclusion, Finding, Held},
    vocab::{ExitCode, Facts, HostName, WorkerId, text::human_bytes},
};

/// The workers of the catalog, those that fit first; the others only when `all` are asked for.
pub fn available(global: &Global, catalog: &Catalog, conclusion: &Conclusion, all: bool) {
    let hosts = facts(conclusion);
    let (fit, rest): (Vec<_>, Vec<_>) =
        catalog.list().map(|listed| (listed, fitting(listed, &hosts))).partition(|(_, on)| !on.is_empty());
    if global.output == OutputForm::Json {
        print_json(&available_document(catalog, conclusion));
        return;
    }
    // Where nobody could be asked, nothing is known to fit.
    let all = all || hosts.is_empty();
    let shown = fit.iter().chain(if all { &rest[..] } else { &[] });
    let rows: Vec<Vec<String>> = shown
        .map(|(listed, _)| {
            let worker = &listed.worker;
            vec![
                worker.description.clone(),
                worker.id.to_string(),
                worker.name.clone(),
                worker.platforms.join(" "),
                worker.accelerator.to_string(),
            ]
        })
        .collect();
    super::print(&table(&["DESCRIPTION", "ID", "NAME", "PLATFORMS", "TYPE"], &rows));
    if !all && !rest.is_empty() {
        let place = if hosts.len() > 1 { "any of these hosts" } else { "this machine" };
        super::tell(&format!("{} more do not fit {place}; --all lists them\n", rest.len()));
    }
    catalog.problems().iter().for_each(|problem| super::tell(&format!("rbee: {problem}\n")));
    answer::complaints(conclusion);
}

/// The same as one document, with those that fit nowhere.
pub fn available_document(catalog: &Catalog, conclusion: &Conclusion) -> Value {
    let hosts = facts(conclusion);
    let (fit, rest): (Vec<_>, Vec<_>) =
        catalog.list().map(|listed| (listed, fitting(listed, &hosts))).partition(|(_, on)| !on.is_empty());
    let workers = fit.iter().chain(&rest).map(|(listed, on)| {
        let mut value = offer_value(listed);
        value["fits"] = json!(!on.is_empty());
        value["fits_on"] = on.iter().map(|host| host.as_str()).collect();
        value
    });
    let workers: Vec<_> = workers.collect();
    let mut document = document::document("available", conclusion);
    document["workers"] = workers.into();
    document["problems"] = catalog.problems().iter().map(ToString::to_string).collect();
    document
}

/// One worker as a document: the catalog's word, and beside it what each host has.
pub fn one_document(catalog: &Catalog, conclusion: &Conclusion, id: &WorkerId) -> Value {
    let mut document = document::document("get", conclusion);
    document["id"] = id.as_str().into();
    document["catalog"] = catalog.list().find(|listed| listed.worker.id == *id).map_or(Value::Null, offer_value);
    let unfetched = document["catalog"].is_object().then(|| catalog.get(id).err()).flatten();
    document["problem"] = unfetched.map(|error| error.to_string()).into();
    document["shadowed"] = catalog.shadowed(id).map(offer_value).collect();
    document
}

/// One worker: the catalog's word, and beside it what each host has.
pub fn one(global: &Global, catalog: &Catalog, conclusion: &Conclusion, id: &WorkerId) -> Result<(), Complaint> {
    let listed = catalog.list().find(|listed| listed.worker.id == *id);
    let held = |host: &HostName| {
        let found = conclusion.findings.get(host).into_iter().flatten();
        found.filter_map(|f| if let Finding::Held(held) = f { Some(held) } else { None }).flatten().collect::<Vec<_>>()
    };
    let nowhere = conclusion.summary.hosts.iter().all(|host| held(&host.host).is_empty());
    if listed.is_none() && nowhere && conclusion.summary.exit == ExitCode::Ok {
        let error = catalog.get(id).err().map(|error| error.to_string()).unwrap_or_default();
        return Err(Complaint::usage(error));
    }
    let unfetched = listed.and_then(|_| catalog.get(id).err()).map(|error| error.to_string());
    let shadowed: Vec<&Listed> = catalog.shadowed(id).collect();
    if global.output == OutputForm::Json {
        print_json(&one_document(catalog, conclusion, id));
        return Ok(());
    }
    if let Some(listed) = listed {
        let mut rows = offer_rows(listed);
        rows.extend(shadowed.iter().map(|other| {
            let version = other.version.as_deref().unwrap_or("unknown");
            vec!["hides".to_owned(), format!("{version} of {}", other.origin)]
        }));
        rows.extend(unfetched.map(|why| vec!["no recipe".to_owned(), why]));
        super::print(&table(&["CATALOG", id.as_str()], &rows));
        super::print("\n");
    }
    let offered = listed.map_or("-", |listed| listed.version.as_deref().unwrap_or("unknown"));
    let facts = facts(conclusion);
    let rows: Vec<Vec<String>> = conclusion
        .summary
        .hosts
        .iter()
        .flat_map(|host| {
            let fit = match (listed, facts.iter().find(|(name, _)| **name == host.host)) {
                (Some(listed), Some((_, facts))) => fits(&listed.worker, facts).err().unwrap_or_else(|| "fits".into()),
                (None, Some(_)) => "not in the catalog".into(),
                (_, None) => host.report.outcome.to_string(),
            };
            let row = |installed: &str, state: String, path: &str, kept: &str| {
                [host.host.as_str(), offered, installed, &state, path, kept, &fit].map(str::to_owned).to_vec()
            };
            let held = held(&host.host);
            match &held[..] {
                [] => vec![row("-", "-".into(), "-", "-")],
                all => all
                    .iter()
                    .map(|held| {
                        let manifest = &held.status.manifest;
                        let kept = held.kept.as_ref().map_or("-", |kept| &kept.version);
                        row(&manifest.version, state(held), &manifest.path, kept)
                    })
                    .collect(),
            }
        })
        .collect();
    super::print(&table(&["HOST", "CATALOG", "INSTALLED", "STATE", "PATH", "KEPT", "NOTE"], &rows));
    answer::complaints(conclusion);
    Ok(())
}

fn state(held: &Held) -> String {
    match held.running.len() {
        0 => held.status.state.as_str().to_owned(),
        _ => format!("{}, runs", held.status.state.as_str()),
    }
}

/// What the hosts are that could be asked.
fn facts(conclusion: &Conclusion) -> Vec<(&HostName, &Facts)> {
    conclusion
        .findings
        .iter()
        .filter_map(|(host, found)| {
            let facts = found.iter().find_map(|f| if let Finding::Facts(facts) = f { Some(&**facts) } else { None });
            Some((host, facts?))
        })
        .collect()
}

fn fitting<'a>(listed: &Listed, hosts: &[(&'a HostName, &Facts)]) -> Vec<&'a HostName> {
    hosts.iter().filter(|(_, facts)| fits(&listed.worker, facts).is_ok()).map(|(host, _)| *host).collect()
}

/// Everything that is said of a worker, under the names of the catalogs' own fields.
fn offer_value(listed: &Listed) -> Value {
    let Listed { worker, offer, version, origin } = listed;
    let source = offer.source.as_ref().map(|source| {
        json!({ "type": source.kind, "url": source.url, "branch": source.branch, "tag": source.tag, "path": source.path })
    });
    json!({
        "id": worker.id.as_str(), "family": worker.family, "name": worker.name, "description": worker.description,
        "platforms": worker.platforms, "architectures": worker.architectures, "type": worker.accelerator.as_str(),
        "worker_type": worker.accelerator.as_str(), "version": version, "origin": origin, "license": worker.license,
        "implementation": offer.implementation, "pkgbuild_url": offer.pkgbuild_url, "build_system": offer.build_system,
        "source": source,
        "build": {
            "features": worker.features, "profile": offer.build.profile, "flags": offer.build.flags,
        },
        "depends": offer.depends, "makedepends": offer.makedepends, "binary_name": offer.binary_name,
        "install_path": offer.install_path, "supported_formats": offer.supported_formats,
        "max_context_length": offer.max_context_length, "supports_streaming": offer.supports_streaming,
        "supports_batching": offer.supports_batching,
        "needs": { "disk": worker.needs.disk, "memory": worker.needs.memory, "tools": worker.needs.tools },
        "limit_ms": worker.limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        "verify": worker.verify,
        "other": offer.other,
    })
}

/// The same for people; what is not said is left out.
fn offer_rows(listed: &Listed) -> Vec<Vec<String>> {
    let Listed { worker, offer, version, origin } = listed;
    let Offer { source, supported_formats, .. } = offer;
    let source = source.as_ref().map(|source| {
        let branch =
            source.branch.as_ref().or(source.tag.as_ref()).map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{}{branch}", source.url)
    });
    let yes = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
    let size = |bytes: u64| (bytes > 0).then(|| human_bytes(bytes));
    let other: Map<String, Value> = offer.other.clone();
    let rows = [
        ("name", Some(worker.name.clone())),
        ("description", Some(worker.description.clone())),
        ("version", version.clone()),
        ("from", Some(origin.clone())),
        ("type", Some(worker.accelerator.to_string())),
        ("family", Some(worker.family.clone())),
        ("platforms", Some(worker.platforms.join(" "))),
        ("architectures", Some(worker.architectures.join(" "))),
        ("license", Some(worker.license.clone())),
        ("implementation", offer.implementation.clone()),
        ("build system", offer.build_system.clone()),
        ("source", source),
        ("features", Some(worker.features.join(" "))),
        ("depends", Some(offer.depends.join(" "))),
        ("makedepends", Some(offer.makedepends.join(" "))),
        ("needs", Some(worker.needs.tools.join(" "))),
        ("disk", size(worker.needs.disk)),
        ("memory", size(worker.needs.memory)),
        ("program", offer.binary_name.clone()),
        ("formats", Some(supported_formats.join(" "))),
        ("context", offer.max_context_length.map(|tokens| format!("{tokens} tokens"))),
        ("streaming", yes(offer.supports_streaming)),
        ("batching", yes(offer.supports_batching)),
        ("also says", Some(other.keys().cloned().collect::<Vec<_>>().join(" "))),
    ];
    let said = rows.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)));
    said.map(|(name, text)| vec![name.to_owned(), text]).collect()
}
