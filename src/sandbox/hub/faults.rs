//! What may go wrong at the hub, on purpose.

use std::time::{Duration, Instant};

use crate::vocab::parse_duration;

/// Every fault, all of them off by default.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A connection to the CDN is reset after so many bytes.
    pub reset_each: Option<u64>,
    /// A connection to the CDN is closed after so many bytes.
    pub close_each: Option<u64>,
    /// So many connections to the CDN say nothing more after a megabyte.
    pub stalls: u32,
    /// Bytes a second that each connection to the CDN gets.
    pub rate: Option<u64>,
    /// So many connections to the CDN get 100 kB a second.
    pub slow: u32,
    /// Until then the hub says 429.
    pub limited_until: Option<Instant>,
    /// The wait that a 429 tells, in seconds.
    pub retry_after: u64,
    /// So many answers of the CDN are 503.
    pub unavailable: u32,
    /// How long links are good for; an hour if unsaid.
    pub links_last: Option<Duration>,
    /// So many answers of the CDN are a page about an error, with status 200.
    pub error_pages: u32,
    /// So many answers of the CDN have one wrong bit in their middle.
    pub flips: u32,
    /// The CDN sends whole files, whatever range is asked for.
    pub no_ranges: bool,
    /// The hub sends large files itself, and hands out no links.
    pub direct: bool,
    /// A link is good for the address that asked for it only.
    pub bound: bool,
    /// Entries of a tree that come in one page.
    pub page: Option<usize>,
}

/// A fault that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no fault; there are reset=SIZE, close=SIZE, stalls=N, rate=SIZE, slow=N, limited=DUR, unavailable=N, \
     links=DUR, error-pages=N, flips=N, no-ranges, direct, bound, page=N; a size is a number with kB, MB or GB"
)]
pub struct UnknownFault(String);

impl Faults {
    /// Adds what is written as `reset=25MB`.
    ///
    /// # Errors
    /// It is no fault, or its number is none.
    pub fn add(&mut self, text: &str) -> Result<(), UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number = || value.parse().map_err(|_| unknown());
        let bytes = || size(value).filter(|size| *size > 0).ok_or_else(unknown);
        let time = || parse_duration(value).map_err(|_| unknown());
        match name {
            "reset" => self.reset_each = Some(bytes()?),
            "close" => self.close_each = Some(bytes()?),
            "stalls" => self.stalls = number()?,
            "rate" => self.rate = Some(bytes()?),
            "slow" => self.slow = number()?,
            "limited" => {
                let time = time()?;
                self.limited_until = Instant::now().checked_add(time);
                self.retry_after = time.as_secs().max(1);
            }
            "unavailable" => self.unavailable = number()?,
            "links" => self.links_last = Some(time()?),
            "error-pages" => self.error_pages = number()?,
            "flips" => self.flips = number()?,
            "no-ranges" if value.is_empty() => self.no_ranges = true,
            "direct" if value.is_empty() => self.direct = true,
            "bound" if value.is_empty() => self.bound = true,
            "page" => self.page = Some(number()? as usize),
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Uses up one of a number of faults.
    pub(super) fn take(count: &mut u32) -> bool {
        let some = *count > 0;
        *count -= u32::from(some);
        some
    }
}

/// `25MB`, `512`, `4MiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[end..] {
        "" | "B" => 1,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_or_named() {
        let mut faults = Faults::default();
        for text in ["reset=25MB", "no-ranges", "stalls=2", "links=3s"] {
            faults.add(text).unwrap();
        }
        assert_eq!((faults.reset_each, faults.no_ranges, faults.stalls), (Some(25_000_000), true, 2));
        for text in ["", "reset", "reset=0", "reset=MB", "no-ranges=1", "stalls=-1", "reset=99999999999GB"] {
            assert!(faults.add(text).is_err(), "{text}");
        }
    }
}
