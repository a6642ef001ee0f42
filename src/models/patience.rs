//! How long a server is asked again that says "not now".
//!
//! A limit of the hub's lasts five minutes at most, so who is limited waits beyond that; who is merely broken gets less.
//! What the server says about the wait counts, within bounds.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// Beyond the hub's window of five minutes.
const LIMITED: Duration = Duration::from_secs(420);
const BROKEN: Duration = Duration::from_secs(90);
/// No server makes anybody wait longer at a time.
const LONGEST: Duration = Duration::from_secs(310);

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// We ask too much; else it is broken.
    pub limited: bool,
    /// What the server said about the wait.
    pub wait: Option<Duration>,
    /// A fragment without addresses.
    pub why: String,
}

impl Trouble {
    /// A request that came to no answer.
    pub fn of(error: &reqwest::Error) -> Self {
        let mut why: &dyn std::error::Error = error;
        // The innermost says it in the plainest words, and without the address.
        while let Some(inner) = why.source() {
            why = inner;
        }
        Self { limited: false, wait: None, why: super::hub::redacted(&why.to_string()) }
    }
}

/// What is left of it, for one request.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    tries: u32,
    waited: Duration,
}

impl Patience {
    /// The pause before the next try; `None` when it has run out. `dice` spreads those who were told the same.
    pub fn next(&mut self, trouble: &Trouble, dice: u16) -> Option<Duration> {
        let budget = if trouble.limited { LIMITED } else { BROKEN };
        if self.waited >= budget {
            return None;
        }
        let step =
            Duration::from_millis(if trouble.limited { 2000 } else { 500 }).saturating_mul(1 << self.tries.min(5));
        let jitter = step.mul_f64(f64::from(dice) / f64::from(u16::MAX) / 4.0);
        let pause = match trouble.wait {
            Some(wait) => wait.min(LONGEST) + Duration::from_millis(100) + jitter.min(Duration::from_secs(2)),
            None => step + jitter,
        };
        self.tries += 1;
        self.waited += pause;
        Some(pause)
    }

    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// The wait in `Retry-After`, else in `RateLimit`: `"api";r=0;t=55`.
pub fn waits_of(headers: &HeaderMap) -> Option<Duration> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    waits_in(header("retry-after"), header("ratelimit"))
}

/// The same from the texts of both headers.
pub fn waits_in(retry_after: Option<&str>, rate_limit: Option<&str>) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    let reset = || {
        let (_, rest) = rate_limit?.split_once(';')?;
        let parts: Vec<(&str, &str)> = rest.split(';').filter_map(|part| part.trim().split_once('=')).collect();
        let value = |name| parts.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        (value("r") == Some("0")).then(|| value("t").and_then(seconds)).flatten()
    };
    retry_after.and_then(seconds).or_else(reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_outlasts_its_window_and_a_fault_does_not() {
        let total = |trouble: Trouble| {
            let mut patience = Patience::default();
            while patience.next(&trouble, 0).is_some() {}
            patience.waited()
        };
        let limited = Trouble { limited: true, wait: None, why: String::new() };
        assert!(total(limited.clone()) >= Duration::from_secs(400));
        let told = total(Trouble { wait: Some(Duration::from_secs(300)), ..limited.clone() });
        assert!(told >= Duration::from_secs(420) && told < Duration::from_secs(720), "{told:?}");
        assert!(total(Trouble { wait: Some(Duration::MAX), ..limited.clone() }) < Duration::from_secs(720));
        assert!(total(Trouble { limited: false, ..limited }) < Duration::from_secs(150));
    }

    #[test]
    fn waits_are_read_from_either_header() {
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(waits_in(Some("7"), Some("\"api\";r=0;t=55")), secs(7));
        assert_eq!(waits_in(None, Some("\"api\";r=0;t=55")), secs(55));
        assert_eq!(waits_in(None, Some("\"resolvers\";r=12;t=55")), None);
        assert_eq!(waits_in(Some("Wed, 21 Oct 2015 07:28:00 GMT"), None), None);
        assert_eq!(waits_in(Some("-1"), Some(";;=")), None);
    }
}
