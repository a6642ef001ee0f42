//! JUnit XML for CI: a test case a host.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    Reader,
    sentence::{clean, outcome, what},
};
use crate::{
    vocab::{Event, EventKind, HostName, HostReport, Outcome},
    wire,
};

/// Lines of output that a test case carries.
const TAIL: usize = 40;

/// Writes the file when the run is over, whatever became of it: a host without a result is an error in it.
pub struct Junit {
    path: PathBuf,
    verb: String,
    run: String,
    started: Option<SystemTime>,
    elapsed: Duration,
    cases: Vec<Case>,
    index: HashMap<HostName, usize>,
}

#[derive(Debug)]
struct Case {
    host: HostName,
    report: Option<HostReport>,
    tail: VecDeque<String>,
}

impl Junit {
    /// Writes to `path`, whose folder has to be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            verb: String::new(),
            run: String::new(),
            started: None,
            elapsed: Duration::ZERO,
            cases: Vec::new(),
            index: HashMap::new(),
        }
    }

    fn case(&mut self, host: &HostName) -> &mut Case {
        let at = *self.index.entry(host.clone()).or_insert_with(|| {
            self.cases.push(Case { host: host.clone(), report: None, tail: VecDeque::new() });
            self.cases.len() - 1
        });
        &mut self.cases[at]
    }

    fn document(&self) -> String {
        let count = |kind: &str| self.cases.iter().filter(|case| case.verdict().0 == kind).count();
        let totals = format!(
            r#"tests="{}" failures="{}" errors="{}" skipped="{}" time="{:.3}""#,
            self.cases.len(),
            count("failure"),
            count("error"),
            count("skipped"),
            self.elapsed.as_secs_f64(),
        );
        let name = escape(&format!("rbee {}", self.verb));
        let stamp = wire::rfc3339(self.started.unwrap_or(SystemTime::UNIX_EPOCH));
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = writeln!(xml, r#"<testsuites name="{name}" {totals}>"#);
        let _ = writeln!(xml, r#"  <testsuite name="{name}" {totals} timestamp="{stamp}" id="{}">"#, escape(&self.run));
        for case in &self.cases {
            case.write(&mut xml, &name);
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }
}

impl Case {
    /// The element that says how it went (empty for a success), and its message.
    fn verdict(&self) -> (&'static str, String) {
        let Some(report) = &self.report else { return ("error", "the run ended without a result".to_owned()) };
        let element = match report.outcome {
            Outcome::Changed | Outcome::Unchanged => "",
            Outcome::Failed | Outcome::Refused => "failure",
            Outcome::Unreachable | Outcome::Cancelled => "error",
            Outcome::Skipped => "skipped",
        };
        let what = what(report);
        let first = clean(what.trim().lines().next().unwrap_or_default());
        let colon = if first.is_empty() { "" } else { ": " };
        (element, format!("{}{colon}{first}", outcome(report)))
    }

    fn write(&self, xml: &mut String, class: &str) {
        let time = self.report.as_ref().map_or(Duration::ZERO, |report| report.elapsed).as_secs_f64();
        let _ = writeln!(xml, r#"    <testcase classname="{class}" name="{}" time="{time:.3}">"#, self.host);
        let (element, message) = self.verdict();
        if !element.is_empty() {
            let _ = write!(xml, r#"      <{element} message="{}">"#, escape(&message));
            if let Some(report) = &self.report {
                let text = what(report);
                let hint = report.hint.iter().map(|hint| format!("hint: {}", clean(hint)));
                let lines: Vec<String> = text.lines().map(clean).chain(hint).collect();
                xml.push_str(&escape(&lines.join("\n")));
            }
            let _ = writeln!(xml, "</{element}>");
        }
        if !self.tail.is_empty() {
            let lines: Vec<String> = self.tail.iter().map(|line| escape(line)).collect();
            let _ = writeln!(xml, "      <system-out>{}</system-out>", lines.join("\n"));
        }
        xml.push_str("    </testcase>\n");
    }
}

impl Reader for Junit {
    fn event(&mut self, event: &Event) {
        let started = *self.started.get_or_insert(event.at);
        self.elapsed = event.at.duration_since(started).unwrap_or_default();
        if self.run.is_empty() {
            self.run = event.run.to_string();
        }
        match (&event.kind, &event.host) {
            (EventKind::RunStarted { verb, hosts }, _) => {
                self.verb = clean(verb);
                hosts.iter().for_each(|host| {
                    self.case(host);
                });
            }
            (EventKind::Line { text, .. }, Some(host)) => {
                let tail = &mut self.case(host).tail;
                if tail.len() == TAIL {
                    tail.pop_front();
                }
                tail.push_back(clean(text));
            }
            (EventKind::HostFinished(report), Some(host)) => self.case(host).report = Some(report.clone()),
            (EventKind::Summary(summary), _) => {
                self.elapsed = summary.elapsed;
                for host in &summary.hosts {
                    self.case(&host.host).report = Some(host.report.clone());
                }
            }
            _ => {}
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        // Beside, then in its place: a reader never sees half of it.
        let mut beside = self.path.clone().into_os_string();
        beside.push(".part");
        let written = fs::write(&beside, self.document()).and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&beside);
            io::Error::new(error.kind(), format!("JUnit file {}: {error}", self.path.display()))
        })
    }
}

/// Escapes text for content and attributes, and replaces what XML 1.0 cannot say.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
