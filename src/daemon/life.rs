//! The steps of a hive's life on one host.

use super::{DaemonError, Ground, Keeper, Look, Meters, Places, change, said, script};
use crate::{
    scope::Scope,
    target::{Captured, Command, Target},
    vocab::text::plain_line,
};

/// How a hive is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Takes no more jobs, and ends with the last one.
    WhenDone,
    /// Only if it has none.
    IfIdle,
    /// Cancels them.
    Now,
}

/// How its process is ended when it does not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
}

/// What it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is ending; so many jobs have not ended yet.
    Ending(u64),
    /// It has jobs, and was to end only without.
    Busy,
    /// None serves.
    Gone,
    /// It gave no answer that could be understood.
    Silent,
}

/// Runs one of our own short scripts; its output, when it ended well.
pub(super) async fn own(
    scope: &Scope,
    target: &dyn Target,
    what: &'static str,
    script: &str,
) -> Result<String, DaemonError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own(what, script), &mut said).await?;
    match exit.status {
        0 => Ok(said.text()),
        status => {
            let words = match said.last_words() {
                words if words.is_empty() => format!("status {status}"),
                words => words,
            };
            Err(DaemonError::Host { what, words })
        }
    }
}

/// As [`own`], with the status for the caller to judge.
async fn any(scope: &Scope, target: &dyn Target, what: &str, script: &str) -> Result<(i32, String), DaemonError> {
    let mut said = Captured::default();
    let exit = target.run(scope, &Command::own(what, script), &mut said).await?;
    Ok((exit.status, said.text()))
}

/// What there is; changes nothing.
///
/// # Errors
/// The host could not be asked.
pub async fn survey(scope: &Scope, target: &dyn Target, places: &Places) -> Result<Ground, DaemonError> {
    let (_, text) = any(scope, target, "hive", &script::survey(places)).await?;
    Ground::read(&text)
}

/// Whether a process is still there: a hive clears its record before it is quite gone.
///
/// # Errors
/// The host could not be asked.
pub async fn lives(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    (pid, start): (u32, &str),
) -> Result<bool, DaemonError> {
    let (status, _) = any(scope, target, "look for the hive", &script::lives(places, pid, start)).await?;
    Ok(status == 0)
}

/// Writes what starts it, and makes its keeper know it.
///
/// # Errors
/// With the host's own words.
pub async fn set_up(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    keeper: &Keeper,
    launch: &str,
    before: Option<&Keeper>,
) -> Result<(), DaemonError> {
    let stranger = before.filter(|other| other.as_str() != keeper.as_str());
    own(scope, target, "set the hive up", &script::set_up(places, keeper, launch, stranger)).await.map(drop)
}

/// Takes away what starts it, and with `purge` its state.
///
/// # Errors
/// With the host's own words.
pub async fn take_down(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    keeper: &Keeper,
    purge: bool,
) -> Result<(), DaemonError> {
    own(scope, target, "take the hive down", &script::take_down(places, keeper, purge)).await.map(drop)
}

/// A start under way: our own child, if it is one, and how long the log was before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Started {
    pub child: Option<u32>,
    pub log: u64,
}

/// Starts it, and does not wait.
///
/// # Errors
/// With the host's own words.
pub async fn start(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    keeper: &Keeper,
) -> Result<Started, DaemonError> {
    let (_, size) = any(scope, target, "log", &script::log_size(places)).await?;
    let said = own(scope, target, "start the hive", &script::start(places, keeper)).await?;
    let child = said.lines().find_map(|line| line.strip_prefix("started ")?.trim().parse().ok());
    Ok(Started { child, log: size.trim().parse().unwrap_or(0) })
}

/// One look at it.
///
/// # Errors
/// The host could not be asked.
pub async fn look(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    keeper: Option<&Keeper>,
    child: Option<u32>,
) -> Result<Look, DaemonError> {
    let (_, text) = any(scope, target, "look at the hive", &script::look(places, keeper, child)).await?;
    Ok(Look::read(&text))
}

/// What it said last, fit to be shown.
///
/// # Errors
/// The host could not be asked.
pub async fn last_words(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    from: u64,
) -> Result<Vec<String>, DaemonError> {
    let (_, text) = any(scope, target, "log", &script::last_words(places, from)).await?;
    let shown = text.lines().map(|line| plain_line(line).trim_end().chars().take(300).collect::<String>());
    Ok(shown.filter(|line| !line.is_empty()).collect())
}

/// What the hive that serves says of itself; `None` where it gives no answer.
///
/// # Errors
/// The host could not be asked.
pub async fn status(scope: &Scope, target: &dyn Target, places: &Places) -> Result<Option<Meters>, DaemonError> {
    let (_, text) = any(scope, target, "ask the hive", &script::ask(places, "GET", "/metrics", "", None)).await?;
    Ok(said::answer(&text).filter(|(status, _)| *status == 200).map(|(_, body)| Meters::read(body)))
}

/// Tells it to end; within a change that is noted, so that taking it back waits for that end.
///
/// # Errors
/// The host could not be asked.
pub async fn tell(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    order: Order,
    in_change: bool,
) -> Result<Told, DaemonError> {
    let body = match order {
        Order::WhenDone => "{}",
        Order::IfIdle => "{\"idle\":true}",
        Order::Now => "{\"now\":true}",
    };
    let mark = in_change.then(|| change::stopping(places));
    let text = script::ask(places, "POST", "/v1/shutdown", body, mark.as_deref());
    let (exit, text) = any(scope, target, "tell the hive to end", &text).await?;
    if exit == 3 {
        return Ok(Told::Gone);
    }
    Ok(match said::answer(&text) {
        Some((202, body)) => Told::Ending(jobs_left(body)),
        Some((409, _)) => Told::Busy,
        _ => Told::Silent,
    })
}

/// The number in our own one-line document.
fn jobs_left(body: &str) -> u64 {
    let digits = body.split_once("\"jobs_left\":").map_or("", |(_, rest)| rest.trim_start());
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A signal for the process of the record, and no other.
///
/// # Errors
/// The host could not be asked.
pub async fn signal(
    scope: &Scope,
    target: &dyn Target,
    places: &Places,
    keeper: Option<&Keeper>,
    (pid, start): (u32, &str),
    signal: Signal,
) -> Result<(), DaemonError> {
    any(scope, target, "end the hive", &script::signal(places, keeper, pid, start, signal)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_that_are_left_are_read() {
        assert_eq!(jobs_left("{\"v\":1,\"status\":\"stopping\",\"jobs_left\":12}\n"), 12);
        assert_eq!(jobs_left("{\"jobs_left\": 3 }"), 3);
        assert_eq!((jobs_left("{}"), jobs_left("{\"jobs_left\":x}")), (0, 0));
    }
}
