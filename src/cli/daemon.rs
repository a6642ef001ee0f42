//! `rbee fleet hive …`: what is asked, and what is made of the answer.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Complaint, answer,
    args::{Global, OutputForm, RunFlags},
    args_daemon::{FleetHiveCommand, HowFlags},
    asked::{Answer, Asked},
    context, document, print, print_json, programs,
    table::table,
    tell,
};
use crate::{
    catalog::{OwnSource, own_recipe},
    engine::{Conclusion, Finding, HiveFinding, HiveRequest, HiveTask, InstallRequest, Request},
    transfer::Memo,
    vocab::text::{human_duration, printable},
};

pub async fn ask(command: FleetHiveCommand) -> Result<Asked, Complaint> {
    let plain = |task, run| Asked::change(Request::Hive(Box::new(request(task, InstallRequest::default()))), run);
    Ok(match command {
        FleetHiveCommand::Status(run) => {
            let request = request(HiveTask::Status, InstallRequest::default());
            Asked { answer: Answer::Hives, ..Asked::query(Request::Hive(Box::new(request)), run) }
        }
        FleetHiveCommand::Start(run) => plain(HiveTask::Start, run),
        FleetHiveCommand::Stop { now, run } => plain(HiveTask::Stop { now }, run),
        FleetHiveCommand::Remove { now, purge, run } => plain(HiveTask::Remove { now, purge }, run),
        FleetHiveCommand::Install { how, run } => bring(HiveTask::Install, how, run).await?,
        FleetHiveCommand::Upgrade { now, older, how, run } => bring(HiveTask::Upgrade { now, older }, how, run).await?,
    })
}

fn request(task: HiveTask, own: InstallRequest) -> HiveRequest {
    HiveRequest { task, own, recipe: None, version: env!("CARGO_PKG_VERSION").into(), port: None }
}

/// This very program travels, and the recipe for hosts where it does not run.
async fn bring(task: HiveTask, how: HowFlags, run: RunFlags) -> Result<Asked, Complaint> {
    let program = std::env::current_exe()
        .map_err(|error| Complaint::usage(format!("this program's own file cannot be found: {error}")))?;
    let cache = context::cache_dir()?;
    let named = [program.display().to_string()];
    let binaries = programs::read(&named, Some("rbee"), &Memo::new(&cache), &cache).await?;
    let recipe = how.source.as_deref().map(|source| {
        let source = OwnSource::parse(source).map_err(Complaint::usage)?;
        let recipe = own_recipe(&source).map_err(|error| Complaint::usage(format!("--source: {error}")))?;
        Ok::<_, Complaint>(Arc::new(recipe))
    });
    let own = InstallRequest {
        binaries,
        build: how.build.into(),
        fetch: how.sources.fetch.into(),
        mirrors: how.sources.mirror,
        ..InstallRequest::default()
    };
    let request = HiveRequest { recipe: recipe.transpose()?, port: how.port, ..request(task, own) };
    Ok(Asked::change(Request::Hive(Box::new(request)), run))
}

/// A row a host, and what a person should know besides.
pub fn show(global: &Global, conclusion: &Conclusion) {
    if global.output == OutputForm::Json {
        print_json(&document::document("hive status", conclusion));
        return;
    }
    let rows: Vec<Vec<String>> = conclusion
        .summary
        .hosts
        .iter()
        .map(|host| {
            let name = host.host.to_string();
            let found = answer::findings(conclusion, host).iter().find_map(|finding| match finding {
                Finding::Hive(found) => Some(found),
                _ => None,
            });
            found.map_or_else(|| vec![name.clone(), answer::state(host)], |found| row(&name, found))
        })
        .collect();
    print(&table(&["HOST", "HIVE", "VERSION", "KEPT BY", "PID", "PORT", "UPTIME", "RUNNING", "QUEUED", "JOBS"], &rows));
    for host in &conclusion.summary.hosts {
        for finding in answer::findings(conclusion, host) {
            let Finding::Hive(found) = finding else { continue };
            for note in found.notes() {
                tell(&format!("{}: {}\n", host.host, printable(&note)));
            }
        }
    }
    answer::complaints(conclusion);
}

fn row(name: &str, found: &HiveFinding) -> Vec<String> {
    let process = found.ground.serving.as_ref();
    let meters = found.meters.as_ref();
    let jobs = |state: &str| meters.map_or("-".into(), |it| it.jobs.get(state).copied().unwrap_or(0).to_string());
    let installed = found.installed.as_ref().map(|(manifest, _)| manifest.version.clone());
    let version = meters.and_then(|it| it.version.clone()).or(process.map(|it| it.version.clone())).or(installed);
    vec![
        name.to_owned(),
        found.state.as_str().into(),
        version.unwrap_or_else(|| "-".into()),
        found.ground.kept_by().map_or("-", |keeper| keeper_word(keeper.as_str())).into(),
        process.map_or("-".into(), |process| process.pid.to_string()),
        process.map_or("-".into(), |process| process.port.to_string()),
        meters.and_then(|it| it.uptime_s).map_or("-".into(), |s| human_duration(Duration::from_secs(s))),
        jobs("running"),
        jobs("queued"),
        meters.map_or("-".into(), |it| it.jobs.values().sum::<u64>().to_string()),
    ]
}

/// For people, a session is kept by nobody.
fn keeper_word(word: &'static str) -> &'static str {
    if word == "session" { "nobody" } else { word }
}

/// What a document says of a host's hive.
pub fn value(found: &HiveFinding) -> Value {
    let ground = &found.ground;
    json!({
        "state": found.state.as_str(),
        "installed": found.installed.as_ref().map(|(manifest, state)| json!({
            "version": manifest.version, "path": manifest.path, "digest": manifest.digest.to_string(),
            "state": state.as_str(), "previous": manifest.previous.map(|digest| digest.to_string()),
        })),
        "kept_by": ground.kept_by().map(|keeper| keeper.as_str()),
        "lingers": ground.lingers,
        "process": ground.serving.as_ref().map(|process| json!({
            "pid": process.pid, "start": process.start, "port": process.port, "version": process.version,
            "path": process.path, "replaced": ground.replaced,
        })),
        "version": found.meters.as_ref().and_then(|meters| meters.version.clone()),
        "uptime_s": found.meters.as_ref().and_then(|meters| meters.uptime_s),
        "jobs": found.meters.as_ref().map(|meters| &meters.jobs),
        "log": found.log,
        "notes": found.notes(),
    })
}
