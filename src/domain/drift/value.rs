//! The texts that are numbers, days, instants and truth values: the same as in the views, whose column is
//! NULL for any other.

use crate::domain::fields::FieldType;

/// Returns true if a text is a value of a type.
pub(super) fn fits(field_type: FieldType, text: &str) -> bool {
    let bytes = text.as_bytes();
    match field_type {
        FieldType::Numeric => is_number(bytes),
        FieldType::Boolean => ["true", "false", "on", "off"]
            .iter()
            .any(|word| text.to_lowercase() == *word),
        FieldType::Date => is_day(bytes),
        FieldType::Timestamptz => is_time(bytes),
        _ => true,
    }
}

/// Takes as many digits as there are, and returns how many.
fn digits(rest: &mut &[u8]) -> usize {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    *rest = &rest[count..];
    count
}

fn take(rest: &mut &[u8], one_of: &[u8]) -> bool {
    match rest.split_first() {
        Some((first, after)) if one_of.contains(first) => {
            *rest = after;
            true
        }
        _ => false,
    }
}

/// Takes a number of two digits up to a maximum.
fn pair(rest: &mut &[u8], max: u8) -> bool {
    match rest {
        [a, b, after @ ..] if a.is_ascii_digit() && b.is_ascii_digit() => {
            *rest = after;
            (a - b'0') * 10 + (b - b'0') <= max
        }
        _ => false,
    }
}

/// Most digits on each side of the point.
const MAX_DIGITS: usize = 64;

fn is_number(mut rest: &[u8]) -> bool {
    take(&mut rest, b"+-");
    let whole = digits(&mut rest);
    let has_point = take(&mut rest, b".");
    let fraction = match has_point {
        true => digits(&mut rest),
        false => 0,
    };
    if whole > MAX_DIGITS || fraction > MAX_DIGITS || whole + fraction == 0 {
        return false;
    }
    if take(&mut rest, b"eE") {
        take(&mut rest, b"+-");
        let exponent = digits(&mut rest);
        return (1..=2).contains(&exponent) && rest.is_empty();
    }
    rest.is_empty()
}

/// Takes a day that exists, in a year of four digits.
fn day(rest: &mut &[u8], separators: &[u8]) -> bool {
    let [y1, y2, y3, y4, after @ ..] = *rest else {
        return false;
    };
    let year = [y1, y2, y3, y4];
    if *y1 == b'0' || !year.iter().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let year = year
        .iter()
        .fold(0_u32, |sum, byte| sum * 10 + u32::from(*byte - b'0'));
    *rest = after;
    if !take(rest, separators) {
        return false;
    }
    let Some(month) = number(rest) else {
        return false;
    };
    if !take(rest, separators) {
        return false;
    }
    let Some(day) = number(rest) else {
        return false;
    };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// Takes two digits.
fn number(rest: &mut &[u8]) -> Option<u8> {
    let [a, b, after @ ..] = *rest else {
        return None;
    };
    let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
    *rest = after;
    (a < 10 && b < 10).then(|| a * 10 + b)
}

fn is_day(mut rest: &[u8]) -> bool {
    if !day(&mut rest, b"-/") {
        return false;
    }
    if take(&mut rest, b"T") {
        let time = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
        let count = rest.iter().take_while(time).count();
        if !(1..=30).contains(&count) {
            return false;
        }
        rest = &rest[count..];
    }
    if rest.is_empty() || rest == b"Z" {
        return true;
    }
    // A slash counts as a hyphen, everywhere.
    take(&mut rest, b"+-/") && pair(&mut rest, 99) && {
        take(&mut rest, b":");
        pair(&mut rest, 99) && rest.is_empty()
    }
}

fn is_time(mut rest: &[u8]) -> bool {
    let is_clock = day(&mut rest, b"-")
        && take(&mut rest, b"T")
        && pair(&mut rest, 23)
        && take(&mut rest, b":")
        && pair(&mut rest, 59)
        && take(&mut rest, b":")
        && pair(&mut rest, 59);
    if !is_clock {
        return false;
    }
    if take(&mut rest, b".") && !(1..=20).contains(&digits(&mut rest)) {
        return false;
    }
    if rest.is_empty() || rest == b"Z" {
        return true;
    }
    if !(take(&mut rest, b"+-") && pair(&mut rest, 14)) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    take(&mut rest, b":");
    pair(&mut rest, 59) && rest.is_empty()
}
