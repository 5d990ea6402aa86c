//! QBO's clock: US Pacific time, each value with the offset of its own date (qbo-facts 2.4).

use chrono::{DateTime, LocalResult, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::America::Los_Angeles;

/// A record's time: whole seconds.
pub(super) fn format(instant: i64) -> String {
    at(instant).with_timezone(&Los_Angeles).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// An answer's `time`: milliseconds.
pub(super) fn format_millis(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Los_Angeles).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// The date of an instant, where the company keeps its books.
pub(super) fn date(instant: i64) -> String {
    at(instant).with_timezone(&Los_Angeles).format("%Y-%m-%d").to_string()
}

/// Reads a filter value. Without an offset it is taken as Pacific time; which zone Intuit takes is not established.
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(with_offset) = DateTime::parse_from_rfc3339(text) {
        return Some(with_offset.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| NaiveDateTime::parse_from_str(&format!("{text}T00:00:00"), "%Y-%m-%dT%H:%M:%S"))
        .ok()?;
    match Los_Angeles.from_local_datetime(&naive) {
        LocalResult::Single(local) | LocalResult::Ambiguous(local, _) => Some(local.to_utc()),
        LocalResult::None => None,
    }
}

fn at(instant: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(instant, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_the_offset_of_its_date() {
        let instant = |text| DateTime::parse_from_rfc3339(text).unwrap().timestamp();
        assert_eq!(format(instant("2024-07-01T12:00:00Z")), "2024-07-01T05:00:00-07:00");
        assert_eq!(format(instant("2024-12-01T12:00:00Z")), "2024-12-01T04:00:00-08:00");
        // The hour that the autumn repeats.
        assert_eq!(format(instant("2024-11-03T08:30:00Z")), "2024-11-03T01:30:00-07:00");
        assert_eq!(format(instant("2024-11-03T09:30:00Z")), "2024-11-03T01:30:00-08:00");
    }

    #[test]
    fn filters_take_offsets_dates_and_local_times() {
        let utc = |text: &str| parse(text).unwrap().to_rfc3339();
        assert_eq!(utc("2024-07-01T00:00:00Z"), "2024-07-01T00:00:00+00:00");
        assert_eq!(utc("2024-07-01"), "2024-07-01T07:00:00+00:00");
        assert_eq!(utc("2024-12-01T00:00:00"), "2024-12-01T08:00:00+00:00");
        assert!(parse("soon").is_none() && parse("2024-03-10T02:30:00").is_none());
    }
}
