//! Parameters without what Postgres cannot store. The types `text` and `jsonb` have no U+0000
//! (PostgreSQL documentation, "Character Types", "JSON Types"), and a text from outside may hold
//! one: a fault of the API, an id, an event of a webhook. The character is replaced, so that no
//! statement fails for it, whatever it writes.

use std::borrow::Cow;
use std::error::Error as StdError;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::Param;

/// The character that replaces U+0000.
pub(super) const REPLACEMENT: &str = "\u{fffd}";
const ESCAPED_NUL: &[u8] = b"\\u0000";
const ESCAPED_REPLACEMENT: &[u8] = b"\\ufffd";

/// A parameter whose texts are cleaned while they are written to the wire.
#[derive(Debug)]
pub(super) struct Cleaned<'a>(&'a (dyn ToSql + Sync));

/// Returns the parameters, each with its type, in the form that the driver takes.
pub(super) fn cleaned<'a>(params: &[Param<'a>]) -> Vec<(Cleaned<'a>, Type)> {
    let cleaned = params.iter();
    cleaned
        .map(|(value, kind)| (Cleaned(*value), kind.clone()))
        .collect()
}

/// Borrows parameters as the driver wants them.
pub(super) fn borrowed<'a>(params: &'a [(Cleaned<'_>, Type)]) -> Vec<Param<'a>> {
    let params = params.iter();
    params
        .map(|(value, kind)| (value as &(dyn ToSql + Sync), kind.clone()))
        .collect()
}

impl ToSql for Cleaned<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let start = out.len();
        let is_null = self.0.to_sql_checked(kind, out)?;
        if let Some(clean) = cleaner(kind) {
            let written = out.split_off(start);
            match clean(&written) {
                Cow::Borrowed(_) => out.unsplit(written),
                Cow::Owned(clean) => out.extend_from_slice(&clean),
            }
        }
        Ok(is_null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

type Clean = fn(&[u8]) -> Cow<'_, [u8]>;

/// Returns how values of a type are cleaned; `None` for those that hold no text.
fn cleaner(kind: &Type) -> Option<Clean> {
    match *kind {
        Type::TEXT => Some(clean_text),
        Type::JSONB => Some(clean_json),
        Type::TEXT_ARRAY => Some(|array| clean_array(array, clean_text)),
        Type::JSONB_ARRAY => Some(|array| clean_array(array, clean_json)),
        _ => None,
    }
}

fn clean_text(text: &[u8]) -> Cow<'_, [u8]> {
    replaced(
        text,
        memchr::memchr_iter(0, text).collect(),
        1,
        REPLACEMENT.as_bytes(),
    )
}

/// Cleans a JSON text, in which the character is an escape.
fn clean_json(json: &[u8]) -> Cow<'_, [u8]> {
    let escapes = memchr::memmem::find_iter(json, ESCAPED_NUL);
    // A backslash that is escaped itself begins no escape.
    let is_escape = |at: &usize| {
        let backslashes = json[..*at].iter().rev().take_while(|byte| **byte == b'\\');
        backslashes.count() % 2 == 0
    };
    let found = escapes.filter(is_escape).collect();
    replaced(json, found, ESCAPED_NUL.len(), ESCAPED_REPLACEMENT)
}

/// Returns the bytes with what stands at some positions replaced.
fn replaced<'a>(
    bytes: &'a [u8],
    positions: Vec<usize>,
    length: usize,
    replacement: &[u8],
) -> Cow<'a, [u8]> {
    if positions.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut clean = Vec::with_capacity(bytes.len() + positions.len() * replacement.len());
    let mut done = 0;
    for at in positions {
        clean.extend_from_slice(&bytes[done..at]);
        clean.extend_from_slice(replacement);
        done = at + length;
    }
    clean.extend_from_slice(&bytes[done..]);
    Cow::Owned(clean)
}

/// Cleans each element of an array of one dimension, in the binary format of the protocol: a
/// header, then each element with its length before it, -1 for null.
fn clean_array(array: &[u8], clean: Clean) -> Cow<'_, [u8]> {
    // Dimensions, flags and the type of the elements; then length and lower bound.
    const HEADER: usize = 12 + 8;
    if array.len() <= HEADER {
        return Cow::Borrowed(array);
    }
    let (header, mut rest) = array.split_at(HEADER);
    let mut cleaned = Vec::new();
    let mut is_changed = false;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (element, after) = after.split_at(length.unwrap_or(0).min(after.len()));
        let element = length.map(|_| clean(element));
        is_changed |= matches!(element, Some(Cow::Owned(_)));
        cleaned.push(element);
        rest = after;
    }
    if !is_changed {
        return Cow::Borrowed(array);
    }
    let mut out = header.to_vec();
    for element in cleaned {
        let length = element
            .as_ref()
            .map_or(Some(-1), |e| i32::try_from(e.len()).ok());
        out.extend_from_slice(&length.unwrap_or(i32::MAX).to_be_bytes());
        out.extend_from_slice(&element.unwrap_or_default());
    }
    Cow::Owned(out)
}

/// Returns JSON that comes as a parameter of the type `text`, without escapes of U+0000.
pub(crate) fn cleaned_json(json: &str) -> String {
    String::from_utf8_lossy(&clean_json(json.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio_postgres::types::{FromSql, Json};

    use super::*;
    use crate::postgres::bind;

    /// Returns the bytes that the server receives for a parameter.
    fn sent(param: Param<'_>) -> BytesMut {
        let params = cleaned(&[param]);
        let mut out = BytesMut::from(&b"before"[..]);
        let (value, kind) = &params[0];
        value.to_sql_checked(kind, &mut out).unwrap();
        out.split_off(6)
    }

    #[test]
    fn texts_lose_the_character_and_keep_everything_else() {
        for (text, stored) in [
            ("a\0b\0", "a\u{fffd}b\u{fffd}"),
            ("\0", "\u{fffd}"),
            ("é\\u0000\n", "é\\u0000\n"),
            ("", ""),
        ] {
            assert_eq!(sent(bind(&text)), stored.as_bytes());
        }
    }

    #[test]
    fn elements_of_arrays_are_cleaned_one_by_one() {
        let texts = vec![Some("a\0b"), None, Some(""), Some("é")];
        let found = Vec::<Option<String>>::from_sql(&Type::TEXT_ARRAY, &sent(bind(&texts)));
        let found = found.unwrap();
        let expected = [Some("a\u{fffd}b"), None, Some(""), Some("é")];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
        for empty in [Vec::<&str>::new(), vec![""], vec!["x"]] {
            let found = Vec::<String>::from_sql(&Type::TEXT_ARRAY, &sent(bind(&empty))).unwrap();
            assert_eq!(found, empty);
        }
        let documents = vec![Json(json!({"a\0": "b\0"})), Json(json!(1.5))];
        let sent = sent(bind(&documents));
        let found = Vec::<Json<Value>>::from_sql(&Type::JSONB_ARRAY, &sent).unwrap();
        assert_eq!(found[0].0, json!({"a\u{fffd}": "b\u{fffd}"}));
        assert_eq!(found[1].0, json!(1.5));
    }

    #[test]
    fn a_document_loses_escapes_but_no_escaped_backslash() {
        let document = Json(json!({"a": "x\0y", "b": "\\u0000", "c": "\\\0"}));
        let found = Json::<Value>::from_sql(&Type::JSONB, &sent(bind(&document))).unwrap();
        let expected = json!({"a": "x\u{fffd}y", "b": "\\u0000", "c": "\\\u{fffd}"});
        assert_eq!(found.0, expected);
    }
}
