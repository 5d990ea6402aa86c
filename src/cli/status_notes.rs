//! The lines of a status below its table.

use std::fmt::Write as _;

use super::status_view::View;
use super::words::{MAX_WIDTH, archived_on_screen, cut, flow, instant, number};
use crate::app::StatusReport;
use crate::domain::Window;
use crate::language::say;

/// The most other schemas that are named.
const MAX_SCHEMAS: usize = 3;
/// The most entities whose differences are told.
const MAX_DIFFERENT: usize = 3;
/// The most archives that are told.
const MAX_ARCHIVES: usize = 3;
/// The most entities that are named of those which were never read.
const MAX_NAMED: usize = 5;

/// Names the other schemas, of which this screen says nothing.
pub(super) fn other_schemas(report: &StatusReport) -> String {
    let all = &report.other_schemas;
    if all.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = all.iter().take(MAX_SCHEMAS).cloned().collect();
    if let more @ 1.. = all.len() - names.len() {
        names.push(say!("and {more} more", more));
    }
    let names = names.join(", ");
    let text = say!("Other schemas (--schema): {names}", names);
    cut(&text, MAX_WIDTH) + "\n"
}

/// Names what `verify` has found: the entity, the range, and when.
pub(super) fn differences(report: &StatusReport, view: View<'_>) -> String {
    let limit = if view.is_whole {
        usize::MAX
    } else {
        MAX_DIFFERENT
    };
    let mut out = String::new();
    for found in report.differences.iter().take(limit) {
        let Window { start, end } = found.range;
        let range = format!("{} .. {}", instant(start), instant(end));
        let time = view.zone.clock(found.found_at, view.now);
        let (entity, n) = (&found.entity, number(found.ranges));
        let text = say!(count found.ranges; "{entity}: {n} range differs, {range}, verified {time}",
            "{entity}: {n} ranges differ, in {range}, verified {time}", entity, n, range, time);
        let _ = writeln!(out, "{}", cut(&text, MAX_WIDTH));
    }
    if let more @ 1.. = report.differences.len().saturating_sub(limit) {
        let _ = writeln!(out, "{} (-v)", say!("and {more} more", more));
    }
    out
}

/// Names what is in files of archives, and in no table.
pub(super) fn archives(report: &StatusReport, view: View<'_>) -> String {
    let limit = if view.is_whole {
        usize::MAX
    } else {
        MAX_ARCHIVES
    };
    let all = || report.entities.iter().flat_map(|entity| &entity.archives);
    let lines = all().take(limit).map(|one| archived_on_screen(one) + "\n");
    let mut out: String = lines.collect();
    if let more @ 1.. = all().count().saturating_sub(limit) {
        let _ = writeln!(out, "{} (-v)", say!("and {more} more", more));
    }
    out
}

/// Names entities that no run has read.
pub(super) fn never_read(report: &StatusReport, view: View<'_>) -> String {
    let left: Vec<&str> = report.left().collect();
    if left.is_empty() {
        return String::new();
    }
    let limit = if view.is_whole { usize::MAX } else { MAX_NAMED };
    let mut names: Vec<String> = left
        .iter()
        .take(limit)
        .map(|name| (*name).to_owned())
        .collect();
    if let more @ 1.. = left.len() - names.len() {
        names.push(say!("and {more} more", more));
    }
    let count = left.len() as u64;
    names[0] = say!(count count; "{n} entity was never read: {first}", "{n} entities were never read: {first}",
        n = number(count), first = names[0]);
    flow("", &names, ", ")
}
