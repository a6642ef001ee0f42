//! Whether a host has what a recipe asks for: tools by their own names, packages by Arch's.
//!
//! # Theory of operation
//! A package is a handful of [capabilities](super::capability), most of which the probe of every host has answered
//! already. What it has not is asked by [`ask`] in one further round trip, which changes nothing either. A package that
//! nobody here knows is looked for as a command and as a module of pkg-config, and where neither is there, nothing is
//! known: that is said, and stands against nothing.

use std::fmt::Write;

use super::{
    NEEDS_END, NEEDS_PROBE, PreflightError,
    capability::{self, Proof},
    check::{Grade, Verdict},
    names::{Meaning, meaning},
    packages::{Provision, install_line, provision},
    parse,
};
use crate::{
    scope::Scope,
    target::{Captured, Command, Target},
    vocab::{
        Dependency, Facts, Needed, Needs,
        facts::{Libc, Tool},
        text::{printable, sh_quote},
        vercmp,
    },
};

/// What is known of one capability.
enum Answer<'a> {
    There(Option<&'a str>),
    Absent,
    /// Nobody asked, or nothing answered in time.
    Unknown,
}

fn answer<'a>(facts: &'a Facts, name: &str) -> Answer<'a> {
    let tool = facts.tool(name).map(|tool| tool.version.as_deref());
    match (tool, facts.capabilities.get(name)) {
        (Some(Some(version)), _) => Answer::There(Some(version)),
        (_, Some(Some(found))) => Answer::There(found.version.as_deref()),
        (Some(None), _) => Answer::There(None),
        (None, Some(None)) => Answer::Absent,
        (None, None) => match capability::of(name).map(|capability| capability.proof) {
            Some(Proof::Probed) => Answer::Absent,
            _ => Answer::Unknown,
        },
    }
}

/// What a build on this host asks for; a check is not part of an installation.
fn wanted<'a>(facts: &'a Facts, needs: &'a Needs) -> impl Iterator<Item = &'a Dependency> {
    let here = |package: &&Dependency| package.arch.as_deref().is_none_or(|arch| arch == facts.arch.as_str());
    needs.packages.iter().filter(|package| package.needed != Needed::ToCheck).filter(here)
}

/// What [`ask`] has to find out before a host can be judged for `needs`; mostly nothing.
pub fn questions(facts: &Facts, needs: &Needs) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |name: &str, function: &str, arguments: &[&str]| {
        let name = sh_quote(name);
        let mut line = format!("job {name} {function} {name}");
        for argument in arguments {
            let _ = write!(line, " {}", sh_quote(argument));
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for package in wanted(facts, needs) {
        match meaning(&package.name, package.needed) {
            Meaning::Given | Meaning::Libc => {}
            Meaning::Unknown if facts.capabilities.contains_key(&package.name) => {}
            Meaning::Unknown if package.name.ends_with(".so") => add(&package.name, "need_file", &[]),
            Meaning::Unknown => add(&package.name, "need_any", &[]),
            Meaning::Capabilities(names) => {
                for capability in names.iter().filter_map(|name| capability::of(name)) {
                    let enough = match answer(facts, capability.name) {
                        Answer::There(version) => version.is_some() || package.demand.is_none(),
                        Answer::Absent => true,
                        Answer::Unknown => false,
                    };
                    if enough || facts.capabilities.contains_key(capability.name) {
                        continue;
                    }
                    match capability.proof {
                        Proof::Probed => {}
                        Proof::Tool(commands, argument) => {
                            add(capability.name, "need_tool", &[argument.unwrap_or_default(), &commands.join(" ")]);
                        }
                        Proof::Library(modules, headers) => {
                            add(capability.name, "need_library", &[&modules.join(" "), &headers.join(" ")]);
                        }
                    }
                }
            }
        }
    }
    lines
}

/// Asks the host, in one round trip that changes nothing, and adds the answers to its facts.
///
/// # Errors
/// As [`probe`](super::probe).
pub async fn ask(
    scope: &Scope,
    target: &dyn Target,
    facts: &mut Facts,
    questions: &[String],
) -> Result<(), PreflightError> {
    if questions.is_empty() {
        return Ok(());
    }
    let script = format!("{NEEDS_PROBE}{}\n{NEEDS_END}", questions.join("\n"));
    let mut said = Captured::default();
    target.run(scope, &Command::own("probe for packages", script), &mut said).await?;
    let found = parse::parse(&said.stdout)
        .map_err(|error| PreflightError::Probe { error, words: format!(": {}", said.last_words()) })?;
    facts.capabilities.extend(found.capabilities);
    facts.silent.extend(found.silent);
    Ok(())
}

/// What was found, in words, and the names of what is missing.
#[derive(Default)]
struct Found<'a> {
    good: Vec<String>,
    unsure: Vec<String>,
    bad: Vec<String>,
    missing: Vec<&'a str>,
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl<'a> Found<'a> {
    fn of(facts: &'a Facts, tools: impl IntoIterator<Item = &'a str>, needs: Option<&'a Needs>) -> Self {
        let mut found = Self::default();
        tools.into_iter().for_each(|need| found.tool(facts, need));
        needs.into_iter().flat_map(|needs| wanted(facts, needs)).for_each(|package| found.package(facts, package));
        found
    }

    /// As a catalog's entry asks: `cmake>=3.14`.
    fn tool(&mut self, facts: &'a Facts, need: &'a str) {
        let (name, least) = match need.split_once(">=") {
            Some((name, least)) => (name.trim(), Some(least.trim())),
            None => (need.trim(), None),
        };
        let shown = printable(name);
        match (facts.tool(name), least) {
            (None, _) => {
                push(&mut self.bad, format!("{shown} is missing"));
                push(&mut self.missing, name);
            }
            (Some(Tool { version: Some(version), .. }), Some(least)) if older(version, least) => {
                push(&mut self.bad, format!("{shown} {version} is older than {}", printable(least)));
                push(&mut self.missing, name);
            }
            (Some(Tool { version: None, .. }), Some(least)) => {
                push(&mut self.unsure, format!("{shown} does not tell its version, {} is needed", printable(least)));
            }
            (Some(Tool { version: Some(version), .. }), _) => push(&mut self.good, format!("{shown} {version}")),
            (Some(_), None) => push(&mut self.good, shown.into_owned()),
        }
    }

    /// As a recipe asks. Its names keep a grammar that is fit to be shown.
    fn package(&mut self, facts: &'a Facts, package: &'a Dependency) {
        match meaning(&package.name, package.needed) {
            Meaning::Given => {}
            Meaning::Libc => {
                if let (Some(Libc::Glibc(major, minor)), Some(demand)) = (&facts.libc, &package.demand)
                    && package.name == "glibc"
                    && !demand.accepts(&format!("{major}.{minor}"))
                {
                    push(&mut self.bad, format!("glibc {major}.{minor} is there, and {package} is needed"));
                }
            }
            Meaning::Unknown => match answer(facts, &package.name) {
                Answer::There(version) => self.there(&package.name, version, package),
                Answer::Absent | Answer::Unknown => {
                    push(&mut self.unsure, format!("whether there is {package} is not known"));
                }
            },
            Meaning::Capabilities(names) => names.iter().for_each(|name| match answer(facts, name) {
                Answer::There(version) => self.there(name, version, package),
                Answer::Unknown => push(&mut self.unsure, format!("whether there is {name} is not known")),
                Answer::Absent => {
                    let library = capability::of(name).is_some_and(|found| matches!(found.proof, Proof::Library(..)));
                    let what = if library { format!("the library {name}") } else { (*name).to_owned() };
                    // `foo is missing` needs no word on who wants foo.
                    let why = if *name == package.name { String::new() } else { format!(" (for {})", package.name) };
                    if !self.bad.contains(&format!("{what} is missing")) && !self.missing.contains(name) {
                        push(&mut self.bad, format!("{what} is missing{why}"));
                    }
                    push(&mut self.missing, name);
                }
            }),
        }
    }

    fn there(&mut self, name: &'a str, version: Option<&str>, package: &Dependency) {
        match (&package.demand, version) {
            (None, version) => {
                let shown = version.map(|version| format!(" {version}")).unwrap_or_default();
                push(&mut self.good, format!("{name}{shown}"));
            }
            (Some(demand), Some(version)) if demand.accepts(version) => {
                push(&mut self.good, format!("{name} {version}"));
            }
            (Some(demand), Some(version)) => {
                let older = vercmp(version, &demand.version).is_lt();
                push(
                    &mut self.bad,
                    match older {
                        true => format!("{name} {version} is older than {}", demand.version),
                        false => format!("{name} {version} is there, and {package} is needed"),
                    },
                );
                // A package manager brings nothing that is older than what is there.
                if older {
                    push(&mut self.missing, name);
                }
            }
            (Some(demand), None) => {
                push(&mut self.unsure, format!("{name} does not tell its version, {demand} is needed"));
            }
        }
    }
}

/// One verdict over all that are there, one over what is not known, and one over all that are missing, with one line that
/// installs those.
pub(super) fn verdicts<'a>(
    facts: &'a Facts,
    tools: impl IntoIterator<Item = &'a str>,
    needs: Option<&'a Needs>,
) -> Vec<Verdict> {
    let Found { good, unsure, bad, missing } = Found::of(facts, tools, needs);
    let verdict = |grade, text, hint| Verdict { grade, what: "tools", text, hint };
    let mut verdicts = Vec::new();
    if !good.is_empty() {
        verdicts.push(verdict(Grade::Ok, good.join(", "), None));
    }
    if !unsure.is_empty() {
        verdicts.push(verdict(Grade::Warn, unsure.join("; "), None));
    }
    if !bad.is_empty() {
        verdicts.push(verdict(Grade::No, bad.join("; "), install_line(facts, &missing)));
    }
    verdicts
}

/// What a package manager would be asked for, so that the host can build; `None` when nothing is missing, or when nothing
/// is known to bring it.
pub fn remedy(facts: &Facts, needs: &[&Needs]) -> Option<Provision> {
    let mut missing: Vec<&str> = Vec::new();
    for needs in needs {
        Found::of(facts, tools_of(needs), Some(needs)).missing.into_iter().for_each(|name| push(&mut missing, name));
    }
    provision(facts, &missing)
}

/// What stands against a build on this host, in words; empty when nothing does.
pub fn lacking(facts: &Facts, needs: &Needs) -> Vec<String> {
    Found::of(facts, tools_of(needs), Some(needs)).bad
}

/// The names of what is missing, or too old.
pub fn missing(facts: &Facts, needs: &Needs) -> Vec<String> {
    Found::of(facts, tools_of(needs), Some(needs)).missing.into_iter().map(str::to_owned).collect()
}

/// A recipe is bash.
fn tools_of(needs: &Needs) -> impl Iterator<Item = &str> {
    needs.tools.iter().map(String::as_str).chain(["bash"])
}

/// Compares dotted numbers, missing parts as 0: "1.9" is older than "1.10", "12" is not older than "12.0".
fn older(version: &str, least: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        let number = |part: &str| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        let mut parts: Vec<u64> = text.split('.').map(number).collect();
        while parts.last() == Some(&0) {
            parts.pop();
        }
        parts
    };
    parts(version) < parts(least)
}
