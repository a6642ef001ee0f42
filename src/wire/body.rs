//! What an event says beyond when and where: the fields of each type.
//!
//! A field that a type has is always written, `null` when there is nothing to say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    time::millis,
    word::{Word, exit},
};
use crate::vocab::{
    CancelStage, EventKind, ExitCode, Forecast, HostName, HostReport, HostSummary, InvalidName, Level, Moved, Origin,
    Outcome, Phase, Reason, Stream, Summary, Unit, WorkerId,
};

/// The `type` and the fields that belong to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    RunStarted {
        verb: String,
        hosts: Vec<String>,
    },
    HostStarted {},
    PhaseStarted {
        limit_ms: Option<u64>,
    },
    PhaseFinished {
        ok: bool,
        elapsed_ms: u64,
    },
    Line {
        stream: Word<Stream>,
        text: String,
    },
    Progress {
        done: u64,
        total: Option<u64>,
        unit: Word<Unit>,
        // Of a build, and of nothing that was published before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_ms: Option<u64>,
        // Of a model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Word<Origin>>,
    },
    Notice {
        level: Word<Level>,
        text: String,
        hint: Option<String>,
    },
    Cancel {
        stage: Word<CancelStage>,
        group: Option<u32>,
        survivors: u32,
    },
    Gap {
        lines: u64,
    },
    HostFinished {
        outcome: Word<Outcome>,
        reason: Option<Word<Reason>>,
        elapsed_ms: u64,
        error: Option<String>,
        hint: Option<String>,
        done: Vec<String>,
        // Of a model's download.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<MovedBytes>,
    },
    Summary {
        #[serde(with = "exit")]
        exit: ExitCode,
        elapsed_ms: u64,
        hosts: Vec<SummaryHost>,
    },
}

/// One host in a `summary`: enough for a recap without what came before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SummaryHost {
    pub host: String,
    pub outcome: Word<Outcome>,
    pub reason: Option<Word<Reason>>,
    pub phase: Option<Word<Phase>>,
    pub elapsed_ms: u64,
    pub error: Option<String>,
    pub hint: Option<String>,
    pub done: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<MovedBytes>,
}

/// What a download moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedBytes {
    pub wan: u64,
    pub relayed: u64,
    pub took_ms: u64,
    pub least_ms: Option<u64>,
}

impl From<Moved> for MovedBytes {
    fn from(Moved { wan, relayed, took, least }: Moved) -> Self {
        Self { wan, relayed, took_ms: millis(took), least_ms: least.map(millis) }
    }
}

impl From<MovedBytes> for Moved {
    fn from(MovedBytes { wan, relayed, took_ms, least_ms }: MovedBytes) -> Self {
        let time = Duration::from_millis;
        Self { wan, relayed, took: time(took_ms), least: least_ms.map(time) }
    }
}

impl Body {
    pub(super) fn of(kind: &EventKind) -> Self {
        match kind.clone() {
            EventKind::RunStarted { verb, hosts } => {
                Self::RunStarted { verb, hosts: hosts.iter().map(ToString::to_string).collect() }
            }
            EventKind::HostStarted => Self::HostStarted {},
            EventKind::PhaseStarted { limit } => Self::PhaseStarted { limit_ms: limit.map(millis) },
            EventKind::PhaseFinished { ok, elapsed } => Self::PhaseFinished { ok, elapsed_ms: millis(elapsed) },
            EventKind::Line { stream, text } => Self::Line { stream: Word(stream), text },
            EventKind::Progress { done, total, unit, forecast, source } => Self::Progress {
                done,
                total,
                unit: Word(unit),
                expected_ms: forecast.as_ref().and_then(|forecast| forecast.expected.map(millis)),
                worker: forecast.map(|forecast| forecast.worker.to_string()),
                source: source.map(Word),
            },
            EventKind::Notice { level, text, hint } => Self::Notice { level: Word(level), text, hint },
            EventKind::Cancel { stage, group, survivors } => Self::Cancel { stage: Word(stage), group, survivors },
            EventKind::Gap { lines } => Self::Gap { lines },
            EventKind::HostFinished(report) => Self::HostFinished {
                outcome: Word(report.outcome),
                reason: report.reason.map(Word),
                elapsed_ms: millis(report.elapsed),
                error: report.error,
                hint: report.hint,
                done: report.done,
                moved: report.moved.map(Into::into),
            },
            EventKind::Summary(summary) => Self::Summary {
                exit: summary.exit,
                elapsed_ms: millis(summary.elapsed),
                hosts: summary.hosts.into_iter().map(SummaryHost::of).collect(),
            },
        }
    }

    /// Reads the fields back; `phase` is the line's own, which is where a host's end keeps the phase that failed.
    pub(super) fn into_kind(self, phase: Option<Phase>) -> Result<EventKind, InvalidName> {
        let elapsed = Duration::from_millis;
        Ok(match self {
            Self::RunStarted { verb, hosts } => {
                let hosts = hosts.iter().map(|name| HostName::new(name)).collect::<Result<_, _>>()?;
                EventKind::RunStarted { verb, hosts }
            }
            Self::HostStarted {} => EventKind::HostStarted,
            Self::PhaseStarted { limit_ms } => EventKind::PhaseStarted { limit: limit_ms.map(elapsed) },
            Self::PhaseFinished { ok, elapsed_ms } => EventKind::PhaseFinished { ok, elapsed: elapsed(elapsed_ms) },
            Self::Line { stream, text } => EventKind::Line { stream: stream.0, text },
            Self::Progress { done, total, unit, worker, expected_ms, source } => {
                let forecast = |worker: String| {
                    Ok(Forecast { worker: WorkerId::new(&worker)?, expected: expected_ms.map(elapsed) })
                };
                let (forecast, source) = (worker.map(forecast).transpose()?, source.map(|word| word.0));
                EventKind::Progress { done, total, unit: unit.0, forecast, source }
            }
            Self::Notice { level, text, hint } => EventKind::Notice { level: level.0, text, hint },
            Self::Cancel { stage, group, survivors } => EventKind::Cancel { stage: stage.0, group, survivors },
            Self::Gap { lines } => EventKind::Gap { lines },
            Self::HostFinished { outcome, reason, elapsed_ms, error, hint, done, moved } => {
                EventKind::HostFinished(HostReport {
                    outcome: outcome.0,
                    reason: reason.map(|word| word.0),
                    phase,
                    elapsed: elapsed(elapsed_ms),
                    error,
                    hint,
                    done,
                    moved: moved.map(Into::into),
                })
            }
            Self::Summary { exit, elapsed_ms, hosts } => EventKind::Summary(Summary {
                exit,
                elapsed: elapsed(elapsed_ms),
                hosts: hosts.into_iter().map(SummaryHost::into_host).collect::<Result<_, _>>()?,
            }),
        })
    }
}

impl SummaryHost {
    fn of(HostSummary { host, report }: HostSummary) -> Self {
        Self {
            host: host.to_string(),
            outcome: Word(report.outcome),
            reason: report.reason.map(Word),
            phase: report.phase.map(Word),
            elapsed_ms: millis(report.elapsed),
            error: report.error,
            hint: report.hint,
            done: report.done,
            moved: report.moved.map(Into::into),
        }
    }

    fn into_host(self) -> Result<HostSummary, InvalidName> {
        let report = HostReport {
            outcome: self.outcome.0,
            reason: self.reason.map(|word| word.0),
            phase: self.phase.map(|word| word.0),
            elapsed: Duration::from_millis(self.elapsed_ms),
            error: self.error,
            hint: self.hint,
            done: self.done,
            moved: self.moved.map(Into::into),
        };
        Ok(HostSummary { host: HostName::new(&self.host)?, report })
    }
}
