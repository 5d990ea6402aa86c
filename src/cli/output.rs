//! The texts that commands print on stdout.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::StyledStr;

use super::exit::{ExitCode, Outcome};
use super::progress;
use super::words::{flow, number, requests as requests_of, windows as windows_of};
use super::wrap::{columns, wrapped};
use chrono::{DateTime, Utc};

use crate::domain::instant::format_instant;
use crate::domain::{
    ENTITIES, Report, RunReport, Verification, VerificationReport, WindowReport, WindowStatus,
};
use crate::error::{Error, Result};
use crate::language::{say, translated};
use crate::terminal::{one_line, shown_json};

static HAS_PRINTED: AtomicBool = AtomicBool::new(false);
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Returns true if something was printed on stdout.
pub(super) fn has_printed() -> bool {
    HAS_PRINTED.load(Ordering::Relaxed)
}

/// Prints text with colours, without them where they are not wanted.
pub(super) fn styled(text: &StyledStr) {
    HAS_PRINTED.store(true, Ordering::Relaxed);
    let mut out = anstream::stdout().lock();
    keep(write!(out, "{}", text.ansi()).and_then(|()| out.flush()));
}

/// Prints text as it is. A closed pipe, as of `| head`, is not an error worth a word.
pub(super) fn text(text: &str) {
    HAS_PRINTED.store(true, Ordering::Relaxed);
    progress::suspend(|| {
        let mut out = std::io::stdout().lock();
        keep(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    });
}

/// Prints an object on one line. On a terminal, texts of others change nothing.
pub(super) fn object(object: &serde_json::Value) {
    let line = format!("{object}\n");
    match io::stdout().is_terminal() {
        true => text(&shown_json(&line)),
        false => text(&line),
    }
}

/// Keeps the first failure to print.
fn keep(printed: io::Result<()>) {
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = FAILURE.set(error);
    }
}

/// Returns whether all that was printed has arrived: on a full disk it has not.
///
/// # Errors
/// [`Error::Landing`] about stdout.
pub(super) fn written() -> Result<()> {
    match FAILURE.get() {
        None => Ok(()),
        Some(error) => Err(Error::landing(Path::new("stdout"), error)),
    }
}

/// Prints results on stdout: as JSON with `--json`, as text for people otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    pub json: bool,
}

impl Printer {
    /// Prints a value as JSON, or as its text, which is in the language of the user: it may hold values of
    /// a company, which no translation may touch.
    pub(super) fn print(
        self,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        self.print_within(columns(), value, describe)
    }

    /// Prints a text whose lines are no sentences, such as a table that fits the terminal.
    pub(super) fn print_table(
        self,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        self.print_within(usize::MAX, value, describe)
    }

    fn print_within(
        self,
        columns: usize,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.json {
            let object = object_text(value, io::stdout().is_terminal())
                .map_err(|e| Error::Internal(format!("output: {e}")))?;
            text(&(object + "\n"));
        } else {
            // Texts of others, such as those of faults, change nothing in a terminal.
            let described = describe();
            let shown: Vec<_> = described.split('\n').map(one_line).collect();
            text(&wrapped(&shown.join("\n"), columns));
        }
        Ok(())
    }

    /// Prints a value as one line of JSON, or as its text in English, whose lines are translated. It holds
    /// no values of a company.
    pub(super) fn print_translated(
        self,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        self.print(value, || lines_translated(&describe()))
    }

    /// The same of statements, with comments.
    pub(super) fn print_statements(
        self,
        value: &impl serde::Serialize,
        describe: impl FnOnce() -> String,
    ) -> Result<()> {
        self.print_table(value, || lines_translated(&describe()))
    }

    /// Prints the names of all entities, with those of QuickBooks and in Spanish.
    pub(super) fn entities(self) -> Outcome {
        let names: std::collections::BTreeMap<_, _> = ENTITIES
            .iter()
            .map(|entity| (entity.name, entity.qbo_name))
            .collect();
        self.print(&names, || {
            ENTITIES
                .iter()
                .map(|entity| {
                    let spanish = entity.spanish.first().copied().unwrap_or_default();
                    format!("{:<24}{:<24}{spanish}\n", entity.name, entity.qbo_name)
                })
                .collect()
        })?;
        Ok(ExitCode::Done)
    }
}

fn lines_translated(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(translated).collect();
    lines.join("\n")
}

/// Returns a value as JSON: on one line for a program. For people it is indented, and texts of others change nothing in
/// their terminal.
fn object_text(value: &impl serde::Serialize, is_for_people: bool) -> serde_json::Result<String> {
    match is_for_people {
        true => serde_json::to_string_pretty(value).map(|text| shown_json(&text).into_owned()),
        false => serde_json::to_string(value),
    }
}

/// Returns the closing lines for Spanish users: one for each window, then the total of each entity.
/// Dates are those of the half-open range.
pub(super) fn filas(report: &Report) -> String {
    let mut out = String::new();
    for run in &report.runs {
        for window in &run.windows {
            let (start, end) = (
                window.start.format("%Y-%m-%d"),
                window.end.format("%Y-%m-%d"),
            );
            let _ = match window.status {
                WindowStatus::Failed if window.is_not_attempted() => Ok(()),
                WindowStatus::Failed => {
                    let reason = one_line(window.error.as_deref().unwrap_or_default());
                    writeln!(out, "Rango {start} a {end} -> error: {reason}")
                }
                WindowStatus::Done | WindowStatus::Skipped => {
                    writeln!(out, "Rango {start} a {end} -> {} filas", window.rows)
                }
            };
        }
        if let Some(untried) = untried(run) {
            let (start, end) = (
                untried.start.format("%Y-%m-%d"),
                untried.end.format("%Y-%m-%d"),
            );
            let (windows, reason) = (untried.windows, one_line(untried.reason));
            let _ = writeln!(
                out,
                "Rango {start} a {end} -> error en {windows} tramos: {reason}"
            );
        }
        if let Some(reason) = run.unavailable() {
            let _ = writeln!(out, "{}: {}", run.entity, one_line(reason));
        }
        let _ = writeln!(out, "Total {} descargadas: {}", run.entity, run.totals.rows);
    }
    out
}

/// The most ids that are shown.
const MAX_SHOWN: usize = 10;

/// Describes the result of a comparison.
pub(super) fn verification(report: &VerificationReport) -> String {
    let mut out = String::new();
    for run in &report.runs {
        let Verification {
            entity,
            windows,
            source,
            table,
            different,
            rejects,
            repaired,
            renamed_references,
            changed_later,
            archived,
            requests,
            unavailable,
            ..
        } = run;
        if let Some(reason) = unavailable {
            let rows = match table {
                0 => say!("the table is empty, too"),
                rows => say!(count *rows;
                    "the table has {count} record from a time when the company had it, which cannot be \
                     compared any more",
                    "the table has {count} records from a time when the company had it, which cannot be \
                     compared any more", count = number(*rows)),
            };
            let _ = writeln!(out, "{entity}: {}; {rows}", translated(reason));
            continue;
        }
        let verdict = match (different.len() as u64, *repaired) {
            (0, _) if *source != table + archived => say!("the totals differ"),
            (0, _) if !rejects.is_empty() => {
                let rejects = rejects.len() as u64;
                say!(count rejects; "{n} record was set aside", "{n} records were set aside", n = number(rejects))
            }
            (0, 0) => say!("no difference"),
            (0, repaired) => say!(count repaired;
                "{windows} window was read again, and nothing differs any more",
                "{windows} windows were read again, and nothing differs any more", windows = number(repaired)),
            (count, _) => {
                say!(count count; "{n} window differs", "{n} windows differ", n = number(count))
            }
        };
        let (source, table) = (number(*source), number(*table));
        let mut parts = vec![say!(
            "{entity}: {source} in QuickBooks, {table} in the table",
            entity,
            source,
            table
        )];
        parts.extend((*archived > 0).then(|| say!("{n} archived", n = number(*archived))));
        parts.extend([windows_of(*windows), requests_of(*requests)]);
        out.push_str(flow("  ", &parts, ", ").trim_start());
        out.truncate(out.trim_end().len());
        let _ = writeln!(out, ": {verdict}");
        if *renamed_references > 0 {
            let text = say!(count *renamed_references;
                "{records} record differs only by names inside references, which is no difference",
                "{records} records differ only by names inside references, which is no difference",
                records = number(*renamed_references));
            let _ = writeln!(out, "  {text}");
        }
        if *changed_later > 0 {
            let text = say!(count *changed_later;
                "{records} record was edited after the range, which is no difference",
                "{records} records were edited after the range, which is no difference",
                records = number(*changed_later));
            let _ = writeln!(out, "  {text}");
        }
        for difference in different {
            let (start, end) = (
                format_instant(difference.start),
                format_instant(difference.end),
            );
            let (source, table) = (number(difference.source), number(difference.table));
            let counts = say!(
                "[{start}, {end}): {source} against {table}",
                start,
                end,
                source,
                table
            );
            let _ = write!(out, "  {counts}");
            let (n, ids) = shown(&difference.missing);
            let missing = say!(count n; "{n} is missing: {ids}", "{n} are missing: {ids}", n, ids);
            let (n, ids) = shown(&difference.stale);
            let stale = say!(count n; "{n} is stale: {ids}", "{n} are stale: {ids}", n, ids);
            let (n, ids) = shown(&difference.extra);
            let extra = say!(count n; "{n} is extra: {ids}", "{n} are extra: {ids}", n, ids);
            for (text, ids) in [
                (missing, &difference.missing),
                (stale, &difference.stale),
                (extra, &difference.extra),
            ] {
                if !ids.is_empty() {
                    let _ = write!(out, "; {text}");
                }
            }
            out.push('\n');
        }
        for reject in rejects {
            let unknown = say!("of unknown id");
            let text = say!(
                "record {id}, changed about {at}, was set aside: {reason}",
                id = one_line(reject.id.as_deref().unwrap_or(&unknown)),
                at = format_instant(reject.changed_at),
                reason = translated(&one_line(&reject.error))
            );
            let _ = writeln!(out, "  {text}");
        }
    }
    out
}

/// Returns the number of ids, and the first of them.
fn shown(ids: &[String]) -> (usize, String) {
    let more = if ids.len() > MAX_SHOWN { ", ..." } else { "" };
    let first = &ids[..ids.len().min(MAX_SHOWN)];
    (ids.len(), first.join(", ") + more)
}

/// The windows of a run that failed before anything of them was tried, all for the same reason.
struct Untried<'r> {
    windows: usize,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    reason: &'r str,
}

fn untried(run: &RunReport) -> Option<Untried<'_>> {
    let windows: Vec<&WindowReport> = run
        .windows
        .iter()
        .filter(|window| window.is_not_attempted())
        .collect();
    Some(Untried {
        windows: windows.len(),
        start: windows.first()?.start,
        end: windows.last()?.end,
        reason: windows.first()?.error.as_deref()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn one_record_that_differs_is_no_plural() {
        let told = |ids: &[String]| {
            let (n, ids) = shown(ids);
            say!(in Language::Es; count n; "{n} is stale: {ids}", "{n} are stale: {ids}", n, ids)
        };
        let ids = ["83", "84"].map(str::to_owned);
        assert_eq!(told(&ids[..1]), "1 desactualizado: 83");
        assert_eq!(told(&ids), "2 desactualizados: 83, 84");
    }

    #[test]
    fn an_object_is_one_line_for_programs_and_indented_for_people() {
        let value = serde_json::json!({"runs": [1, 2]});
        assert_eq!(object_text(&value, false).unwrap(), r#"{"runs":[1,2]}"#);
        assert_eq!(object_text(&value, true).unwrap().lines().count(), 6);
        let value = serde_json::json!({"text": "\u{9b}2J\u{202e}"});
        let shown = object_text(&value, true).unwrap();
        assert!(shown.contains(r"\u009b2J\u202e"), "{shown}");
    }
}
