//! The password of sudo, as the command line brings it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use zeroize::Zeroizing;

use super::{Complaint, args::SudoFlags};
use crate::{scope::Prompt, vocab::Secret};

/// More than any password.
const LIMIT: u64 = 1024;

/// What `--ask-sudo-pass` or `--sudo-password-file` yields; `None` without either.
///
/// # Errors
/// There is nobody to ask, or nothing to read.
pub async fn given(flags: &SudoFlags, prompt: Option<&Prompt>) -> Result<Option<Secret>, Complaint> {
    if let Some(path) = &flags.sudo_password_file {
        return match first_line(path) {
            Ok(line) if line.expose().is_empty() => {
                Err(Complaint::usage(format!("the first line of {} is empty", path.display())))
            }
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(Complaint::usage(format!("cannot read a password from {}: {error}", path.display()))),
        };
    }
    if !flags.ask_sudo_pass {
        return Ok(None);
    }
    let Some(prompt) = prompt else {
        return Err(Complaint::usage("--ask-sudo-pass needs a terminal")
            .hint("--sudo-password-file reads it from a file, or from stdin with -"));
    };
    match prompt.secret("sudo password: ").await {
        Ok(text) if text.is_empty() => Err(Complaint::usage("no password was typed")),
        Ok(text) => Ok(Some(Secret::new(text))),
        Err(error) => Err(Complaint::usage(format!("no password was typed: {error}"))),
    }
}

fn first_line(path: &Path) -> io::Result<Secret> {
    let mut line = Zeroizing::new(String::new());
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    BufReader::new(source.take(LIMIT)).read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\n', '\r'])))
}
