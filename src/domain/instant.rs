//! Parsing and formatting of instants. All instants are UTC.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, Timelike, Utc};

use crate::domain::misread::instead_of;
use crate::error::{Error, Result};

/// Parses a bound of a range: `2025-01-01`, `2025-01-01T00:00:00Z`, or with another offset.
///
/// A date means its midnight; a time without an offset is UTC. QBO filters by whole seconds (qbo-facts
/// 2.4), so a fraction of a second is an error and is not rounded.
///
/// # Errors
/// [`Error::Config`] with `setting` and the text.
pub fn parse_instant(setting: &str, text: &str) -> Result<DateTime<Utc>> {
    let examples = "2025-01-31 or 2025-01-31T00:00:00Z";
    parse_instant_in(setting, text, examples, |local| Some(local.and_utc()))
}

/// Parses a bound like [`parse_instant`]; `to_utc` says what a time without an offset means.
///
/// # Errors
/// [`Error::Config`] with `setting` and the text; `examples` says what can be written.
pub(crate) fn parse_instant_in(
    setting: &str,
    text: &str,
    examples: &str,
    to_utc: impl Fn(NaiveDateTime) -> Option<DateTime<Utc>>,
) -> Result<DateTime<Utc>> {
    let instant = parse_any(text.trim(), to_utc).ok_or_else(|| {
        let reason = match instead_of(text) {
            Some(meant) => format!("cannot read '{text}' as a date; {meant}"),
            None => format!("cannot read '{text}' as a date; write {examples}"),
        };
        Error::config(setting, reason)
    })?;
    storable(setting, text, instant)
}

/// Returns an instant that QuickBooks and Postgres can write.
///
/// # Errors
/// [`Error::Config`] with `setting` and the text.
pub(crate) fn storable(setting: &str, text: &str, instant: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if !is_storable(instant) {
        return Err(Error::config(
            setting,
            format!("'{text}' is not in the years 1 to 9999"),
        ));
    }
    // chrono writes a leap second as a fraction above the second before it.
    if instant.nanosecond() >= 1_000_000_000 {
        return Err(Error::config(
            setting,
            format!(
                "'{text}' is a leap second, which neither QuickBooks nor Postgres counts; write the second before or after it"
            ),
        ));
    }
    if instant.nanosecond() != 0 {
        return Err(Error::config(
            setting,
            format!("'{text}' has a fraction of a second; QuickBooks keeps whole ones"),
        ));
    }
    Ok(instant)
}

fn parse_any(
    text: &str,
    to_utc: impl Fn(NaiveDateTime) -> Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    if let Ok(with_offset) = DateTime::parse_from_rfc3339(text) {
        return Some(with_offset.to_utc());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return to_utc(date.and_hms_opt(0, 0, 0)?);
    }
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    .and_then(to_utc)
}

/// Returns whether an instant is in the years 1 to 9999 (UTC). chrono has more years than Postgres,
/// and QuickBooks writes them with four digits.
pub fn is_storable(instant: DateTime<Utc>) -> bool {
    (1..=9999).contains(&instant.year())
}

/// Largest offset of a time that is taken, and more than any place has.
const MAX_OFFSET_S: i32 = 15 * 3600;

/// Parses the time in a record or an answer, such as `2020-09-29T06:02:35-07:00`. Takes only what
/// Postgres takes too, because it reads the time from the payload: no Unicode minus, no offset of 23
/// hours, no year 0, no leap second.
pub fn parse_record_time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte);
    let is_taken = text.bytes().all(is_plain)
        && time.offset().local_minus_utc().abs() < MAX_OFFSET_S
        && time.year() >= 1000
        && time.nanosecond() < 1_000_000_000;
    is_taken.then(|| time.to_utc())
}

/// Formats an instant as `2025-01-01T00:00:00Z`. The format has no plus sign, which a URL would turn
/// into a space (qbo-facts 2.4).
pub fn format_instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes a time that passes: 0.2 s, 45 s, 13 min, 2 h 5 min.
pub fn format_span(span: Duration) -> String {
    match span.as_secs() {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_second_is_named_as_such() {
        for text in ["2024-01-01T23:59:60Z", "2016-12-31T18:59:60-05:00"] {
            let error = parse_instant("start", text).unwrap_err().to_string();
            assert!(error.contains("is a leap second"), "{error}");
        }
        let error = parse_instant("start", "2024-01-01T23:59:59.5Z").unwrap_err();
        assert!(error.to_string().contains("has a fraction"), "{error}");
    }

    #[test]
    fn years_that_postgres_or_quickbooks_lack_are_refused() {
        for text in [
            "-99999-01-01",
            "-0044-03-15",
            "0000-12-31",
            "+10000-01-01",
            "+99999-01-01 00:00:00",
            "9999-12-31T23:00:00-05:00",
            "0001-01-01T00:00:00+01:00",
        ] {
            let error = parse_instant("start", text).unwrap_err().to_string();
            assert!(
                error.starts_with("start: ") && error.contains(text),
                "{error}"
            );
        }
        // The first and the last datetime of Python, far from UTC.
        for text in [
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59.999999-14:00",
        ] {
            let error = parse_instant("start", text).unwrap_err().to_string();
            assert!(error.contains("is not in the years 1 to 9999"), "{error}");
        }
        for text in ["0001-01-01", "9999-12-31T23:59:59Z"] {
            parse_instant("start", text).unwrap();
        }
    }

    #[test]
    fn dates_and_offsets_become_utc() {
        for text in [
            "2025-01-01",
            "2025-01-01T00:00:00Z",
            "2024-12-31T19:00:00-05:00",
            "2025-01-01 00:00:00",
        ] {
            assert_eq!(
                format_instant(parse_instant("start", text).unwrap()),
                "2025-01-01T00:00:00Z",
                "{text}"
            );
        }
    }

    #[test]
    fn unreadable_instants_are_reported_with_their_setting() {
        for text in ["", "yesterday", "2025-02-30", "2025-13-01", "01/02/2025"] {
            let error = parse_instant("--start", text).unwrap_err().to_string();
            assert!(
                error.starts_with("--start: ") && error.contains(&format!("'{text}'")),
                "{error}"
            );
        }
        assert!(parse_instant("end", "2025-01-01T00:00:00.5Z").is_err());
    }

    const INSTANTS: &[&str] = &[
        "2025-01-01",
        "2025-01-01T00:00:00Z",
        "2025-01-01 10:20:30",
        "2025-01-01T10:20",
        "2020-09-29T06:02:35-07:00",
        "2024-02-29T23:59:59.999+14:00",
        "-0001-01-01T00:00:00Z",
        "+262142-12-31",
    ];

    proptest::proptest! {
        #![proptest_config(crate::testing::cases(1000))]

        #[test]
        fn an_instant_that_is_taken_is_the_same_when_it_is_written_again(text in crate::testing::texts(INSTANTS)) {
            if let Ok(instant) = parse_instant("start", &text) {
                let written = format_instant(instant);
                proptest::prop_assert_eq!(parse_instant("start", &written).ok(), Some(instant), "{}", written);
            }
            if let Some(instant) = parse_record_time(&text) {
                let written = instant.to_rfc3339();
                proptest::prop_assert_eq!(DateTime::parse_from_rfc3339(&written).unwrap(), instant);
            }
        }

        #[test]
        fn a_range_ends_after_its_start(start in crate::testing::texts(INSTANTS), end in crate::testing::texts(INSTANTS)) {
            if let Ok(window) = crate::domain::Window::parse(&start, &end) {
                proptest::prop_assert!(window.start < window.end);
            }
            let _ = end.parse::<crate::domain::Chunk>();
        }
    }
}
