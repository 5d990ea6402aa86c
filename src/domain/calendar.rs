//! Days and instants, by the rules of the SQL views: what does not exist is nothing.

use chrono::{Datelike, NaiveDate};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Parses a day, with slashes too, and perhaps with a time and an offset, which mean nothing for a
/// day. Returns the days since 1970-01-01.
pub(crate) fn parse_day(text: &str) -> Option<i32> {
    let (day, rest) = text.split_at_checked(10)?;
    let rest = match rest.strip_prefix('T') {
        Some(time) => {
            let end = time.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.');
            let (time, rest) = time.split_at(end.unwrap_or(time.len()));
            (1..=30).contains(&time.len()).then_some(rest)?
        }
        None => rest,
    };
    let is_known = match rest.as_bytes() {
        [] | [b'Z'] => true,
        // A slash counts as a hyphen, everywhere.
        [b'+' | b'-' | b'/', a, b, b':', c, d] | [b'+' | b'-' | b'/', a, b, c, d] => {
            [a, b, c, d].iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    is_known.then(|| days_of(day, |byte| matches!(byte, b'-' | b'/')))?
}

/// Parses an instant; one without an offset is UTC. Returns the microseconds since 1970-01-01, UTC.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (day, rest) = text.split_at_checked(10)?;
    let days = i64::from(days_of(day, |byte| byte == b'-')?);
    let (time, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let [h, m, s] = [time.get(..2)?, time.get(3..5)?, time.get(6..)?].map(two_digits);
    let (hours, minutes, seconds) = (h?, m?, s?);
    let has_colons = time.as_bytes()[2] == b':' && time.as_bytes()[5] == b':';
    if !has_colons || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (micros, rest) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit());
            let (digits, rest) = fraction.split_at(end.unwrap_or(fraction.len()));
            (micros_of(digits)?, rest)
        }
        None => (0, rest),
    };
    let local = days * SECONDS_PER_DAY + hours * 3600 + minutes * 60 + seconds;
    Some((local - offset_of(rest)?) * MICROS_PER_SECOND + micros)
}

/// Returns the days since 1970-01-01 of `YYYY-MM-DD`, of years that have four digits.
fn days_of(text: &str, is_separator: impl Fn(u8) -> bool) -> Option<i32> {
    let bytes = text.as_bytes();
    if !is_separator(*bytes.get(4)?) || !is_separator(*bytes.get(7)?) {
        return None;
    }
    let century = two_digits(text.get(..2)?)?;
    let year = century * 100 + two_digits(text.get(2..4)?)?;
    let month = two_digits(text.get(5..7)?)?;
    let day = two_digits(text.get(8..10)?)?;
    if year < 1000 {
        return None;
    }
    let (year, month, day) = (i32::try_from(year).ok()?, month as u32, day as u32);
    let date = NaiveDate::from_ymd_opt(year, month, day)?;
    Some(date.num_days_from_ce() - NaiveDate::default().num_days_from_ce())
}

/// Rounds a fraction of a second to microseconds, as Postgres does.
fn micros_of(digits: &str) -> Option<i64> {
    if !(1..=20).contains(&digits.len()) {
        return None;
    }
    let kept = digits.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = kept.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'));
    let rounds_up = digits.as_bytes().get(6).is_some_and(|digit| *digit >= b'5');
    Some(micros + i64::from(rounds_up))
}

/// Returns the seconds of an offset of less than 15 hours.
fn offset_of(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first() {
        None => return Some(0),
        Some(b'Z') => return (text.len() == 1).then_some(0),
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        Some(_) => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = match minutes.strip_prefix(':').unwrap_or(minutes) {
        "" if minutes.is_empty() => 0,
        minutes => two_digits(minutes)?,
    };
    let hours = two_digits(hours)?;
    (hours < 15 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn two_digits(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => {
            Some(i64::from(a - b'0') * 10 + i64::from(b - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{parse_day, parse_time};

    #[test]
    fn days_are_read_as_the_views_read_them() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2024-02-29", 19_782),
            ("2024/02/29", 19_782),
            ("2024-02-29Z", 19_782),
            ("2024-02-29-08:00", 19_782),
            ("2024/02/29/08:00", 19_782),
            ("2024-02-29+0530", 19_782),
            ("2024-02-29T23:59:59.5-08:00", 19_782),
            ("1969-12-31", -1),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(parse_day(text), Some(days), "{text}");
        }
        for text in [
            "",
            "2023-02-29",
            "2024-02-30",
            "2024-13-01",
            "0000-00-00",
            "0999-01-01",
            "2024-2-9",
            "24-02-29",
            "2024-02-29 ",
            "2024-02-29x",
            "2024-02-29T",
            "2024-02-29+8",
            "2024-02-29T00:00:00Zx",
            "\u{661}024-02-29",
            "2024\u{2212}02-29",
            "12345-01-01",
        ] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_utc_and_read_as_the_views_read_them() {
        for text in [
            "2024-02-29T23:59:59-08:00",
            "2024-02-29T23:59:59.123456Z",
            "1969-12-31T23:59:59.999999+14:59",
            "2014-09-18T14:56:15-07:00",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap();
            assert_eq!(
                parse_time(text),
                Some(expected.timestamp_micros()),
                "{text}"
            );
        }
        let noon = parse_time("2024-01-01T12:00:00Z");
        for text in [
            "2024-01-01T12:00:00",
            "2024-01-01T12:00:00.0",
            "2024-01-01T12:00:00.0000004",
            "2024-01-01T04:00:00-08",
            "2024-01-01T04:00:00-0800",
            "2024-01-01T11:59:59.9999995",
        ] {
            assert_eq!(parse_time(text), noon, "{text}");
        }
        for text in [
            "",
            "2024-01-01",
            "2024-01-01 12:00:00",
            "2024-01-01T24:00:00Z",
            "2024-01-01T12:60:00Z",
            "2016-12-31T23:59:60Z",
            "2024-01-01T12:00:00.Z",
            "2024-01-01T12:00:00+15:00",
            "2024-01-01T12:00:00+8",
            "2024-01-01T12:00:00-08:",
            "2024-01-01T12:00:00z",
            "2024/01/01T12:00:00Z",
            "2024-02-30T12:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
