//! Times as text, in UTC.

use time::{Date, OffsetDateTime, Time};

/// The date and time; a time after the year 9999 becomes 1970.
fn utc(time_ms: u64) -> (Date, Time) {
    let seconds = i64::try_from(time_ms / 1000).unwrap_or(i64::MAX);
    let utc = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (utc.date(), utc.time())
}

/// The date as `2026-01-31`, from milliseconds since 1970.
#[must_use]
pub fn date(time_ms: u64) -> String {
    utc(time_ms).0.to_string()
}

/// The time as `2026-01-31 13:05:00`, from milliseconds since 1970.
#[must_use]
pub fn second(time_ms: u64) -> String {
    let (date, time) = utc(time_ms);
    format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

/// The time as `2026-01-31T13:05:00Z` (RFC 3339), from milliseconds since 1970, for programs.
#[must_use]
pub fn rfc3339(time_ms: u64) -> String {
    format!("{}Z", second(time_ms).replace(' ', "T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (951_782_399_999, "2000-02-28 23:59:59"),
            (951_782_400_000, "2000-02-29 00:00:00"),
            (1_767_225_600_000, "2026-01-01 00:00:00"),
            (4_107_542_400_000, "2100-03-01 00:00:00"),
        ];
        for (time_ms, expected) in cases {
            assert_eq!(second(time_ms), expected, "{time_ms}");
            assert_eq!(date(time_ms), expected[..10], "{time_ms}");
            assert_eq!(rfc3339(time_ms), format!("{}T{}Z", &expected[..10], &expected[11..]), "{time_ms}");
        }
    }
}
