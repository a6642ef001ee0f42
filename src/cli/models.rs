//! `rbee model …` on this machine, and `rbee fleet model …` on the selected hosts: the same verbs, another place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    Complaint, answer,
    args::{Global, OutputForm},
    args_model::{Model, ModelCommand, ModelFlags},
    asked::{Answer, Asked},
    context::{self, Context},
    document, fleet, job, models_hive, print, print_json,
    table::table,
};
use crate::{
    engine::{Conclusion, Download, Finding, ModelFinding, ModelRequest, Request},
    inventory::Intent,
    models::{HubSettings, ModelRef, Options, RepoId, Via, Wish, reference::EXAMPLES},
    vocab::{
        ExitCode, HUB_TOKENS, Host, Secret,
        text::{human_bytes, printable},
    },
    wire::submission::Submission,
};

/// The hub, unless HF_ENDPOINT says another.
const HUB: &str = "https://huggingface.co";

/// On this machine, which needs neither inventory nor ssh_config for it.
pub async fn run(global: Global, Model { submit, command }: Model) -> Result<ExitCode, Complaint> {
    if submit.remote.is_some() || submit.detach {
        return job::submit(&global, &submit, Submission::new(models_hive::operation(command)?)).await;
    }
    let asked = ask(command)?;
    let context = Context::here(&global, &asked.run, &asked.install)?;
    fleet::carry_out(&global, context, vec![Host::local()], asked).await
}

pub fn ask(command: ModelCommand) -> Result<Asked, Complaint> {
    let query = |request, run| Asked { answer: Answer::Models, ..Asked::query(Request::Model(request), run) };
    let change = |request, run| Asked::change(Request::Model(request), run);
    Ok(match command {
        ModelCommand::Download { model, dry_run, run } => {
            let all_or_nothing = model.all_or_nothing;
            let request = ModelRequest::Download(Arc::new(download(*model, dry_run)?));
            let mut asked = match dry_run {
                true => Asked { intent: Intent::Change, ..query(request, run) },
                false => change(request, run),
            };
            asked.install.all_or_nothing = all_or_nothing;
            asked
        }
        ModelCommand::List(run) => query(ModelRequest::List { only: None }, run),
        ModelCommand::Get { repo: text, run } => query(ModelRequest::List { only: Some(repo(&text)?) }, run),
        ModelCommand::Verify { repo: text, run } => {
            query(ModelRequest::Verify { only: text.as_deref().map(repo).transpose()? }, run)
        }
        ModelCommand::Remove { model, run } => change(removal(&model)?, run),
        ModelCommand::Clean { orphans, run } => change(ModelRequest::Clean { orphans }, run),
    })
}

pub fn repo(text: &str) -> Result<RepoId, Complaint> {
    RepoId::new(text).map_err(|error| Complaint::usage(error.to_string()))
}

/// The removal of a repository, or of one revision of it.
pub fn removal(model: &str) -> Result<ModelRequest, Complaint> {
    let asked: ModelRef = parsed(model)?;
    if let Some(file) = asked.file {
        let text = format!("{file} alone cannot be removed");
        return Err(Complaint::usage(text).hint("name a repository, or one revision of it as org/repo@revision"));
    }
    let revision = model.contains('@').then_some(asked.revision);
    Ok(ModelRequest::Remove { repo: asked.repo, revision })
}

/// The download that these flags mean.
pub fn fetching(flags: ModelFlags, dry_run: bool) -> Result<Request, Complaint> {
    Ok(Request::Model(ModelRequest::Download(Arc::new(download(flags, dry_run)?))))
}

pub fn unnamed() -> Complaint {
    Complaint::usage("no model was named").hint(EXAMPLES.to_owned())
}

fn parsed(text: &str) -> Result<ModelRef, Complaint> {
    text.parse()
        .map_err(|error: crate::models::InvalidRef| Complaint::usage(error.to_string()).hint(EXAMPLES.to_owned()))
}

fn download(flags: ModelFlags, dry_run: bool) -> Result<Download, Complaint> {
    let Some(model) = &flags.model else { return Err(unnamed()) };
    let model = parsed(model)?;
    if model.file.is_some() && (flags.quant.is_some() || flags.fits || !flags.include.is_empty()) {
        return Err(Complaint::usage(
            "a file was named, so there is nothing to choose by --include, --quant or --fits",
        ));
    }
    let home = context::home()?;
    let folders = Folders::new(&home);
    Ok(Download {
        model,
        wish: Wish { include: flags.include, exclude: flags.exclude, quant: flags.quant, fits: None },
        fits: flags.fits,
        hub: hub_settings(&folders)?,
        options: Options {
            via: Via::from(flags.via),
            connections: flags.connections,
            rate: flags.limit_rate,
            silence: flags.silence,
            stall: flags.stall,
            force_disk: flags.force_disk,
            clean: flags.clean,
        },
        dry_run,
        here: Some(folders.cache),
        shipment: Default::default(),
        rooms: Default::default(),
    })
}

/// Where the hub's clients keep their things on this machine.
struct Folders {
    home: PathBuf,
    cache: PathBuf,
}

impl Folders {
    fn new(home: &Path) -> Self {
        let cache = variable("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        let home = variable("HF_HOME").map_or_else(|| cache.join("huggingface"), PathBuf::from);
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        Self { cache: cache.map_or_else(|| home.join("hub"), PathBuf::from), home }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// No token is longer.
const TOKEN: u64 = 4096;

fn hub_settings(folders: &Folders) -> Result<HubSettings, Complaint> {
    let path = variable("HF_TOKEN_PATH").map_or_else(|| folders.home.join("token"), PathBuf::from);
    let kept = || {
        let found = std::fs::metadata(&path).ok().filter(|found| found.is_file() && found.len() <= TOKEN)?;
        let _ = found;
        std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let token = HUB_TOKENS.into_iter().find_map(variable).or_else(kept);
    if let Some(token) = &token
        && !token.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b))
    {
        return Err(Complaint::usage("the hub's token has characters that none can have")
            .hint("look at HF_TOKEN, or at the file that HF_TOKEN_PATH names"));
    }
    let truth = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
    Ok(HubSettings {
        endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| HUB.to_owned()).trim_end_matches('/').to_owned(),
        token: token.map(Secret::new),
        offline: variable("HF_HUB_OFFLINE").is_some_and(truth),
    })
}

/// Shows what the hosts said.
pub fn show(global: &Global, conclusion: &Conclusion) {
    let verb = "model";
    if global.output == OutputForm::Json {
        return print_json(&document::document(verb, conclusion));
    }
    let mut head: &[&str] = &["HOST", "MODEL", "REVISION", "FILES", "SIZE"];
    let mut rows = Vec::new();
    for host in &conclusion.summary.hosts {
        let name = host.host.to_string();
        let found = answer::findings(conclusion, host);
        if found.is_empty() {
            rows.push(vec![name.clone(), answer::state(host)]);
        }
        for finding in found {
            let Finding::Model(found) = finding else { continue };
            match found {
                ModelFinding::Plan { manifest, plan } => {
                    head = &["HOST", "FILE", "SIZE", "STATE"];
                    for file in &manifest.files {
                        let state = if plan.missing.iter().any(|missing| missing.blob == file.blob) {
                            "to come"
                        } else {
                            "there"
                        };
                        let path = printable(&file.path).into_owned();
                        rows.push(vec![name.clone(), path, human_bytes(file.size), state.into()]);
                    }
                    let room = plan.free.map_or_else(String::new, |free| format!("; {} free", human_bytes(free)));
                    rows.push(vec![name.clone(), String::new(), human_bytes(plan.total), plan.words() + &room]);
                }
                ModelFinding::Cache { folder, repos } => {
                    if repos.is_empty() {
                        rows.push(vec![
                            name.clone(),
                            "-".into(),
                            String::new(),
                            String::new(),
                            format!("nothing in {folder}"),
                        ]);
                    }
                    for repo in repos {
                        for (commit, revision) in &repo.revisions {
                            let refs = if revision.refs.is_empty() {
                                commit[..12].to_owned()
                            } else {
                                revision.refs.join(", ")
                            };
                            rows.push(vec![
                                name.clone(),
                                repo.repo.to_string(),
                                printable(&refs).into_owned(),
                                revision.files.len().to_string(),
                                human_bytes(repo.size_of(revision)),
                            ]);
                        }
                        if !repo.parts.is_empty() {
                            let parts = repo.parts.values().sum();
                            rows.push(vec![
                                name.clone(),
                                repo.repo.to_string(),
                                "in part".into(),
                                repo.parts.len().to_string(),
                                human_bytes(parts),
                            ]);
                        }
                    }
                }
                ModelFinding::Proof { bad, .. } => {
                    head = &["HOST", "MODEL", "FILE", "STATE"];
                    rows.push(vec![name.clone(), String::new(), String::new(), found.words()]);
                    for (repo, file, why) in bad {
                        rows.push(vec![name.clone(), repo.clone(), printable(file).into_owned(), why.clone()]);
                    }
                }
            }
        }
    }
    print(&table(head, &rows));
    for host in &conclusion.summary.hosts {
        answer::details(verb, conclusion, host);
    }
}

/// The same for programs.
pub fn value(found: &ModelFinding) -> Value {
    match found {
        ModelFinding::Plan { manifest, plan } => json!({
            "repo": manifest.repo.as_str(), "revision": manifest.revision, "commit": manifest.commit, "size": plan.total,
            "there": plan.there, "kept": plan.kept, "to_come": plan.to_come(), "free": plan.free, "cache": plan.cache,
            "via": if plan.via == Via::Relay { "relay" } else { "hub" }, "why": plan.why, "changes": plan.changes(),
            "files": manifest.files.iter().map(|file| json!({
                "path": file.path, "size": file.size, "blob": file.blob.as_str(),
                "there": !plan.missing.iter().any(|missing| missing.blob == file.blob),
            })).collect::<Vec<_>>(),
        }),
        ModelFinding::Cache { folder, repos } => json!({
            "cache": folder,
            "repos": repos.iter().map(|repo| json!({
                "repo": repo.repo.as_str(), "size": repo.size(), "orphans": repo.orphans().len(), "parts": repo.parts,
                "revisions": repo.revisions.iter().map(|(commit, revision)| json!({
                    "commit": commit, "refs": revision.refs, "size": repo.size_of(revision),
                    "files": revision.files.iter().map(|(path, blob)| json!({
                        "path": path, "blob": blob, "size": repo.blobs.get(blob),
                    })).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        }),
        ModelFinding::Proof { blobs, bytes, bad } => json!({
            "blobs": blobs, "bytes": bytes,
            "bad": bad.iter().map(|(repo, file, why)| json!({ "repo": repo, "file": file, "why": why })).collect::<Vec<_>>(),
        }),
    }
}
