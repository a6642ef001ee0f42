//! `rbee sandbox …`

use std::{ffi::OsString, path::Path, time::Duration};

use super::{
    Complaint,
    args::{SandboxCommand, SandboxPlace},
    print,
};
use crate::{
    sandbox::{self, Options, Sandbox, SandboxError, Status, Toolchain},
    vocab::{ExitCode, text::sh_quote},
};

/// A thousand hosts start in a few seconds; a busy machine takes longer.
const START: Duration = Duration::from_secs(120);

pub async fn run(command: SandboxCommand) -> Result<ExitCode, Complaint> {
    match command {
        SandboxCommand::Up { count, place: SandboxPlace { dir }, detach } if detach => {
            let exe = std::env::current_exe().map_err(|error| Complaint::usage(error.to_string()))?;
            let number = count.to_string();
            let args: [OsString; 6] =
                ["sandbox".into(), "up".into(), "--hosts".into(), number.into(), "--dir".into(), dir.clone().into()];
            sandbox::spawn_detached(&dir, &exe, args, START).await.map_err(complain)?;
            print(&greeting(&dir, count as usize));
            print(&format!("end it:  rbee sandbox down --dir {}\n", sh_quote(&dir.to_string_lossy())));
            Ok(ExitCode::Ok)
        }
        SandboxCommand::Up { count, place: SandboxPlace { dir }, .. } => {
            let mut options = Options::new(&dir, count as usize);
            options.toolchain = Toolchain::find(|name| std::env::var_os(name));
            let sandbox = Sandbox::start(options).await.map_err(complain)?;
            print(&greeting(&dir, sandbox.hosts().len()));
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
                Status::Down => print("no sandbox is running\n"),
                Status::Up { pid, hosts } => {
                    print(&format!("running: pid {pid}, {} hosts\n", hosts.len()));
                    for host in hosts {
                        print(&format!("{}  127.0.0.1:{}\n", host.name, host.port));
                    }
                }
            }
            Ok(ExitCode::Ok)
        }
    }
}

fn greeting(dir: &Path, hosts: usize) -> String {
    let dir = dir.to_string_lossy();
    let dir = dir.trim_end_matches('/');
    let (inventory, config) = (format!("{dir}/inventory.toml"), format!("{dir}/ssh_config"));
    format!(
        "{hosts} hosts are ready\n\
         try:     rbee -i {} -F {} fleet ping\n",
        sh_quote(&inventory),
        sh_quote(&config)
    )
}

fn complain(error: SandboxError) -> Complaint {
    Complaint { text: error.to_string(), hint: None, exit: ExitCode::Failed }
}
