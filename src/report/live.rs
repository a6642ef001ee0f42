//! The live region of a terminal as plain text: which hosts are worth a row, and what it says.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    board::{Board, Work, passed},
    sentence::count,
};
use crate::vocab::{HostName, Outcome, Phase, text::human_duration};

/// Columns of a host's name.
const NAME_WIDTH: usize = 24;

/// The size of the terminal, and whether colour may be added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) color: bool,
}

/// The rows, each narrower than the canvas, and fewer than it is high.
///
/// Hosts at work come first, longest first, then those that wait. What has no room is counted in a row of its own, and the
/// last row says how far the run is.
pub(super) fn rows(board: &Board, now: SystemTime, canvas: Canvas) -> Vec<String> {
    let (active, waiting) = (board.active(), board.waiting());
    if active.is_empty() && waiting.is_empty() {
        return Vec::new();
    }
    let room = canvas.height.saturating_sub(1).max(1);
    if room < 3 {
        return vec![fit(&waiting_on(&active, waiting.len(), now), canvas.width)];
    }
    let all = active.len() + waiting.len();
    let shown = if all < room { all } else { room - 2 };
    let names = board.name_width(NAME_WIDTH.min(canvas.width / 3));
    let working = active.iter().map(|(name, work)| working_row(name, work, names, now, canvas));
    let idle = waiting.iter().map(|name| fit(&format!("{} waiting", pad(name, names)), canvas.width));
    let mut rows: Vec<String> = working.chain(idle).take(shown).collect();
    if shown < all {
        let hidden = active.iter().skip(shown).map(|(_, work)| doing(work.phase));
        let idle = waiting.len() - shown.saturating_sub(active.len());
        rows.push(fit(&format!("… and {} more: {}", all - shown, tally(hidden, idle)), canvas.width));
    }
    rows.push(status_row(board, now, canvas.width));
    rows
}

fn working_row(name: &HostName, work: &Work, names: usize, now: SystemTime, canvas: Canvas) -> String {
    let elapsed = passed(work.since, now);
    let head = match &work.pace {
        Some(pace) => format!("{} {} {}", pad(name, names), doing(work.phase), pace.words(elapsed)),
        None => format!("{} {:<12} {:>6}", pad(name, names), doing(work.phase), human_duration(elapsed)),
    };
    let room = canvas.width.saturating_sub(1 + console::measure_text_width(&head) + 2);
    let detail = match &work.gauge {
        Some(gauge) => gauge.bar(room),
        None => work.last_line.clone(),
    };
    if detail.is_empty() || room == 0 {
        return fit(&head, canvas.width);
    }
    let detail = console::truncate_str(&detail, room, "…");
    if canvas.color { format!("{head}  \u{1b}[2m{detail}\u{1b}[0m") } else { format!("{head}  {detail}") }
}

/// For a terminal with next to no room.
fn waiting_on(active: &[(&HostName, &Work)], waiting: usize, now: SystemTime) -> String {
    match active.first() {
        Some((name, work)) if active.len() + waiting == 1 => format!("waiting on {name} ({})", work.words(now)),
        Some((name, work)) => {
            format!("waiting on {name} ({}) and {} more", work.words(now), active.len() + waiting - 1)
        }
        None => format!("{} waiting", count(waiting, "host")),
    }
}

/// `12 building, 29 waiting`.
pub(super) fn tally(words: impl Iterator<Item = &'static str>, waiting: usize) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut words: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    if waiting > 0 {
        words.push(format!("{waiting} waiting"));
    }
    words.join(", ")
}

/// The status, and behind it the bytes of all hosts.
fn status_row(board: &Board, now: SystemTime, width: usize) -> String {
    let status = status(board, now);
    let room = width.saturating_sub(1 + console::measure_text_width(&status) + 2);
    let all = board.fleet.gauge().map(|gauge| format!("  {}", gauge.bar(room))).unwrap_or_default();
    fit(&(status + &all), width)
}

/// `2 of 4 done, 1 failed, 1m12s`.
fn status(board: &Board, now: SystemTime) -> String {
    let done = board.outcomes().count();
    let bad = tally(board.outcomes().filter(|outcome| !outcome.is_ok()).map(Outcome::as_str), 0);
    let bad = if bad.is_empty() { bad } else { format!(", {bad}") };
    format!("{done} of {} done{bad}, {}", board.len(), human_duration(board.elapsed(now)))
}

/// What a host in `phase` is at.
pub(super) const fn doing(phase: Option<Phase>) -> &'static str {
    match phase {
        None => "starting",
        Some(Phase::Connect) => "connecting",
        Some(Phase::Preflight) => "in preflight",
        Some(Phase::Fetch) => "fetching",
        Some(Phase::Build) => "building",
        Some(Phase::Package) => "packaging",
        Some(Phase::Transfer) => "transferring",
        Some(Phase::Install) => "installing",
        Some(Phase::Verify) => "verifying",
        Some(Phase::Run) => "running",
        Some(Phase::Model) => "downloading",
    }
}

fn pad(name: &HostName, width: usize) -> String {
    let short = console::truncate_str(name.as_str(), width, "…");
    console::pad_str(&short, width, console::Alignment::Left, None).into_owned()
}

/// Leaves the last column free: a full row makes some terminals wrap.
fn fit(row: &str, width: usize) -> String {
    console::truncate_str(row.trim_end(), width.saturating_sub(1), "…").into_owned()
}
