//! Numbers, times and tables as people read them, at most [`MAX_WIDTH`] columns wide.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};

use crate::app::Archive;
use crate::domain::Window;
use crate::domain::instant::{format_instant, format_span};
use crate::language::{Language, current, say};
pub(super) use crate::language::{number, number_in};
use crate::terminal::one_line;
pub(super) use crate::terminal::shell_quote;

/// The width of the narrowest terminal that all texts fit into.
pub(super) const MAX_WIDTH: usize = 80;

/// Writes a number of rows: 1 row, 2 rows.
pub(super) fn rows(count: u64) -> String {
    rows_in(current(), count)
}

/// The same in a given language.
pub(super) fn rows_in(language: Language, count: u64) -> String {
    say!(in language; count count; "{n} row", "{n} rows", n = number_in(language, count))
}

/// Writes a number of records.
pub(super) fn records(count: u64) -> String {
    say!(count count; "{n} record", "{n} records", n = number(count))
}

/// Writes a number of windows.
pub(super) fn windows(count: u64) -> String {
    windows_in(current(), count)
}

/// The same in a given language.
pub(super) fn windows_in(language: Language, count: u64) -> String {
    say!(in language; count count; "{n} window", "{n} windows", n = number_in(language, count))
}

/// Writes a number of requests.
pub(super) fn requests(count: u64) -> String {
    requests_in(current(), count)
}

/// The same in a given language.
pub(super) fn requests_in(language: Language, count: u64) -> String {
    say!(in language; count count; "{n} request", "{n} requests", n = number_in(language, count))
}

/// Writes a number of entities.
pub(super) fn entities(count: u64) -> String {
    say!(count count; "{n} entity", "{n} entities", n = number(count))
}

/// Writes a number of days.
pub(super) fn days(count: u64) -> String {
    say!(count count; "{n} day", "{n} days", n = number(count))
}

/// Writes an instant in UTC, and one at midnight as its day alone.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    match at.time() == NaiveTime::MIN {
        true => at.format("%Y-%m-%d").to_string(),
        false => format_instant(at).replace('T', " ").replace('Z', ""),
    }
}

/// Writes a range as its two bounds.
pub(super) fn range(window: Window) -> String {
    format!("{} .. {}", instant(window.start), instant(window.end))
}

/// Writes a time that has passed: 0.2 s, 45 s, 13 min, 2 h 5 min.
pub(super) fn elapsed(millis: u64) -> String {
    format_span(Duration::from_millis(millis))
}

/// Lays out a table, indented by two: names to the left, numbers to the right. The first row has the
/// names of the columns.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| width(&row[column])).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - width(cell));
            line.push_str(&match column {
                0 => format!(" {cell}{padding}"),
                _ => format!("  {padding}{cell}"),
            });
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Returns the number of columns that a text takes, if none of its characters is wide.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text that is too long, and says so by `…`.
pub(super) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

/// Fits a line that is laid out with blanks into so many columns: blanks go first, then its end.
pub(super) fn fitted(line: &str, columns: usize) -> String {
    if width(line) <= columns {
        return line.to_owned();
    }
    let mut close = String::new();
    let words = line.trim_start();
    close.push_str(&line[..line.len() - words.len()]);
    for column in words.split("  ").filter(|column| !column.is_empty()) {
        if !close.trim_start().is_empty() {
            close.push_str("  ");
        }
        close.push_str(column.trim());
    }
    cut(&close, columns)
}

/// Says which records of an entity are in the file of an archive alone.
pub(super) fn archived(archive: &Archive) -> String {
    let (entity, n) = (&archive.entity, number(archive.records));
    let before = instant(archive.before);
    let file = one_line(&archive.file);
    say!(count archive.records; "{entity}: {n} record archived before {before}, in {file}",
        "{entity}: {n} records archived before {before}, in {file}", entity, n, before, file)
}

/// Says it on a screen. A path that the line has no room for stands below it, whole, so that it can be copied.
pub(super) fn archived_on_screen(archive: &Archive) -> String {
    let (text, file) = (archived(archive), one_line(&archive.file));
    match text.strip_suffix(&*file) {
        Some(before) if width(&text) > MAX_WIDTH => format!("{}\n  {file}", before.trim_end()),
        _ => text,
    }
}

/// Writes parts one after the other, with a separator, in as many lines as they need. Each line
/// begins with `indent`, and no part is divided.
pub(super) fn flow(indent: &str, parts: &[String], separator: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // A list goes on in the next line after a comma.
    let mark = if separator == ", " { "," } else { "" };
    let room = MAX_WIDTH - width(mark);
    for part in parts {
        match lines.last_mut() {
            Some(line) if width(line) + width(separator) + width(part) <= room => {
                line.push_str(separator);
                line.push_str(part);
            }
            last => {
                if let Some(line) = last {
                    line.push_str(mark);
                }
                lines.push(format!("{indent}{part}"));
            }
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_cut_before_words() {
        let line = "  accounts                done             90 rows       0.1 s";
        assert_eq!(fitted(line, 80), line);
        assert_eq!(fitted(line, 60), "  accounts  done  90 rows  0.1 s");
        assert_eq!(fitted(line, 20), "  accounts  done  9…");
    }

    #[test]
    fn numbers_are_in_groups_and_words_have_their_form() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (12_969, "12,969"),
            (1_000_000, "1,000,000"),
        ] {
            assert_eq!(number_in(Language::En, value), text);
            assert_eq!(
                number_in(Language::Es, value),
                text.replace(',', "\u{202f}")
            );
        }
        assert_eq!(rows_in(Language::Es, 5800), "5\u{202f}800 filas");
        assert_eq!(windows(1), "1 window");
        assert_eq!(rows(0), "0 rows");
    }

    #[test]
    fn times_are_as_long_as_they_need_to_be() {
        for (millis, text) in [
            (230, "0.2 s"),
            (9_840, "9.8 s"),
            (59_900, "59 s"),
            (780_000, "13 min"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(elapsed(millis), text);
        }
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(instant(at("2024-01-01T00:00:00Z")), "2024-01-01");
        assert_eq!(instant(at("2024-01-01T05:00:09Z")), "2024-01-01 05:00:09");
    }

    #[test]
    fn a_flow_breaks_between_its_parts_only() {
        let parts: Vec<String> = (0..9).map(|n| format!("part number {n}")).collect();
        let text = flow("  ", &parts, " · ");
        assert!(
            text.lines()
                .all(|line| width(line) <= MAX_WIDTH && line.starts_with("  p"))
        );
        assert_eq!(text.matches("part number").count(), 9);
    }
}
