//! The texts that are numbers, days, instants and truth values: the same as in the views, whose column is
//! NULL for any other.

use crate::domain::calendar::{parse_day, parse_time};
use crate::domain::fields::FieldType;

/// Returns true if a text is a value of a type.
pub(super) fn fits(field_type: FieldType, text: &str) -> bool {
    let bytes = text.as_bytes();
    match field_type {
        FieldType::Numeric => is_number(bytes),
        FieldType::Boolean => ["true", "false", "on", "off"]
            .iter()
            .any(|word| text.to_lowercase() == *word),
        FieldType::Date => parse_day(text).is_some(),
        FieldType::Timestamptz => parse_time(text).is_some(),
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
