//! Reads answers of the token endpoint without judging them.
//!
//! QuickBooks may have replaced the refresh token by the time an answer arrives, so a new one must
//! be stored whatever else the answer holds (qbo-facts 1.4). Every field is therefore optional:
//! a lifetime that is no number, or JSON that is cut or wrapped in something else, does not hide
//! the tokens.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::port::Secret;

/// The fields of an answer of the token endpoint.
#[derive(Debug, Default)]
pub(crate) struct TokenAnswer {
    /// The access token, if there is one that can be sent as a header.
    pub access_token: Option<Secret>,
    /// The refresh token, which may be the same as before.
    pub refresh_token: Option<Secret>,
    /// Lifetime of the access token, seconds.
    pub expires_in: Option<u64>,
    /// Lifetime of the refresh token if it is not used, seconds.
    pub x_refresh_token_expires_in: Option<u64>,
    /// Remaining lifetime of the connection, seconds.
    pub x_refresh_token_hard_expires_in: Option<u64>,
}

impl TokenAnswer {
    /// Reads a complete body that is JSON; any other holds nothing.
    pub(crate) fn read_json(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Self::from_fields(|name| field_of(&value, name)),
            Err(_) => Self::default(),
        }
    }

    /// Reads a complete body.
    pub(crate) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            Ok(value) => Self::from_fields(|name| field_of(&value, name)),
            // A page for people may explain the names.
            Err(_) if is_page(&text) => Self::default(),
            Err(_) => Self::from_fields(|name| scan(&text, name, true)),
        }
    }

    /// Reads the part of a body that arrived before its connection broke. A value at its end may be
    /// cut and does not count.
    pub(crate) fn read_part(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match is_page(&text) {
            true => Self::default(),
            false => Self::from_fields(|name| scan(&text, name, false)),
        }
    }

    /// Returns true if a refresh token is not alone: an access token or a lifetime is with it.
    pub(crate) fn is_issued(&self) -> bool {
        self.refresh_token.is_some()
            && (self.access_token.is_some()
                || self.expires_in.is_some()
                || self.x_refresh_token_expires_in.is_some())
    }

    /// Returns true if the answer holds a token of either kind.
    pub(crate) fn has_tokens(&self) -> bool {
        self.access_token.is_some() || self.refresh_token.is_some()
    }

    fn from_fields(field: impl Fn(&str) -> Option<String>) -> Self {
        let seconds = |name| lifetime(&field(name)?);
        Self {
            access_token: field("access_token")
                .filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()))
                .map(Secret::new),
            refresh_token: field("refresh_token").map(Secret::new),
            expires_in: seconds("expires_in"),
            x_refresh_token_expires_in: seconds("x_refresh_token_expires_in"),
            x_refresh_token_hard_expires_in: seconds("x_refresh_token_hard_expires_in"),
        }
    }
}

/// Returns the text of the first field of this name at any depth. Other spellings count too:
/// `refreshToken`, `Refresh-Token`.
fn field_of(value: &Value, name: &str) -> Option<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .find_map(|(key, member)| text_of(member).filter(|_| plain(key) == plain(name)))
            .or_else(|| members.values().find_map(|member| field_of(member, name))),
        Value::Array(members) => members.iter().find_map(|member| field_of(member, name)),
        // JSON as the text of a JSON string.
        Value::String(text) if text.trim_start().starts_with('{') => {
            field_of(&serde_json::from_str(text).ok()?, name)
        }
        _ => None,
    }
}

/// Returns a name without the marks and capitals by which its spellings differ.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

fn is_page(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let begins = |with: &str| {
        text.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    begins("<!doctype html") || begins("<html")
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => non_empty(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the value that follows a name in text that is not JSON as a whole: cut or damaged JSON,
/// a form, XML. `is_whole` says that the text was not cut.
fn scan(text: &str, name: &str, is_whole: bool) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    [name.to_owned(), name.replace('_', "")]
        .iter()
        .flat_map(|spelling| {
            let ends = |(at, found): (usize, &str)| (at, at + found.len());
            lower
                .match_indices(spelling.as_str())
                .map(ends)
                .collect::<Vec<_>>()
        })
        .filter(|(start, _)| {
            let before = text[..*start].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        })
        .find_map(|(_, end)| value_after(&text[end..], is_whole))
}

/// Returns the value after a name: `": "value"`, `=value&` or `>value<`.
fn value_after(rest: &str, is_whole: bool) -> Option<String> {
    let rest = rest.trim_start_matches(['"', '\'', '\\']).trim_start();
    let separator = rest
        .chars()
        .next()
        .filter(|c| matches!(c, ':' | '=' | '>'))?;
    let rest = rest[1..].trim_start();
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = closing_quote(quoted)?;
        let json = &rest[..end + 2];
        let value: Option<String> = serde_json::from_str(json).ok();
        return non_empty(&value.unwrap_or_else(|| quoted[..end].to_owned()));
    }
    let is_end = |c: char| c.is_whitespace() || "&,}]<>\"'\\;".contains(c);
    let end = match rest.find(is_end) {
        Some(end) => end,
        None if is_whole => rest.len(),
        None => return None,
    };
    let value = &rest[..end];
    match separator {
        '=' => non_empty(&percent_decode_str(value).decode_utf8_lossy()),
        _ if value == "null" => None,
        _ => non_empty(value),
    }
}

/// Returns the place of the quote that ends a JSON string.
fn closing_quote(quoted: &str) -> Option<usize> {
    let mut is_escaped = false;
    quoted.char_indices().find_map(|(at, c)| {
        let is_closing = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_closing.then_some(at)
    })
}

/// Parses a lifetime in seconds, given as a number or as text. A lifetime below one second is none.
fn lifetime(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    // The cast rounds down, and turns what is too large into the largest number.
    (seconds >= 1.0).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(body: &str) -> (Option<String>, Option<String>) {
        let answer = TokenAnswer::read(body.as_bytes());
        let text = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        (text(answer.access_token), text(answer.refresh_token))
    }

    #[test]
    fn a_page_for_people_holds_no_tokens() {
        for body in [
            "<!DOCTYPE html><p>refresh_token: expired</p>",
            "  <HTML><body>access_token=none&refresh_token=none",
        ] {
            assert_eq!(tokens(body), (None, None), "{body}");
            let part = TokenAnswer::read_part(body.as_bytes());
            assert!(!part.has_tokens(), "{body}");
        }
        let text = TokenAnswer::read_json(b"access_token=a&refresh_token=b");
        assert!(!text.has_tokens());
        let json = TokenAnswer::read_json(br#"{"access_token":"a","refresh_token":"b"}"#);
        assert!(json.is_issued());
        let word = TokenAnswer::read_json(br#"{"refresh_token":"maintenance"}"#);
        assert!(!word.is_issued());
    }

    #[test]
    fn tokens_are_found_whatever_is_around_them() {
        let both = (Some("a..t".to_owned()), Some("RT-é\"1".to_owned()));
        for body in [
            r#"{"access_token":"a..t","refresh_token":"RT-é\"1","expires_in":3600}"#,
            "\u{feff}{\"access_token\":\"a..t\",\"refresh_token\":\" RT-é\\\"1 \"}",
            r#"{"expires_in":1e999,"access_token":"a..t","refresh_token":"RT-é\"1"}"#,
            r#"{"expires_in":NaN,"access_token":"a..t","refresh_token":"RT-é\"1"}"#,
            r#"{"refresh_token":"RT-é\"1","access_token":"a..t","expires_in":"#,
            r#"[{"data":{"refreshToken":"RT-é\"1","accessToken":"a..t"}}]"#,
            r#"{"body":"{\"refresh_token\":\"RT-é\\\"1\",\"access_token\":\"a..t\"}"}"#,
            r#")]}', {"refresh_token" : "RT-é\"1", "access_token" : "a..t"}"#,
            "access_token=a..t&x_refresh_token_expires_in=9&refresh_token=RT-%C3%A9%221",
            "<r><access_token>a..t</access_token><refresh_token>RT-é\"1</refresh_token></r>",
        ] {
            let found = tokens(body);
            let is_xml = body.starts_with('<');
            // A bare quote ends a value outside JSON, and no token has one.
            let expected = match is_xml {
                true => (both.0.clone(), Some("RT-é".to_owned())),
                false => both.clone(),
            };
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        for body in [
            "",
            "null",
            "<html>Welcome</html>",
            r#"{"error":"invalid_grant","error_description":"Incorrect refresh_token"}"#,
            r#"{"access_token":null,"refresh_token":""}"#,
            r#"{"access_token":{},"refresh_token":["  "]}"#,
            r#"{"x_refresh_token":"RT","refresh_token_hint":"RT","no_access_token":"x"}"#,
            r#"{"refresh_token":null,"access_token":"two words""#,
        ] {
            assert_eq!(tokens(body), (None, None), "{body}");
        }
    }

    #[test]
    fn a_value_that_is_cut_does_not_count() {
        let body = r#"{"refresh_token":"RT-1","access_token":"eyJ"}"#;
        let part = |length| TokenAnswer::read_part(&body.as_bytes()[..length]);
        let end_of_refresh_token = r#"{"refresh_token":"RT-1""#.len();
        assert!(part(end_of_refresh_token - 1).refresh_token.is_none());
        assert_eq!(
            part(end_of_refresh_token).refresh_token,
            Some(Secret::new("RT-1"))
        );
        assert!(part(end_of_refresh_token).access_token.is_none());
        let form = b"access_token=x&refresh_token=RT-1";
        assert!(TokenAnswer::read_part(form).refresh_token.is_none());
        assert!(TokenAnswer::read(form).refresh_token.is_some());
    }

    #[test]
    fn lifetimes_are_numbers_or_text() {
        for (text, seconds) in [
            ("3600", Some(3600)),
            (r#"" 3600 ""#, Some(3600)),
            (r#""3600.9""#, Some(3600)),
            ("3600.9", Some(3600)),
            ("3.6e3", Some(3600)),
            ("1e300", Some(u64::MAX)),
            ("99999999999999999999", Some(u64::MAX)),
            ("0", None),
            ("-3600", None),
            (r#""-1""#, None),
            ("0.5", None),
            (r#""soon""#, None),
            (r#""""#, None),
            ("null", None),
            ("true", None),
            ("[3600]", None),
            ("{}", None),
        ] {
            let body = format!(r#"{{"refresh_token":"r","expires_in":{text}}}"#);
            let answer = TokenAnswer::read(body.as_bytes());
            assert_eq!(answer.expires_in, seconds, "{text}");
            assert!(answer.refresh_token.is_some(), "{text}");
        }
    }

    const ANSWERS: &[&str] = &[
        r#"{"x_refresh_token_expires_in":8726400,"refresh_token":"RT1-abc","access_token":"eyJ.a.b","token_type":"bearer","expires_in":3600}"#,
        r#"{"error":"invalid_grant","error_description":"Incorrect refresh token"}"#,
        "access_token=eyJ.a.b&refresh_token=RT1-abc&expires_in=3600",
        "<r><refresh_token>RT1-abc</refresh_token><access_token>eyJ.a.b</access_token></r>",
        r#""{\"refresh_token\":\"RT1-abc\",\"access_token\":\"eyJ.a.b\"}""#,
    ];

    proptest::proptest! {
        #![proptest_config(crate::testing::cases(400))]

        #[test]
        fn whatever_arrives_is_read_or_holds_nothing(body in crate::testing::documents(ANSWERS)) {
            for answer in [TokenAnswer::read(&body), TokenAnswer::read_json(&body), TokenAnswer::read_part(&body)] {
                for token in answer.access_token.iter().chain(&answer.refresh_token) {
                    let token = token.expose();
                    proptest::prop_assert!(!token.is_empty() && token.trim() == token);
                }
                let access = answer.access_token.as_ref();
                proptest::prop_assert!(access.is_none_or(|token| token.expose().bytes().all(|byte| byte.is_ascii_graphic())));
            }
        }

        #[test]
        fn a_part_of_an_answer_holds_its_tokens_or_none(length in 0..ANSWERS[0].len()) {
            let part = TokenAnswer::read_part(&ANSWERS[0].as_bytes()[..length]);
            proptest::prop_assert!(part.refresh_token.is_none_or(|token| token.expose() == "RT1-abc"));
            proptest::prop_assert!(part.access_token.is_none_or(|token| token.expose() == "eyJ.a.b"));
        }
    }
}
