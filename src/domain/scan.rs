//! A scanner of JSON text that tells where values begin and end, and copies nothing.
//!
//! It trusts that the text is JSON: a parser has accepted it, or will have to. Of any other text it
//! returns `None` or some ranges, and never reads beyond the end. Its work does not nest, so that no
//! record is too deep for it.

use std::borrow::Cow;
use std::ops::Range;

/// A place in JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the beginning of a text.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Returns the first byte of what follows, without blanks before it; 0 at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        while let Some(byte) = self.text.get(self.at) {
            if *byte > b' ' {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    /// Returns the place of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes over a byte if it follows.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let follows = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(follows);
        follows
    }

    /// Goes over a string, and returns what stands between its quotes.
    #[inline]
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        if !self.take(b'"') {
            return None;
        }
        let begin = self.at;
        loop {
            let rest = self.text.get(self.at..)?;
            let found = quote_or_escape(rest)?;
            self.at += found;
            if rest.get(found) == Some(&b'"') {
                let inner = self.text.get(begin..self.at);
                self.at += 1;
                return inner;
            }
            self.at += 2;
        }
    }

    /// Goes over the byte that [`peek`](Self::peek) has returned, which is not the end.
    #[inline]
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// Goes over some bytes if exactly they follow, such as the name of a member and the colon behind it.
    /// Most names are known before they are read, and comparing costs less than looking for their end.
    #[inline]
    pub(crate) fn exactly(&mut self, bytes: &[u8]) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let follows = rest.starts_with(bytes);
        self.at += if follows { bytes.len() } else { 0 };
        follows
    }

    /// Goes over a value of any kind, and returns its place.
    pub(crate) fn value(&mut self) -> Option<Range<usize>> {
        let first = self.peek();
        let begin = self.at;
        match first {
            b'"' => _ = self.string()?,
            b'{' | b'[' => self.nested()?,
            0 | b'}' | b']' | b',' | b':' => return None,
            _ => _ = self.plain(),
        }
        Some(begin..self.at)
    }

    /// Goes over a number or a word.
    #[inline]
    pub(crate) fn plain(&mut self) -> &'a [u8] {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || *byte <= b' ';
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let rest = self.text.get(self.at..)?;
            let of_interest = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
            self.at += rest.iter().position(of_interest)?;
            match self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Returns where the next member begins and its name, and goes to its value. `is_first` says that
    /// the brace was just opened.
    #[inline]
    pub(crate) fn member(&mut self, is_first: bool) -> Option<Next<(usize, &'a [u8])>> {
        if self.take(b'}') {
            return Some(Next::End);
        }
        if !is_first && !self.take(b',') {
            return None;
        }
        self.peek();
        let begin = self.at;
        let name = self.string()?;
        self.take(b':').then_some(Next::Item((begin, name)))
    }

    /// Goes to the next element of an array.
    #[inline]
    pub(crate) fn element(&mut self, is_first: bool) -> Option<Next<()>> {
        if self.take(b']') {
            return Some(Next::End);
        }
        (is_first || self.take(b',')).then_some(Next::Item(()))
    }

    /// Returns a part of the text.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.text.get(range).unwrap_or_default()
    }
}

/// A member or an element, or the end of them.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Another one.
    Item(T),
    /// There is no other.
    End,
}

/// Returns the place of the first quote or backslash. Most texts are so short that a call of `memchr` costs
/// more than it saves, so that the first bytes are looked at eight at a time.
#[inline]
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest top bit that is set is that of the first zero byte.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, _) = text.as_chunks::<8>();
    for (number, word) in words.iter().take(4).enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let found = quotes | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let begin = words.len().min(4) * 8;
    memchr::memchr2(b'"', b'\\', text.get(begin..)?).map(|found| begin + found)
}

/// Returns the text of a string without its escapes; `None` if it is no JSON string.
pub(crate) fn unescaped(inner: &[u8]) -> Option<Cow<'_, str>> {
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", inner, b"\""].concat();
    serde_json::from_slice(&quoted).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<Vec<(String, String)>> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut found = Vec::new();
        let mut is_first = true;
        scanner.take(b'{').then_some(())?;
        while let Next::Item((_, name)) = scanner.member(is_first)? {
            let name = unescaped(name)?.into_owned();
            let range = scanner.value()?;
            let value = String::from_utf8(scanner.slice(range).to_vec()).ok()?;
            found.push((name, value));
            is_first = false;
        }
        Some(found)
    }

    #[test]
    fn members_are_found_whatever_stands_in_strings() {
        let found =
            names(r#" {"a" : "x\"}{", "b\u0041":[{"c":"]"},2] ,"d":-1.5e3,"e":{},"f":null}"#);
        let found = found.unwrap();
        let expected = [
            ("a", r#""x\"}{""#),
            ("bA", r#"[{"c":"]"},2]"#),
            ("d", "-1.5e3"),
            ("e", "{}"),
            ("f", "null"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn no_text_is_read_beyond_its_end_and_no_depth_is_too_deep() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(names(&deep).unwrap().len(), 1);
        let text = r#"{"a":"x\"","b":[1,{"c":2}],"d":tru"#;
        for end in 0..text.len() {
            assert_eq!(names(&text[..end]), None, "{}", &text[..end]);
        }
    }
}
