//! The text format of COPY (PostgreSQL documentation, COPY, "Text Format"): a line for each row, a tab
//! between two fields.

use std::fmt::{Display, Write};

use super::cleaned::REPLACEMENT;

/// Writes a text, and a tab. The server writes the same bytes for it, so that rows can be compared as lines.
pub(crate) fn text(out: &mut String, value: Option<&str>) {
    let Some(value) = value else {
        out.push_str("\\N\t");
        return;
    };
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\0' => out.push_str(REPLACEMENT),
            other => out.push(other),
        }
    }
    out.push('\t');
}

/// Writes a value that holds nothing to escape, such as a number or a day, and a tab.
pub(crate) fn plain(out: &mut String, value: Option<impl Display>) {
    match value {
        // Writing into a string does not fail.
        Some(value) => drop(write!(out, "{value}\t")),
        None => out.push_str("\\N\t"),
    }
}

/// Ends a row: a newline stands in the place of the last tab.
pub(crate) fn end(out: &mut String) {
    out.pop();
    out.push('\n');
}

/// Returns the text of a field that is not null.
pub(crate) fn unescaped(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('v') => '\u{b}',
                Some(other) => other,
                None => break,
            },
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{end, plain, text, unescaped};

    #[test]
    fn rows_are_in_the_text_format_of_copy() {
        let mut row = String::new();
        text(&mut row, Some("a\tb\\c\nd\re\0f"));
        text(&mut row, None);
        text(&mut row, Some(""));
        plain(&mut row, Some(7));
        plain(&mut row, None::<i32>);
        end(&mut row);
        assert_eq!(row, "a\\tb\\\\c\\nd\\re\u{fffd}f\t\\N\t\t7\t\\N\n");
    }

    #[test]
    fn a_text_is_what_was_written() {
        let all: String = (1..=0x2fff).filter_map(char::from_u32).collect();
        let mut row = String::new();
        text(&mut row, Some(&all));
        assert_eq!(unescaped(row.trim_end_matches('\t')), all);
    }
}
