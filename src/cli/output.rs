//! Which readers a run gets.

use std::{
    io::{IsTerminal, stderr, stdout},
    path::{Path, PathBuf},
};

use super::{
    args::{Global, OutputForm, RunFlags},
    tell, terminal,
};
use crate::{
    report::{Github, Json, Junit, Lines, Log, Options, Plain, Reader, Screen, Tty, Verbosity},
    scope::Prompt,
    vocab::RunId,
};

/// Whether a verb does something or answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tells as it goes; NDJSON.
    Run(Lines),
    /// Answers at the end; one document.
    Query,
}

/// The readers of a run, and how to ask a question between them.
pub struct Readers {
    pub readers: Vec<Box<dyn Reader>>,
    pub prompt: Option<Prompt>,
    /// Where rows are drawn that have to make room for talk.
    pub screen: Option<Screen>,
}

pub fn readers(global: &Global, run: &RunFlags, kind: Kind, color: bool, logs: Option<&Path>, ask: bool) -> Readers {
    let mut readers: Vec<Box<dyn Reader>> = Vec::new();
    let mut screen = None;
    let lines = match kind {
        Kind::Run(lines) => Some(lines),
        // The one document on stdout is all of it.
        Kind::Query if global.output == OutputForm::Json => None,
        Kind::Query => Some(Lines::Answer),
    };
    if let Some(lines) = lines {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        let options = Options { verbosity, lines, color, logs: logs.map(PathBuf::from) };
        match form(global, lines) {
            OutputForm::Json => readers.push(Box::new(Json::new(Box::new(stdout())))),
            OutputForm::Tty => {
                let tty = Tty::stderr(options);
                screen = Some(tty.screen());
                readers.push(Box::new(tty));
            }
            OutputForm::Plain | OutputForm::Auto => {
                readers.push(Box::new(Plain::new(Box::new(stdout()), Box::new(stderr()), options)));
            }
        }
        if run.github {
            readers.push(Box::new(Github::new(Box::new(stdout()))));
        }
        readers.extend(logs.map(|dir| Box::new(Log::new(dir)) as Box<dyn Reader>));
    }
    readers.extend(run.junit.as_ref().map(|path| Box::new(Junit::new(path)) as Box<dyn Reader>));
    let drawn = screen.clone();
    let prompt = ask.then(|| {
        Prompt::new(move |question| {
            let ask = || terminal::ask(question);
            match &drawn {
                Some(screen) => screen.suspend(ask),
                None => ask(),
            }
        })
    });
    Readers { readers, prompt, screen }
}

/// The form that `auto` means here.
fn form(global: &Global, lines: Lines) -> OutputForm {
    match global.output {
        // Lines that are data go to stdout: where that is not the same terminal, there is nothing to draw around.
        OutputForm::Auto if stderr().is_terminal() && (lines != Lines::Data || stdout().is_terminal()) => {
            OutputForm::Tty
        }
        OutputForm::Auto => OutputForm::Plain,
        form => form,
    }
}

/// Runs whose logs are kept.
const RUNS_KEPT: usize = 200;

/// A new folder for the run's logs; without one the run goes on.
pub fn log_dir(state_dir: &Path, run: &RunId) -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let runs = state_dir.join("runs");
    let dir = runs.join(run.as_str());
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir) {
        Ok(()) => {
            prune(&runs);
            Some(dir)
        }
        Err(error) => {
            tell(&format!("rbee: no logs: cannot make {}: {error}\n", dir.display()));
            None
        }
    }
}

/// Removes the oldest runs; their names sort by time.
fn prune(runs: &Path) {
    let Ok(entries) = std::fs::read_dir(runs) else { return };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.retain(|name| name.to_str().is_some_and(|name| RunId::new(name).is_ok()));
    names.sort();
    for name in names.iter().take(names.len().saturating_sub(RUNS_KEPT)) {
        let _ = std::fs::remove_dir_all(runs.join(name));
    }
}
