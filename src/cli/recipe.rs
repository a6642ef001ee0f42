//! `rbee recipe …`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Complaint,
    args::{Global, InstallFlags, OutputForm, RunFlags, some_duration},
    asked::{Answer, Asked},
    context::Context,
    fleet, print, tell,
};
use crate::{
    build::trees::Out,
    catalog::{Authored, CatalogError, read_recipe},
    engine::{
        Conclusion, Finding, Request,
        author::{Reading, RecipeRequest, RecipeTask, Trees},
    },
    inventory::Intent,
    recipe::{Lint, Severity, lint},
    vocab::{
        ExitCode, Host, HostName, Route,
        text::{counted, printable},
    },
};

#[derive(Debug, Subcommand)]
pub enum RecipeCommand {
    /// Print a recipe's metadata in the form of .SRCINFO, as `makepkg --printsrcinfo` does
    Print(ReadFlags),
    /// Say what is wrong with a recipe, as file:line; errors end with status 1
    ///
    /// Errors are what makepkg refuses or rbee would stop at; warnings are what is risky. The PKGBUILD is run by bash for
    /// that, at its top level only, with a limit of 20 s and without input.
    Check(ReadFlags),
    /// Build a recipe and leave its packages in a folder; installs nothing
    ///
    /// All phases run as in an install: fetch, prepare(), pkgver(), build(), check() with --check, package(). Then OUT has a
    /// folder for each package, as makepkg leaves them in pkg/. What an earlier build put there is replaced once this one
    /// is through, and nothing else is touched.
    Build(Box<BuildFlags>),
}

#[derive(Debug, ClapArgs)]
pub struct ReadFlags {
    /// Folder with a PKGBUILD
    dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub struct BuildFlags {
    /// Folder with a PKGBUILD
    dir: PathBuf,
    /// Folder for the packages, one folder each
    #[arg(long, value_name = "OUT")]
    pkg_out: PathBuf,
    /// Build on this host instead of here: a name as in --hosts
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// Also run check()
    #[arg(long)]
    check: bool,
    /// Remove what stands in a package's place, whoever put it there
    #[arg(long)]
    replace: bool,
    /// Limit for fetch, build and package [default: the worker's own, else 10m; cuda 20m, metal and rocm 15m]
    #[arg(long, env = "RBEE_BUILD_TIMEOUT", value_name = "DUR", value_parser = some_duration)]
    build_timeout: Option<Duration>,
    /// Limit without output and without CPU time in a build [default: 5m]
    #[arg(long, env = "RBEE_BUILD_IDLE", value_name = "DUR", value_parser = some_duration)]
    build_idle: Option<Duration>,
    #[command(flatten)]
    run: RunFlags,
}

/// What a recipe's folder is asked for, and what is shown of it.
pub struct About {
    dir: PathBuf,
    authored: Authored,
    judge: bool,
}

pub async fn run(global: Global, command: RecipeCommand) -> Result<ExitCode, Complaint> {
    match command {
        RecipeCommand::Print(flags) => read(&global, flags, false).await,
        RecipeCommand::Check(flags) => read(&global, flags, true).await,
        RecipeCommand::Build(flags) => build(&global, *flags).await,
    }
}

fn open(dir: &Path, except: Option<&Path>) -> Result<Authored, Complaint> {
    read_recipe(dir, except).map_err(|error| Complaint::usage(error.to_string()))
}

fn here() -> Host {
    Host::named(HostName::local(), Route::Local, "this machine")
}

/// Has bash read the recipe here.
async fn read(global: &Global, flags: ReadFlags, judge: bool) -> Result<ExitCode, Complaint> {
    let authored = open(&flags.dir, None)?;
    let recipe = Arc::new(authored.recipe.clone());
    let verb = if judge { "recipe check" } else { "recipe print" };
    let request = Request::Recipe(RecipeRequest { recipe, task: RecipeTask::Read { verb } });
    let about = Box::new(About { dir: flags.dir, authored, judge });
    let asked = Asked { answer: Answer::Recipe(about), ..Asked::query(request, RunFlags::default()) };
    let context = Context::here(global, &asked.run, &asked.install)?;
    fleet::carry_out(global, context, vec![here()], asked).await
}

/// Shows what came of reading a recipe; without a reading, the run says why.
pub fn answer(global: &Global, conclusion: &Conclusion, about: &About) -> ExitCode {
    let reading = conclusion.findings.values().flatten().find_map(|finding| match finding {
        Finding::Recipe(reading) => Some(reading),
        _ => None,
    });
    match reading {
        None => ended(conclusion),
        Some(reading) if about.judge => judge(global, &about.dir, &about.authored, reading),
        Some(reading) => show(global, &about.dir, reading),
    }
}

/// Says what kept the recipe from being read.
fn ended(conclusion: &Conclusion) -> ExitCode {
    for host in &conclusion.summary.hosts {
        if let Some(error) = &host.report.error {
            tell(&format!("rbee: {}\n", printable(error)));
        }
    }
    conclusion.summary.exit
}

fn show(global: &Global, dir: &Path, reading: &Reading) -> ExitCode {
    talk(&reading.printed);
    let evaluated = reading.evaluated.clone().and_then(|evaluated| {
        let empty = |name: &&str| evaluated.all(name).iter().all(String::is_empty);
        match ["pkgname", "pkgver", "pkgrel", "arch"].into_iter().find(empty) {
            Some(name) => Err(format!("PKGBUILD has no {name}; rbee recipe check says what else is wrong")),
            None => Ok(evaluated),
        }
    });
    match &evaluated {
        Ok(evaluated) if global.output == OutputForm::Json => {
            let values = evaluated.variables().filter(|(name, values)| !values.is_empty() && *name != "srcinfo");
            let values: Map<String, Value> = values
                .map(|(name, values)| match values {
                    [value] if evaluated.strings.iter().any(|plain| plain == name) => (name.to_owned(), json!(value)),
                    values => (name.to_owned(), json!(values)),
                })
                .collect();
            let document = json!({
                "v": 1, "recipe": dir.to_string_lossy(), "variables": values, "functions": evaluated.functions,
                "srcinfo": evaluated.one("srcinfo").unwrap_or_default(),
            });
            print(&format!("{document:#}\n"));
            ExitCode::Ok
        }
        Ok(evaluated) => {
            print(evaluated.one("srcinfo").unwrap_or_default());
            print("\n");
            ExitCode::Ok
        }
        Err(error) => {
            tell(&format!("rbee: {}: {}\n", dir.display(), printable(error)));
            ExitCode::Failed
        }
    }
}

/// What a recipe printed while it was read: never on stdout.
fn talk(printed: &str) {
    for line in printed.lines() {
        tell(&format!("{}\n", printable(line)));
    }
}

fn judge(global: &Global, dir: &Path, authored: &Authored, reading: &Reading) -> ExitCode {
    let mut lints: Vec<(String, usize, Severity, &'static str, String)> =
        lint(&authored.recipe.files, &reading.evaluated, &reading.printed)
            .into_iter()
            .map(|Lint { file, line, severity, code, text }| {
                (dir.join(file).display().to_string(), line, severity, code, text)
            })
            .collect();
    if let Err(error) = &authored.entry {
        let (file, line, text) = match error {
            CatalogError::Entry { file, line, text } => (file.clone(), *line, text.clone()),
            error => (dir.join("worker.toml").display().to_string(), 1, error.to_string()),
        };
        lints.push((file, line, Severity::Error, "worker", text));
    }
    let count = |severity| lints.iter().filter(|lint| lint.2 == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if global.output == OutputForm::Json {
        let lints: Vec<Value> = lints
            .iter()
            .map(|(file, line, severity, code, text)| {
                json!({ "file": file, "line": line, "severity": severity.as_str(), "code": code, "text": text })
            })
            .collect();
        let recipe = dir.to_string_lossy();
        let document = json!({ "v": 1, "recipe": recipe, "errors": errors, "warnings": warnings, "lints": lints });
        print(&format!("{document:#}\n"));
    } else {
        for (file, line, severity, _, text) in &lints {
            print(&format!("{}:{line}: {}: {}\n", printable(file), severity.as_str(), printable(text)));
        }
        if !global.quiet {
            tell(&format!("rbee: {}, {}\n", counted(errors, "error"), counted(warnings, "warning")));
        }
    }
    if errors > 0 { ExitCode::Failed } else { ExitCode::Ok }
}

async fn build(global: &Global, flags: BuildFlags) -> Result<ExitCode, Complaint> {
    let install =
        InstallFlags { build_timeout: flags.build_timeout, build_idle: flags.build_idle, ..InstallFlags::default() };
    let (context, host) = match flags.on.as_deref() {
        None => (Context::here(global, &flags.run, &install)?, here()),
        Some(name) => {
            let context = Context::load(global, &flags.run, &install)?;
            let mut hosts = context.select(Some(name), Intent::Change)?;
            match (hosts.pop(), hosts.is_empty()) {
                (Some(host), true) => (context, host),
                _ => {
                    return Err(Complaint::usage(format!(
                        "--on {name}: a recipe is built on one host, and these are several"
                    )));
                }
            }
        }
    };
    let authored = open(&flags.dir, Some(&flags.pkg_out))?;
    authored.entry.map_err(|error| Complaint::usage(error.to_string()))?;
    let out = Out::open(&flags.pkg_out, &context.settings.state_dir, flags.replace).map_err(|error| {
        let complaint = Complaint::usage(error.to_string());
        match error.hint() {
            Some(hint) => complaint.hint(hint),
            None => complaint,
        }
    })?;
    let task = RecipeTask::Build(Trees { out, check: flags.check });
    let request = Request::Recipe(RecipeRequest { recipe: Arc::new(authored.recipe), task });
    let asked = Asked { install, ..Asked::change(request, flags.run) };
    fleet::carry_out(global, context, vec![host], asked).await
}
