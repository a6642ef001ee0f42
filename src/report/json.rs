//! NDJSON for programs: every event is a line, at once.

use std::io::{self, Write};

use super::{Reader, sink::Sink};
use crate::{vocab::Event, wire};

/// Writes the event stream as it is published.
pub struct Json(Sink);

impl Json {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self(Sink::new(out))
    }
}

impl Reader for Json {
    fn event(&mut self, event: &Event) {
        self.0.line(&wire::line(event));
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::script::{Page, story};

    #[test]
    fn every_event_is_a_line_that_reads_back() {
        let page = Page::default();
        let mut json = Json::new(page.writer());
        let story = story();
        for (n, event) in story.iter().enumerate() {
            json.event(event);
            assert_eq!(page.text().lines().count(), n + 1);
        }
        json.finish().unwrap();
        let mut seen = page.text().lines().map(|line| wire::parse(line).unwrap().seq).collect::<Vec<_>>();
        seen.dedup();
        assert_eq!(seen.len(), story.len());
        assert!(page.text().lines().last().is_some_and(|line| line.contains(r#""type":"summary","exit":1"#)));
    }
}
