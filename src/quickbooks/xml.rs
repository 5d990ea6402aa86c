//! XML of strangers: parsed only if its parser takes little time and memory for it.
//!
//! The time that roxmltree takes for one tag grows with the square of its attributes (its issue 153),
//! and that for elements inside each other with the cube of the namespaces that they declare.

use roxmltree::{Document, ParsingOptions};

/// Most attributes of one tag. Intuit's tags have less than ten.
const MAX_ATTRIBUTES: usize = 2000;
/// Most declarations of namespaces. Intuit's answers have one.
const MAX_NAMESPACES: usize = 100;

/// Parses a document of at most so many bytes.
///
/// # Errors
/// If it is no XML, or would cost too much. The text says why.
pub(super) fn parse(text: &str, max_bytes: usize) -> Result<Document<'_>, String> {
    if text.len() > max_bytes {
        let (size, most) = (text.len() >> 10, max_bytes >> 10);
        return Err(format!("its XML has {size} KB, and the most is {most} KB"));
    }
    // No value of an attribute may hold `<`, so that a tag ends before the next one.
    let attributes = text
        .split('<')
        .map(|tag| memchr::memchr_iter(b'=', tag.as_bytes()).count());
    if attributes.max().is_some_and(|most| most > MAX_ATTRIBUTES) {
        return Err(format!("a tag has more than {MAX_ATTRIBUTES} attributes"));
    }
    if memchr::memmem::find_iter(text.as_bytes(), "xmlns")
        .nth(MAX_NAMESPACES)
        .is_some()
    {
        return Err(format!("it declares more than {MAX_NAMESPACES} namespaces"));
    }
    // A document type, whose entities could grow, is refused by default.
    Document::parse_with_options(text, ParsingOptions::default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn documents_that_would_cost_much_time_are_refused_at_once() {
        let tag = |count: usize| {
            let attributes: String = (0..count).map(|at| format!(" a{at}=''")).collect();
            format!("<a{attributes}/>")
        };
        let nested = |count: usize| {
            let begin: String = (0..count)
                .map(|at| format!("<a xmlns:n{at}='u{at}'>"))
                .collect();
            format!("{begin}{}", "</a>".repeat(count))
        };
        let (many, few) = (256 << 10, 1 << 10);
        for text in [
            tag(1999),
            nested(90),
            "<a>x = y</a>".to_owned(),
            "<a/>".to_owned(),
        ] {
            assert!(parse(&text, many).is_ok(), "{text:.60}");
        }
        let started_at = Instant::now();
        for (text, max_bytes) in [
            (tag(25_000), many),
            (tag(2001), many),
            (nested(9000), many),
            (nested(101), many),
            (format!("<a>{}</a>", "x".repeat(few)), few),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".to_owned(), many),
        ] {
            assert!(parse(&text, max_bytes).is_err(), "{text:.60}");
        }
        assert!(started_at.elapsed() < Duration::from_secs(1));
    }
}
