//! `qbo-rs show`: stored records as a table, as CSV or as JSON.

use std::fmt::Write as _;
use std::io::IsTerminal;

use clap::Args;

use super::command_line::schema_flag;
use super::company::use_schema;
use super::exit::{ExitCode, Outcome};
use super::grid::{Column, Grid};
use super::output::{self, Printer};
use super::signals::block_on;
use super::words::{archived, flow};
use crate::app::{App, ShowReport, ShowRequest};
use crate::error::Error;
use crate::language::say;
use crate::terminal::{one_line, shell_quote};

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    request: ShowRequest,
    /// Print comma-separated values
    #[arg(long)]
    csv: bool,
}

/// Runs the subcommand.
pub(super) fn run(
    app: &App,
    mut arguments: ShowArguments,
    names_schema: bool,
    printer: Printer,
) -> Outcome {
    if arguments.csv && printer.json {
        let reason = "and --json exclude each other";
        return Err(Error::config("--csv", reason).into());
    }
    use_schema(app, names_schema, &mut arguments.request.schema)?;
    let request = &arguments.request;
    let report = block_on(async {
        let report = Box::pin(app.show(request)).await;
        report.map_err(|error| app.with_reading_right(&request.schema, error))
    })?;
    match arguments.csv {
        true => output::text(&csv(&report, std::io::stdout().is_terminal())),
        false => printer.print_table(&report, || table(&report, super::wrap::table_columns()))?,
    }
    Ok(ExitCode::Done)
}

/// Returns the records as a table of at most `width` columns, and a line about them.
pub(super) fn table(report: &ShowReport, width: usize) -> String {
    let has_deleted = report.rows.iter().any(|row| row.is_deleted);
    let mut grid = Grid::new(report.columns.iter().map(|column| Column {
        name: &column.name,
        is_number: column.is_number,
        is_whole: !column.is_text,
    }));
    for row in &report.rows {
        let cells = row
            .cells
            .iter()
            .map(|cell| cell.as_deref().unwrap_or_default());
        let mark = match (has_deleted, row.is_deleted) {
            (false, _) => "",
            (true, true) => "x ",
            (true, false) => "  ",
        };
        grid.push(mark, cells);
    }
    let mut out = String::new();
    if !report.rows.is_empty() {
        out = grid.draw(width);
    }
    let (count, entity, schema) = (report.rows.len(), report.entity, &report.schema);
    // Writing to a string cannot fail.
    let text = match (count, report.has_more) {
        (0, _) if !report.is_filtered && !report.archives.is_empty() => say!(
            "the table of {entity} in the schema {schema} is empty",
            entity,
            schema
        ),
        // A sync chooses the schema itself.
        (0, _) if !report.is_filtered && !schema_flag(schema).is_empty() => say!(
            "the table of {entity} in the schema {schema} is empty; `qbo-rs backfill {entity} --start 2000-01-01 --end now \
             --chunk year --schema {flag}` reads all",
            entity,
            schema,
            flag = shell_quote(schema)
        ),
        (0, _) if !report.is_filtered => say!(
            "the table of {entity} in the schema {schema} is empty; a backfill reads what was last changed in its range, \
             `qbo-rs sync {entity}` reads all",
            entity,
            schema
        ),
        (0, _) => say!(
            "no {entity} like this in the schema {schema}",
            entity,
            schema
        ),
        (_, false) => say!(
            "{entity} in the schema {schema}: {count}, the last change first",
            entity,
            schema,
            count
        ),
        (_, true) => say!(count count;
            "{entity} in the schema {schema}: the {count} that was changed last",
            "{entity} in the schema {schema}: the {count} that were changed last",
            entity, schema, count
        ),
    };
    let mut parts = vec![text];
    parts.extend(report.has_more.then(|| say!("--limit shows more")));
    out.push_str(&flow("", &parts, "; "));
    if has_deleted {
        let _ = writeln!(out, "{}", say!("x: deleted in QuickBooks"));
    }
    for archive in &report.archives {
        let _ = writeln!(out, "{}", archived(archive));
    }
    out
}

/// Returns the records as CSV (RFC 4180). In a terminal, no cell changes what it shows.
fn csv(report: &ShowReport, is_terminal: bool) -> String {
    let heads = report.columns.iter().map(|column| column.name.as_str());
    let mut out = line(heads.chain(["deleted"]));
    for row in &report.rows {
        let shown: Vec<_> = row
            .cells
            .iter()
            .map(|cell| cell.as_deref().unwrap_or_default())
            .map(|cell| match is_terminal {
                true => one_line(cell),
                false => cell.into(),
            })
            .collect();
        let is_deleted = row.is_deleted.to_string();
        let cells = shown.iter().map(AsRef::as_ref);
        out.push_str(&line(cells.chain([is_deleted.as_str()])));
    }
    out
}

fn line<'c>(cells: impl Iterator<Item = &'c str>) -> String {
    let cells: Vec<String> = cells
        .map(|cell| match cell.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        })
        .collect();
    cells.join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_separators_are_quoted() {
        assert_eq!(
            line(["1", "a, \"b\"", "x\ny", ""].into_iter()),
            "1,\"a, \"\"b\"\"\",\"x\ny\",\r\n"
        );
    }
}
