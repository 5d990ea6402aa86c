//! Values of JSON as values of columns.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Visitor};

use super::number::{DECIMALS, FACTOR_DECIMALS, parse_factor, parse_number};
use crate::domain::ColumnType;
use crate::domain::calendar::{parse_day, parse_time};

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    /// In units of the last decimal.
    Number(i128),
    Boolean(bool),
    /// Days since 1970-01-01.
    Day(i32),
    /// Microseconds since 1970-01-01, UTC.
    Time(i64),
    /// JSON that does not fit its column, which is null.
    Unfit(&'a str),
}

impl Value<'_> {
    /// Returns a number to multiply by, with its decimals: also one that is too long for its column.
    pub(super) fn factor(&self) -> Option<(i128, usize)> {
        match self {
            Self::Number(units) => Some((*units, DECIMALS as usize)),
            Self::Unfit(json) => {
                let text = text_of(json).unwrap_or(Cow::Borrowed(json));
                Some((parse_factor(&text)?, FACTOR_DECIMALS))
            }
            _ => None,
        }
    }
}

/// Reads a value of JSON as a type; `None` if it does not fit. A scalar is taken for what its text
/// says, as in the SQL views: QuickBooks writes numbers and booleans as text in places.
pub(super) fn read<'a>(json: &'a str, column_type: ColumnType) -> Option<Value<'a>> {
    if json == "null" {
        return Some(Value::Null);
    }
    if column_type == ColumnType::Json {
        return Some(Value::Text(Cow::Borrowed(json)));
    }
    let text = match json.as_bytes().first()? {
        b'{' | b'[' => return None,
        b'"' => text_of(json)?,
        _ => Cow::Borrowed(json),
    };
    match column_type {
        ColumnType::Text | ColumnType::Json => Some(Value::Text(text)),
        ColumnType::Numeric => parse_number(&text).map(Value::Number),
        ColumnType::Boolean => boolean(&text).map(Value::Boolean),
        ColumnType::Date => parse_day(&text).map(Value::Day),
        ColumnType::Timestamptz => parse_time(&text).map(Value::Time),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("on") {
        Some(true)
    } else if is("false") || is("off") {
        Some(false)
    } else {
        None
    }
}

/// Returns the text of a JSON string. Half of a surrogate pair, which no text holds, becomes U+FFFD.
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return Some(Cow::Owned(text));
    }
    let LooseText(text) = serde_json::from_str(json).ok()?;
    Some(Cow::Owned(text))
}

struct LooseText(String);

impl<'de> Deserialize<'de> for LooseText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, serde_json gives halves of surrogate pairs too.
        deserializer.deserialize_bytes(LooseVisitor)
    }
}

struct LooseVisitor;

impl Visitor<'_> for LooseVisitor {
    type Value = LooseText;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<LooseText, E> {
        Ok(LooseText(without_surrogates(bytes)))
    }
}

/// Returns text whose surrogates are three bytes each, with U+FFFD in place of each.
fn without_surrogates(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (0xed, [0xa0..=0xbf, _, after @ ..]) => {
                text.extend_from_slice("\u{fffd}".as_bytes());
                after
            }
            _ => {
                text.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<Value<'_>> {
        read(json, ColumnType::Text)
    }

    #[test]
    fn a_scalar_is_text_as_it_is_written() {
        let is = |text: &'static str| Some(Value::Text(text.into()));
        assert_eq!(text(r#""a""#), is("a"));
        assert_eq!(text(r#""""#), is(""));
        assert_eq!(text(r#""a\n\u00e9\ud83d\ude42""#), is("a\n\u{e9}\u{1f642}"));
        assert_eq!(text(r#""a\ud800b\udc00""#), is("a\u{fffd}b\u{fffd}"));
        assert_eq!(text("1.10"), is("1.10"));
        assert_eq!(text("true"), is("true"));
        assert_eq!(text("null"), Some(Value::Null));
        assert_eq!(text("{}"), None);
        assert_eq!(text("[1]"), None);
    }

    #[test]
    fn numbers_and_booleans_may_be_text() {
        let one = Some(Value::Number(10_000_000_000));
        assert_eq!(read("1", ColumnType::Numeric), one);
        assert_eq!(read(r#""1.00""#, ColumnType::Numeric), one);
        assert_eq!(read(r#""""#, ColumnType::Numeric), None);
        assert_eq!(read("true", ColumnType::Numeric), None);
        for json in ["true", r#""true""#, r#""TRUE""#, r#""On""#] {
            let read = read(json, ColumnType::Boolean);
            assert_eq!(read, Some(Value::Boolean(true)), "{json}");
        }
        for json in ["false", r#""False""#, r#""off""#] {
            let read = read(json, ColumnType::Boolean);
            assert_eq!(read, Some(Value::Boolean(false)), "{json}");
        }
        assert_eq!(read(r#""yes""#, ColumnType::Boolean), None);
        assert_eq!(read("1", ColumnType::Boolean), None);
    }

    #[test]
    fn json_stays_as_it_is() {
        let json = r#"[ {"a": 1.10} ]"#;
        assert_eq!(read(json, ColumnType::Json), Some(Value::Text(json.into())));
        assert_eq!(read("null", ColumnType::Json), Some(Value::Null));
    }
}
