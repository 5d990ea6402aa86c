//! Checks for records that Postgres cannot store. `jsonb` refuses the character U+0000 and halves
//! of surrogate pairs, which valid JSON can contain as escapes, and numbers beyond the range of
//! `numeric` (PostgreSQL documentation, "JSON Types", "Numeric Types"). A key must fit on an index
//! page.

use crate::domain::Record;

/// Returns why a record cannot be stored, or `None` if it can.
pub(super) fn refusal_of(record: &Record) -> Option<&'static str> {
    let payload = record.payload.as_bytes();
    match record.payload.is_plain() {
        true => refused_length(&record.id, payload),
        false => refusal(&record.id, payload),
    }
}

/// Returns why a record cannot be stored, or `None` if it can. The payload must be valid JSON.
pub(super) fn refusal(id: &str, payload: &[u8]) -> Option<&'static str> {
    refused_length(id, payload)
        .or_else(|| refused_escape(payload))
        .or_else(|| refused_number(payload))
        .or_else(|| refused_depth(payload))
}

fn refused_length(id: &str, payload: &[u8]) -> Option<&'static str> {
    if id.len() > MAX_ID {
        return Some("its id is longer than an index of Postgres can hold");
    }
    (payload.len() > MAX_PAYLOAD).then_some("it is larger than the 255 MB that jsonb can hold")
}

/// Levels of arrays and objects. Postgres parses `jsonb` by recursion, and its stack ends at some
/// thousands of levels (PostgreSQL documentation, `max_stack_depth`); real records have about ten.
const MAX_LEVELS: usize = 1000;

/// Looks for values that are nested too deeply. Most payloads do not have that many brackets.
fn refused_depth(payload: &[u8]) -> Option<&'static str> {
    let has_many = |open: u8| memchr::memchr_iter(open, payload).count() > MAX_LEVELS / 2;
    if payload.len() < MAX_LEVELS || !(has_many(b'[') || has_many(b'{')) {
        return None;
    }
    let (mut rest, mut level) = (payload, 0usize);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(tail),
            _ => tail,
        };
        level = match byte {
            b'[' | b'{' => level + 1,
            b']' | b'}' => level.saturating_sub(1),
            _ => level,
        };
        if level > MAX_LEVELS {
            return Some("it is nested more than 1000 levels deep");
        }
    }
    None
}

/// Bytes of an id. An entry of a B-tree is at most 2704 bytes; real ids have 19 digits at most
/// (qbo-facts 9).
const MAX_ID: usize = 2000;
const MAX_PAYLOAD: usize = 255 << 20;
/// Digits that `numeric` holds before the decimal point; below, after it.
const MAX_DIGITS: i64 = 131_072;
const MAX_DECIMALS: i64 = 16_383;

/// Looks for numbers beyond the range. Such a number needs an exponent, or more digits than
/// `numeric` has decimals, so most payloads are not parsed.
fn refused_number(payload: &[u8]) -> Option<&'static str> {
    let has_exponent = memchr::memchr2_iter(b'e', b'E', payload).any(|at| {
        let after = payload.get(at + 1).copied().unwrap_or_default();
        at > 0
            && payload[at - 1].is_ascii_digit()
            && (after.is_ascii_digit() || matches!(after, b'+' | b'-'))
    });
    let is_long = payload.len() as i64 > MAX_DECIMALS;
    let is_refused =
        (has_exponent || is_long) && numbers(payload).any(|number| !is_numeric(number));
    is_refused.then_some("it holds a number beyond the range of numeric")
}

/// Returns the numbers outside of strings.
fn numbers(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        loop {
            match *rest.first()? {
                b'"' => rest = after_string(&rest[1..]),
                b'-' | b'0'..=b'9' => {
                    let is_part =
                        |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    let end = rest
                        .iter()
                        .position(|byte| !is_part(byte))
                        .unwrap_or(rest.len());
                    let (number, tail) = rest.split_at(end);
                    rest = tail;
                    return Some(number);
                }
                _ => rest = &rest[1..],
            }
        }
    })
}

fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        match rest[at] {
            b'"' => return &rest[at + 1..],
            _ => rest = rest.get(at + 2..).unwrap_or_default(),
        }
    }
    &[]
}

fn is_numeric(number: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(number) else {
        return false;
    };
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // An exponent that does not fit into 64 bits is out of range anyway.
    let Ok(exponent) = exponent.trim_start_matches('+').parse::<i64>() else {
        return false;
    };
    if exponent.abs() > 1_000_000 {
        return false;
    }
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('-').trim_start_matches('0');
    whole.len() as i64 + exponent <= MAX_DIGITS && decimals.len() as i64 - exponent <= MAX_DECIMALS
}

fn refused_escape(payload: &[u8]) -> Option<&'static str> {
    let mut rest = payload;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = &rest[at + 1..];
        let Some(unit) = code_unit(escape) else {
            // An escape of two characters; the second may be a backslash itself.
            rest = escape.get(1..).unwrap_or_default();
            continue;
        };
        rest = &escape[5..];
        match unit {
            0 => return Some("it holds the character U+0000, which Postgres cannot store"),
            0xD800..=0xDBFF => match rest.strip_prefix(b"\\").and_then(code_unit) {
                Some(0xDC00..=0xDFFF) => rest = &rest[6..],
                _ => return Some(LONE),
            },
            0xDC00..=0xDFFF => return Some(LONE),
            _ => {}
        }
    }
    None
}

const LONE: &str = "it holds half of a surrogate pair, which is no character";

/// Returns the number of an escape `uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Validator;

    /// Returns true if the payload of a record that holds a text is not taken for a plain one.
    fn is_left_to_be_looked_at(text: &str) -> bool {
        let mut validator = Validator::new(text);
        validator.value().is_none() || validator.take_oddity()
    }

    #[test]
    fn only_what_postgres_refuses_is_refused() {
        for fine in [
            r#"{"a":"b"}"#,
            r#""\\u0000""#,
            r#""\ud83d\ude42""#,
            r#""\\\\u0000 \u0001 \" \/""#,
            r#""é🙂""#,
            r#""\u00e9""#,
            r#"{"a":"1e999999","b":1e100,"c":-1.5E+131071,"d":1e-16383,"e":"\"1e999999"}"#,
        ] {
            assert_eq!(refusal("1", fine.as_bytes()), None, "{fine}");
        }
        for (bad, word) in [
            (r#""\u0000""#, "U+0000"),
            (r#""\\\u0000""#, "U+0000"),
            (r#""\ud83d""#, "surrogate"),
            (r#""\ude42\ud83d""#, "surrogate"),
            (r#""\ud83d\u0041""#, "surrogate"),
            (r#""\uD83D\n""#, "surrogate"),
            (r#"{"a":1e131072}"#, "numeric"),
            (r#"{"a":[-0.5E-16383]}"#, "numeric"),
            (r#"{"a":1e99999999999999999999}"#, "numeric"),
        ] {
            assert!(
                refusal("1", bad.as_bytes()).is_some_and(|reason| reason.contains(word)),
                "{bad}"
            );
            assert!(is_left_to_be_looked_at(bad), "{bad}");
        }
    }

    #[test]
    fn digits_and_ids_without_end_are_refused() {
        let digits = |count: usize| format!("{{\"a\":{},\"b\":\"x\"}}", "9".repeat(count));
        assert_eq!(refusal("1", digits(131_072).as_bytes()), None);
        assert!(refusal("1", digits(131_073).as_bytes()).is_some());
        let decimals = format!("[0.{}]", "1".repeat(16_384));
        assert!(refusal("1", decimals.as_bytes()).is_some());
        assert!(is_left_to_be_looked_at(&digits(131_073)) && is_left_to_be_looked_at(&decimals));
        assert_eq!(
            refusal("1", format!("[\"0.{}\"]", "1".repeat(16_384)).as_bytes()),
            None
        );
        assert!(refusal(&"7".repeat(2001), b"{}").is_some_and(|reason| reason.contains("index")));
    }

    #[test]
    fn values_nested_too_deeply_are_refused() {
        let nested = |levels: usize| {
            let (open, close) = (r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
            format!("{open}{close}")
        };
        assert_eq!(refusal("1", nested(1000).as_bytes()), None);
        for levels in [1002, 100_000] {
            let reason = refusal("1", nested(levels).as_bytes());
            assert!(
                reason.is_some_and(|reason| reason.contains("nested")),
                "{levels}"
            );
            assert!(is_left_to_be_looked_at(&nested(levels)), "{levels}");
        }
        // Brackets in texts and one after the other are no levels.
        let flat = format!(r#"["{}",{}[]]"#, "[{".repeat(2000), "[],{},".repeat(2000));
        assert_eq!(refusal("1", flat.as_bytes()), None);
    }
}
