//! Ansible's YAML: groups of hosts, of children, and of variables, one in the other.
//!
//! The parser gives events, from which a tree of bounded depth is made. Aliases are refused: they can make a small file
//! large, and inventories have variables for what they are used for.

use saphyr_parser::{Event, Parser, ScanError, Span};

use super::ansible::{Gathered, ImportError, Variables};

/// The deepest that values may lie in each other; children of groups take two levels each.
const DEEPEST: usize = 64;

struct Node {
    line: usize,
    what: What,
}

enum What {
    Scalar(String),
    List,
    Map(Vec<(String, Node)>),
}

fn bad(line: usize, what: impl Into<String>) -> ImportError {
    ImportError::Line { line: line.max(1), what: what.into() }
}

pub(super) fn read(text: &str, into: &mut Gathered) -> Result<(), ImportError> {
    let mut events = Events(Parser::new_from_str(text));
    loop {
        match events.next()? {
            (Event::StreamEnd, _) => return Ok(()),
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            (event, line) => {
                for (name, node) in map(node(&mut events, event, line, 0)?, "the inventory")? {
                    group(&name, node, into)?;
                }
            }
        }
    }
}

struct Events<'t>(Parser<'t, saphyr_parser::StrInput<'t>>);

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<(Event<'t>, usize), ImportError> {
        let next: Option<Result<(Event<'t>, Span), ScanError>> = self.0.next();
        match next {
            Some(Ok((event, span))) => Ok((event, span.start.line())),
            Some(Err(error)) => Err(bad(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, 0)),
        }
    }
}

fn node(events: &mut Events<'_>, event: Event<'_>, line: usize, depth: usize) -> Result<Node, ImportError> {
    if depth > DEEPEST {
        return Err(bad(line, "the values lie too deep in each other"));
    }
    let what = match event {
        Event::Scalar(text, ..) => What::Scalar(text.into_owned()),
        Event::SequenceStart(..) => {
            loop {
                match events.next()? {
                    (Event::SequenceEnd, _) => break,
                    (event, line) => drop(node(events, event, line, depth + 1)?),
                }
            }
            What::List
        }
        Event::MappingStart(..) => {
            let mut entries = Vec::new();
            loop {
                let key = match events.next()? {
                    (Event::MappingEnd, _) => break,
                    (Event::Scalar(key, ..), _) => key.into_owned(),
                    (_, line) => return Err(bad(line, "a key must be a word")),
                };
                let (event, line) = events.next()?;
                entries.push((key, node(events, event, line, depth + 1)?));
            }
            What::Map(entries)
        }
        Event::Alias(_) => return Err(bad(line, "an alias (*name) is not read; write its value")),
        _ => return Err(bad(line, "the file ends in the middle of a value")),
    };
    Ok(Node { line, what })
}

/// The entries of a mapping; nothing at all is an empty one.
fn map(node: Node, of: &str) -> Result<Vec<(String, Node)>, ImportError> {
    match node.what {
        What::Map(entries) => Ok(entries),
        What::Scalar(text) if matches!(text.as_str(), "" | "~" | "null") => Ok(Vec::new()),
        _ => Err(bad(node.line, format!("{of} must be a mapping"))),
    }
}

fn group(name: &str, node: Node, into: &mut Gathered) -> Result<(), ImportError> {
    into.group(name);
    for (key, node) in map(node, &format!("group {name}"))? {
        match key.as_str() {
            "hosts" => {
                for (host, node) in map(node, &format!("hosts of group {name}"))? {
                    let line = node.line;
                    let variables = variables(map(node, &format!("host {host}"))?);
                    into.host(name, &host, &variables, line)?;
                }
            }
            "children" => {
                for (child, node) in map(node, &format!("children of group {name}"))? {
                    group(&child, node, into)?;
                    into.group(name).children.insert(child);
                }
            }
            "vars" => {
                let said = variables(map(node, &format!("vars of group {name}"))?);
                into.group(name).variables.extend(said);
            }
            other => {
                return Err(bad(node.line, format!("group {name} has hosts, children and vars, and no {other:?}")));
            }
        }
    }
    Ok(())
}

fn variables(entries: Vec<(String, Node)>) -> Variables {
    let value = |node: Node| match node.what {
        What::Scalar(text) => Some(text),
        _ => None,
    };
    entries.into_iter().map(|(name, node)| (name, value(node))).collect()
}
