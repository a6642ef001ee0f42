//! What an event is called in English, one clean line at a time, without its host.

use std::time::Duration;

use crate::vocab::{
    CancelStage, Event, EventKind, HostReport, Level, Outcome, Phase, Reason, Unit,
    text::{human_bytes, human_duration, plain_line},
};

/// Bytes of one shown line.
const WIDTH_LIMIT: usize = 4 << 10;
/// Lines of one text that someone else wrote: an error with a tail in it.
const TEXT_LINES: usize = 60;

/// Makes one line of someone else's text fit to be shown: no control characters, and an end.
pub(super) fn clean(text: &str) -> String {
    cut(plain_line(text.trim_end_matches(['\r', '\n'])), WIDTH_LIMIT)
}

/// Ends `text` after `limit` bytes, at a character.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The lines of a text, clean; the first follows `lead`, the others are indented.
pub(super) fn clean_lines(lead: &str, text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.trim_end().lines() {
        if lines.len() == TEXT_LINES {
            lines.push("  …".to_owned());
            break;
        }
        lines.push(format!("{}{}", if lines.is_empty() { lead } else { "  " }, clean(line)));
    }
    if lines.is_empty() {
        lines.push(lead.trim_end().to_owned());
    }
    lines
}

/// Everything there is to say about an event; empty for what is not said in words.
pub(super) fn sentences(event: &Event) -> Vec<String> {
    let phase = event.phase.map_or("", Phase::as_str);
    match &event.kind {
        EventKind::RunStarted { verb, hosts } => vec![format!("{} on {}", clean(verb), count(hosts.len(), "host"))],
        EventKind::HostStarted => vec!["started".to_owned()],
        EventKind::PhaseStarted { limit: Some(limit) } => vec![format!("{phase}: started (limit {})", span(*limit))],
        EventKind::PhaseStarted { limit: None } => vec![format!("{phase}: started")],
        EventKind::PhaseFinished { ok, elapsed } => {
            let end = if *ok { "done in" } else { "failed after" };
            vec![format!("{phase}: {end} {}", human_duration(*elapsed))]
        }
        EventKind::Line { text, .. } => vec![clean(text)],
        EventKind::Progress { .. } | EventKind::Summary(_) => Vec::new(),
        EventKind::Notice { level, text, hint } => {
            let lead = match level {
                Level::Info => "",
                Level::Warning => "warning: ",
                Level::Error => "error: ",
            };
            with_hint(clean_lines(lead, text), hint.as_deref())
        }
        EventKind::Cancel { stage, survivors, .. } => vec![cancel(*stage, *survivors)],
        EventKind::Gap { lines } => vec![format!("… {} not shown", count(*lines, "line"))],
        EventKind::HostFinished(report) => finished(report),
    }
}

fn cancel(stage: CancelStage, survivors: u32) -> String {
    match (stage, survivors) {
        (CancelStage::Asked, _) => "cancel: asked the host to end what runs".to_owned(),
        (CancelStage::Term, _) => "cancel: ended".to_owned(),
        (CancelStage::Kill, _) => "cancel: did not end by itself, killed".to_owned(),
        (CancelStage::Confirmed, _) => "cancel: confirmed, nothing is left".to_owned(),
        (CancelStage::Unconfirmed, 0) => "cancel: could not confirm that nothing is left".to_owned(),
        (CancelStage::Unconfirmed, n) => format!("cancel: {} still there", count(n, "process")),
    }
}

fn finished(report: &HostReport) -> Vec<String> {
    let head = format!("{} in {}", outcome(report), human_duration(report.elapsed));
    let what = what(report);
    if what.is_empty() {
        return with_hint(vec![head], report.hint.as_deref());
    }
    with_hint(clean_lines(&format!("{head}: "), &what), report.hint.as_deref())
}

pub(super) fn with_hint(mut lines: Vec<String>, hint: Option<&str>) -> Vec<String> {
    if let Some(hint) = hint {
        lines.extend(clean_lines("  hint: ", hint));
    }
    lines
}

/// The outcome, with its reason where that adds something: `failed (build)`.
pub(super) fn outcome(report: &HostReport) -> String {
    match report.reason {
        // `(internal)` tells a user nothing: it is a bug of ours.
        Some(Reason::Internal) => format!("{} (bug in rbee)", report.outcome),
        Some(reason) => format!("{} ({})", report.outcome, reason.as_str().replace('_', " ")),
        None => report.outcome.to_string(),
    }
}

/// What was done, or why not; as it came.
pub(super) fn what(report: &HostReport) -> String {
    let done = report.done.join("; ");
    match (&report.error, done.is_empty()) {
        (Some(error), true) => error.clone(),
        (Some(error), false) if report.outcome == Outcome::Changed => format!("{done}; {error}"),
        (Some(error), false) => format!("{error}; {done}"),
        (None, _) => done,
    }
}

/// `1 host`, `2 hosts`, `3 processes`.
pub(super) fn count(n: impl TryInto<u64>, what: &str) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        n if what.ends_with('s') => format!("{n} {what}es"),
        n => format!("{n} {what}s"),
    }
}

/// A limit as it was set: `15m` rather than `15m00s`, nor `14m59s` when a moment of it is over.
pub(super) fn span(limit: Duration) -> String {
    let rounded = Duration::from_secs(limit.as_secs().saturating_add(u64::from(limit.subsec_millis() >= 500)));
    let whole = if limit.as_secs() < 10 { limit } else { rounded };
    let text = human_duration(whole);
    for (long, short) in [("m00s", "m"), ("h00m", "h"), (".0s", "s")] {
        if let Some(head) = text.strip_suffix(long) {
            return format!("{head}{short}");
        }
    }
    text
}

/// `1.2 GB`, `12`.
pub(super) fn amount(n: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => human_bytes(n),
        Unit::Items | Unit::Units => n.to_string(),
        Unit::Percent => format!("{n}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_they_were_set() {
        let said = |secs| span(Duration::from_secs(secs));
        assert_eq!([5, 30, 90, 900, 3600, 5400].map(said), ["5s", "30s", "1m30s", "15m", "1h", "1h30m"]);
        assert_eq!(span(Duration::from_millis(899_980)), "15m");
        span(Duration::MAX);
    }

    #[test]
    fn long_and_many_lines_have_an_end() {
        assert_eq!(clean(&"é".repeat(9000)).len(), WIDTH_LIMIT + "…".len());
        let lines = clean_lines("error: ", &"x\n".repeat(1000));
        assert_eq!((lines.len(), lines[0].as_str()), (TEXT_LINES + 1, "error: x"));
        assert_eq!(clean_lines("error: ", "\n"), ["error:"]);
    }
}
