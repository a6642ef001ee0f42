//! The end of a run in words: a table, the totals, and for each failure what the table had no room for and what to do about it.

use std::{collections::BTreeMap, path::Path};

use super::{
    log,
    sentence::{clean, clean_lines, count, outcome, what, with_hint},
};
use crate::vocab::{
    HostReport, HostSummary, Moved, Outcome, Reason, Summary,
    text::{human_bytes, human_duration},
};

/// Columns of the table's "what" where all of it is said below the table.
const WHAT_WIDTH: usize = 72;

/// How a recap is dressed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style<'a> {
    /// Adds colour; the words are the same without.
    pub color: bool,
    /// The folder with the log of each host.
    pub logs: Option<&'a Path>,
}

/// The lines of the recap, without line ends; nothing in them but printable text (and colour, when asked for).
pub fn recap(summary: &Summary, style: Style<'_>) -> Vec<String> {
    let mut lines = table(&summary.hosts, style.color);
    lines.push(totals(summary));
    lines.extend(moved(summary));
    for HostSummary { host, report } in summary.hosts.iter().filter(|host| needs_attention(&host.report)) {
        lines.push(String::new());
        let head = paint(style.color, report.outcome, &format!("{host} {}", outcome(report)));
        let text = what(report);
        let said = if fits(&text) { vec![head] } else { clean_lines(&format!("{head}: "), &text) };
        lines.extend(with_hint(said, report.hint.as_deref()));
        if let Some(dir) = style.logs {
            lines.push(format!("  log: {}", clean(&log::path(dir, host).to_string_lossy())));
        }
    }
    lines
}

/// Whether a host is told again below the table: a cancelled one only when it may not be clean.
fn needs_attention(report: &HostReport) -> bool {
    report.reason == Some(Reason::Unconfirmed) || !(report.outcome.is_ok() || report.outcome == Outcome::Cancelled)
}

/// Whether the table shows all of it, so that saying it again would tell nothing.
fn fits(text: &str) -> bool {
    text.trim() == first_line(text) && console::measure_text_width(text) <= WHAT_WIDTH
}

fn first_line(text: &str) -> String {
    clean(text.trim().lines().next().unwrap_or_default())
}

fn table(hosts: &[HostSummary], color: bool) -> Vec<String> {
    let row = |HostSummary { host, report }: &HostSummary| {
        let mut what = first_line(&what(report));
        if needs_attention(report) {
            what = console::truncate_str(&what, WHAT_WIDTH, "…").into_owned();
        }
        (report.outcome, [host.to_string(), outcome(report), human_duration(report.elapsed), what])
    };
    let rows: Vec<_> = hosts.iter().map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let head = ["host", "outcome", "time", "what"];
    let width = |column: usize| {
        let cells = rows.iter().map(|(_, row)| console::measure_text_width(&row[column]));
        cells.chain([head[column].len()]).max().unwrap_or_default()
    };
    let widths = [0, 1, 2].map(width);
    let line = |cells: [&str; 4], outcome: Option<Outcome>| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let gap = widths.get(column).map_or(0, |width| width.saturating_sub(console::measure_text_width(cell)) + 2);
            match outcome {
                Some(outcome) if column == 1 => line.push_str(&paint(color, outcome, cell)),
                _ => line.push_str(cell),
            }
            line.extend(std::iter::repeat_n(' ', gap));
        }
        line.truncate(line.trim_end().len());
        line
    };
    let rows = rows.iter().map(|(outcome, row)| line([&row[0], &row[1], &row[2], &row[3]], Some(*outcome)));
    std::iter::once(line(head, None)).chain(rows).chain([String::new()]).collect()
}

/// `3 changed, 1 failed in 42s`.
fn totals(summary: &Summary) -> String {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for host in &summary.hosts {
        *counts.entry(host.report.outcome).or_default() += 1;
    }
    let mut words: Vec<String> = counts.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
    if words.is_empty() {
        words.push(count(0u64, "host"));
    }
    format!("{} in {}", words.join(", "), human_duration(summary.elapsed))
}

/// `8.0 GB from the hub, 4.0 GB from this machine, in 42s; bytes ÷ rate 39s`: hosts fetch at the same time, so the longest
/// counts.
fn moved(summary: &Summary) -> Option<String> {
    let all: Vec<Moved> = summary.hosts.iter().filter_map(|host| host.report.moved).collect();
    let sum = |bytes: fn(&Moved) -> u64| all.iter().map(bytes).fold(0, u64::saturating_add);
    let (wan, relayed) = (sum(|moved| moved.wan), sum(|moved| moved.relayed));
    if wan == 0 && relayed == 0 {
        return None;
    }
    let took = all.iter().map(|moved| moved.took).max().unwrap_or_default();
    let least = all.iter().filter_map(|moved| moved.least).max();
    let least = least.map(|least| format!("; bytes ÷ rate {}", human_duration(least))).unwrap_or_default();
    let (wan, relayed) = (human_bytes(wan), human_bytes(relayed));
    Some(format!("{wan} from the hub, {relayed} from this machine, in {}{least}", human_duration(took)))
}

/// Colours `text` by how good the outcome is.
pub(super) fn paint(color: bool, outcome: Outcome, text: &str) -> String {
    let code = match outcome {
        _ if !color => return text.to_owned(),
        Outcome::Changed => "32",
        Outcome::Unchanged | Outcome::Skipped => "2",
        Outcome::Failed | Outcome::Refused | Outcome::Unreachable => "31",
        Outcome::Cancelled => "33",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::vocab::{ExitCode, HostName, Phase};

    fn summary(hosts: Vec<(&str, HostReport)>) -> Summary {
        let hosts = hosts.into_iter().map(|(name, report)| HostSummary { host: HostName::new(name).unwrap(), report });
        Summary { exit: ExitCode::Failed, elapsed: Duration::from_secs(42), hosts: hosts.collect() }
    }

    fn report(outcome: Outcome, reason: Option<Reason>, error: &str, hint: &str, done: &[&str]) -> HostReport {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        HostReport {
            reason,
            phase: Some(Phase::Build),
            elapsed: Duration::from_secs(12),
            error: some(error),
            hint: some(hint),
            done: done.iter().map(ToString::to_string).collect(),
            ..HostReport::of(outcome)
        }
    }

    fn every_outcome() -> Summary {
        summary(vec![
            ("gpu-box", report(Outcome::Changed, None, "", "", &["installed echo-worker 0.1.0 to /usr/local/bin"])),
            ("cpu-1", report(Outcome::Unchanged, None, "", "", &[])),
            ("cpu-2", report(Outcome::Failed, Some(Reason::Build), "make: exit status 2", "install cmake", &[])),
            ("mac-mini", report(Outcome::Skipped, Some(Reason::Optional), "connection refused", "", &[])),
            ("cpu-3", report(Outcome::Cancelled, Some(Reason::Asked), "", "", &[])),
            ("cpu-4", report(Outcome::Cancelled, Some(Reason::Unconfirmed), "connection lost", "look there", &[])),
            ("cpu-5", report(Outcome::Failed, Some(Reason::RolledBack), "did not start", "", &["put 1.0 back"])),
        ])
    }

    #[test]
    fn every_outcome_has_its_words() {
        let style = Style { color: false, logs: Some(Path::new("/runs/1")) };
        insta::assert_snapshot!(recap(&every_outcome(), style).join("\n"));
    }

    #[test]
    fn hostile_text_stays_in_its_line() {
        let error = "\u{1b}[2J\u{1b}[31mred\nfake | changed\r\nlast\u{202e}\u{7}";
        let huge = "w\u{ff10}".repeat(5000);
        let hosts = vec![
            ("a", report(Outcome::Failed, Some(Reason::Status), error, "try\n\u{9b}x", &[])),
            ("b", report(Outcome::Changed, None, "", "", &[huge.as_str()])),
            ("c", report(Outcome::Failed, None, &huge, "", &[])),
        ];
        let lines = recap(&summary(hosts), Style::default());
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
        assert!(lines.iter().all(|line| line.len() < 4200));
        let short: Vec<String> = lines.into_iter().map(|line| super::super::sentence::cut(line, 160)).collect();
        insta::assert_snapshot!(short.join("\n"));
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let plain = recap(&every_outcome(), Style::default()).join("\n");
        let colored = recap(&every_outcome(), Style { color: true, logs: None }).join("\n");
        assert_ne!(plain, colored);
        assert_eq!(console::strip_ansi_codes(&colored), plain);
    }

    #[test]
    fn what_was_moved_is_summed() {
        let secs = Duration::from_secs;
        let moved = |wan, relayed, took, least| HostReport {
            moved: Some(Moved { wan, relayed, took: secs(took), least: Some(secs(least)) }),
            ..HostReport::of(Outcome::Changed)
        };
        let (gb, none) = (1_000_000_000, HostReport::of(Outcome::Changed));
        let hosts = vec![("a", moved(2 * gb, 0, 40, 39)), ("b", moved(gb, gb, 42, 30)), ("c", none.clone())];
        let lines = recap(&summary(hosts), Style::default());
        assert_eq!(lines.last().unwrap(), "3.0 GB from the hub, 1.0 GB from this machine, in 42s; bytes ÷ rate 39s");
        assert_eq!(recap(&summary(vec![("c", none)]), Style::default()).last().unwrap(), "1 changed in 42s");
    }

    #[test]
    fn no_host_is_said_too() {
        assert_eq!(recap(&summary(Vec::new()), Style::default()), ["0 hosts in 42s"]);
    }
}
