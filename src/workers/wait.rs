//! Whether a worker that was started becomes healthy: what its host says, and what is made of it.

use std::time::{Duration, Instant};

use crate::vocab::text::plain_line;

/// What a host says after a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Healthy {
        pid: u32,
    },
    Ended {
        /// As the shell says it; `None` where nobody knows.
        status: Option<i32>,
        /// Somebody else listens on its port.
        taken: bool,
        /// Its last lines.
        log: Vec<String>,
    },
    Waiting(Signs),
}

/// What changes while a worker gets on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// Time on the processor.
    pub ticks: u64,
    /// Bytes of its log.
    pub log: u64,
    /// What it answered: a status, "stranger", or "none".
    pub answer: String,
}

/// Reads what the script printed.
///
/// # Errors
/// The line that it cannot have printed.
pub fn read(text: &str) -> Result<Look, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut words = first.split(' ');
    let bad = || format!("the host did not say how the worker is: {:?}", plain_line(first));
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("healthy"), Some(pid), None, None) => Ok(Look::Healthy { pid: pid.parse().map_err(|_| bad())? }),
        (Some("ended"), Some(status), Some(port), None) => Ok(Look::Ended {
            status: status.parse().ok(),
            taken: port == "taken",
            log: lines.filter_map(|line| line.strip_prefix("log ")).map(plain_line).collect(),
        }),
        (Some("waiting"), Some(ticks), Some(log), Some(answer)) => Ok(Look::Waiting(Signs {
            ticks: ticks.parse().map_err(|_| bad())?,
            log: log.parse().map_err(|_| bad())?,
            answer: answer.to_owned(),
        })),
        _ => Err(bad()),
    }
}

/// Counts how long nothing has changed.
#[derive(Debug)]
pub struct Patience {
    idle: Duration,
    last: Signs,
    since: Instant,
}

impl Patience {
    /// For a worker that was started at `now`, and may do nothing for `idle`.
    pub fn new(idle: Duration, now: Instant) -> Self {
        Self { idle, last: Signs::default(), since: now }
    }

    /// Takes a look; true when it has been too long.
    pub fn is_over(&mut self, signs: Signs, now: Instant) -> bool {
        if signs != self.last {
            (self.last, self.since) = (signs, now);
        }
        now.duration_since(self.since) >= self.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_is_read() {
        assert_eq!(read("healthy 17\n").unwrap(), Look::Healthy { pid: 17 });
        let signs = Signs { ticks: 5, log: 77, answer: "503".into() };
        assert_eq!(read("waiting 5 77 503\n").unwrap(), Look::Waiting(signs));
        let ended = Look::Ended { status: Some(1), taken: true, log: vec!["a b".into(), "".into()] };
        assert_eq!(read("ended 1 taken\nlog a b\nlog \nnoise\n").unwrap(), ended);
        assert_eq!(read("ended - free\n").unwrap(), Look::Ended { status: None, taken: false, log: vec![] });
        for bad in ["", "healthy", "healthy x", "healthy 1 2", "waiting 1 2", "[DONE]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_worker_that_gets_on_is_waited_for() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let signs = |ticks, log| Signs { ticks, log, answer: "503".into() };
        let mut patience = Patience::new(Duration::from_secs(300), start);
        assert!(!patience.is_over(signs(1, 0), at(299)));
        assert!(!patience.is_over(signs(2, 0), at(598)), "it computes");
        assert!(!patience.is_over(signs(2, 9), at(897)), "it speaks");
        assert!(!patience.is_over(signs(2, 9), at(1196)));
        assert!(patience.is_over(signs(2, 9), at(1197)));
    }
}
