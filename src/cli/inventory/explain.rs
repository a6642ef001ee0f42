//! `rbee inventory check --explain HOST`: how it is reached, and who says so.

use serde_json::{Map, Value, json};

use super::super::{
    Complaint,
    args::{Global, InstallFlags, OutputForm, RunFlags},
    context::Context,
    print,
    table::table,
    tell,
};
use crate::{
    inventory::Intent,
    target::ssh::config::{Defaults, Effect, Entry, Key, Origin, Settings},
    vocab::{ExitCode, Host, HostName, Route, host::SshRoute},
};

/// Shown to people even where nobody said anything.
const ALWAYS: &[Key] = &[
    Key::Hostname,
    Key::User,
    Key::Port,
    Key::StrictHostKeyChecking,
    Key::UserKnownHostsFile,
    Key::GlobalKnownHostsFile,
    Key::IdentityFile,
];

pub fn run(global: &Global, name: &str) -> Result<ExitCode, Complaint> {
    let context = Context::load(global, &RunFlags::default(), &InstallFlags::default())?;
    let host = find(&context, name)?;
    if host.route == Route::Local {
        return Err(Complaint::usage(format!("{} is this machine, and is not reached over SSH", host.name)));
    }
    let defaults = Defaults::from(&context.settings);
    let Some(ssh) = &context.ssh else { return Err(Complaint::usage("no ssh_config was read")) };
    let settings = ssh.explain(&host, &defaults).map_err(|error| Complaint::usage(error.to_string()))?;
    // What is found may still be something that cannot be done.
    let refused = settings.resolve(&defaults).err().map(|error| error.to_string());
    let entries = settings.report();
    if global.output == OutputForm::Json {
        print(&format!("{:#}\n", document(&host, &settings, &entries, refused.as_deref())));
    } else {
        let all = global.verbose > 0;
        let shown = |entry: &&Entry<'_>| all || entry.origin != Origin::Default || ALWAYS.contains(&entry.key);
        let mut shown: Vec<&Entry<'_>> = entries.iter().filter(shown).collect();
        // What matters most comes first; the order of the table stays.
        shown.sort_by_key(|entry| matches!(entry.key.about().effect, Effect::Ignored(_)));
        let rows: Vec<Vec<String>> = shown.iter().map(|entry| row(entry)).collect();
        print(&table(&["KEYWORD", "VALUE", "FROM", ""], &rows));
        if let Some(error) = &refused {
            tell(&format!("rbee: {error}\n"));
        }
    }
    Ok(if refused.is_some() { ExitCode::Usage } else { ExitCode::Ok })
}

/// The host of that name, of the inventory or of ssh_config, or one that only its name is known of.
fn find(context: &Context, name: &str) -> Result<Host, Complaint> {
    if let Some(host) = context.inventory.get(name) {
        return Ok(host.clone());
    }
    if let Ok(hosts) = context.select(Some(name), Intent::Read)
        && let [host] = &hosts[..]
    {
        return Ok(host.clone());
    }
    let name = HostName::new(name).map_err(|error| Complaint::usage(error.to_string()))?;
    Ok(Host::named(name, Route::Ssh(SshRoute::default()), "--explain"))
}

fn row(entry: &Entry<'_>) -> Vec<String> {
    let note = match entry.key.about().effect {
        Effect::Ignored(why) if entry.origin != Origin::Default => format!("no effect: rbee {why}"),
        _ => String::new(),
    };
    vec![entry.keyword.to_owned(), entry.value.clone(), entry.origin.to_string(), note]
}

fn document(host: &Host, settings: &Settings, entries: &[Entry<'_>], refused: Option<&str>) -> Value {
    let mut keywords = Map::new();
    for entry in entries {
        let mut value = json!({ "value": entry.value, "from": entry.origin.to_string() });
        if let Origin::File { file, line } = &entry.origin {
            value["file"] = json!(file.to_string_lossy());
            value["line"] = json!(line);
        }
        if let Effect::Ignored(why) = entry.key.about().effect {
            value["ignored"] = json!(why);
        }
        match entry.several {
            false => drop(keywords.insert(entry.keyword.to_owned(), value)),
            true => {
                if let Value::Array(lines) = keywords.entry(entry.keyword).or_insert_with(|| json!([])) {
                    lines.push(value);
                }
            }
        }
    }
    keywords.insert("host".to_owned(), json!({ "value": settings.name, "from": format!("inventory {}", host.origin) }));
    json!({ "v": 1, "host": host.name.as_str(), "error": refused, "settings": keywords })
}
