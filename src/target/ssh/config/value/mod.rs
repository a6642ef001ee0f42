//! What a keyword's words mean, brought into the form in which `ssh -G` prints them.
//!
//! Every reader checks its words as strictly as ssh does, because a file that ssh refuses is one that is wrong.

mod choice;
mod forward;
mod jump;
mod list;
mod number;

use self::number::{port, time};
pub(super) use self::{
    choice::*,
    forward::Forward,
    jump::{Parts, parts, read as jump_chain},
    list::{cnames, domain, domains, gss_names, log_verbose, permit_open},
    number::{add_keys, c_number, control_persist, escape_char, ip_qos, mask, rekey_limit, tunnel_device},
};
use super::{
    keyword::{Key, Kind},
    line::Line,
    surroundings::Surroundings,
};

/// Reads the words of a line.
///
/// # Errors
/// Says what is wrong with them, fit to follow `file:line: `.
pub(super) fn read(key: Key, line: &Line, around: &Surroundings) -> Result<Vec<String>, String> {
    let args = &line.args[..];
    let named = |error: String| format!("{}: {error}", line.keyword);
    match key.about().kind {
        Kind::Structure | Kind::Nothing => Ok(Vec::new()),
        Kind::Choice(choices) => pick(&one(args)?, choices).map(|word| vec![word.to_owned()]),
        Kind::Number => one(args).and_then(|word| number::whole(&word)).map(|number| vec![number.to_string()]),
        Kind::Time => one(args).and_then(|word| match word.as_str() {
            // As if it were not said.
            "none" => Ok(Vec::new()),
            word => Ok(vec![time(word)?.to_string()]),
        }),
        Kind::Port => one(args).and_then(|word| port(&word)).map(|port| vec![port.to_string()]),
        Kind::Word | Kind::Gather => one(args).map(|word| vec![word]),
        Kind::Rest => Ok(vec![rest(line).to_owned()]),
        Kind::Jump => jump::read(rest(line)).map(|jump| vec![jump]),
        Kind::Files => list::files(args),
        Kind::SendEnv => list::send_env(args),
        Kind::SetEnv => list::set_env(args),
        Kind::Forward(direction) => forward::read(direction, args, around),
        Kind::Algorithms(names) => one(args).and_then(|list| names.check(&list).map(|()| vec![list])),
        Kind::Special(read) => read(args),
        Kind::Agent { flag } => one(args).and_then(|word| agent(word, flag, around)).map(|word| vec![word]),
    }
    .map_err(named)
}

/// The rest of a line as a command takes it.
fn rest(line: &Line) -> &str {
    line.rest.trim_start_matches([' ', '\t', '\r', '\n', '='])
}

/// The only word.
fn one(args: &[String]) -> Result<String, String> {
    match args {
        [] => Err("an argument is missing".to_owned()),
        [word] if word.is_empty() => Err("the argument is empty".to_owned()),
        [word] => Ok(word.clone()),
        [_, more, ..] => Err(format!("there is one argument only, and then \"{more}\"")),
    }
}

fn pick(word: &str, choices: Choices) -> Result<&'static str, String> {
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, printed)| *printed).ok_or_else(|| {
        let mut names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        names.dedup();
        format!("\"{word}\" is none of {}", names.join(", "))
    })
}

fn agent(word: String, flag: bool, around: &Surroundings) -> Result<String, String> {
    if flag && let Ok(word) = pick(&word, FLAG) {
        return Ok(word.to_owned());
    }
    around.variables(&word)?;
    match word.strip_prefix('$') {
        Some(name) if !name.starts_with('{') && !variable(name) => Err(format!("\"{name}\" is no name of a variable")),
        _ => Ok(word),
    }
}

fn variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
