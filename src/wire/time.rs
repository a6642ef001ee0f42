//! Points in time as RFC 3339 in UTC with milliseconds, and lengths of time as milliseconds.

use std::time::{Duration, SystemTime};

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// The last millisecond that four digits of a year can say.
const LAST: u64 = 253_402_300_799_999;

/// Writes `at`; what lies before 1970 or after 9999 is written as the nearer end.
pub fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = millis(since).min(LAST);
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|at| at.format(form).ok())
        .unwrap_or_default()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For `at`.
pub(super) mod stamp {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || D::Error::custom(format!("{text:?} is not a time as in RFC 3339"));
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| bad())?;
        // Through the epoch, because the conversion that the crate offers panics where the platform's clock ends.
        let since = u64::try_from(at.unix_timestamp()).map_err(|_| bad())?;
        let since = Duration::new(since, at.nanosecond());
        SystemTime::UNIX_EPOCH.checked_add(since).ok_or_else(bad)
    }
}

/// For a point in time that may not have come yet.
pub(super) mod maybe_stamp {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer>(at: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&rfc3339(*at)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Option<SystemTime>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "stamp")] SystemTime);
        Ok(Option::<Wrapped>::deserialize(de)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_too_strange() {
        let after = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        assert_eq!(rfc3339(after(1_767_323_045) + Duration::from_millis(7)), "2026-01-02T03:04:05.007Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(after(1 << 40)), "9999-12-31T23:59:59.999Z");
    }
}
