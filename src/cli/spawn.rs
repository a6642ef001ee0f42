//! `rbee worker spawn`, `process`, `stop` and `logs`.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU16,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Complaint, answer,
    args::{Global, OutputForm, RunFlags},
    args_spawn::{LogsFlags, ProcessCommand, Restart, SpawnFlags, StopFlags},
    asked::{Answer, Asked},
    output::Kind,
    print,
    table::table,
};
use crate::{
    engine::{Conclusion, Finding, Request, Running, SpawnRequest, WorkerRequest, worker::state_words},
    models::reference::EXAMPLES,
    report::Lines,
    vocab::{
        Keeping, Secret,
        text::{human_bytes, printable},
    },
    wire::operation::{Operation, RestartWord},
    workers::{Process, Reading, Started, State, Which, choose::ModelArg},
};

/// Between TERM and KILL of a worker that may have requests in hand.
pub const GRACE: Duration = Duration::from_secs(10);

/// More than any file of keys has.
const KEY_BYTES: u64 = 4000;

pub fn ask_spawn(flags: SpawnFlags, here: bool) -> Result<Asked, Complaint> {
    let key = flags.api_key_file.as_deref().map(keys).transpose()?;
    let request = SpawnRequest {
        worker: flags.worker,
        model: flags.model.as_deref().map(|text| model(text, here)).transpose()?,
        device: flags.device.as_deref().map(device).transpose()?,
        port: flags.port.0,
        bind: flags.bind,
        key,
        more: flags.more,
        restart: flags.restart == Restart::OnFailure,
        keeping: match (flags.service, flags.system) {
            (false, _) => Keeping::Session,
            (true, false) => Keeping::Service,
            (true, true) => Keeping::System,
        },
    };
    let asked = Asked::change(Request::Worker(WorkerRequest::Spawn(Arc::new(request))), flags.run);
    Ok(Asked { answer: Answer::Spawned, ..asked })
}

pub fn ask_list(run: RunFlags) -> Asked {
    Asked { answer: Answer::Processes, ..Asked::query(Request::Worker(WorkerRequest::Processes { only: None }), run) }
}

pub fn ask_process(command: ProcessCommand) -> Result<Asked, Complaint> {
    Ok(match command {
        ProcessCommand::List(run) => ask_list(run),
        ProcessCommand::Get { which, run } => {
            let only = Some(self::which(&which)?);
            Asked { answer: Answer::Process, ..Asked::query(Request::Worker(WorkerRequest::Processes { only }), run) }
        }
    })
}

pub fn ask_stop(flags: StopFlags) -> Result<Asked, Complaint> {
    let which = flags.which.as_deref().map(which).transpose()?.unwrap_or(Which::All);
    let request = WorkerRequest::Stop { which, many: flags.all, grace: flags.run.grace.unwrap_or(GRACE) };
    Ok(Asked::change(Request::Worker(request), flags.run))
}

pub fn ask_logs(flags: LogsFlags) -> Result<Asked, Complaint> {
    let reading = Reading { lines: flags.lines, follow: flags.follow };
    let request = Request::Worker(WorkerRequest::Logs { which: which(&flags.which)?, reading });
    Ok(Asked { kind: Kind::Run(Lines::Data), ..Asked::query(request, flags.run) })
}

pub fn which(text: &str) -> Result<Which, Complaint> {
    Which::parse(text).map_err(|error| Complaint::usage(error.to_string()))
}

/// A path begins with `/` or `.`; `.` means this machine's folder, which only this machine can know.
pub fn model(text: &str, here: bool) -> Result<ModelArg, Complaint> {
    let usage = |why: String| Complaint::usage(why).hint(EXAMPLES.to_owned());
    if text.contains(char::is_control) {
        return Err(usage("the model's name has a control character".into()));
    }
    if text.starts_with('/') {
        return Ok(ModelArg::Path(text.to_owned()));
    }
    if text.starts_with('.') {
        if !here {
            return Err(usage(format!("{text} is no place on another machine; write the whole path")));
        }
        let path = std::path::absolute(text).map_err(|error| usage(format!("{text}: {error}")))?;
        return match path.to_str() {
            Some(path) => Ok(ModelArg::Path(path.to_owned())),
            None => Err(usage(format!("{text} is not UTF-8"))),
        };
    }
    text.parse().map(ModelArg::Ref).map_err(|error: crate::models::InvalidRef| usage(error.to_string()))
}

fn device(text: &str) -> Result<String, Complaint> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":_-,".contains(&b);
    match !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(Complaint::usage(format!("{text:?} is no device; write it as cuda:0"))),
    }
}

/// The keys of a file, with tabs between.
fn keys(path: &Path) -> Result<Secret, Complaint> {
    let wrong = |why: String| Complaint::usage(format!("--api-key-file {}: {why}", path.display()));
    let found = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !found.is_file() || found.len() > KEY_BYTES {
        return Err(wrong(format!("that is no file of at most {KEY_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let keys: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match keys.iter().all(|key| key.bytes().all(|b| b.is_ascii_graphic())) {
        _ if keys.is_empty() => Err(wrong("there is no key in it".into())),
        true => Ok(Secret::new(keys.join("\t"))),
        false => Err(wrong("a key has a character that none can have".into())),
    }
}

/// The same for a hive; what only this machine has does not travel.
pub fn spawn_operation(flags: SpawnFlags) -> Result<Operation, Complaint> {
    if flags.api_key_file.is_some() {
        return Err(Complaint::usage("--api-key-file stays on this machine: a hive is not given it")
            .hint("rbee fleet worker spawn takes it to a host"));
    }
    if flags.service {
        return Err(Complaint::usage("--service is not for a hive to make")
            .hint("rbee fleet worker spawn makes services on hosts, rbee worker spawn here"));
    }
    if let Some(text) = &flags.model {
        model(text, false)?;
    }
    if let Some(text) = &flags.device {
        device(text)?;
    }
    Ok(Operation::WorkerSpawn {
        worker: flags.worker,
        model: flags.model,
        device: flags.device,
        port: flags.port.0.and_then(NonZeroU16::new),
        bind: Some(flags.bind),
        restart: match flags.restart {
            Restart::Never => RestartWord::Never,
            Restart::OnFailure => RestartWord::OnFailure,
        },
        args: flags.more,
    })
}

/// The same for a hive, which is asked for one, or for all that run one worker.
pub fn stop_operation(flags: StopFlags) -> Result<Operation, Complaint> {
    let Some(text) = flags.which else {
        return Err(Complaint::usage("say which: a hive ends no workers that nobody named"));
    };
    which(&text)?;
    Ok(Operation::WorkerProcessDelete { which: text, all: flags.all })
}

/// What a hive was given, as the engine takes it.
pub fn of_operation(operation: &Operation) -> Result<WorkerRequest, Complaint> {
    Ok(match operation {
        Operation::WorkerSpawn { worker, model: named, device, port, bind, restart, args } => {
            WorkerRequest::Spawn(Arc::new(SpawnRequest {
                worker: worker.clone(),
                model: named.as_deref().map(|text| model(text, false)).transpose()?,
                device: device.clone(),
                port: port.map(NonZeroU16::get),
                bind: bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                key: None,
                more: args.clone(),
                restart: *restart == RestartWord::OnFailure,
                keeping: Keeping::Session,
            }))
        }
        Operation::WorkerProcessGet { which: text } => WorkerRequest::Processes { only: Some(which(text)?) },
        Operation::WorkerProcessDelete { which: text, all } => {
            WorkerRequest::Stop { which: which(text)?, many: *all, grace: GRACE }
        }
        Operation::WorkerProcessLogs { which: text, lines, follow } => {
            WorkerRequest::Logs { which: which(text)?, reading: Reading { lines: *lines, follow: *follow } }
        }
        _ => WorkerRequest::Processes { only: None },
    })
}

/// Process and address of each worker that was spawned, as data.
pub fn show_spawned(global: &Global, conclusion: &Conclusion) {
    if global.output == OutputForm::Json {
        return;
    }
    let many = conclusion.summary.hosts.len() > 1;
    for host in &conclusion.summary.hosts {
        for finding in answer::findings(conclusion, host) {
            let Finding::Spawned(started) = finding else { continue };
            let host = if many { format!("{} ", host.host) } else { String::new() };
            print(&format!("{host}{} {}\n", started.pid, started.spawned.url()));
        }
    }
}

/// The workers that were spawned, a row each.
pub fn show_list(conclusion: &Conclusion) {
    let mut rows = Vec::new();
    for host in &conclusion.summary.hosts {
        let name = host.host.to_string();
        let found = answer::findings(conclusion, host);
        let all: Vec<&Running> = running(found).collect();
        if all.is_empty() {
            let state = if host.report.outcome.is_ok() { "none runs".into() } else { answer::state(host) };
            rows.push(vec![name.clone(), "-".into(), "-".into(), state]);
        }
        for Running { process, program } in all {
            let spawned = &process.spawned;
            let bytes = |size: Option<u64>| size.map_or_else(|| "-".into(), human_bytes);
            rows.push(vec![
                name.clone(),
                process.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
                spawned.id.to_string(),
                state_words(process),
                format!("{} {}", spawned.worker, spawned.version),
                program.as_str().into(),
                spawned.model.as_deref().map_or_else(|| "-".into(), |model| printable(model).into_owned()),
                spawned.url(),
                process.cpu.map_or_else(|| "-".into(), |cpu| format!("{cpu:.0}%")),
                bytes(process.memory),
                bytes(process.vram),
            ]);
        }
    }
    let head = ["HOST", "PID", "ID", "STATE", "WORKER", "PROGRAM", "MODEL", "URL", "CPU", "MEMORY", "VRAM"];
    print(&table(&head, &rows));
    answer::complaints(conclusion);
}

/// One, with all that is known of it.
pub fn show_one(conclusion: &Conclusion) {
    for host in &conclusion.summary.hosts {
        for Running { process, program } in running(answer::findings(conclusion, host)) {
            let spawned = &process.spawned;
            let mut rows = vec![("host", host.host.to_string()), ("id", spawned.id.to_string())];
            let mut add = |name, text: Option<String>| rows.extend(text.map(|text| (name, text)));
            add("process", process.pid.map(|pid| pid.to_string()));
            add("keeper", process.keeper.map(|pid| pid.to_string()));
            add("state", Some(state_words(process)));
            add("worker", Some(format!("{} {}", spawned.worker, spawned.version)));
            add("program", Some(format!("{} ({})", program.as_str(), spawned.digest.short())));
            add("model", spawned.model.clone());
            add("url", Some(spawned.url()));
            add("listens on", Some(spawned.bind.to_string()));
            add("health", Some(spawned.health.clone()));
            add("cpu", process.cpu.map(|cpu| format!("{cpu:.1}%")));
            add("memory", process.memory.map(human_bytes));
            add("vram", process.vram.map(human_bytes));
            add("restart", Some(if spawned.restart { "on failure" } else { "never" }.into()));
            add("kept by", Some(spawned.keeping.as_str().into()));
            add("spawned", Some(format!("{} (run {})", spawned.spawned_at, spawned.run)));
            add("command", Some(crate::vocab::text::sh_join(&spawned.argv)));
            let text: String = rows.iter().map(|(name, text)| format!("{name:<11} {}\n", printable(text))).collect();
            print(&text);
        }
    }
    answer::complaints(conclusion);
}

fn running(found: &[Finding]) -> impl Iterator<Item = &Running> {
    found.iter().filter_map(|f| if let Finding::Processes(all) = f { Some(all) } else { None }).flatten()
}

/// The same for programs.
pub fn value(running: &Running) -> Value {
    let Running { process, program } = running;
    let mut value = spawned(process.pid, process);
    value["program"] = program.as_str().into();
    value
}

/// A worker that was just spawned.
pub fn started_value(started: &Started) -> Value {
    base(Some(started.pid), &started.spawned)
}

fn spawned(pid: Option<u32>, process: &Process) -> Value {
    let mut value = base(pid, &process.spawned);
    let status = match process.state {
        State::Ended(status) => status,
        _ => None,
    };
    let answer = match process.state {
        State::Healthy => Some(200),
        State::Unhealthy(answer) => answer,
        _ => None,
    };
    value["state"] = process.state.as_str().into();
    value["status"] = json!(status);
    value["answer"] = json!(answer);
    value["keeper"] = json!(process.keeper);
    value["processes"] = json!(process.members);
    value["cpu_percent"] = json!(process.cpu.map(|cpu| (cpu * 10.0).round() / 10.0));
    value["memory_bytes"] = json!(process.memory);
    value["vram_bytes"] = json!(process.vram);
    value
}

fn base(pid: Option<u32>, spawned: &crate::vocab::Spawned) -> Value {
    json!({
        "id": spawned.id.as_str(), "pid": pid, "worker": spawned.worker.as_str(), "version": spawned.version,
        "digest": spawned.digest.to_string(), "model": spawned.model, "url": spawned.url(),
        "bind": spawned.bind.to_string(), "port": spawned.port, "health": spawned.health, "argv": spawned.argv,
        "restart": spawned.restart, "keeping": spawned.keeping.as_str(), "run": spawned.run,
        "spawned_at": spawned.spawned_at,
    })
}
