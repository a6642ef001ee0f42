//! The command line: merges flags, environment and files into settings, asks the engine, shows what comes back.
//!
//! Nothing below this floor reads the environment, prints, or knows a terminal.

mod answer;
mod args;
mod args_daemon;
mod args_hive;
mod args_install;
mod args_model;
mod args_once;
mod args_prebuilt;
mod args_run;
mod args_sources;
mod args_spawn;
mod args_worker;
mod asked;
mod bench;
mod cache;
mod catalogs;
mod context;
mod daemon;
mod document;
mod door;
mod fleet;
mod follow;
mod hive;
mod inventory;
mod job;
mod models;
mod models_hive;
mod offers;
mod output;
mod password;
mod places;
mod programs;
mod recipe;
mod remote;
mod sandbox;
mod signals;
mod spawn;
mod sudo_password;
mod table;
mod terminal;
mod trust;
mod worker;

use std::{io::Write, time::Duration};

use clap::{CommandFactory, Parser};

use crate::vocab::ExitCode;
use args::{Args, Command};

/// Threads that still work when a command has ended have so long to notice.
const LEAVE: Duration = Duration::from_millis(500);

/// What a command could not do, said to the user; nothing was contacted.
#[derive(Debug)]
pub struct Complaint {
    pub text: String,
    pub hint: Option<String>,
    pub exit: ExitCode,
}

impl Complaint {
    fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, exit: ExitCode::Usage }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Runs the program; the number is its exit status.
pub fn main() -> u8 {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let what = info.payload().downcast_ref::<&str>().copied().map(str::to_owned);
        let what = what.or_else(|| info.payload().downcast_ref::<String>().cloned()).unwrap_or_default();
        tell(&format!("rbee: a bug{place}: {what}\n  please report it with the command that you typed\n"));
    }));
    let ended = std::panic::catch_unwind(run);
    terminal::restore();
    match ended {
        Ok(Ok(exit)) => exit.code(),
        Ok(Err(complaint)) => {
            tell(&format!("rbee: {}\n", complaint.text));
            if let Some(hint) = complaint.hint {
                tell(&format!("  {hint}\n"));
            }
            complaint.exit.code()
        }
        Err(_) => ExitCode::Bug.code(),
    }
}

fn run() -> Result<ExitCode, Complaint> {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are what was asked for.
            let exit = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
            let _ = error.print();
            return Ok(exit);
        }
    };
    if args.global.verbose > 1 {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG).init();
    }
    match args.command {
        Command::Fleet(command) => on_runtime(fleet::run(args.global, command.hosts.as_deref(), command.command)),
        Command::Model(command) => on_runtime(models::run(args.global, *command)),
        Command::Worker(command) => on_runtime(worker::run(args.global, *command)),
        Command::Cache(command) => cache::run(&args.global, &command),
        Command::Recipe(command) => on_runtime(recipe::run(args.global, command)),
        Command::Hive(command) => on_runtime(hive::run(&args.global, command)),
        Command::Job(command) => on_runtime(job::run(&args.global, command)),
        Command::Sandbox(command) => on_runtime(sandbox::run(&args.global, command)),
        Command::Inventory(command) => inventory::run(&args.global, &command),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "rbee", &mut text);
            print(&String::from_utf8_lossy(&text));
            Ok(ExitCode::Ok)
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Args::command())
                .render(&mut text)
                .map_err(|error| Complaint::usage(format!("cannot write the manual page: {error}")))?;
            print(&String::from_utf8_lossy(&text));
            Ok(ExitCode::Ok)
        }
    }
}

/// Runs a command to its end. What reads a large file then, for nobody any more, is not waited for.
fn on_runtime(command: impl Future<Output = Result<ExitCode, Complaint>>) -> Result<ExitCode, Complaint> {
    // What they do is mostly to cipher, and two threads of one core cipher no faster than one.
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    let runtime = runtime.map_err(|error| Complaint::usage(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(command);
    runtime.shutdown_timeout(LEAVE);
    ended
}

/// Writes data; a reader that has gone away is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a document; what could move a cursor, and JSON lets stand, is escaped.
fn print_json(document: &serde_json::Value) {
    let mut text = String::new();
    for c in format!("{document:#}\n").chars() {
        match c {
            '\n' => text.push(c),
            c if crate::vocab::text::printable(c.encode_utf8(&mut [0; 4])).chars().ne([c]) => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    print(&text);
}

/// Writes talk.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
