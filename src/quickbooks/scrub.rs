//! Removes token material from texts. Error bodies echo tokens (qbo-facts 7.1), so texts are scrubbed
//! where answers are parsed: of the secrets that this process holds, and of what looks like one of another.

use crate::held_secrets::hide;
use crate::terminal::changes_terminal;

/// Maximum length of a word with letters and digits that is not a token. Intuit's own words are
/// shorter; tokens, which 401 bodies echo, are longer.
const MAX_HARMLESS_WORD: usize = 23;

/// Replaces every secret of this process and everything that could be a token by `***`, ends of lines by
/// blanks, and other control characters, which would change what a terminal shows, by U+FFFD.
pub(crate) fn scrub(text: &str) -> String {
    let text = hide(text).replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}'], " ");
    let text = text.replace(changes_terminal, "\u{fffd}");
    let text = text.as_str();
    let is_token_char =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '=');
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = is_token_char(first);
        let end = rest
            .find(|c| is_token_char(c) != in_word)
            .unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
        let looks_secret = in_word
            && run.len() > MAX_HARMLESS_WORD
            && has(u8::is_ascii_digit)
            && has(u8::is_ascii_alphabetic);
        scrubbed.push_str(if looks_secret { "***" } else { run });
        rest = tail;
    }
    scrubbed
}

/// Longest id of a request. Intuit's have 35 characters or fewer.
const MAX_TRACE_ID: usize = 64;

/// Returns the header that identifies a request to Intuit, or `***` if it could be something else: a
/// proxy may put anything into it.
pub(crate) fn trace_id(header: &str) -> String {
    let is_id = header.len() <= MAX_TRACE_ID
        && hide(header) == header
        && header
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    match is_id {
        true => header.to_owned(),
        false => scrub(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_request_is_kept_and_a_token_in_its_place_is_not() {
        for id in ["1-65a1b2c3-0123456789abcdef01234567", "a-short-one"] {
            assert_eq!(trace_id(id), id);
        }
        let token = "RT1-123-H0-1700000000abcdefghijkl";
        assert_eq!(trace_id(token), "***");
        assert_eq!(trace_id("1-65a1\n2"), "1-65a1 2");
    }

    #[test]
    fn echoed_tokens_are_scrubbed_and_words_are_kept() {
        assert_eq!(
            scrub("Token expired: AB01601390262kxzxQWERTYUIOPasdf"),
            "Token expired: ***"
        );
        assert_eq!(
            scrub("eyJlbmMiOiJBMTI4Q0JDLUhTMjU2In0..abc-def_1234567890 é"),
            "*** é"
        );
        assert_eq!(
            scrub("a\0b\u{1b}[31m c\n\u{7f}"),
            "a\u{fffd}b\u{fffd}[31m c \u{fffd}"
        );
        for words in [
            "QueryValidationError: invalid context declaration: Custmoer",
            "Could not find resource for relative : /v3/company/9341450000000001/query of full path",
        ] {
            assert_eq!(scrub(words), words);
        }
    }
}
