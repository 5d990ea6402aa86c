//! A scanner that proves that text is JSON while it goes over it, once.
//!
//! It accepts exactly what the parser accepts when it skips a value, except for two kinds of text that it
//! leaves to the parser: values nested in more than [`MAX_LEVELS`] levels, and names with escapes. So
//! `None` means "ask the parser", never "this is no JSON".

use std::ops::Range;

/// Levels of arrays and objects that are followed: one bit of a word each. Real records have about ten.
const MAX_LEVELS: u32 = u64::BITS;

/// A place in text. The text is UTF-8, so that the ranges are those of whole characters.
#[derive(Debug, Clone)]
pub(crate) struct Validator<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Something was passed that not every reader of JSON takes.
    is_odd: bool,
}

impl<'a> Validator<'a> {
    /// Begins at the beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            is_odd: false,
        }
    }

    /// Returns the first byte of what follows, without blanks before it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at).copied() {
                Some(byte) if byte > b' ' => return Some(byte),
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Returns the place of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Returns a part of the text.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// Returns true if, since the last call, an escape, an exponent or a number of more digits than any
    /// real one has was passed. Postgres refuses some of those.
    pub(crate) fn take_oddity(&mut self) -> bool {
        std::mem::take(&mut self.is_odd)
    }

    /// Goes over a byte, which must follow.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Option<()> {
        let follows = self.peek() == Some(byte);
        self.at += usize::from(follows);
        follows.then_some(())
    }

    /// Returns true at the end of the text, whatever blanks are before it.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Goes to the value of the next member, and returns its name; `Some(None)` behind the last member.
    /// `is_first` says that the brace was just opened.
    #[inline]
    pub(crate) fn member(&mut self, is_first: bool) -> Option<Option<&'a str>> {
        if self.is_over(is_first, b'}')? {
            return Some(None);
        }
        self.expect(b'"')?;
        let begin = self.at;
        let name = match self.skip_string()? {
            true => self.slice(begin..self.at - 1),
            // The parser must decide what it means.
            false => return None,
        };
        self.expect(b':')?;
        Some(Some(name))
    }

    /// Goes to the next element; returns `Some(false)` behind the last one.
    #[inline]
    pub(crate) fn element(&mut self, is_first: bool) -> Option<bool> {
        self.is_over(is_first, b']').map(|is_over| !is_over)
    }

    /// Goes over the comma before the next item, or over the end of the list of items.
    #[inline]
    fn is_over(&mut self, is_first: bool, end: u8) -> Option<bool> {
        match self.peek()? {
            byte if byte == end => {
                self.at += 1;
                Some(true)
            }
            b',' if !is_first => {
                self.at += 1;
                Some(false)
            }
            _ => is_first.then_some(false),
        }
    }

    /// Goes over a value of any kind, and returns its place.
    pub(crate) fn value(&mut self) -> Option<Range<usize>> {
        self.peek()?;
        let begin = self.at;
        // The kinds of the levels that are open, the innermost in the lowest bit: 1 is an object.
        let (mut kinds, mut level) = (0_u64, 0_u32);
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    self.skip_string()?;
                }
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    let is_object = open == b'{';
                    // The codes of both brackets are two less than those of their ends.
                    if self.peek()? == open + 2 {
                        self.at += 1;
                    } else {
                        if level == MAX_LEVELS {
                            return None;
                        }
                        level += 1;
                        kinds = kinds << 1 | u64::from(is_object);
                        if is_object {
                            self.skip_name()?;
                        }
                        continue;
                    }
                }
                b't' => self.skip_word(b"true")?,
                b'f' => self.skip_word(b"false")?,
                b'n' => self.skip_word(b"null")?,
                _ => self.skip_number()?,
            }
            loop {
                if level == 0 {
                    return Some(begin..self.at);
                }
                let is_object = kinds & 1 == 1;
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if is_object {
                            self.skip_name()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                self.at += 1;
                level -= 1;
                kinds >>= 1;
            }
        }
    }

    /// Goes over a name and its colon.
    #[inline]
    fn skip_name(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.skip_string()?;
        self.expect(b':')
    }

    #[inline]
    fn skip_word(&mut self, word: &[u8]) -> Option<()> {
        let follows = self.bytes.get(self.at..)?.starts_with(word);
        self.at += word.len();
        follows.then_some(())
    }

    /// Goes over the rest of a string and its last quote. Returns false if it has escapes.
    #[inline]
    fn skip_string(&mut self) -> Option<bool> {
        let mut is_plain = true;
        loop {
            self.at += special(self.bytes.get(self.at..)?)?;
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(is_plain);
                }
                b'\\' => {
                    is_plain = false;
                    self.skip_escape()?;
                }
                // A control character.
                _ => return None,
            }
        }
    }

    #[cold]
    fn skip_escape(&mut self) -> Option<()> {
        self.is_odd = true;
        self.at += match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6)?
            }
            _ => return None,
        };
        Some(())
    }

    #[inline]
    fn skip_number(&mut self) -> Option<()> {
        /// Digits of any amount, rate or id.
        const MAX_USUAL: usize = 64;

        let begin = self.at;
        self.at += usize::from(self.bytes.get(self.at) == Some(&b'-'));
        match self.bytes.get(self.at)? {
            // A digit behind it is found by whoever goes on: nothing takes it there.
            b'0' => self.at += 1,
            _ => self.skip_digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.is_odd = true;
            self.at += 1;
            let has_sign = matches!(self.bytes.get(self.at), Some(b'+' | b'-'));
            self.at += usize::from(has_sign);
            self.skip_digits()?;
        }
        self.is_odd |= self.at - begin > MAX_USUAL;
        Some(())
    }

    /// Goes over one digit or more.
    #[inline]
    fn skip_digits(&mut self) -> Option<()> {
        let begin = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }
}

/// Returns the place of the first byte that ends or changes a string: a quote, a backslash or a control
/// character. Looks at eight bytes at a time, because nearly all strings are short.
#[inline]
fn special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        // The lowest top bit that is set is that of the first such byte; those above it may be wrong.
        let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
        let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
        let found = (controls | quotes | escapes) & TOPS;
        if found != 0 {
            return Some(text.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    let is_special = |byte: &u8| *byte < b' ' || matches!(*byte, b'"' | b'\\');
    let place = rest.iter().position(is_special)?;
    Some(text.len() - rest.len() + place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// Texts that JSON is made of, and what breaks it.
    const PARTS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"Id\":",
        "\"x\":",
        "\"\\u00e9\"",
        "\"\\ud83d\"",
        "\\u12",
        "\\\"",
        "\\x",
        "\\/",
        "-",
        "0",
        "1",
        "01",
        "1.5",
        ".5",
        "1.",
        "1e",
        "e5",
        "1E+5",
        "-0.0e-1",
        "+1",
        "true",
        "false",
        "null",
        "tru",
        "nullx",
        " ",
        "\n",
        "\t",
        "\r",
        "\u{b}",
        "\u{0}",
        "\u{1f}",
        "\u{7f}",
        "é",
        "🙂",
        "\u{a0}",
        "\u{feff}",
        "long text of more than eight bytes",
        "9999999999999999999",
        "{}",
        "[]",
        "[[[[",
        "]]]]",
        "{\"a\":1}",
        "[1,2]",
        "\"a\u{1}b\"",
        "'a'",
        "//",
        "NaN",
        "Infinity",
    ];

    fn scanned(text: &str) -> Option<&str> {
        let mut validator = Validator::new(text);
        let range = validator.value()?;
        validator.is_at_end().then(|| validator.slice(range))
    }

    fn parsed(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text)
            .ok()
            .map(RawValue::get)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn parts_in_any_order_are_taken_exactly_when_the_parser_takes_them(
            parts in prop::collection::vec(prop::sample::select(PARTS), 0..14)
        ) {
            let text = parts.concat();
            prop_assert_eq!(scanned(&text), parsed(&text), "{}", text);
        }

        #[test]
        fn damaged_records_are_taken_exactly_when_the_parser_takes_them(
            place in 0_usize..400, part in prop::sample::select(PARTS), removed in 0_usize..4, count in 0_usize..3
        ) {
            const RECORD: &str = r#"{"Id":"17","SyncToken":"3","Amount":-120.50,"Rate":1e-7,"Zero":0,"sparse":false,"x":null,
                "Line":[{"Id":"1","Description":"Grüße \"an\" \\ \u00e9 alle","Qty":2},{}, [ ] ,[[1,2],"a long text of more than sixteen bytes"]],
                "MetaData" : {"CreateTime":"2024-12-01T06:26:40-08:00","LastUpdatedTime":"2024-12-01T06:26:40-08:00"}}"#;
            let floor = |at: usize| (0..=at.min(RECORD.len())).rev().find(|at| RECORD.is_char_boundary(*at)).unwrap_or(0);
            let begin = floor(place);
            let end = floor(begin + removed).max(begin);
            let text = [&RECORD[..begin], &part.repeat(count), &RECORD[end..]].concat();
            prop_assert_eq!(scanned(&text), parsed(&text), "{}", text);
        }
    }

    #[test]
    fn every_beginning_of_a_record_and_every_byte_in_a_string_is_judged_like_by_the_parser() {
        let record = r#" {"a" : ["x\"}{", {"b\u0041":[{"c":"]"},2]} ] ,"d":-1.5e3,"e":{},"f":[],"g":[true,false,null]} "#;
        for end in 0..=record.len() {
            assert_eq!(scanned(&record[..end]), parsed(&record[..end]), "{end}");
        }
        for place in 0..20 {
            for byte in 0..128_u8 {
                let mut inner = vec![b'a'; 20];
                inner[place] = byte;
                let text = format!("[\"{}\"]", String::from_utf8(inner).unwrap());
                assert_eq!(scanned(&text), parsed(&text), "{text}");
            }
        }
    }

    #[test]
    fn what_is_deeper_than_a_word_has_bits_is_left_to_the_parser() {
        let nested = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
        let at_most = nested(MAX_LEVELS as usize);
        assert_eq!(scanned(&at_most), Some(&*at_most));
        assert_eq!(scanned(&nested(MAX_LEVELS as usize + 1)), None);
        // Empty ones open no level.
        let wide = format!("[{}1]", "[[],{}],".repeat(1000));
        assert_eq!(scanned(&wide), Some(&*wide));
    }

    #[test]
    fn oddities_are_those_that_postgres_may_refuse() {
        let odd = |text: &str| {
            let mut validator = Validator::new(text);
            validator.value().unwrap();
            validator.take_oddity()
        };
        let digits = format!("[{}]", "1".repeat(65));
        for text in [r#""\u0000""#, r#"{"\n":1}"#, "[1e5]", "[1E5]", &digits] {
            assert!(odd(text), "{text}");
        }
        assert!(!odd(r#"{"a":[1.25,-3,"text e5","é",true,null]}"#));
    }
}
