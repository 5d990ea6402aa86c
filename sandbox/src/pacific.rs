//! US Pacific time, in which QuickBooks writes times. Each time has the offset of its own date
//! (qbo-facts 2.4).

use std::cell::RefCell;

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::America::Los_Angeles;

/// Formats a record's time, in whole seconds.
pub(crate) fn format(instant: i64) -> String {
    at(instant)
        .with_timezone(&Los_Angeles)
        .to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Formats a record's time with another offset than that of its date, in seconds.
pub(crate) fn format_at_offset(instant: i64, offset: i32) -> String {
    match FixedOffset::east_opt(offset) {
        Some(offset) => at(instant)
            .with_timezone(&offset)
            .to_rfc3339_opts(SecondsFormat::Secs, false),
        None => format(instant),
    }
}

/// Appends a record's time. The text of each hour is formatted once and kept, without its minutes
/// and seconds, because pages hold thousands of times and offsets change on the hour only.
pub(crate) fn write(instant: i64, out: &mut String) {
    const HOURS: usize = 1024;
    type Hour = (i64, [u8; 25]);
    thread_local! {
        static CACHE: RefCell<Vec<Hour>> = const { RefCell::new(Vec::new()) };
    }
    if instant < 0 {
        // Long before 1970, offsets did not change on the hour.
        return out.push_str(&format(instant));
    }
    let (hour, rest) = (instant.div_euclid(3600), instant.rem_euclid(3600));
    CACHE.with_borrow_mut(|cache| {
        cache.resize(HOURS, (i64::MIN, [b'0'; 25]));
        let slot = &mut cache[hour.rem_euclid(HOURS as i64) as usize];
        if slot.0 != hour {
            let text = format(hour * 3600);
            match text.as_bytes().try_into() {
                Ok(bytes) => *slot = (hour, bytes),
                // The year has more than four digits.
                Err(_) => return out.push_str(&format(instant)),
            }
        }
        let mut text = slot.1;
        for (at, value) in [(14, rest / 60), (17, rest % 60)] {
            text[at] = b'0' + (value / 10) as u8;
            text[at + 1] = b'0' + (value % 10) as u8;
        }
        out.push_str(std::str::from_utf8(&text).unwrap_or_default());
    });
}

/// Appends the Pacific date of an instant.
pub(crate) fn write_date(instant: i64, out: &mut String) {
    let start = out.len();
    write(instant, out);
    out.truncate(start + "2024-01-01".len());
}

/// Formats the `time` of an answer, in milliseconds.
pub(crate) fn format_millis(instant: DateTime<Utc>) -> String {
    instant
        .with_timezone(&Los_Angeles)
        .to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Returns the Pacific date of an instant.
pub(crate) fn date(instant: i64) -> String {
    at(instant)
        .with_timezone(&Los_Angeles)
        .format("%Y-%m-%d")
        .to_string()
}

/// Returns the Pacific month of an instant, as in `2026-03`.
pub(crate) fn month(instant: DateTime<Utc>) -> String {
    instant
        .with_timezone(&Los_Angeles)
        .format("%Y-%m")
        .to_string()
}

/// The time zone of a time without an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Pacific,
    Utc,
}

/// Parses a time of a request. A time without an offset is in the given zone. A date is its
/// midnight. Returns `None` if the text is not a time, or there is no such local time.
pub(crate) fn parse(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    if let Ok(with_offset) = DateTime::parse_from_rfc3339(text) {
        return Some(with_offset.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
        .or_else(|_| {
            NaiveDateTime::parse_from_str(&format!("{text}T00:00:00"), "%Y-%m-%dT%H:%M:%S")
        })
        .ok()?;
    match (zone, Los_Angeles.from_local_datetime(&naive)) {
        (Zone::Utc, _) => Some(naive.and_utc()),
        (Zone::Pacific, LocalResult::Single(local) | LocalResult::Ambiguous(local, _)) => {
            Some(local.to_utc())
        }
        (Zone::Pacific, LocalResult::None) => None,
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
        assert_eq!(
            format(instant("2024-07-01T12:00:00Z")),
            "2024-07-01T05:00:00-07:00"
        );
        assert_eq!(
            format(instant("2024-12-01T12:00:00Z")),
            "2024-12-01T04:00:00-08:00"
        );
        // The hour that the autumn repeats.
        assert_eq!(
            format(instant("2024-11-03T08:30:00Z")),
            "2024-11-03T01:30:00-07:00"
        );
        assert_eq!(
            format(instant("2024-11-03T09:30:00Z")),
            "2024-11-03T01:30:00-08:00"
        );
    }

    #[test]
    fn the_quick_way_writes_what_chrono_writes() {
        let mut instant = -3_000_000_000i64;
        for step in 0..200_000i64 {
            instant += 30_011 + step % 7;
            let mut text = String::new();
            write(instant, &mut text);
            assert_eq!(text, format(instant));
            write_date(instant, &mut text);
            assert!(text.ends_with(&date(instant)));
        }
    }

    #[test]
    fn filters_take_offsets_dates_and_local_times() {
        let utc = |text: &str| parse(text, Zone::Pacific).unwrap().to_rfc3339();
        assert_eq!(utc("2024-07-01T00:00:00Z"), "2024-07-01T00:00:00+00:00");
        assert_eq!(utc("2024-07-01"), "2024-07-01T07:00:00+00:00");
        assert_eq!(utc("2024-12-01T00:00:00"), "2024-12-01T08:00:00+00:00");
        assert!(
            parse("soon", Zone::Utc).is_none()
                && parse("2024-03-10T02:30:00", Zone::Pacific).is_none()
        );
    }
}
