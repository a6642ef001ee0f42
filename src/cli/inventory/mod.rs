//! `rbee inventory …`: what is written down, what it comes to for one host, and what others have written down.

mod explain;
mod import;

use serde_json::json;

use super::{
    Complaint,
    args::{Global, InventoryCommand, OutputForm},
    context, print, print_json, tell,
};
use crate::{
    inventory,
    vocab::{ExitCode, text::counted},
};

pub fn run(global: &Global, command: &InventoryCommand) -> Result<ExitCode, Complaint> {
    match command {
        InventoryCommand::Check { explain: None } => check(global),
        InventoryCommand::Check { explain: Some(name) } => explain::run(global, name),
        InventoryCommand::Import(command) => import::run(command),
    }
}

fn check(global: &Global) -> Result<ExitCode, Complaint> {
    let home = context::home()?;
    let source = context::source(global, &context::xdg("XDG_CONFIG_HOME", &home, ".config"));
    match inventory::load(&source, &home) {
        Ok(inventory) => {
            let groups: Vec<_> = inventory.groups().collect();
            let hosts = inventory.hosts();
            if global.output == OutputForm::Json {
                let names: Vec<_> = hosts.iter().map(|host| host.name.as_str()).collect();
                print_json(&json!({ "v": 1, "hosts": names, "groups": groups }));
                return Ok(ExitCode::Ok);
            }
            let groups = if groups.is_empty() { "no groups".into() } else { format!("groups: {}", groups.join(", ")) };
            print(&format!("{}, {groups}\n", counted(hosts.len(), "host")));
            Ok(ExitCode::Ok)
        }
        Err(error) if !error.problems().is_empty() => {
            for problem in error.problems() {
                tell(&format!("{problem}\n"));
            }
            Ok(ExitCode::Usage)
        }
        Err(error) => Err(Complaint::usage(error.to_string())),
    }
}
