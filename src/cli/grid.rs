//! Tables of records that fit the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::wrap::broken;
use crate::language::say;
use crate::terminal::one_line;

/// A column of text is not made narrower.
const MIN_WIDTH: usize = 8;
/// A column of text is not made wider.
const MAX_WIDTH: usize = 40;
/// The columns that a line of names has at least and at most.
const MIN_LINE: usize = 40;
const MAX_LINE: usize = 100;
/// Blanks between columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'a> {
    /// Name, the head of the column.
    pub name: &'a str,
    /// True if cells go to the right.
    pub is_number: bool,
    /// True if cells are never cut.
    pub is_whole: bool,
}

/// A table that is being filled.
pub(super) struct Grid<'a> {
    columns: Vec<Column<'a>>,
    rows: Vec<(&'static str, Vec<String>)>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(columns: impl Iterator<Item = Column<'a>>) -> Self {
        Self {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. `mark` goes before its first cell; all marks have the same width.
    pub(super) fn push<'c>(&mut self, mark: &'static str, cells: impl Iterator<Item = &'c str>) {
        let cells = cells.map(|cell| one_line(cell).into_owned());
        self.rows.push((mark, cells.collect()));
    }

    /// Returns whether all columns fit, those of text made narrower if need be.
    pub(super) fn fits(&self, width: usize) -> bool {
        self.widths(width).len() == self.columns.len()
    }

    /// Draws the table. Cells of text are cut where it would be wider than `width`; columns that do not
    /// fit even so are left out, and named.
    pub(super) fn draw(&self, width: usize) -> String {
        let mark = self.rows.first().map_or(0, |(mark, _)| mark.len());
        let widths = self.widths(width.saturating_sub(mark));
        let shown = &self.columns[..widths.len()];
        let mut out = String::new();
        let heads = shown.iter().map(|column| column.name);
        out.push_str(&line(" ".repeat(mark).as_str(), shown, &widths, heads));
        for (mark, cells) in &self.rows {
            out.push_str(&line(
                mark,
                shown,
                &widths,
                cells.iter().map(String::as_str),
            ));
        }
        let left_out: Vec<&str> = self.columns[widths.len()..]
            .iter()
            .map(|c| c.name)
            .collect();
        if !left_out.is_empty() {
            let names = left_out.join(", ");
            let text = say!("not shown, for lack of room: {names}", names);
            let lines = broken("", "  ", &text, width.clamp(MIN_LINE, MAX_LINE));
            out.push_str(&(lines.join("\n") + "\n"));
        }
        out
    }

    /// Returns the widths of the columns that fit.
    fn widths(&self, width: usize) -> Vec<usize> {
        let natural = self.columns.iter().enumerate().map(|(number, column)| {
            let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(number));
            let widest = cells.map(|cell| cell.width()).max().unwrap_or(0);
            let widest = widest.max(column.name.width());
            match column.is_whole {
                true => widest,
                false => widest.min(MAX_WIDTH.max(column.name.width())),
            }
        });
        let mut widths: Vec<usize> = natural.collect();
        loop {
            let gaps = GAP * widths.len().saturating_sub(1);
            let needed = widths.iter().sum::<usize>() + gaps;
            if needed <= width || widths.len() < 2 {
                return widths;
            }
            let columns = self.columns.iter().zip(widths.iter_mut());
            let narrowed =
                columns.filter(|(column, width)| !column.is_whole && **width > MIN_WIDTH);
            match narrowed.max_by_key(|(_, width)| **width) {
                Some((_, widest)) => *widest -= 1,
                None => _ = widths.pop(),
            }
        }
    }
}

fn line<'c>(
    mark: &str,
    columns: &[Column<'_>],
    widths: &[usize],
    cells: impl Iterator<Item = &'c str>,
) -> String {
    let mut out = mark.to_owned();
    for (number, ((column, width), cell)) in columns.iter().zip(widths).zip(cells).enumerate() {
        let cell = cut(cell, *width);
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        if number > 0 {
            out.push_str(&" ".repeat(GAP));
        }
        match column.is_number {
            true => out.extend([blanks, cell]),
            false => out.extend([cell, blanks]),
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Cuts a text to a width, and marks that it is cut.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(character);
    }
    out + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, is_number: bool) -> Column<'_> {
        Column {
            name,
            is_number,
            is_whole: is_number,
        }
    }

    fn sample<'a>() -> Grid<'a> {
        let columns = [
            column("id", true),
            column("display_name", false),
            column("note", false),
            column("balance", true),
        ];
        let mut grid = Grid::new(columns.into_iter());
        let note = "a long note about nothing at all";
        grid.push(
            "",
            [
                "7",
                "Café «東京» and its many branches",
                note,
                "12345678901234567.10",
            ]
            .into_iter(),
        );
        grid.push("", ["12", "x\u{1b}[2J", "", "0.00"].into_iter());
        grid
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_number_is_cut() {
        for width in 1..120 {
            let drawn = sample().draw(width);
            let table = drawn.lines().take(3);
            for line in table {
                assert!(line.width() <= width.max(2), "{width}: {line}");
            }
            assert!(!drawn.contains('\u{1b}'));
            if drawn
                .lines()
                .next()
                .is_some_and(|head| head.contains("balance"))
            {
                assert!(drawn.contains(" 12345678901234567.10\n"), "{drawn}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_and_then_left_out() {
        let wide = sample().draw(usize::MAX);
        assert!(
            wide.contains("Café «東京» and its many branches  a long note"),
            "{wide}"
        );
        let narrow = sample().draw(50);
        assert!(
            narrow.contains('…') && narrow.contains("balance"),
            "{narrow}"
        );
        let tiny = sample().draw(20);
        assert!(
            tiny.ends_with("not shown, for lack of room: note,\n  balance\n"),
            "{tiny}"
        );
    }

    #[test]
    fn a_long_list_of_names_is_several_lines() {
        let names: Vec<String> = (0..100).map(|number| format!("column_{number}")).collect();
        let mut grid = Grid::new(names.iter().map(|name| column(name, false)));
        grid.push("", names.iter().map(String::as_str));
        for (width, widest) in [(60, 60), (300, 100)] {
            let drawn = grid.draw(width);
            let (_, list) = drawn.split_once("not shown").unwrap();
            assert!(list.lines().all(|line| line.width() <= widest), "{list}");
            assert!(list.ends_with("column_99\n"), "{list}");
        }
    }
}
