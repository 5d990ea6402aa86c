//! What `jsonb` refuses (PostgreSQL documentation, "JSON Types"): the character U+0000 and halves of surrogate pairs, which
//! valid JSON can spell as escapes.

/// Why a payload cannot be stored, if it cannot. The text has to be valid JSON.
pub(super) fn refusal(payload: &[u8]) -> Option<&'static str> {
    let mut rest = payload;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = &rest[at + 1..];
        let Some(unit) = code_unit(escape) else {
            // Two characters, the second perhaps a backslash itself.
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

/// The number of `uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_postgres_refuses_is_refused() {
        for fine in [
            r#"{"a":"b"}"#,
            r#""\\u0000""#,
            r#""\ud83d\ude42""#,
            r#""\\\\u0000 \u0001 \" \/""#,
            r#""é🙂""#,
            r#""\u00e9""#,
        ] {
            assert_eq!(refusal(fine.as_bytes()), None, "{fine}");
        }
        for (bad, word) in [
            (r#""\u0000""#, "U+0000"),
            (r#""\\\u0000""#, "U+0000"),
            (r#""\ud83d""#, "surrogate"),
            (r#""\ude42\ud83d""#, "surrogate"),
            (r#""\ud83d\u0041""#, "surrogate"),
            (r#""\uD83D\n""#, "surrogate"),
        ] {
            assert!(refusal(bad.as_bytes()).is_some_and(|reason| reason.contains(word)), "{bad}");
        }
    }
}
