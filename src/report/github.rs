//! Annotations for GitHub Actions: what went wrong, where the job's page shows it.

use std::io::{self, Write};

use super::{
    Reader,
    sentence::{clean, outcome, what},
    sink::Sink,
};
use crate::vocab::{Event, EventKind, Level};

/// Warnings that are annotated; the page shows few, and the log has them all.
const WARNINGS: usize = 20;

/// Writes workflow commands to stdout, where the runner looks for them.
pub struct Github {
    out: Sink,
    warnings: usize,
}

impl Github {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Sink::new(out), warnings: 0 }
    }

    fn annotate(&mut self, level: &str, title: &str, text: &str, hint: Option<&str>) {
        let lines = text.lines().map(clean).chain(hint.map(|hint| format!("hint: {}", clean(hint))));
        let text = lines.collect::<Vec<_>>().join("\n");
        self.out.line(&format!("::{level} title={}::{}", property(title), message(&text)));
    }
}

impl Reader for Github {
    fn event(&mut self, event: &Event) {
        let host = event.host.as_ref().map_or("rbee", |host| host.as_str());
        match &event.kind {
            EventKind::HostFinished(report) if !report.outcome.is_ok() => {
                let title = format!("{host}: {}", outcome(report));
                let text = what(report);
                let text = if text.is_empty() { report.outcome.as_str() } else { &text };
                self.annotate("error", &title, text, report.hint.as_deref());
            }
            EventKind::Notice { level: Level::Error, text, hint } => {
                self.annotate("error", host, text, hint.as_deref());
            }
            EventKind::Notice { level: Level::Warning, text, hint } if self.warnings < WARNINGS => {
                self.warnings += 1;
                self.annotate("warning", host, text, hint.as_deref());
            }
            _ => {}
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.finish()
    }
}

/// Escapes the text of a workflow command.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property, which also ends at `,` and `:`.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::script::{Page, story};

    #[test]
    fn failures_and_warnings_are_annotated_on_one_line_each() {
        let page = Page::default();
        let mut github = Github::new(page.writer());
        story().iter().for_each(|event| github.event(event));
        github.finish().unwrap();
        insta::assert_snapshot!(page.text());
    }

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(message("100%\r\n::error::x"), "100%25%0D%0A::error::x");
        assert_eq!(property("a:b,c%\n"), "a%3Ab%2Cc%25%0A");
    }
}
