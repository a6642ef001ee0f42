//! `rbee worker …`

use serde_json::json;

use super::{
    Complaint,
    args::{Global, OutputForm, WorkerCommand},
    context, print,
    table::table,
};
use crate::vocab::ExitCode;

pub fn run(global: &Global, command: WorkerCommand) -> Result<ExitCode, Complaint> {
    let WorkerCommand::Available = command;
    let catalog = context::catalog(global)?;
    if global.output == OutputForm::Json {
        let workers: Vec<_> = catalog
            .list()
            .map(|listed| {
                let worker = &listed.worker;
                json!({
                    "id": worker.id.as_str(), "name": worker.name, "description": worker.description,
                    "platforms": worker.platforms, "architectures": worker.architectures,
                    "type": worker.accelerator.as_str(), "version": listed.version, "origin": listed.origin,
                    "license": worker.license,
                })
            })
            .collect();
        print(&format!("{:#}\n", json!({ "v": 1, "workers": workers })));
        return Ok(ExitCode::Ok);
    }
    let rows: Vec<Vec<String>> = catalog
        .list()
        .map(|listed| {
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
    print(&table(&["DESCRIPTION", "ID", "NAME", "PLATFORMS", "TYPE"], &rows));
    Ok(ExitCode::Ok)
}
