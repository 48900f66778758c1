//! Moments, for people: in UTC.

use time::{Date, OffsetDateTime, Time};

fn utc(time_ms: u64) -> (Date, Time) {
    let seconds = i64::try_from(time_ms / 1000).unwrap_or(i64::MAX);
    // Beyond the year 9999 nobody reads it.
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (moment.date(), moment.time())
}

/// `2026-01-31`, of milliseconds since 1970.
pub fn date(time_ms: u64) -> String {
    utc(time_ms).0.to_string()
}

/// `2026-01-31 13:05:00`, of milliseconds since 1970.
pub fn second(time_ms: u64) -> String {
    let (date, time) = utc(time_ms);
    format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

/// `2026-01-31T13:05:00Z`, of milliseconds since 1970: for machines.
pub fn rfc3339(time_ms: u64) -> String {
    format!("{}Z", second(time_ms).replace(' ', "T"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
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
        }
    }
}
