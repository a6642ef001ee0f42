//! `rbee job …`: jobs of hives, and of runs in progress on this machine.

use std::time::Duration;

use serde_json::json;

use super::{
    Complaint,
    args::{Global, OutputForm},
    args_hive::{Job, JobCommand, RemoteFlags, SubmitFlags},
    follow::{Interest, follow},
    print,
    remote::{self, complain},
    table::table,
    tell,
};
use crate::{
    client::{Client, Endpoint},
    hive::socket,
    vocab::{ExitCode, Limits, text::printable},
    wire::{
        job::{JobForm, JobState, json_line},
        operation::Operation,
        rfc3339,
        submission::Submission,
    },
};

/// Longer than a cancel can take, whatever the grace of the job was.
const CANCEL: Duration = Duration::from_secs(120);

pub async fn run(global: &Global, command: Job) -> Result<ExitCode, Complaint> {
    let Job { remote, command } = command;
    match command {
        JobCommand::List => list(global, &remote).await,
        JobCommand::Get { id } => {
            let (_, form) = find(global, &remote, &id).await?;
            show(global, &form);
            Ok(ExitCode::Ok)
        }
        JobCommand::Attach { id, after } => {
            let (client, form) = find(global, &remote, &id).await?;
            follow(global, &client, &id, &form.verb, after, Interest::Guest).await
        }
        JobCommand::Cancel { id } => cancel(global, &remote, &id).await,
        JobCommand::Exec { hosts, command, detach } => {
            let submission = Submission::new(Operation::Exec { command }).on(hosts);
            submit(global, &SubmitFlags { remote, detach }, submission).await
        }
    }
}

/// Gives it to the hive that the flags name, and watches it to its end unless it is to be left alone.
pub async fn submit(global: &Global, flags: &SubmitFlags, submission: Submission) -> Result<ExitCode, Complaint> {
    let Some(client) = remote::named(global, &flags.remote).await? else {
        return Err(no_hive());
    };
    let submission = submission.within(global.timeout);
    let id = client.submit(&submission).await.map_err(|error| complain(&error))?;
    if flags.detach {
        match global.output {
            OutputForm::Json => print(&format!("{}\n", json!({ "v": 1, "job_id": id }))),
            _ => print(&format!("{id}\n")),
        }
        return Ok(ExitCode::Ok);
    }
    let form = client.get(&id).await.map_err(|error| complain(&error))?;
    let exit = follow(global, &client, &id, &form.verb, 0, Interest::Owner).await?;
    // Where the end was not seen there is no answer either.
    if exit != ExitCode::Unconfirmed
        && let Ok(JobForm { result: Some(result), .. }) = client.get(&id).await
    {
        print(&format!("{result:#}\n"));
    }
    Ok(exit)
}

/// `--detach`, or a job for a hive, and none was named.
pub fn no_hive() -> Complaint {
    Complaint::usage("no hive was named that could do it")
        .hint("start one with rbee hive serve, and name it: --hive http://127.0.0.1:7835, or --host NAME for the one on a host")
}

/// Those who may know a job: the named hive, else all that is there on this machine.
async fn places(global: &Global, remote: &RemoteFlags) -> Result<Vec<(String, Client)>, Complaint> {
    if let Some(client) = remote::named(global, remote).await? {
        return Ok(vec![(client.place(), client)]);
    }
    let name = |path: &std::path::Path| match path.file_name() {
        Some(name) if name == socket::HIVE => "hive".to_owned(),
        _ => "run".to_owned(),
    };
    Ok(remote::sockets()?.into_iter().map(|path| (name(&path), Client::new(Endpoint::Unix(path)))).collect())
}

async fn find(global: &Global, remote: &RemoteFlags, id: &str) -> Result<(Client, JobForm), Complaint> {
    for (_, client) in places(global, remote).await? {
        match client.get(id).await {
            Ok(form) => return Ok((client, form)),
            Err(error) if error.is_absent() => {}
            Err(error) if remote.is_some() => return Err(complain(&error)),
            // It ended between the look at its socket and this.
            Err(_) => {}
        }
    }
    Err(Complaint::usage(format!("there is no job {:?}", printable(id)))
        .hint("rbee job list shows those that are there"))
}

async fn list(global: &Global, remote: &RemoteFlags) -> Result<ExitCode, Complaint> {
    let mut found: Vec<(String, JobForm)> = Vec::new();
    for (name, client) in places(global, remote).await? {
        match client.list().await {
            Ok(jobs) => found.extend(jobs.into_iter().map(|job| (name.clone(), job))),
            Err(error) if remote.is_some() => return Err(complain(&error)),
            Err(error) => tell(&format!("rbee: {error}\n")),
        }
    }
    found.sort_by_key(|(_, job)| std::cmp::Reverse(job.created_at));
    if global.output == OutputForm::Json {
        let jobs: Vec<_> = found.iter().map(|(_, job)| job).collect();
        print(&format!("{}\n", json_line(&json!({ "v": 1, "jobs": jobs }))));
        return Ok(ExitCode::Ok);
    }
    if found.is_empty() {
        tell("rbee: no job: no hive and no run in progress has one\n");
        return Ok(ExitCode::Ok);
    }
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .map(|(name, job)| {
            let hosts = match &job.hosts[..] {
                [one] => one.clone(),
                many => format!("{} hosts", many.len()),
            };
            vec![job.job_id, name, job.verb, hosts, job.state.0.to_string(), job.reason.unwrap_or_default()]
        })
        .collect();
    print(&table(&["JOB", "OF", "VERB", "HOSTS", "STATE", "WHY"], &rows));
    Ok(ExitCode::Ok)
}

fn show(global: &Global, form: &JobForm) {
    if global.output == OutputForm::Json {
        print(&format!("{}\n", json_line(form)));
        return;
    }
    let mut rows = vec![
        ("job", form.job_id.clone()),
        ("what", json_line(&form.submission)),
        ("hosts", form.hosts.join(" ")),
        ("state", form.state.0.to_string()),
        ("created", rfc3339(form.created_at)),
    ];
    let mut add = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    add("why", form.reason.clone());
    add("started", form.started_at.map(rfc3339));
    add("ended", form.ended_at.map(rfc3339));
    add("exit", form.exit.map(|exit| exit.to_string()));
    add("cancelled by", form.cancelled_by.clone());
    add("cancel asked", form.cancel_asked_at.map(rfc3339));
    add("remains", form.remains.as_ref().map(|remains| confirmed(remains.confirmed, remains.survivors)));
    add("events", Some(form.last_event.to_string()));
    let text: String = rows.iter().map(|(name, value)| format!("{name:<13} {}\n", printable(value))).collect();
    print(&text);
    if let Some(result) = &form.result {
        print(&format!("{}\n", json_line(result)));
    }
}

fn confirmed(confirmed: bool, survivors: u32) -> String {
    match (confirmed, survivors) {
        (true, _) => "nothing is left".into(),
        (false, 0) => "it could not be confirmed that nothing is left".into(),
        (false, n) => format!("{n} processes were seen alive"),
    }
}

async fn cancel(global: &Global, remote: &RemoteFlags, id: &str) -> Result<ExitCode, Complaint> {
    let (client, _) = find(global, remote, id).await?;
    let answer = client.cancel(id, CANCEL.max(Limits::default().grace)).await.map_err(|error| complain(&error))?;
    if global.output == OutputForm::Json {
        print(&format!("{}\n", json_line(&answer)));
    }
    let status = answer["status"].as_str().unwrap_or_default();
    let is_end = ["completed", "failed", "cancelled"].contains(&status);
    let sure = answer["confirmed"] == true;
    if global.output != OutputForm::Json {
        let dead = answer["dead"].as_array().map_or(0, Vec::len);
        let survivors = answer["survivors"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        let groups = match dead {
            0 => String::new(),
            1 => "; 1 process group was ended".into(),
            n => format!("; {n} process groups were ended"),
        };
        print(&format!("{id} {}{groups}; {}\n", printable(status), confirmed(sure, survivors)));
    }
    Ok(if is_end && sure || status == JobState::Completed.as_str() { ExitCode::Ok } else { ExitCode::Unconfirmed })
}
