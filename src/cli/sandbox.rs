//! `rbee sandbox …`

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    Complaint,
    args::{Global, OutputForm, SandboxCommand, SandboxPlace},
    print, print_json,
};
use crate::{
    sandbox::{self, HostAddress, Options, Sandbox, SandboxError, Status, Toolchain, hub::TOKEN},
    vocab::{
        ExitCode,
        text::{counted, sh_quote},
    },
};

/// A thousand hosts start in a few seconds; a busy machine takes longer.
const START: Duration = Duration::from_secs(120);

pub async fn run(global: &Global, command: SandboxCommand) -> Result<ExitCode, Complaint> {
    match command {
        SandboxCommand::Up { count, place: SandboxPlace { dir }, hub, detach } if detach => {
            let exe = std::env::current_exe().map_err(|error| Complaint::usage(error.to_string()))?;
            let number = count.to_string();
            hub.faults()?;
            let words = ["sandbox", "up", "--hosts", &number, "--dir"].map(Into::into);
            let args = words.into_iter().chain([dir.clone().into()]).chain(hub.words());
            let up = sandbox::spawn_detached(&dir, &exe, args, START).await.map_err(complain)?;
            print(&greeting(&dir, count as usize));
            if let Status::Up { hub: Some(hub), .. } = up {
                print(&hub_words(&hub));
            }
            print(&format!("end it:  rbee sandbox down --dir {}\n", sh_quote(&dir.to_string_lossy())));
            Ok(ExitCode::Ok)
        }
        SandboxCommand::Up { count, place: SandboxPlace { dir }, hub, .. } => {
            let mut options = Options::new(&dir, count as usize);
            options.toolchain = Toolchain::find(|name| std::env::var_os(name));
            options.hub = hub.faults()?;
            let sandbox = Sandbox::start(options).await.map_err(complain)?;
            print(&greeting(&dir, sandbox.hosts().len()));
            if let Some(hub) = sandbox.hub() {
                print(&hub_words(&hub.endpoint()));
            }
            print("end it:  Ctrl+C\n");
            sandbox.wait().await.map_err(complain)?;
            Ok(ExitCode::Ok)
        }
        SandboxCommand::Down(SandboxPlace { dir }) => {
            let down = sandbox::down(&dir).await.map_err(complain)?;
            print(&format!("{down}\n"));
            Ok(ExitCode::Ok)
        }
        SandboxCommand::Status(SandboxPlace { dir }) => {
            match sandbox::status(&dir).map_err(complain)? {
                status if global.output == OutputForm::Json => print_json(&document(&status)),
                Status::Down => print("no sandbox is running\n"),
                Status::Up { pid, hosts, hub } => {
                    print(&format!("running: pid {pid}, {}\n", counted(hosts.len(), "host")));
                    for host in hosts {
                        print(&format!("{}  127.0.0.1:{}\n", host.name, host.port));
                    }
                    if let Some(hub) = hub {
                        print(&format!("model hub  {hub}\n"));
                    }
                }
            }
            Ok(ExitCode::Ok)
        }
    }
}

fn document(status: &Status) -> Value {
    match status {
        Status::Down => json!({ "v": 1, "state": "down" }),
        Status::Up { pid, hosts, hub } => {
            let host =
                |host: &HostAddress| json!({ "host": host.name.as_str(), "address": "127.0.0.1", "port": host.port });
            let hosts: Vec<_> = hosts.iter().map(host).collect();
            json!({ "v": 1, "state": "running", "pid": pid, "hosts": hosts, "hub": hub })
        }
    }
}

fn greeting(dir: &Path, hosts: usize) -> String {
    let dir = dir.to_string_lossy();
    let dir = dir.trim_end_matches('/');
    let (inventory, config) = (format!("{dir}/inventory.toml"), format!("{dir}/ssh_config"));
    format!(
        "{} {} ready\n\
         try:     rbee -i {} -F {} fleet ping\n",
        counted(hosts, "host"),
        if hosts == 1 { "is" } else { "are" },
        sh_quote(&inventory),
        sh_quote(&config)
    )
}

fn hub_words(endpoint: &str) -> String {
    format!("models:  export HF_ENDPOINT={endpoint}   (its gated repository takes HF_TOKEN={TOKEN})\n")
}

fn complain(error: SandboxError) -> Complaint {
    Complaint { text: error.to_string(), hint: None, exit: ExitCode::Failed }
}
