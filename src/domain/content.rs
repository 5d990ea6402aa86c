//! The content of a payload as two digests, for comparing records that claim to be one version: some
//! edits do not move the time of change (qbo-facts 3.6).

use std::borrow::Cow;
use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};
use serde_json::value::RawValue;

/// Members that differ from one read to the next: addresses that end after minutes (qbo-facts 9).
const SHORT_LIVED: [&str; 2] = ["TempDownloadUri", "ThumbnailTempDownloadUri"];

/// Levels of a payload that are compared by value: as many as the table takes. What is nested deeper
/// is compared as text.
const MAX_DEPTH: usize = 1000;

/// Meaning of a payload, apart from members that differ at every read. Two payloads are equal here if
/// `jsonb` holds them to be equal: the order of members, white space and the spelling of numbers and
/// escapes do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Digest of everything.
    whole: [u8; 32],
    /// Digest of everything but the names in references.
    nameless: [u8; 32],
}

impl Content {
    /// Returns the content of a payload.
    pub fn of(payload: &str) -> Self {
        let mut digests = Digests {
            whole: Context::new(&SHA256),
            nameless: Context::new(&SHA256),
        };
        digests.payload(payload.trim());
        Self {
            whole: finish(digests.whole),
            nameless: finish(digests.nameless),
        }
    }

    /// Returns true if the two differ by more than names in references. QuickBooks changed such names
    /// in all records without moving their times (qbo-facts 13.3).
    pub fn differs(&self, other: &Self) -> bool {
        self.nameless != other.nameless
    }

    /// Returns true if the two differ by nothing but names in references.
    pub fn is_renamed(&self, other: &Self) -> bool {
        self.nameless == other.nameless && self.whole != other.whole
    }
}

fn finish(context: Context) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

struct Digests {
    whole: Context,
    nameless: Context,
}

/// Place of a value in its payload.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// The member that holds the value is named like a reference.
    is_reference: bool,
    /// The value is a name in a reference.
    is_name: bool,
}

impl Place {
    const ROOT: Self = Self {
        depth: 0,
        is_reference: false,
        is_name: false,
    };
}

/// A part of a payload that is still to be added. Parts wait on a stack of their own, so that deep
/// nesting does not exhaust the thread's.
enum Part<'a> {
    Name(Cow<'a, str>, Place),
    Value(&'a str, Place),
    End(u8, Place),
}

impl Digests {
    fn add(&mut self, bytes: &[u8], place: Place) {
        self.whole.update(bytes);
        if !place.is_name {
            self.nameless.update(bytes);
        }
    }

    /// Adds a text with its length, so that two texts never run into one.
    fn text(&mut self, kind: u8, text: &str, place: Place) {
        self.add(&[kind], place);
        self.add(&(text.len() as u64).to_le_bytes(), place);
        self.add(text.as_bytes(), place);
    }

    fn payload(&mut self, json: &str) {
        let mut parts = vec![Part::Value(json, Place::ROOT)];
        while let Some(part) = parts.pop() {
            match part {
                Part::Name(name, place) => self.text(b'm', &name, place),
                Part::Value(json, place) => self.value(json, place, &mut parts),
                Part::End(bracket, place) => self.add(&[bracket], place),
            }
        }
    }

    fn value<'a>(&mut self, json: &'a str, place: Place, parts: &mut Vec<Part<'a>>) {
        let is_taken = place.depth <= MAX_DEPTH
            && match json.as_bytes().first() {
                Some(b'{') => self.object(json, place, parts),
                Some(b'[') => self.array(json, place, parts),
                Some(b'"') => self.string(json, place),
                Some(b'-' | b'0'..=b'9') => self.number(json, place),
                _ => false,
            };
        if !is_taken {
            self.text(b'r', json, place);
        }
    }

    fn object<'a>(&mut self, json: &'a str, place: Place, parts: &mut Vec<Part<'a>>) -> bool {
        let Ok(members) = serde_json::from_str::<BTreeMap<Cow<'a, str>, &'a RawValue>>(json) else {
            return false;
        };
        let has_name = place.is_reference && members.contains_key("value");
        self.add(b"{", place);
        parts.push(Part::End(b'}', place));
        // The last part is taken first.
        for (name, value) in members.into_iter().rev() {
            if SHORT_LIVED.contains(&name.as_ref()) {
                continue;
            }
            let inside = Place {
                depth: place.depth + 1,
                is_reference: name.ends_with("Ref"),
                is_name: place.is_name || (has_name && name == "name"),
            };
            parts.push(Part::Value(value.get(), inside));
            parts.push(Part::Name(name, inside));
        }
        true
    }

    fn array<'a>(&mut self, json: &'a str, place: Place, parts: &mut Vec<Part<'a>>) -> bool {
        let Ok(values) = serde_json::from_str::<Vec<&'a RawValue>>(json) else {
            return false;
        };
        self.add(b"[", place);
        parts.push(Part::End(b']', place));
        let inside = Place {
            depth: place.depth + 1,
            ..place
        };
        let values = values.into_iter().rev();
        parts.extend(values.map(|value| Part::Value(value.get(), inside)));
        true
    }

    fn string(&mut self, json: &str, place: Place) -> bool {
        let Ok(text) = serde_json::from_str::<Cow<'_, str>>(json) else {
            return false;
        };
        self.text(b's', &text, place);
        true
    }

    fn number(&mut self, json: &str, place: Place) -> bool {
        let Some(number) = canonical_number(json) else {
            return false;
        };
        self.text(b'n', &number, place);
        true
    }
}

/// Returns a number as its significant digits and the exponent of the last one: `1.50` and `15e-1` are
/// both `15e-1`.
fn canonical_number(json: &str) -> Option<String> {
    let (mantissa, exponent) = json.split_once(['e', 'E']).unwrap_or((json, "0"));
    let exponent: i64 = exponent.trim_start_matches('+').parse().ok()?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{decimals}");
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let last = exponent
        .checked_sub(i64::try_from(decimals.len()).ok()?)?
        .checked_add(i64::try_from(zeros).ok()?)?;
    Some(format!("{sign}{significant}e{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(left: &str, right: &str) -> (bool, bool) {
        let (left, right) = (Content::of(left), Content::of(right));
        (left.differs(&right), left.is_renamed(&right))
    }

    #[test]
    fn only_what_jsonb_tells_apart_differs() {
        for (left, right) in [
            (
                r#"{"a":1,"b":[true,null]}"#,
                r#" { "b": [true, null], "a": 1 }"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"[100.00, 1e2, -0, 0.0]"#, "[1E+2,100,0,0e7]"),
            (r#"{"a":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
            (
                r#"{"a":12345678901234567890.1}"#,
                r#"{"a":12345678901234567890.10}"#,
            ),
            (
                r#"{"Id":"1","TempDownloadUri":"https://a.test/1"}"#,
                r#"{"Id":"1","TempDownloadUri":"https://a.test/2"}"#,
            ),
        ] {
            assert_eq!(differs(left, right), (false, false), "{left} {right}");
        }
        for (left, right) in [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":1}"#, r#"{"a":10}"#),
            (r#"{"a":0.1}"#, r#"{"a":-0.1}"#),
            (
                r#"{"a":12345678901234567890}"#,
                r#"{"a":12345678901234567891}"#,
            ),
            (r#"{"a":null}"#, "{}"),
            (r#"["ab","c"]"#, r#"["a","bc"]"#),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[[1,2]]"),
        ] {
            assert_eq!(differs(left, right), (true, false), "{left} {right}");
        }
    }

    #[test]
    fn names_are_left_out_in_references_and_nowhere_else() {
        for (left, right) in [
            (
                r#"{"AccountRef":{"value":"7","name":"Water"}}"#,
                r#"{"AccountRef":{"value":"7","name":"Utilities:Water"}}"#,
            ),
            (
                r#"{"Line":[{"Detail":{"ItemRef":{"value":"7"}}}]}"#,
                r#"{"Line":[{"Detail":{"ItemRef":{"name":"Hose","value":"7"}}}]}"#,
            ),
        ] {
            assert_eq!(differs(left, right), (false, true), "{left} {right}");
        }
        for (left, right) in [
            (
                r#"{"AccountRef":{"value":"7","name":"Water"}}"#,
                r#"{"AccountRef":{"value":"8","name":"Water"}}"#,
            ),
            (
                r#"{"CustomField":{"value":"7","name":"a"}}"#,
                r#"{"CustomField":{"value":"7","name":"b"}}"#,
            ),
            (
                r#"{"AccountRef":{"name":"a"}}"#,
                r#"{"AccountRef":{"name":"b"}}"#,
            ),
            (r#"{"name":"a"}"#, r#"{"name":"b"}"#),
            (
                r#"{"AccountRef":{"value":"7","name":"a"},"Note":"x"}"#,
                r#"{"AccountRef":{"value":"7","name":"b"},"Note":"y"}"#,
            ),
        ] {
            assert_eq!(differs(left, right), (true, false), "{left} {right}");
        }
    }

    #[test]
    fn endless_nesting_is_compared_too() {
        for levels in [1, 255, 256, 257, 999, 1000, 3000] {
            let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(levels), "]".repeat(levels));
            assert_eq!(differs(&deep("1"), &deep("1")), (false, false), "{levels}");
            assert_eq!(differs(&deep("1"), &deep("2")), (true, false), "{levels}");
        }
    }

    #[test]
    fn at_every_level_that_the_table_takes_only_what_jsonb_tells_apart_differs() {
        for levels in [2, 200, 254, 256, 258, 600, 998] {
            let nested = |open: &str, inner: &str, close: &str| {
                let (open, close) = (open.repeat(levels / 2), close.repeat(levels / 2));
                format!("{open}{inner}{close}")
            };
            let sent = nested(
                r#"{"bb":1e2,"a":["#,
                r#"{"b":1.50,"aa":"\u00e9 : ,"}"#,
                r#"],"c":"x"}"#,
            );
            // As jsonb writes it: spaces, other digits, and short names first.
            let stored = |inner: &str| nested(r#"{"a": ["#, inner, r#"], "c": "x", "bb": 100}"#);
            let same = stored(r#"{"b": 1.50, "aa": "é : ,"}"#);
            assert_eq!(differs(&sent, &same), (false, false), "{levels}");
            for other in [
                r#"{"b": 1.51, "aa": "é : ,"}"#,
                r#"{"b": 1.50, "aa": "é :,"}"#,
                r#"{"b": 1.50}"#,
            ] {
                assert_eq!(differs(&sent, &stored(other)), (true, false), "{levels}");
            }
        }
    }
}
