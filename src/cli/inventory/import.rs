//! `rbee inventory import …`: an inventory on stdout; what could not be carried over, line by line, on stderr.

use std::path::Path;

use super::super::{Complaint, args::ImportCommand, context, print, tell};
use crate::{
    inventory::import::{self, Draft, DraftHost},
    target::ssh::config::{ConfigError, Defaults, Effect, Key, Origin, Settings, SshConfig, Surroundings},
    vocab::{ExitCode, Host, HostName, Limits, Route, host::SshRoute, text::printable},
};

pub fn run(command: &ImportCommand) -> Result<ExitCode, Complaint> {
    let draft = match command {
        ImportCommand::SshConfig { file } => ssh_config(file.as_deref())?,
        ImportCommand::Ansible { file } => {
            import::ansible(file).map_err(|error| Complaint::usage(format!("{}: {error}", file.display())))?
        }
    };
    let (text, left_out) = draft.finish();
    print(&text);
    for line in left_out {
        tell(&format!("rbee: {}\n", printable(&line)));
    }
    Ok(ExitCode::Ok)
}

fn ssh_config(file: Option<&Path>) -> Result<Draft, Complaint> {
    let usage = |error: ConfigError| Complaint::usage(error.to_string());
    let around = Surroundings::new(&context::home()?).with_env(std::env::vars_os());
    let config = SshConfig::load_in(file, around).map_err(usage)?;
    let defaults = Defaults { user: context::user(), connect_timeout: Limits::default().connect, agent: None };
    let mut draft = Draft::default();
    for name in config.concrete_hosts() {
        let mut drafted = DraftHost::named(name);
        // The user's own file is asked at each run; only another one's word would be lost.
        if file.is_some() {
            let Ok(known) = HostName::new(name) else {
                draft.leave_out(format!("host {name}: an inventory cannot have this name"));
                continue;
            };
            let host = Host::named(known, Route::Ssh(SshRoute::default()), "import");
            match config.explain(&host, &defaults) {
                Ok(settings) => carry(&settings, &mut drafted, &mut draft),
                Err(error) => draft.leave_out(format!("host {name}: {error}")),
            }
        }
        draft.hosts.push(drafted);
    }
    if draft.hosts.is_empty() {
        draft.leave_out("there is no Host line with a plain name".to_owned());
    }
    Ok(draft)
}

/// What an inventory can say of what was found; the rest is named.
fn carry(settings: &Settings, host: &mut DraftHost, draft: &mut Draft) {
    let said = |key: Key| settings.get(key).first().map(|found| found.word().to_owned());
    let jump = said(Key::ProxyJump).filter(|jump| jump != "none");
    host.address = said(Key::Hostname).map(|_| settings.host_name.clone());
    host.port = said(Key::Port);
    host.user = said(Key::User);
    host.identity = settings.get(Key::IdentityFile).iter().map(|found| found.word().to_owned()).collect();
    host.identity.retain(|file| !file.eq_ignore_ascii_case("none"));
    host.jump.clone_from(&jump);
    let carried = [Key::Hostname, Key::Port, Key::User, Key::IdentityFile, Key::ProxyJump];
    for entry in settings.report() {
        let Origin::File { .. } = &entry.origin else { continue };
        let standard = entry.key == Key::ProxyCommand && jump.is_some();
        if !carried.contains(&entry.key) && !standard && !matches!(entry.key.about().effect, Effect::Ignored(_)) {
            draft.leave_out(format!(
                "host {}: {} {} ({}) has no place in an inventory; keep it in ~/.ssh/config",
                settings.name, entry.keyword, entry.value, entry.origin
            ));
        }
    }
}
